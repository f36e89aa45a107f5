"""How much does each source contribute in each band? Diffusion information gains in closed form, and their fusion.

A gain (arXiv 2503.18627, Eq. 8) is the fall of the restoration error between two noise levels. Take the noisy level to
infinity, where nothing is known of a detail band and its best estimate is 0, and the clean one to the source's own
noise: band b of a Laplacian pyramid of source k gains

  DIG_kb = l(0, B_b y_k) - l(B_b x0(y_k | t_k), B_b y_k) = |B_b x0|^2 + 2 (B_b x0) (B_b y_k - B_b x0),

by one evaluation of the prior. The first term is what was restored; the second, in expectation over the clean
source, is the noise that the estimate lets through, not content: for a posterior mean x0 of the clean source
s, E[l(0, B_b s) - l(B_b x0, B_b s) | y_k] = |B_b x0|^2. As the noise goes to 0 both are the local energy of the
band, which is the salience of Burt and Kolczynski (1993).
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dig2dig_jax.guidance import base_band
from dig2dig_jax.ops import band_kernel, pyramid, sources
from dig2dig_jax.ops.arrays import Array, Image, Images, Weights
from dig2dig_jax.ops.filters import gaussian_blur

AGAINST = ("clean", "observed")
BASES = ("uniform", "brightest", "functional", "exposure")
_TINY = band_kernel.TINY
_REGION = 8.0  # pixels, standard deviation
_ANY = 1e6  # grey levels
_HALVINGS, _SMOOTH, _ROUNDS = 3, 2.0, 3  # the base is corrected iteratively, smoothly over 16 pixels


@dataclasses.dataclass(frozen=True)
class Rule:
  """How gains become an image.

  bands: levels of the pyramid. exponent: weights are softmax(exponent x share of the gain). against: `clean` for the
  expected gain, `observed` for the one measured on the noisy source. band_window: standard deviation of the average
  over a band's pixels. region: exponent of the share of all bands' gains in the surrounding
  region, 0 for none. brightness: how much every
  source's local brightness, in [-1, 1], adds to its score. target: how much that of source `functional` (-1: the last)
  adds where it is above the source's mean. base: a name of `BASES`. undershoot, overshoot: grey levels of 255 by which
  the result may be darker or brighter than every source before the base is corrected; below 0 it is not. The names
  are those of the method's options.

  `exponent`, `region`, `brightness`, `target`, `undershoot` and `overshoot` may be arguments of a compiled program, in
  place of constants of it: one program then serves all of their values.
  """

  bands: int = 7
  exponent: float | Array = 4.0
  against: str = "clean"
  band_window: float = 0.6
  region: float | Array = 0.0
  brightness: float | Array = 0.0
  target: float | Array = 0.0
  functional: int = -1
  base: str = "uniform"
  undershoot: float | Array = -1.0
  overshoot: float | Array = -1.0


class Composed(NamedTuple):
  """weights: those of the bands, averaged by the bands' energy."""

  image: Image
  weights: Weights


def band_gain(observed: Images, estimate: Images, *, against: str = "clean", window: float = 0.6) -> Weights:
  """[K, h, w, 1] of one detail band of the sources [K, h, w, C] and of the prior's estimates of them, averaged over
  channels and a Gaussian window; below 0 nothing was gained."""
  gain = jnp.square(estimate)
  if against == "observed":
    gain += 2 * estimate * (observed - estimate)
  return gaussian_blur(jnp.mean(gain, axis=-1, keepdims=True), window)


def compose(observed: Images, content: Images, rule: Rule, *, kernels: str = "off") -> Composed:
  """The fused image of sources [K, H, W, C] as observed and as restored; all in [-1, 1], and so is the result but for
  what collapsing overshoots.

  kernels: with `on`, a level of the image takes one pass over memory where a GPU can (ops/band_kernel.py); with
  `interpret` that runs as plain JAX. The weights for display are computed separately, and only where they are used.
  """
  weights, bands = weigh(observed, content, rule)
  found = blend(weights, bands, content, rule)
  if kernels == "off" or not _kernels_fit(content, rule):
    return found
  image = _by_kernels(observed, content, rule, bands, interpret=kernels == "interpret")
  return found._replace(image=_within(image, content, rule))


def _kernels_fit(content: Images, rule: Rule) -> bool:
  """Whether the kernels apply, which take one band at a time: a region's share needs the gains of all bands, exposure
  their energies."""
  apart = _acts(rule.region) or rule.base == "exposure"
  return not apart and band_kernel.fits(len(content), content.shape[-1], rule.band_window,
                                        observed=rule.against == "observed")  # fmt: skip


def _by_kernels(observed: Images, content: Images, rule: Rule, bands: list[Array], *, interpret: bool) -> Image:
  """The image before its base is corrected. bands: of the content; only their number is used."""
  reduce = functools.partial(band_kernel.reduce, interpret=interpret)
  levels, seen = [content], [observed]
  for _ in bands[1:]:
    levels.append(reduce(levels[-1]))
    if rule.against == "observed":
      seen.append(reduce(seen[-1]))
  functional = rule.functional % len(content)
  middle = content[functional].mean()
  numbers = jnp.stack([jnp.asarray(number, jnp.float32) for number in
                       (rule.exponent, rule.brightness, rule.target, middle)])  # fmt: skip
  scores = band_kernel.Scores(rule.band_window, numbers, functional, rule.against == "observed")
  image = sources.total(_base(rule, functional)([*bands[:-1], levels[-1]], content) * levels[-1])
  for level in reversed(range(len(bands) - 1)):
    of_observed = (seen[level], seen[level + 1]) if scores.observed else (content, content)
    image = band_kernel.blend((levels[level], levels[level + 1]), of_observed, image, scores, interpret=interpret)
  return image


