"""What does trivial fusion score? The plain fusions that every table prints beside a method.

Images: K >= 2 gray sources [H, W] of one size, whole levels 0..255; the result is such an image, float64.
Where papers leave a detail open (ties, borders, rounding), the functions say what was chosen;
`tests/evaluation/test_baseline_rows.py` holds their scores against an independent program's.
"""

import cv2
import numpy as np
import pywt

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
    image = _strongest(np.stack(level)) + _enlarge(image, level[0].shape)
  return np.rint(np.clip(image, 0, 255))


def wavelet(sources) -> np.ndarray:
  """Four levels of the discrete wavelet transform (Daubechies 4, mirrored border), each detail coefficient from the
  source where it is largest in magnitude (the first of equals), the mean of the approximations; clipped and rounded
  (Li, Manjunath and Mitra 1995). Fewer levels where the image is too small for four."""
  stack = _stack(sources)
  levels = min(_LEVELS, pywt.dwtn_max_level(stack.shape[1:], "db4"))
  coefficients = [pywt.wavedec2(source, "db4", mode="symmetric", level=levels) for source in stack]
  fused = [np.mean([own[0] for own in coefficients], axis=0)]
  for bands in zip(*(own[1:] for own in coefficients), strict=True):
    fused.append(tuple(_strongest(np.stack(band)) for band in zip(*bands, strict=True)))
  height, width = stack.shape[1:]
  image = pywt.waverec2(fused, "db4", mode="symmetric")[:height, :width]  # an odd side comes back one longer
  return np.rint(np.clip(image, 0, 255))


def _strongest(stack: np.ndarray) -> np.ndarray:
  strongest = np.argmax(np.abs(stack), axis=0)[None]
  return np.take_along_axis(stack, strongest, axis=0)[0]


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
