"""Did the edges of the sources arrive in the fused image, in strength and in direction? Hong's Q_ABF.

Images: gray [H, W], whole levels 0..255 (not 0..1: the rule for equal strengths below depends on the scale).
Sources: a sequence of K >= 2 images of the fused image's size. METRICS.md section 4.13; Xydeas and Petrovic 2000.
"""

import cv2
import numpy as np


def q_abf(sources, fused) -> float:
  """Sum over sources and pixels of Q_k g_k, divided by that of g_k: 0 (no edge kept) to about 0.975 (all of them).

  g is the Sobel strength of source k. Q_k multiplies two sigmoids, of how well strength and angle are kept. The frame
  counts as black, so that flat grey images have edges there; NaN (0/0) when no source has any edge: black images.
  """
  strength, angle = _edges(fused)
  kept = total = 0.0
  for source in sources:
    source_strength, source_angle = _edges(source)
    larger = np.maximum(source_strength, strength)
    # Equal strengths give the strength itself rather than 1. An accident of the original code that every toolkit has.
    equal = source_strength == strength
    ratio = np.where(equal, strength, np.minimum(source_strength, strength) / np.where(equal, 1.0, larger))
    agreement = 1 - np.abs(source_angle - angle) / (np.pi / 2)  # not wrapped: -90 and 90 degrees count as opposite
    quality = _sigmoid(ratio, 0.9994, 15, 0.5) * _sigmoid(agreement, 0.9879, 22, 0.8)
    kept += float(np.sum(quality * source_strength))
    total += float(np.sum(source_strength))
  return kept / total if total > 0 else float("nan")


def _edges(image) -> tuple[np.ndarray, np.ndarray]:
  """Sobel strength, and angle in (-pi/2, pi/2], y upwards: exactly pi/2 where the horizontal response is 0."""
  # OpenCV cannot pad Sobel with zeros, hence the explicit frame, cut off again.
  padded = np.pad(np.asarray(image, np.float64), 1)
  x = cv2.Sobel(padded, cv2.CV_64F, 1, 0, ksize=3)[1:-1, 1:-1]
  y = -cv2.Sobel(padded, cv2.CV_64F, 0, 1, ksize=3)[1:-1, 1:-1]
  vertical = x == 0
  angle = np.where(vertical, np.pi / 2, np.arctan(y / np.where(vertical, 1.0, x)))
  return np.sqrt(x * x + y * y), angle


def _sigmoid(value: np.ndarray, gain: float, slope: float, centre: float) -> np.ndarray:
  return gain / (1 + np.exp(-slope * (value - centre)))
