"""How good is a fused image? Reference measures in float64 NumPy, by name, with the values of the public toolkits.

Images: gray [H, W], whole levels 0..255, as `to_gray` makes them: fractions break ties that the definitions rely on.
Sources: K >= 2 of the fused image's size. EN and SD look at the fused image alone; over the sources SSIM, VIF and SCD
are sums, CC and MSE means, Qabf one weighted mean, and `_min` the smallest value (METRICS.md). NaN means undefined
(0/0, or an image smaller than the measure's window): count it, do not average it.
"""

import numpy as np

from dig2dig_jax.metrics import baselines, gradient, information, statistics, structure

# name -> (function(sources, fused) -> float, whether more is better)
METRICS = {
  "EN": (information.entropy, True),
  "SD": (statistics.standard_deviation, True),
  "Qabf": (gradient.q_abf, True),
  "VIF": (structure.vif, True),
  "VIF_min": (structure.vif_min, True),
  "SSIM": (structure.ssim, True),
  "SSIM_min": (structure.ssim_min, True),
  "SCD": (statistics.sum_of_correlations_of_differences, True),
  "MSE": (statistics.mean_squared_error, False),
  "CC": (statistics.correlation, True),
}

# name as tables print it -> function(sources) -> fused
BASELINES = {
  "average": baselines.average,
  "pixel maximum": baselines.pixel_maximum,
  "Laplacian pyramid": baselines.laplacian_pyramid,
}


def score(sources, fused) -> dict[str, float]:
  """Every measure of METRICS for one fused image. ValueError unless all images are gray, of one size, in levels 0..255.

  sources: sequence of K >= 2 arrays [H, W]; fused: [H, W].
  """
  sources = [_checked(f"source {index}", source) for index, source in enumerate(sources)]
  fused = _checked("the fused image", fused)
  if len(sources) < 2:
    raise ValueError(f"expected two or more sources, found {len(sources)}")
  for index, source in enumerate(sources):
    if source.shape != fused.shape:
      raise ValueError(f"source {index}: expected the size of the fused image {fused.shape}, found {source.shape}")
  return {name: function(sources, fused) for name, (function, _) in METRICS.items()}


def to_gray(image) -> np.ndarray:
  """RGB [H, W, 3] or gray [H, W] or [H, W, 1], uint8 or float, both in 0..255 -> float64 [H, W], whole levels 0..255.

  0.299 R + 0.587 G + 0.114 B, rounded, halves to even. ValueError for another shape or range (a [-1, 1] image, NaN).
  """
  image = np.asarray(image)
  if not (image.ndim == 2 or (image.ndim == 3 and image.shape[-1] in (1, 3))) or not image.size:
    raise ValueError(f"expected an image [H, W], [H, W, 1] or [H, W, 3], found shape {image.shape}")
  image = image.astype(np.float64)
  if not (image.min() >= 0 and image.max() <= 255):  # written so that NaN fails too
    raise ValueError(f"expected values 0..255, found [{image.min():g}, {image.max():g}]")
  if image.ndim == 3:
    # In thousandths the sum is exact, and so is every tie of the rounding.
    image = image @ [299.0, 587.0, 114.0] / 1000 if image.shape[-1] == 3 else image[..., 0]
  return np.rint(image)


def _checked(name: str, image) -> np.ndarray:
  image = np.asarray(image, np.float64)
  if image.ndim != 2 or not image.size:
    raise ValueError(f"{name}: expected a gray image [H, W], found shape {image.shape}")
  if not (image.min() >= 0 and image.max() <= 255) or np.any(image != np.rint(image)):
    raise ValueError(f"{name}: expected whole levels 0..255, found other values; pass it through to_gray")
  return image
