"""How is noise of unknown level removed from a source? By one evaluation of the prior at the estimated level.

Stripes are subtracted, the noise is brought to one level everywhere, and the denoiser's estimate at that level is the
restored source. How much of it is fused rises smoothly with the noise, from nothing where a source is clean.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.ops.arrays import Array
from dig2dig_jax.restoration import clipping, noise_level, splitting, stabilisation, stripes
from dig2dig_jax.restoration.noise_level import LEVEL, Noise
from dig2dig_jax.sampling.types import Denoiser, GrayDenoiser, Step

# Between these deviations the prior's estimate gradually replaces the source; the grain of good photographs is below.
FROM, TO = 4 * LEVEL, 5 * LEVEL
# Standard deviation of a scene's own detail in the band that noise is estimated from, on the quiet parts of camera
# images (`benchmarks.noise_estimates`): it is not noise, and the denoiser is not asked to remove it.
DETAIL = 1.8 * LEVEL


class Restored(NamedTuple):
  """observed: [K, H, W, 3] the sources without stripes. content: [K, H, W, 3] the denoised
  sources. noise: fields [K]. striped: [K] deviation of the stripes that were subtracted."""

  observed: Array
  content: Array
  noise: Noise
  striped: Array


def told(sources: Sequence[str], found: Sequence[np.ndarray], *, way_out: str = "--restore=off") -> list[str]:
  """A line per source in whose images there was noise, or stripes, enough to be removed. found: [K, 2] of every pair,
  the two standard deviations in [-1, 1]. way_out: what leaves them as they are."""
  lines = []
  for source, own in zip(sources, np.moveaxis(np.asarray(found), 1, 0) if len(found) else (), strict=len(found) > 0):
    for kind, values in (("noise", own[own[:, 0] > FROM, 0]), ("stripes", own[own[:, 1] > 0, 1])):
      if len(values):
        low, high = (np.round(value / LEVEL, 1) for value in (values.min(), values.max()))
        span = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        lines.append(f"{source}: {kind} of standard deviation {span} of 255 in {len(values)} of {len(own)} images, "
                     f"removed before fusion; {way_out} keeps it")
  return lines


def beyond(sources: Sequence[str], found: Sequence[np.ndarray], learned: tuple[float, float]) -> list[str]:
  """A line per source some of whose noise a network of `learned` levels leaves to the prior. found: as of `told`.
  learned: the least and the largest standard deviation, of 255, in an image of one channel."""
  lines = []
  for number, source in enumerate(sources):
    own = np.asarray([one[number][0] for one in found]) / LEVEL
    wanted = np.asarray(without_detail(jnp.asarray(own * LEVEL))) / LEVEL
    outside = own[(own * LEVEL > FROM) & ((wanted < learned[0]) | (wanted > learned[1]))]
    if len(outside):
      lines.append(f"{source}: noise of {len(outside)} of {len(own)} images, up to {outside.max():.0f} of 255, is "
                   f"outside the training range of --gains=swift ({learned[0]:g} to {learned[1]:g}); the prior "
                   "was used there")  # fmt: skip
  return lines


class Measured(NamedTuple):
  """Of one source [H, W, 3]. observed: without stripes. gray: whether its channels are equal; True where that is known
  while the program is traced. noise, striped: scalars, as in `Restored`."""

  observed: Array
  gray: bool | Array
  noise: Noise
  striped: Array


def restored(key: Array, images: Array, levels: Step, denoise: Denoiser) -> Restored:
  """Every source [K, H, W, 3] in [-1, 1] by itself, gray ones with three equal channels; one evaluation each at most.

  key: of the noise that makes a gray source's channels independent (`restoration.lift`), the same for all sources.
  levels: Step [T] to choose from, all that the prior was trained on.
  """
  one = lambda image: _restored(key, image, levels, denoise)  # noqa: E731
  return jax.lax.map(one, images)


def as_they_are(images: Array) -> Restored:
  """Nothing estimated, nothing restored: the limit of no noise."""
  zeros = jnp.zeros(images.shape[0])
  return Restored(images, images, Noise(zeros, zeros, zeros), zeros)


def measured(image: Array) -> Measured:
  """Noise and stripes of a source [H, W, 3] in [-1, 1]. No network is evaluated."""
  gray = jnp.all(image == image[..., :1])
  plane = image[..., 1]
  noise = noise_level.estimate(plane)
  columns = stripes.find(plane, noise.deviation)
  rows = stripes.find((plane - columns).T, noise.deviation).T
  # Stripes are a fault of thermal detectors; in colour images they are not looked for.
  striped = jnp.where(gray, columns + rows, 0.0)
  return Measured(image - striped[..., None], gray, noise, jnp.std(striped))


def known(key: Array, images: Array, noise: Noise, gray: Sequence[bool], levels: Step, denoise: Denoiser) -> Restored:
  """The same for sources [K, H, W, 3] without stripes whose noise [K] was found before, as of the frames of a sequence;
  one evaluation of each whose deviation is above `FROM`. noise: NumPy's, so that what is the same for all frames is
  computed while the program is traced. gray: whether a source's three channels are equal."""
  content = []
  for number, (image, is_gray) in enumerate(zip(images, gray, strict=True)):
    with jax.ensure_compile_time_eval():
      own = jax.tree.map(lambda field, number=number: jnp.float32(field[number]), noise)
      loud = bool(own.deviation > FROM)
    if loud:
      with jax.ensure_compile_time_eval():
        step = _asked(own, is_gray, levels)
        level = asked(own, is_gray, levels)
      one = denoise.at(level) if isinstance(denoise, GrayDenoiser) else denoise
      image = _cleaned(key, Measured(image, bool(is_gray), own, jnp.zeros(())), step, one)
    content.append(image)
  return Restored(images, jnp.stack(content), noise, jnp.zeros(images.shape[0]))


