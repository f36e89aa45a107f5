"""What does fusion without any thought score? The plain fusions that every table prints beside a method.

Images: K >= 2 gray sources [H, W] of one size, whole levels 0..255; the result is such an image, float64.
The definitions are those of the baseline tables of the metrics' golden values (METRICS.md, "our decision").
"""

import cv2
import numpy as np

_LEVELS = 4


def average(sources) -> np.ndarray:
  """Mean of the sources, halves rounded up (not to even): floor((A + B + 1) / 2) for two."""
  return np.floor(np.mean(_stack(sources), axis=0) + 0.5)


def pixel_maximum(sources) -> np.ndarray:
  """Brightest of the sources, pixel by pixel."""
  return np.max(_stack(sources), axis=0)


def laplacian_pyramid(sources) -> np.ndarray:
  """Four detail levels (5-tap binomial, mirrored border), each coefficient from the source where it is largest in
  magnitude (the first of equals), on the mean of what is left; clipped to 0..255 and rounded (Burt 1984)."""
  pyramids = [_decompose(source) for source in _stack(sources)]
  *details, base = zip(*pyramids, strict=True)
  image = np.mean(base, axis=0)
  for level in reversed(details):
    level = np.stack(level)
    strongest = np.argmax(np.abs(level), axis=0)[None]
    image = np.take_along_axis(level, strongest, axis=0)[0] + _enlarge(image, level.shape[1:])
  return np.rint(np.clip(image, 0, 255))


def _stack(sources) -> np.ndarray:
  return np.stack([np.asarray(source, np.float64) for source in sources])


def _decompose(image: np.ndarray) -> list[np.ndarray]:
  levels = []
  for _ in range(_LEVELS):
    smaller = cv2.pyrDown(image)
    levels.append(image - _enlarge(smaller, image.shape))
    image = smaller
  return [*levels, image]


def _enlarge(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
  return cv2.pyrUp(image, dstsize=(shape[1], shape[0]))
