"""What would the field's Python toolkits take? Its measures with NumPy, SciPy and scikit-image, one image at a time.

The yardstick of `benchmark --suite=metrics`, written from the papers' formulas (`metrics` names them) and not from this
project's code, so that it is a second opinion on the values too. `plane` filters an image by a window [n, n], valid
positions only: the toolkits' `scipy.signal.convolve2d`, or `separable`, what a careful SciPy user would write. Sources:
a list of K arrays [H, W]; levels 0..255, float64.
"""

import functools
from collections.abc import Callable

import numpy as np
from scipy import ndimage, signal
from skimage.metrics import structural_similarity

Plane = Callable[[np.ndarray, np.ndarray], np.ndarray]


def toolkit(x: np.ndarray, window: np.ndarray) -> np.ndarray:
  """As the toolkits filter."""
  return signal.convolve2d(x, window, mode="valid")


def separable(x: np.ndarray, window: np.ndarray) -> np.ndarray:
  """The same for windows that are the product of two equal ones: the rows, then the columns."""
  taps = window.sum(axis=0) / np.sqrt(window.sum())
  half = len(taps) // 2
  filtered = ndimage.correlate1d(ndimage.correlate1d(x, taps, 0, mode="constant"), taps, 1, mode="constant")
  return filtered[half : x.shape[0] - half, half : x.shape[1] - half]