def _base(rule: Rule, functional: int) -> base_band.Rule:
  return base_band.functional(functional) if rule.base == "functional" else getattr(base_band, rule.base)


def weigh(observed: Images, content: Images, rule: Rule) -> tuple[list[Array], list[Array]]:
  """(the weights [K, h, w, 1] of every band, convex over K, finest first; the bands [K, h, w, C] of the content)."""
  levels = min(rule.bands, pyramid.max_levels(*content.shape[1:3]))
  count = content.shape[0]
  if not -count <= rule.functional < count:
    raise ValueError(f"functional={rule.functional}: expected the number of one of {count} sources, 0 to {count - 1}")
  functional = rule.functional % count
  bands = pyramid.laplacian_pyramid(content, levels)
  gains = [
    jnp.maximum(band_gain(y, x, against=rule.against, window=rule.band_window), 0)
    for y, x in zip(pyramid.laplacian_pyramid(observed, levels)[:-1], bands[:-1], strict=True)
  ]
  bright = pyramid.gaussian_pyramid(content.mean(axis=-1, keepdims=True), levels)
  regions = _regions(gains) if _acts(rule.region) else None
  weights = []
  for level, gain in enumerate(gains):
    score = rule.exponent * share(gain)
    if regions is not None:
      score += rule.region * jnp.log(regions[level] + 1e-3)
    if _acts(rule.brightness):
      score += rule.brightness * bright[level]
    if _acts(rule.target):
      shines = jnp.maximum(bright[level][functional] - bright[0][functional].mean(), 0)
      score = score.at[functional].add(rule.target * shines)
    weights.append(sources.softmax(score))
  base = _base(rule, functional)(bands, content)
  weights.append(jnp.broadcast_to(base, (*bands[-1].shape[:-1], 1)))
  return weights, bands


def blend(weights: list[Array], bands: list[Array], content: Images, rule: Rule) -> Composed:
  """The image that these weights make of the bands of the content."""
  image = pyramid.collapse([sources.total(w * b) for w, b in zip(weights, bands, strict=True)])
  return Composed(_within(image, content, rule), _shown(weights, bands))


def share(gain: Weights) -> Weights:
  """Of each source, [K, h, w, 1] in [0, 1]: of gains, or of energies."""
  return gain / (sources.total(gain)[None] + _TINY)


def _regions(gains: list[Array]) -> list[Array]:
  """Per band: the share of all bands' gains, averaged over a region."""
  if not gains:  # too small for a detail band
    return []
  total = gains[-1]
  for gain in reversed(gains[:-1]):
    total = gain + pyramid.expand(total, *gain.shape[1:3])
  return pyramid.gaussian_pyramid(share(gaussian_blur(total, _REGION)), len(gains))


def _within(image: Image, content: Images, rule: Rule) -> Image:
  """The image with its base corrected where details of one source on the brightness of another leave the range of all
  sources."""
  low, high = sources.least(content), sources.greatest(content)
  below, above = _room(rule.undershoot), _room(rule.overshoot)
  for _ in range(_ROUNDS):
    if below is not None:
      image = image + _smoothed(jnp.maximum(low - below / 127.5 - image, 0))
    if above is not None:
      image = image - _smoothed(jnp.maximum(image - high - above / 127.5, 0))
  # Structures finer than the correction are clipped.
  if below is not None:
    image = jnp.maximum(image, low - 2 * below / 127.5)
  if above is not None:
    image = jnp.minimum(image, high + 2 * above / 127.5)
  return image


def _acts(amount) -> bool:
  """Whether a term with this factor is part of the program. It always is if the factor is an argument of the program,
  which may be 0."""
  return isinstance(amount, jax.Array) or bool(amount)


def _room(levels):
  """The limit in grey levels, None for none; as an argument of the program, a number beyond the range for none."""
  if isinstance(levels, jax.Array):
    return jnp.where(levels >= 0, levels, _ANY)
  return levels if levels >= 0 else None


def _smoothed(x: Image) -> Image:
  levels = pyramid.gaussian_pyramid(x, min(_HALVINGS + 1, pyramid.max_levels(*x.shape[:2])))
  smooth = gaussian_blur(levels[-1], _SMOOTH)
  for finer in reversed(levels[:-1]):
    smooth = pyramid.expand(smooth, *finer.shape[:2])
  return smooth


def _shown(weights: list[Array], bands: list[Array]) -> Weights:
  """Weights per pixel, from those per band."""
  parts = None
  for weight, band in zip(reversed(weights[:-1]), reversed(bands[:-1]), strict=True):
    energy = sources.total(jnp.mean(jnp.square(band), axis=-1, keepdims=True))[None]
    energy = gaussian_blur(energy, 1.0) + _TINY / weight.shape[0]
    coarser = 0 if parts is None else pyramid.expand(parts, *band.shape[1:3])
    parts = coarser + weight * energy
  if parts is None:  # too small for a detail band
    return weights[-1]
  return parts / sources.total(parts)[None]
