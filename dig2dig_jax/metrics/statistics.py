"""Contrast of the fused image, and its distance from and correlation with the sources: SD, MSE, CC, SCD.

Images: gray [H, W], 0..255. Sources: a sequence of K >= 2 images of the fused image's size.
METRICS.md sections 4.2, 4.8 and 4.9.
"""

import numpy as np


def standard_deviation(sources, fused) -> float:
  """SD: population standard deviation of `fused`. The sources play no part."""
  del sources
  return float(np.std(np.asarray(fused, np.float64)))


def mean_squared_error(sources, fused) -> float:
  """MSE: the mean over the K sources of mean (X - F)^2, on the 0..255 scale."""
  fused = np.asarray(fused, np.float64)
  return float(np.mean([np.mean((np.asarray(source, np.float64) - fused) ** 2) for source in sources]))


def correlation(sources, fused) -> float:
  """CC: the mean over the K sources of r(X, F), -1..1. NaN when the fused image or a source is flat."""
  fused = np.asarray(fused, np.float64)
  return float(np.mean([_pearson(np.asarray(source, np.float64), fused) for source in sources]))


def sum_of_correlations_of_differences(sources, fused) -> float:
  """SCD: the sum over the K sources of r(F - the mean of the other sources, X), -K..K (Aslantas and Bendes 2015).

  With two sources "the mean of the others" is the other one, as published. NaN when a source or a difference is flat,
  so also when the fused image copies one of two sources.
  """
  stack = np.stack([np.asarray(source, np.float64) for source in sources])
  fused = np.asarray(fused, np.float64)
  others = (stack.sum(axis=0) - stack) / (len(stack) - 1)
  return float(sum(_pearson(fused - other, source) for other, source in zip(others, stack, strict=True)))


def _pearson(a: np.ndarray, b: np.ndarray) -> float:
  # Asked of the extremes, which are exact. The variance of a flat image may be a rounding error instead of 0.
  if np.ptp(a) == 0 or np.ptp(b) == 0:
    return float("nan")
  a, b = a - a.mean(), b - b.mean()
  return float(np.sum(a * b) / np.sqrt(np.sum(a * a) * np.sum(b * b)))
