"""Did the structure of each source survive? SSIM (two windows) and pixel-domain VIF, summed and of the worst source.

Images: gray [H, W], 0..255. Sources: a sequence of K >= 2 images of the fused image's size. METRICS.md 4.10 and 4.14.
Only windows that lie wholly inside the image count, so an image too small for one gives NaN. The smaller of the values
per source (`*_min`) exposes a fusion that copies one source: it is NaN as soon as one source's value is.
"""

import cv2
import numpy as np

_EPSILON = 1e-10  # VIF: below this a variance counts as zero
_NOISE = 2.0  # VIF: variance of the noise of vision


def ssim(sources, fused, *, window="gaussian", data_range=255.0) -> float:
  """Sum over the K sources of SSIM(X, F); at most K. Options: see `ssim_per_source`."""
  return sum(ssim_per_source(sources, fused, window=window, data_range=data_range))


def ssim_min(sources, fused, *, window="gaussian", data_range=255.0) -> float:
  """Smallest over the K sources of SSIM(X, F); at most 1. Options: see `ssim_per_source`."""
  return float(np.min(ssim_per_source(sources, fused, window=window, data_range=data_range)))


def vif(sources, fused) -> float:
  """Sum over the K sources of VIF(X, F): about K when nothing is lost, 0 for a flat `fused`, NaN for a flat source."""
  return sum(vif_per_source(sources, fused))


def vif_min(sources, fused) -> float:
  """Smallest over the K sources of VIF(X, F), about 0..1."""
  return float(np.min(vif_per_source(sources, fused)))


def ssim_per_source(sources, fused, *, window="gaussian", data_range=255.0) -> list[float]:
  """Mean SSIM of `fused` with each source (Wang et al. 2004).

  window: "gaussian" is 11 x 11, sigma 1.5, population moments (Wang, VIFB; the default); "uniform" is 7 x 7 with the
  sample covariance, factor 49/48 (scikit-image's default). data_range is L in C1 = (0.01 L)^2, C2 = (0.03 L)^2; the
  DDFM tables used 2 on 0..255 data.
  """
  if window == "gaussian":
    kernel, correction = _gaussian(11, 1.5), 1.0
  elif window == "uniform":
    kernel, correction = np.full(7, 1 / 7), 49 / 48
  else:
    raise ValueError(f'window: expected "gaussian" or "uniform", found {window!r}')
  c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
  values = []
  for source in sources:
    mean_x, mean_f, var_x, var_f, cov = _moments(source, fused, kernel)
    luminance = (2 * mean_x * mean_f + c1) / (mean_x**2 + mean_f**2 + c1)
    structure = (2 * correction * cov + c2) / (correction * (var_x + var_f) + c2)
    values.append(float(np.mean(luminance * structure)) if cov.size else float("nan"))
  return values


def vif_per_source(sources, fused) -> list[float]:
  """Pixel-domain visual information fidelity of `fused` with respect to each source (Sheikh and Bovik 2006).

  sum log10(1 + g^2 s_x / (s_v + 2)) / sum log10(1 + s_x / 2) over four scales: what the eye can still learn about the
  source from the fused image, over what it learns from the source. Needs at least 41 x 41 pixels.
  """
  return [_vif(np.asarray(source, np.float64), np.asarray(fused, np.float64)) for source in sources]


def _vif(source: np.ndarray, fused: np.ndarray) -> float:
  kept = total = 0.0
  for size in (17, 9, 5, 3):
    kernel = _gaussian(size, size / 5)
    if size < 17:
      source, fused = _filter(source, kernel)[::2, ::2], _filter(fused, kernel)[::2, ::2]
    _, _, var_x, var_f, cov = _moments(source, fused, kernel)
    if not cov.size:
      return float("nan")
    gain = cov / (var_x + _EPSILON)
    rest = var_f - gain * cov
    # In this order, each on the outcome of the one before: flat source, flat fused image, inverted contrast, rounding.
    flat = var_x < _EPSILON
    gain, rest, var_x = np.where(flat, 0, gain), np.where(flat, var_f, rest), np.where(flat, 0, var_x)
    flat = var_f < _EPSILON
    gain, rest = np.where(flat, 0, gain), np.where(flat, 0, rest)
    inverted = gain < 0
    gain, rest = np.where(inverted, 0, gain), np.where(inverted, var_f, rest)
    rest = np.maximum(rest, _EPSILON)
    kept += float(np.sum(np.log10(1 + gain**2 * var_x / (rest + _NOISE))))
    total += float(np.sum(np.log10(1 + var_x / _NOISE)))
  return kept / total if total > 0 else float("nan")


def _moments(x, y, kernel: np.ndarray) -> tuple[np.ndarray, ...]:
  """Windowed means of x and y, their variances and their covariance."""
  x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
  # E[x^2] - E[x]^2 cancels: about a level near the mean it loses least, and flat patches come out flat.
  level_x, level_y = np.rint(x.mean()), np.rint(y.mean())
  x, y = x - level_x, y - level_y
  mean_x, mean_y = _filter(x, kernel), _filter(y, kernel)
  var_x = _filter(x * x, kernel) - mean_x**2
  var_y = _filter(y * y, kernel) - mean_y**2
  return mean_x + level_x, mean_y + level_y, var_x, var_y, _filter(x * y, kernel) - mean_x * mean_y


def _filter(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
  """Rows and columns weighted by an odd 1-D `kernel`, where it fits: [H, W] -> [H - n + 1, W - n + 1], maybe empty."""
  margin = len(kernel) // 2
  if min(image.shape) < len(kernel):
    return np.empty((0, 0))
  return cv2.sepFilter2D(image, cv2.CV_64F, kernel, kernel)[margin:-margin, margin:-margin]


def _gaussian(size: int, sigma: float) -> np.ndarray:
  weights = np.exp(-((np.arange(size) - size // 2) ** 2) / (2 * sigma**2))
  return weights / weights.sum()
