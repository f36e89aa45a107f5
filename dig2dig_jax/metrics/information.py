"""How much information is in the fused image, and how much of it came from the sources? Entropy and mutual information.

Images: gray [H, W], 0..255; both measures count grey levels, so values are rounded to the nearest one.
Sources: a sequence of K >= 2 images of the fused image's size. METRICS.md sections 4.1 and 4.6.
"""

import numpy as np

_LEVELS = 256


def entropy(sources, fused) -> float:
  """EN = -sum p log2 p over the 256 grey levels of `fused`, 0..8 bits; 0 for a flat image. The sources play no part."""
  del sources
  return _bits(np.bincount(_levels(fused), minlength=_LEVELS))


def mutual_information(sources, fused) -> float:
  """MI in bits: the sum over the K sources of H(X) + H(F) - H(X, F). Multiply by ln 2 for nats (the DDFM tables)."""
  target = _levels(fused)
  total = 0.0
  for source in sources:
    joint = np.bincount(_levels(source) * _LEVELS + target, minlength=_LEVELS**2).reshape(_LEVELS, _LEVELS)
    total += _bits(joint.sum(axis=1)) + _bits(joint.sum(axis=0)) - _bits(joint)
  return total


def _levels(image) -> np.ndarray:
  return np.rint(np.asarray(image, np.float64)).astype(np.intp).ravel()


def _bits(counts: np.ndarray) -> float:
  """Entropy in bits of a histogram. Empty bins add nothing: p log p -> 0."""
  p = counts[counts > 0] / counts.sum()
  return float(np.sum(p * np.log2(1 / p)))  # not -sum(p log2 p), which makes a flat image -0.0
