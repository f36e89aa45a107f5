"""Did the structure of each source survive? SSIM in the windows and ranges of the toolkits, and MS-SSIM.

Every measure here takes (sources [K, H, W], fused [H, W], size) as `canvas` explains, grey levels 0..255, and gives a
scalar, [K] for `*_per_source`. Unless said otherwise only windows that lie wholly inside the image count, so an image
too small for one gives NaN. The smallest value per source (`*_min`) exposes a fusion that copies one source. SSIM:
Wang, Bovik, Sheikh and Simoncelli 2004; MS-SSIM: Wang, Simoncelli and Bovik 2003.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.metrics import canvas
from dig2dig_jax.metrics.canvas import Size

_SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # exponents of MS-SSIM, Wang et al. 2003


def ssim(sources: jax.Array, fused: jax.Array, size: Size, *, reduce: str = "sum", **options) -> jax.Array:
  """Over the K sources the "sum", "mean" or "min" of SSIM(X, F). Options: see `ssim_per_source`."""
  return _reduced(ssim_per_source(sources, fused, size, **options), reduce)


def ssim_per_source(
  sources: jax.Array,
  fused: jax.Array,
  size: Size,
  *,
  window: str = "gaussian",
  data_range: float = 255,
  border: str = "valid",
) -> jax.Array:
  """Mean SSIM of `fused` with each source (Wang et al. 2004), [K].

  window: "gaussian" is 11 x 11, sigma 1.5, population moments (Wang, VIFB); "uniform" is 7 x 7 with the sample
  covariance, factor 49/48 (scikit-image's default). data_range is L in C1 = (0.01 L)^2, C2 = (0.03 L)^2; the DDFM
  tables used 2 on 0..255 data. border: "valid", or "edge" for MATLAB's replicated border and all pixels.
  """
  if window not in ("gaussian", "uniform"):
    raise ValueError(f'window: expected "gaussian" or "uniform", found {window!r}')
  taps = canvas.gaussian(11, 1.5) if window == "gaussian" else np.full(7, 1 / 7)
  correction = 1.0 if window == "gaussian" else 49 / 48
  images, level = _centred(jnp.concatenate([sources, fused[None]]), size)
  inner = canvas.fitting(size, len(taps))
  if border == "edge":
    images, inner = canvas.framed(images, size, "edge", len(taps) // 2), size
  luminance, structure = _similarity(images, level, taps, data_range, correction)
  return canvas.mean(luminance * structure, inner)


def ms_ssim(sources: jax.Array, fused: jax.Array, size: Size, *, reduce: str = "sum", data_range: float = 255):
  """Wang's MS-SSIM over five scales, "sum", "mean" or "min" over the sources; NaN unless both sides exceed 160.

  Product of the mean contrast-structure of scales 1 to 4, not below 0, and the mean SSIM of scale 5, to the powers
  _SCALES; 2 x 2 means between scales, odd sizes padded with zeros.
  """
  images = jnp.concatenate([sources, fused[None]])
  taps = canvas.gaussian(11, 1.5)
  product = jnp.ones(sources.shape[0], fused.dtype)
  for scale, power in enumerate(_SCALES):
    luminance, structure = _similarity(*_centred(images, size), taps, data_range, 1.0)
    last = scale == len(_SCALES) - 1
    value = canvas.mean(luminance * structure if last else structure, canvas.fitting(size, len(taps)))
    product = product * jnp.maximum(value, 0) ** power
    if not last:
      images, size = _halved(images, size)
  # maximum() lets no NaN through on every platform: say it once more where the coarsest window does not fit.
  fits = jnp.minimum(jnp.asarray(size[0]), jnp.asarray(size[1])) >= len(taps)
  return _reduced(jnp.where(fits, product, jnp.nan), reduce)


def _centred(images: jax.Array, size: Size) -> tuple[jax.Array, jax.Array]:
  """Images about whole levels near their means, and these levels [n, 1, 1]: E[x^2] - E[x]^2 cancels least there."""
  level = jnp.rint(canvas.mean(images, size))[:, None, None]
  return images - level, level


def _similarity(images: jax.Array, level: jax.Array, taps: np.ndarray, data_range: float, correction: float):
  """Luminance and contrast-structure terms of SSIM, [K, H', W'] each, of images [K + 1, H, W] (the last one fused)
  that `level` was taken from."""
  c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
  count = images.shape[0] - 1
  filtered = canvas.correlate(jnp.concatenate([images, images**2, images[:-1] * images[-1:]]), taps)
  mean, square, cross = filtered[: count + 1], filtered[count + 1 : 2 * count + 2], filtered[2 * count + 2 :]
  variance = correction * (square - mean**2)
  covariance = correction * (cross - mean[:-1] * mean[-1:])
  mean = mean + level
  luminance = (2 * mean[:-1] * mean[-1:] + c1) / (mean[:-1] ** 2 + mean[-1:] ** 2 + c1)
  return luminance, (2 * covariance + c2) / (variance[:-1] + variance[-1:] + c2)


def _halved(x: jax.Array, size: Size) -> tuple[jax.Array, Size]:
  """2 x 2 means of [n, H, W]; an odd side gets a zero at both ends first, as average pooling with padding does."""
  x = jnp.where(canvas.inside(x.shape, size)[None], x, 0)
  for axis, length in ((1, size[0]), (2, size[1])):
    start = 2 * jnp.arange(math.ceil(x.shape[axis] / 2)) - length % 2
    first = jnp.take(x, jnp.clip(start, 0, x.shape[axis] - 1), axis=axis)
    second = jnp.take(x, jnp.clip(start + 1, 0, x.shape[axis] - 1), axis=axis)
    there = [1, 1, 1]
    there[axis] = -1
    both = [jnp.logical_and(start + k >= 0, start + k < length).astype(x.dtype).reshape(there) for k in (0, 1)]
    x = (first * both[0] + second * both[1]) / 2
  return x, (-(-size[0] // 2), -(-size[1] // 2))


def _reduced(values: jax.Array, reduce: str) -> jax.Array:
  if reduce not in ("sum", "mean", "min"):
    raise ValueError(f'reduce: expected "sum", "mean" or "min", found {reduce!r}')
  return {"sum": jnp.sum, "mean": jnp.mean, "min": jnp.min}[reduce](values)