def measures(plane: Plane = toolkit) -> dict[str, Callable]:
  """{name as in `metrics.METRICS`: function(sources, fused) -> number}."""
  return {
    "EN": lambda sources, fused: _entropy(_shares(fused)),
    "SD": lambda sources, fused: fused.std(),
    "SF": lambda sources, fused: np.sqrt(sum(np.mean(np.diff(fused, axis=axis) ** 2) for axis in (0, 1))),
    "AG": lambda sources, fused: np.mean(np.sqrt(sum(part**2 for part in np.gradient(fused)) / 2)),
    "EI": lambda sources, fused: np.mean(np.hypot(*(ndimage.sobel(fused, axis, mode="nearest") for axis in (0, 1)))),
    "MI": lambda sources, fused: sum(_mutual(x, fused) for x in sources),
    "NMI": lambda sources, fused: 2 * sum(_mutual(x, fused) / (_entropy(_shares(x)) + _entropy(_shares(fused)))
                                          for x in sources),
    "Qncie": lambda sources, fused: _nonlinear(sources, fused),
    "CE": lambda sources, fused: np.mean([_divergence(_shares(x), _shares(fused)) for x in sources]),
    "MSE": lambda sources, fused: np.mean([np.mean((x - fused) ** 2) for x in sources]),
    "RMSE": lambda sources, fused: np.mean([np.sqrt(np.mean((x - fused) ** 2)) for x in sources]),
    "PSNR": lambda sources, fused: 10 * np.log10(255**2 / np.mean([np.mean((x - fused) ** 2) for x in sources])),
    "CC": lambda sources, fused: np.mean([_pearson(x, fused) for x in sources]),
    "SCD": lambda sources, fused: sum(_pearson(fused - (sum(sources) - x) / (len(sources) - 1), x) for x in sources),
    "SSIM": lambda sources, fused: sum(
      structural_similarity(x, fused, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
      for x in sources
    ),
    "MS_SSIM": lambda sources, fused: sum(_multi_scale(x, fused, plane) for x in sources),
    "MEF_SSIM": _exposure,
    "VIF": lambda sources, fused: sum(_information(x, fused, plane) for x in sources),
    "VIFF": functools.partial(_information_fusion, plane=plane),
    "Qabf": _hong,
    "Qabf_petrovic": lambda sources, fused: 1 - sum(_petrovic(sources, fused)),
    "Labf": lambda sources, fused: _petrovic(sources, fused)[0],
    "Nabf": lambda sources, fused: _petrovic(sources, fused)[1],
    "Qcb": functools.partial(_chen_blum, plane=plane),
    "Qcv": _chen_varshney,
  }  # fmt: skip


def _shares(x):
  return np.bincount(x.astype(np.int64).ravel(), minlength=256) / x.size


def _entropy(shares):
  shares = shares[shares > 0]
  return -np.sum(shares * np.log2(shares))


def _mutual(x, y):
  joint = np.histogram2d(x.ravel(), y.ravel(), bins=256, range=((0, 256), (0, 256)))[0] / x.size
  return _entropy(joint.sum(axis=1)) + _entropy(joint.sum(axis=0)) - _entropy(joint.ravel())


def _nonlinear(sources, fused):
  images = [*sources, fused]
  matrix = np.array([[1.0 if x is y else _mutual(x, y) / 8 for y in images] for x in images])
  shares = np.linalg.eigvalsh(matrix) / len(images)
  return 1 + np.sum(shares * np.log(shares)) / np.log(256)


def _divergence(p, q):
  both = (p > 0) & (q > 0)
  return np.sum(p[both] * np.log2(p[both] / q[both]))


def _pearson(x, y):
  return np.corrcoef(x.ravel(), y.ravel())[0, 1]


def _gaussian(side, sigma):
  offset = np.arange(side) - side // 2
  window = np.exp(-(offset[:, None] ** 2 + offset**2) / (2 * sigma**2))
  return window / window.sum()


def _moments(x, y, window, plane):
  mean_x, mean_y = plane(x, window), plane(y, window)
  return (mean_x, mean_y, plane(x * x, window) - mean_x**2, plane(y * y, window) - mean_y**2,
          plane(x * y, window) - mean_x * mean_y)  # fmt: skip


def _multi_scale(x, y, plane):
  c1, c2 = 2.55**2, 7.65**2
  value = 1.0
  for scale, power in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
    mean_x, mean_y, var_x, var_y, cov = _moments(x, y, _gaussian(11, 1.5), plane)
    structure = (2 * cov + c2) / (var_x + var_y + c2)
    if scale == 4:
      structure = structure * (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    value *= max(structure.mean(), 0) ** power
    x, y = (_halved(image) for image in (x, y))
  return value


def _halved(x):
  rows, columns = x.shape
  x = np.pad(x, ((rows % 2, rows % 2), (columns % 2, columns % 2)))
  rows, columns = (length // 2 * 2 for length in x.shape)
  return x[:rows, :columns].reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3))


def _scales(x, y, plane):
  for side in (17, 9, 5, 3):
    window = _gaussian(side, side / 5)
    if side < 17:
      x, y = (plane(image, window)[::2, ::2] for image in (x, y))
    _, _, var_x, var_y, cov = _moments(x, y, window, plane)
    var_x, var_y = np.maximum(var_x, 0), np.maximum(var_y, 0)
    gain = cov / (var_x + 1e-10)
    rest = var_y - gain * cov
    gain[var_x < 1e-10], rest[var_x < 1e-10] = 0, var_y[var_x < 1e-10]
    var_x[var_x < 1e-10] = 0
    gain[var_y < 1e-10] = rest[var_y < 1e-10] = 0
    rest[gain < 0] = var_y[gain < 0]
    gain[gain < 0] = 0
    yield gain, np.maximum(rest, 1e-10), var_x


def _information(x, y, plane):
  scales = list(_scales(x, y, plane))
  kept = sum(np.sum(np.log10(1 + gain**2 * variance / (rest + 2))) for gain, rest, variance in scales)
  return kept / sum(np.sum(np.log10(1 + variance / 2)) for _, _, variance in scales)


def _information_fusion(sources, fused, *, plane):
  noise, value = 0.005 * 255**2, 0.0
  scales = zip(*(_scales(x, fused, plane) for x in sources), strict=True)
  for weight, scale in zip((1, 0, 0.15, 1), scales, strict=True):
    kept = np.stack([np.log10(1 + gain**2 * variance / (rest + noise)) for gain, rest, variance in scale])
    there = np.stack([np.log10(1 + variance / noise) for _, _, variance in scale])
    weakest = np.argmin(np.stack([gain for gain, _, _ in scale])[::-1], axis=0)
    weakest = (len(sources) - 1 - weakest)[None]
    kept, there = (np.take_along_axis(part, weakest, 0) for part in (kept, there))
    value += weight / 2.15 * np.sum(kept + 1e-7) / np.sum(there + 1e-7)
  return value


def _exposure(sources, fused, rows=16):
  window, total, count = _gaussian(11, 1.5).ravel(), 0.0, 0
  for top in range(0, fused.shape[0] - 10, rows):  # all patches at once would take gigabytes
    strips = [np.lib.stride_tricks.sliding_window_view(x[top : top + rows + 10], (11, 11)).reshape(-1, 121)
              for x in (*sources, fused)]  # fmt: skip
    centred = [strip - strip.mean(axis=1, keepdims=True) for strip in strips[:-1]]
    lengths = np.stack([np.linalg.norm(patch, axis=1) for patch in centred])
    consistency = (np.linalg.norm(sum(centred), axis=1) + 1e-12) / (lengths.sum(axis=0) + 1e-12)
    power = np.minimum(np.tan(np.pi / 2 * np.clip(consistency, 0, 1)), 10)
    strength = lengths + 0.001
    weights = (strength / 11) ** power + 1e-12
    weights /= weights.sum(axis=0)
    blend = sum((w / s)[:, None] * patch for w, s, patch in zip(weights, strength, centred, strict=True))
    norm = np.linalg.norm(blend, axis=1)
    blend *= np.where(norm > 0, strength.max(axis=0) / np.where(norm > 0, norm, 1), 1)[:, None]
    target = strips[-1]
    mean_r, mean_f = blend @ window, target @ window
    var_r, var_f = (blend**2) @ window - mean_r**2, (target**2) @ window - mean_f**2
    cov = (blend * target) @ window - mean_r * mean_f
    total += np.sum((2 * cov + 7.65**2) / (var_r + var_f + 7.65**2))
    count += len(target)
  return total / count


def _edges(x, mode, divide=1):
  across, down = (ndimage.sobel(x, axis, mode=mode) / divide for axis in (1, 0))
  return np.sqrt(across**2 + down**2), across, down  # hypot rounds otherwise, and Qabf asks whether two are equal


def _hong(sources, fused):
  def edges(x):
    strength, across, down = _edges(x, "constant")
    with np.errstate(divide="ignore", invalid="ignore"):
      return strength, np.where(across == 0, np.pi / 2, np.arctan(-down / across))  # y points up

  target, angle_f = edges(fused)
  kept = weight = 0.0
  for strength, angle in map(edges, sources):
    with np.errstate(divide="ignore", invalid="ignore"):
      ratio = np.where(strength == target, target, np.minimum(strength, target) / np.maximum(strength, target))
    turned = 1 - np.abs(angle - angle_f) / (np.pi / 2)
    with np.errstate(over="ignore"):
      quality = 0.9994 / (1 + np.exp(-15 * (ratio - 0.5))) * 0.9879 / (1 + np.exp(-22 * (turned - 0.8)))
    kept, weight = kept + np.sum(quality * strength), weight + np.sum(strength)
  return kept / weight


def _petrovic(sources, fused):
  """(lost, artifacts)."""

  def edges(x):
    strength, across, down = _edges(x, "mirror", 8)
    with np.errstate(divide="ignore", invalid="ignore"):
      angle = np.where((across == 0) & (down == 0), 0, np.arctan(across / down))
    return strength, angle

  target, angle_f = edges(fused)
  found = [edges(x) for x in sources]
  artifact = np.all([target > strength for strength, _ in found], axis=0)
  lost = artifacts = total = 0.0
  for strength, angle in found:
    high = np.maximum(strength, target)
    ratio = np.where(high > 0, np.minimum(strength, target) / np.where(high > 0, high, 1), 0)
    turned = np.abs(np.abs(angle - angle_f) - np.pi / 2) * 2 / np.pi
    quality = np.sqrt(0.9999 / (1 + np.exp(-19 * (ratio - 0.5))) * 0.9995 / (1 + np.exp(-22 * (turned - 0.5))))
    weight = np.where(strength >= 2, strength**1.5, 0.001)
    artifacts += np.sum(((1 - quality) * weight)[artifact])
    lost += np.sum(((1 - quality) * weight)[~artifact])
    total += weight.sum()
  return lost / total, artifacts / total


def _stretched(x):
  return np.floor((x - x.min()) / (x.max() - x.min()) * 255 + 0.5)


def _filtered(x, gain, divisor):
  rows, columns = (np.fft.fftshift(np.fft.fftfreq(n)) * 2 * n / divisor for n in x.shape)
  radius = np.hypot(rows[:, None], columns)
  return np.real(np.fft.ifft2(np.fft.ifftshift(np.fft.fftshift(np.fft.fft2(x)) * gain(radius))))


def _chen_blum(sources, fused, *, plane):
  def contrast(x):
    x = _filtered(_stretched(x), lambda r: np.exp(-((r / 15.387) ** 2)) - 0.7622 * np.exp(-((r / 1.3456) ** 2)), 30)
    offset = np.arange(-15, 16)
    square = offset[:, None] ** 2 + offset**2
    fine, coarse = (plane(np.pad(x, 15), np.exp(-square / (2 * s * s)) / (2 * np.pi * s * s)) for s in (2, 4))
    ratio = np.abs(fine / coarse - 1)
    return ratio**3 / (ratio**2 + 1e-4)

  target = contrast(fused)
  found = [contrast(x) for x in sources]
  kept = sum(x**2 * np.minimum(x, target) / np.maximum(x, target) for x in found)
  return np.mean(kept / sum(x**2 for x in found))


def _chen_varshney(sources, fused):
  def blocks(x):
    x = np.pad(x, [(0, -n % 16) for n in x.shape])
    return x.reshape(x.shape[0] // 16, 16, -1, 16).sum(axis=(1, 3))

  images = [_stretched(x) for x in (*sources, fused)]
  saliency = [blocks(_edges(x, "constant")[0] ** 5) for x in images[:-1]]
  gain = lambda r: 2.6 * (0.0192 + 0.144 * r) * np.exp(-((0.144 * r) ** 1.1))  # noqa: E731
  distance = [blocks(_filtered(x - images[-1], gain, 8) ** 2) / 256 for x in images[:-1]]
  return sum(np.sum(s * d) for s, d in zip(saliency, distance, strict=True)) / np.sum(saliency)


def feature_information(sources, fused):
  """FMI of raw levels (Haghighat and Razian 2014), window by window in Python as the toolkits do: about a minute an
  image."""
  height, width = fused.shape
  values = []
  for source in sources:
    for i in range(height - 2):
      for j in range(width - 2):
        first, second = source[i : i + 3, j : j + 3], fused[i : i + 3, j : j + 3]
        same = np.array_equal(first, second)
        values.append(1.0 if same else _pattern_information(_pattern(first), _pattern(second)))
  return np.mean(values)


def _pattern(window):
  levels = window.ravel(order="F")
  low, high = levels.min(), levels.max()
  stretched = np.ones(9) if high == low else (levels - low) / (high - low)
  return stretched / stretched.sum()


def _pattern_information(p, q):
  """2 MI / (H + H) under Nelsen's joint distribution of two patterns of nine pixels."""
  spread_p, spread_q = p - 1 / 9, q - 1 / 9
  scale = np.sqrt((spread_p**2).sum() * (spread_q**2).sum())
  correlation = (spread_p * spread_q).sum() / scale if scale > 1e-12 else 0.0
  sums_p, sums_q = np.cumsum(p)[:, None], np.cumsum(q)[None]
  bound = np.minimum(sums_p, sums_q) if correlation >= 0 else np.maximum(sums_p + sums_q - 1, 0)
  number = np.arange(1, 10)
  deviations = np.sqrt((number**2 * p).sum() - (number * p).sum() ** 2) * np.sqrt(
    (number**2 * q).sum() - (number * q).sum() ** 2
  )
  covariance = (bound - sums_p * sums_q).sum()
  mixing = correlation * deviations / covariance if correlation and deviations > 1e-12 else 0.0
  mass = np.diff(np.diff(np.pad(bound, ((1, 0), (1, 0))), axis=0), axis=1)
  joint = mixing * mass + (1 - mixing) * np.outer(p, q)
  entropies = _surprise(p) + _surprise(q)
  return 2 * (entropies - _surprise(joint)) / entropies if entropies > 0 else 0.0


def _surprise(p):
  """Entropy in nats; of negative entries, which Nelsen's mixture may have, the real part."""
  return -np.sum(p[p != 0] * np.log(np.abs(p[p != 0])))
