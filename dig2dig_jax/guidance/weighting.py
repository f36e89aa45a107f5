"""How much does each source count, where and when? Uniform weights, and the diffusion information gains of Dig2DIG.

A `Weighting` computes all its rows [U, K, H, W, 1] before the reverse steps: gains depend on the sources and on the
noise only, never on the fused image. Step number i reads row i // interval. A
weighting whose weights differ between bands composes the weighted image itself.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dig2dig_jax.guidance import spectrum
from dig2dig_jax.guidance.gain import restoration_errors
from dig2dig_jax.ops.arrays import Array, Errors, Image, Images, Rows, Weights
from dig2dig_jax.ops.filters import gaussian_blur
from dig2dig_jax.restoration import blind
from dig2dig_jax.sampling.types import Denoiser, Step

NORMALISATIONS = ("none", "mean_abs")
FIRST = ("uniform", "next")
RULES = ("softmax", "ratio")
SCOPES = ("pixel", "image")
_FLOOR = 1e-12  # of a gain in a ratio: without any gain, all sources count equally
ONCE = 2**30  # steps from one row to the next, where there is one row


class Composition(NamedTuple):
  """The sources composed with the weights of all bands. image: [H, W, C], in the prior's encoding. weights:
  [K, H, W, 1], convex over K. images: [K, H, W, 3], the sources as they were restored. noise: fields [K], and striped
  [K]: what was detected in them."""

  image: Image
  weights: Weights
  images: Images
  noise: blind.Noise
  striped: Array


class Weighting(NamedTuple):
  """`compute(key, sources [K, H, W, C], denoise) -> rows [U, K, H, W, 1]`, convex over K; `interval`: number of steps
  from one row to the next. `compose(key, images [K, H, W, 3], encode, denoise) -> Composition`, for weightings with
  more than one weight per pixel."""

  compute: Callable[[Array, Images, Denoiser], Rows]
  interval: int = ONCE
  compose: Callable[[Array, Images, Callable, Denoiser], Composition] | None = None


def uniform() -> Weighting:
  """1 / K everywhere: fixed guidance, the baseline.

  Returns:
    A `Weighting` of one row.
  """

  def compute(key, sources, denoise):
    return jnp.full((1, *sources.shape[:3], 1), 1 / sources.shape[0])

  return Weighting(compute)


def weights_from_gains(
  gains: Array,
  *,
  temperature: float = 1.0,
  smoothing: float = 0.0,
  normalise: str = "none",
  rule: str = "softmax",
  scope: str = "pixel",
) -> Array:
  """softmax over K of gains / temperature (Dig2DIG Eq. 11): [..., K, H, W, 1] in and out.

  smoothing: standard deviation in pixels of a Gaussian average of the gains. scope: `image` takes their mean over the
  image. normalise: `mean_abs` divides by the mean absolute gain of the row, which makes the temperature independent of
  contrast and noise level. rule: `ratio` takes each source's share of the gains above 0 in place of the softmax, and no
  temperature.
  """
  if rule not in RULES or scope not in SCOPES:
    raise ValueError(f"rule, scope: expected one of {RULES} and of {SCOPES}, found {rule!r} and {scope!r}")
  gains = gaussian_blur(gains, smoothing)
  if scope == "image":
    gains = jnp.broadcast_to(gains.mean(axis=(-3, -2), keepdims=True), gains.shape)
  if rule == "ratio":
    positive = jnp.maximum(gains, _FLOOR)
    return positive / positive.sum(axis=-4, keepdims=True)
  if normalise == "mean_abs":
    gains = gains / (jnp.mean(jnp.abs(gains), axis=(-4, -3, -2, -1), keepdims=True) + 1e-8)
  elif normalise != "none":
    raise ValueError(f"normalise: expected one of {NORMALISATIONS}, found {normalise!r}")
  return jax.nn.softmax(gains / temperature, axis=-4)


def interval_rows(error: Errors, *, first: str = "uniform", **weights: Any) -> Rows:
  """The rows [L, K, H, W, 1] of restoration errors at L levels, the noisiest first: see `interval_dig`."""
  if first not in FIRST:
    raise ValueError(f"first: expected one of {FIRST}, found {first!r}")
  known = weights_from_gains(error[:-1] - error[1:], **weights)
  row = known[:1] if first == "next" else jnp.full((1, *error.shape[1:]), 1 / error.shape[1])
  return jnp.concatenate([row, known])


def interval_dig(
  steps: Step, *, interval: int = 10, first: str = "uniform", weights: dict, errors: dict
) -> Weighting:
  """The paper's gains (Eq. 8): between a step and the one `interval` earlier.

  Args:
    steps: Step [S], noisiest first, those of the reverse process.
    interval: steps from one row of weights to the next.
    first: the first row, which has no earlier step: `uniform`, or that of the `next` interval.
    weights: options of `weights_from_gains`.
    errors: options of `restoration_errors`.

  Returns:
    A `Weighting` of ceil(S / interval) rows.
  """
  levels = jax.tree.map(lambda table: table[::interval], steps)

  def compute(key, sources, denoise):
    return interval_rows(restoration_errors(key, sources, levels, denoise, **errors), first=first, **weights)

  return Weighting(compute, interval)


def cumulative_dig(bounds: Step, *, weights: dict, errors: dict) -> Weighting:
  """One row for all steps: the gain accumulated between two noise levels (the paper's Figure 5).

  Args:
    bounds: Step [2], the noisier level first.
    weights: options of `weights_from_gains`.
    errors: options of `restoration_errors`.

  Returns:
    A `Weighting` of one row.
  """

  def compute(key, sources, denoise):
    error = restoration_errors(key, sources, bounds, denoise, **errors)
    return weights_from_gains(error[:1] - error[1:], **weights)

  return Weighting(compute)


def contradiction(rows: Rows) -> Array:
  """Share of the pixels at which neighbouring updates prefer different sources, a scalar; the first update, which has
  no gains of its own, does not count. NaN where there are no two others.

  Gains that depend on the sources agree between noise levels; gains that follow the drawn noise differ at 1 - 1 / K of
  the pixels, for K sources.
  """
  if rows.shape[0] < 3:
    return jnp.float32(jnp.nan)
  preferred = jnp.argmax(rows[1:], axis=1)
  return jnp.mean((preferred[1:] != preferred[:-1]).astype(jnp.float32))


def composition(
  found: blind.Restored, encode: Callable, rule: spectrum.Rule, *, kernels: str = "off"
) -> Composition:
  """Composes restored sources by a rule. encode: of the codec. kernels: see `spectrum.compose`."""
  composed = spectrum.compose(encode(found.observed), encode(found.content), rule, kernels=kernels)
  return Composition(composed.image, composed.weights, found.content, found.noise, found.striped)


def dig_spectrum(levels: Step, *, rule: spectrum.Rule, restore: bool = True, kernels: str = "off") -> Weighting:
  """Gains in closed form per band, between infinite noise and each source's own: see `spectrum`.

  One evaluation per source, and none for a source in which no noise is detected.

  Args:
    levels: Step [T], every noise level on which the prior was trained.
    rule: how gains become weights and the bands an image.
    restore: estimate the sources' noise, and fuse the sources as restored by the prior; otherwise they count as
      noise-free, and the gains are the bands' local energies.
    kernels: see `spectrum.compose`.

  Returns:
    A `Weighting` that composes the image itself.
  """

  def compose(key, images, encode, denoise):
    found = blind.restored(key, images, levels, denoise) if restore else blind.as_they_are(images)
    return composition(found, encode, rule, kernels=kernels)

  def compute(key, sources, denoise):
    return compose(key, sources, lambda images: images, denoise).weights[None]

  return Weighting(compute, compose=compose)