def asked(noise: Noise, gray: bool, levels: Step) -> float:
  """The noise level at which the denoiser is evaluated for a source with this noise: the standard deviation of
  independent channels, in [-1, 1]."""
  return float(splitting.deviation_of(_asked(noise, gray, levels)))


def without_detail(deviation: Array) -> Array:
  """Of an estimated standard deviation above `FROM`, in [-1, 1]: the part that is noise, independent of the scene's own
  detail."""
  return jnp.sqrt(jnp.square(jnp.maximum(deviation, FROM)) - DETAIL**2)


def cleaned(key: Array, found: Measured, levels: Step, denoise: Denoiser) -> Array:
  """A source [H, W, 3] without noise, by one evaluation; for those whose noise is above `FROM`. key, levels: see
  `restored`."""
  return _cleaned(key, found, _asked(found.noise, found.gray, levels), denoise)


def _asked(noise: Noise, gray: bool | Array, levels: Step) -> Step:
  """The noise level at which the denoiser is evaluated for an image with this noise."""
  _, deviation = stabilisation.stabilise(jnp.zeros(()), noise)
  share = without_detail(noise.deviation) / jnp.maximum(noise.deviation, FROM)
  wanted = share * deviation * jnp.where(gray, jnp.sqrt(3.0), 1.0)
  index = jnp.argmin(jnp.abs(jnp.log(splitting.deviation_of(levels)) - jnp.log(wanted)))
  return jax.tree.map(lambda table: table[index], levels)


def _cleaned(key: Array, found: Measured, step: Step, denoise: Denoiser) -> Array:
  observed, gray, noise = found.observed, found.gray, found.noise
  if isinstance(gray, bool) and gray:  # one channel stands for all three
    observed = observed[..., :1]
  stable, deviation = stabilisation.stabilise(observed, noise)
  three = jnp.broadcast_to(stable, found.observed.shape)
  clean = splitting.denoised(key, three, step, denoise, gray=gray)[..., : stable.shape[-1]]
  clean = stabilisation.restabilise(clipping.unclipped(clean, stable, deviation), noise)
  if isinstance(noise.deviation, jax.core.Tracer) or float(noise.deviation) < TO:  # else known to be all of it
    share = jnp.clip((noise.deviation - FROM) / (TO - FROM), 0, 1)
    clean = observed + share * (clean - observed)
  return jnp.broadcast_to(clean, found.observed.shape)


def _restored(key, image, levels: Step, denoise: Denoiser) -> Restored:
  found = measured(image)
  content = jax.lax.cond(
    found.noise.deviation > FROM, lambda: cleaned(key, found, levels, denoise), lambda: found.observed
  )
  return Restored(found.observed, content, found.noise, found.striped)
