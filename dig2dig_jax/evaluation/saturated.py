"""What do measures become in MATLAB's uint8? Two that tables were printed with, to tell where a number is from.

MATLAB rounds every result of uint8 arithmetic to a whole level and holds it at 0 and 255 instead of going beyond. Gray
images [H, W], whole levels 0..255. These are no measures of quality: `dig2dig_jax.metrics` has those.
"""

from collections.abc import Sequence

import numpy as np


def standard_deviation(sources: Sequence[np.ndarray], fused: np.ndarray) -> float:
  """SD of a uint8 image less its mean: what is darker than the mean counts as 0, and no square is above 255. About 10
  where SD is 30 (Tang's program of 2022)."""
  del sources
  above = _uint8(fused - fused.mean())
  return float(np.sqrt(np.mean(_uint8(above**2))))


def correlation(sources: Sequence[np.ndarray], fused: np.ndarray) -> float:
  """CC of uint8 images, of what is brighter than the means alone and of products held at 255; NaN where that is nothing
  in some image. About a fifth too large (thfylsty's program)."""
  images = [_uint8(image - image.mean()) for image in (*sources, fused)]
  *powers, power = (_uint8(image**2).sum() for image in images)
  with np.errstate(invalid="ignore"):
    shared = [_uint8(image * images[-1]).sum() / np.sqrt(own * power)
              for image, own in zip(images[:-1], powers, strict=True)]  # fmt: skip
  return float(np.mean(shared))


def _uint8(values: np.ndarray) -> np.ndarray:
  return np.clip(np.floor(values + 0.5), 0, 255)  # MATLAB rounds halves away from zero
