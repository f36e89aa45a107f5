"""Is an alignment to be believed? It has to make the blocks much likelier, and either half of them has to say the same.
"""

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


def of_gain(gain: float, *, scans: bool) -> float:
  """0 to 1, of the mean gain in nats per block. scans: whether both images are, see `levels.are_scans`."""
  return _logistic((gain - (_HALF_OF_SCANS if scans else _HALF)) / _SLOPE)


def of_halves(fits: tuple[Fit, Fit], size: tuple[int, int]) -> float:
  """0 to 1, of the fits of `evidence.halves`. size: height and width of the reference."""
  return _logistic((_APART - evidence.apart(fits, size)) / _APART_SLOPE)


def _logistic(value: float) -> float:
  return float(1 / (1 + np.exp(-value)))
