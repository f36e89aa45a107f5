"""Is a richer model worth its parameters? Only if it predicts blocks better that it has not been fitted to.

The blocks are halved like a chessboard, each half is predicted by the fit of the other. Every block says by how much,
in nats, the richer model predicts it better; the mean of that has to lie well above zero. By how far the two fits are
apart says how well the images determine a transform.
"""

from collections.abc import Callable

import numpy as np

from dig2dig_jax.alignment import transforms
from dig2dig_jax.alignment.fit import Fit
from dig2dig_jax.alignment.surfaces import BLOCKS

SURE = 2.75  # standard errors; chosen on warps of development pairs
_NEIGHBOURS = {(0, 1): 0.5, (1, 0): 0.5, (1, 1): 0.25, (1, -1): 0.25}  # weights fall linearly to 0 at two blocks
_HALVES = np.float32([(np.indices(BLOCKS).sum(0) % 2).ravel() == half for half in (0, 1)])
ALL = np.ones(BLOCKS[0] * BLOCKS[1], np.float32)


def halves(fitted: Callable[[np.ndarray], Fit]) -> tuple[Fit, Fit]:
  """What `fitted` makes of each half, given [N] of 1 for the blocks to fit and 0."""
  first, second = (fitted(half) for half in _HALVES)
  return first, second


def predicted(fits: tuple[Fit, Fit]) -> np.ndarray:
  """[N]: gain of each block under the fit of the half that it does not belong to."""
  return np.sum([(1 - half) * np.asarray(fit.gain) for half, fit in zip(_HALVES, fits, strict=True)], axis=0)


def apart(fits: tuple[Fit, Fit], size: tuple[int, int]) -> float:
  """Mean distance of the corners of a reference of `size` under the transforms of two halves, in half diagonals."""
  ends = transforms.mapped(np.linalg.inv(transforms.frame(*size)), transforms.corners(*size))
  first, second = (transforms.mapped(transforms.homography(np.asarray(fit.parameters, np.float64), np), ends)
                   for fit in fits)  # fmt: skip
  return float(np.linalg.norm(first - second, axis=-1).mean())


def is_better(richer: np.ndarray, simpler: np.ndarray) -> bool:
  """Of predicted gains [N] under two models: whether their mean difference is more than `SURE` standard errors above
  zero. Neighbouring blocks overlap, and what two sensors show differs over more than a block: covariances of neighbours
  count in the error (Newey and West, 1987, in two directions)."""
  gain = np.asarray(richer, np.float64) - simpler
  mean = gain.mean()
  away = np.pad((gain - mean).reshape(BLOCKS), 1)
  variance = (away**2).sum()
  for direction, weight in _NEIGHBOURS.items():
    variance += 2 * weight * (away * np.roll(away, direction, (0, 1))).sum()
  return bool(mean > SURE * np.sqrt(max(variance, 0.0)) / gain.size)
