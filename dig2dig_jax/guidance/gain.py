"""How much of each source does the denoiser recover, and where? Restoration errors over noise levels.

Error maps are float32 [L, K, H, W, 1]: level, source, pixel.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from dig2dig_jax.ops.arrays import Array, Errors, Images
from dig2dig_jax.ops.ssim import ssim_map
from dig2dig_jax.sampling import process
from dig2dig_jax.sampling.types import Denoiser, Step

# Most pixels denoised at once; beyond that, levels and sources are processed in chunks, since larger batches are not
# faster. On a CPU the limit is small: larger batches do not fit its cache.
CHUNK_PIXELS, CHUNK_PIXELS_CPU = 2**21, 2**16


def l2(a, b):
  """Mean over channels of the squared difference (the paper's choice, Table 3)."""
  return jnp.mean(jnp.square(a - b), axis=-1, keepdims=True)


def l1(a, b):
  """Mean over channels of the absolute difference."""
  return jnp.mean(jnp.abs(a - b), axis=-1, keepdims=True)


def ssim(a, b):
  """1 - local SSIM, averaged over channels."""
  return 1 - jnp.mean(ssim_map(a, b), axis=-1, keepdims=True)


DISTANCES: dict[str, Callable] = {"l2": l2, "l1": l1, "ssim": ssim}
# Factors of a distance of images in [-1, 1]: `levels` converts it to grey levels from 0 to 255.
UNITS: dict[str, dict[str, float]] = {
  "one": dict.fromkeys(DISTANCES, 1.0),
  "levels": {"l2": 127.5**2, "l1": 127.5, "ssim": 1.0},
}


def distance_map(a: Array, b: Array, *, distance: str, units: str = "one") -> Array:
  """[..., H, W, 1]: how far two images [..., H, W, C] in [-1, 1] are apart, in `units`."""
  found = DISTANCES[distance](a, b)
  factor = UNITS[units][distance]
  return found if factor == 1 else found * factor


def restoration_errors(
  key: Array,
  sources: Images,
  levels: Step,
  denoise: Denoiser,
  *,
  distance: str = "l2",
  units: str = "one",
  draws: int = 1,
  shared_noise: bool = True,
  scale: int = 1,
  chunk: int = 0,
) -> Errors:
  """distance(one-step denoised source, source) at each level: Dig2DIG Eq. 9 and 10, averaged over noise draws.

  Args:
    key: of the noise.
    sources: [K, H, W, C].
    levels: Step [L].
    distance: a name of `DISTANCES`.
    units: a name of `UNITS`: of images in [-1, 1], or of grey levels.
    draws: noise draws averaged over.
    shared_noise: one noise image per draw for all sources and levels (differences then vary less and do not depend on
      the order of the sources), or separate ones.
    scale: sources are averaged over scale x scale pixels first, and the errors enlarged again (linearly): scale^2 times
      less work, for gains that are smoothed anyway.
    chunk: denoiser calls per batch; 0 chooses by the image's size.

  Returns:
    [L, K, H, W, 1].
  """
  whole = sources.shape[1:3]
  if scale > 1:
    sources = _smaller(sources, scale)
  count, height, width = sources.shape[:3]
  total = levels.t.shape[0] * count * draws
  draw, level, source = jnp.unravel_index(jnp.arange(total), (draws, levels.t.shape[0], count))

  def error(job):
    draw, level, source = job
    noise_key = jax.random.fold_in(key, draw)
    if not shared_noise:
      noise_key = jax.random.fold_in(jax.random.fold_in(noise_key, level), source)
    step = jax.tree.map(lambda table: table[level], levels)
    noise = jax.random.normal(noise_key, sources.shape[1:])
    restored = denoise(process.q_sample(sources[source], noise, step.alpha_bar), step).x0
    return distance_map(restored, sources[source], distance=distance, units=units)

  pixels = CHUNK_PIXELS_CPU if jax.default_backend() == "cpu" else CHUNK_PIXELS
  chunk = min(total, chunk or max(1, pixels // (height * width)))
  errors = jax.lax.map(error, (draw, level, source), batch_size=chunk)
  errors = errors.reshape(draws, -1, count, height, width, 1).mean(axis=0)
  if scale == 1:
    return errors
  larger = (*errors.shape[:2], scale * height, scale * width, 1)
  return jax.image.resize(errors, larger, "linear")[:, :, : whole[0], : whole[1]]


def _smaller(images: Images, scale: int) -> Array:
  """[K, H, W, C] averaged over scale x scale pixels; sides are padded by repeating the last line."""
  down, right = -images.shape[1] % scale, -images.shape[2] % scale
  images = jnp.pad(images, ((0, 0), (0, down), (0, right), (0, 0)), mode="edge")
  count, height, width, channels = images.shape
  blocks = images.reshape(count, height // scale, scale, width // scale, scale, channels)
  return blocks.mean(axis=(2, 4))
