"""Is an alignment to be believed? It has to make the blocks much likelier, and either half of them has to say the same.
"""

from collections.abc import Sequence

import numpy as np

from dig2dig_jax.alignment import evidence
from dig2dig_jax.alignment.fit import Fit

ACCEPTED = 0.5  # least confidence

# Logistic functions of the mean gain in nats per block, and of the distance in half diagonals between the corners as
# either half of the blocks has them.
_HALF, _SLOPE = 0.65, 0.08
_APART, _APART_SLOPE = 0.016, 0.002
# Heads on black look alike, whoever's they are, and edges of two kinds of scan are of different tissue: more is asked.
_HALF_OF_SCANS = 0.85
_ON_BLACK, _BLACK = 0.35, 0.03  # share of the pixels that are black in every scan, and of the range that counts as it


def of_gain(gain: float, images: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> float:
  """0 to 1, of the mean gain in nats per block. images, masks: [H, W] and bool [H, W] of both."""
  scans = all(_on_black(image[mask]) for image, mask in zip(images, masks, strict=True))
  return _logistic((gain - (_HALF_OF_SCANS if scans else _HALF)) / _SLOPE)


def of_halves(fits: tuple[Fit, Fit], size: tuple[int, int]) -> float:
  """0 to 1, of the fits of `evidence.halves`. size: height and width of the reference."""
  return _logistic((_APART - evidence.apart(fits, size)) / _APART_SLOPE)


def _logistic(value: float) -> float:
  return float(1 / (1 + np.exp(-value)))


def _on_black(values: np.ndarray) -> bool:
  return float(np.mean(values <= values.min() + _BLACK * np.ptp(values))) >= _ON_BLACK
