"""How does classical image processing restore a degraded source? Denoisers, Tikhonov's inverse, bicubic enlargement.

Images are float32 [H, W, 3] in [-1, 1], gray in three equal channels.
"""

from collections.abc import Callable

import cv2
import jax.numpy as jnp
import numpy as np
from skimage.restoration import denoise_nl_means, denoise_wavelet, estimate_sigma

from dig2dig_jax.restoration.degradation import Degradation

_TIKHONOV = 0.01  # regularisation of the inverse of a blur
_COLUMNS = 5.0  # columns, standard deviation, over which an offset is no stripe but the scene


def enlarged(z: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """z [h, w, 3] bicubically at `size`; z itself where it has that size."""
  if z.shape[:2] == size:
    return z
  return cv2.resize(z, size[::-1], interpolation=cv2.INTER_CUBIC)


def restored(z: np.ndarray, degradation: Degradation, size: tuple[int, int], denoise: Callable) -> np.ndarray:
  """z denoised at its known sigma; then enlarged, or a blur inverted with Tikhonov's regularisation."""
  if degradation.clean:
    return z
  sigma = degradation.deviation(z)
  if sigma > 0:
    z = np.repeat(denoise(z[..., 0].astype(np.float64), sigma)[..., None], 3, axis=-1).astype(np.float32)
  if degradation.stages and degradation.scale == 1:
    operator, mean = degradation.operator(size), np.full((*size, 3), z.mean(), np.float32)
    return mean + np.asarray(operator.solve(jnp.asarray(z) - operator.apply(jnp.asarray(mean)), _TIKHONOV))
  return enlarged(z, size)


def non_local_means(image: np.ndarray, sigma: float) -> np.ndarray:
  """scikit-image's, float64 [H, W] or [H, W, C] in [-1, 1] of noise sigma."""
  clean = denoise_nl_means(
    image, h=0.8 * sigma, sigma=sigma, fast_mode=True, patch_size=5, patch_distance=6, channel_axis=_channels(image)
  )
  return clean.reshape(image.shape)  # a single channel loses its axis


def wavelet(image: np.ndarray, sigma: float) -> np.ndarray:
  """scikit-image's BayesShrink, float64 [H, W] or [H, W, C] in [-1, 1] of noise sigma; colours in YCbCr, as its
  documentation advises, for which it expects [0, 1]."""
  colour = image.ndim == 3 and image.shape[-1] == 3
  clean = denoise_wavelet(
    (image + 1) / 2, sigma=sigma / 2, mode="soft", method="BayesShrink", rescale_sigma=True, convert2ycbcr=colour,
    channel_axis=_channels(image),
  )  # fmt: skip
  return clean.reshape(image.shape) * 2 - 1


def _channels(image: np.ndarray) -> int | None:
  return -1 if image.ndim == 3 else None


DENOISERS = {"non-local means": non_local_means, "wavelet": wavelet}


def blindly(kind: str) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
  """{name: [H, W, 3] -> [H, W, 3]} of classical restorations without a prior for a kind of `damage.KINDS`, at the noise
  level that scikit-image estimates: denoising; levelling of columns if these are the damage; no sharpening."""
  if kind == "columns":
    return {"levelled columns": columns_levelled}
  if not kind.startswith(("noise", "poisson")):
    return {}

  def at_estimate(denoise: Callable) -> Callable[[np.ndarray], np.ndarray]:
    def run(z: np.ndarray) -> np.ndarray:
      gray = z[..., 0].astype(np.float64)
      return np.repeat(denoise(gray, estimate_sigma(gray))[..., None], 3, axis=-1).astype(np.float32)

    return run

  return {name: at_estimate(denoise) for name, denoise in DENOISERS.items()}


def columns_levelled(z: np.ndarray) -> np.ndarray:
  """Every column's mean brought to that of its neighbourhood (moment matching, Gaussian of 5 columns)."""
  mean = z.mean(axis=0, keepdims=True)
  smooth = cv2.GaussianBlur(mean, (0, 0), sigmaX=_COLUMNS, sigmaY=1e-3, borderType=cv2.BORDER_REFLECT)
  return (z + smooth.reshape(mean.shape) - mean).astype(np.float32)
