"""How far off is what an aligner found for a warped image?"""

from typing import NamedTuple

import cv2
import numpy as np

from dig2dig_jax.alignment import spline, transforms
from dig2dig_jax.benchmarks.warps import Warped

_APART = 8  # pixels of the reference between points of the overlap


class Placement(NamedTuple):
  """matrix: [3, 3], pixels of the reference -> pixels of the source. confidence: 0 to 1. flow: [R, K, 2], displacements
  of the reference's points, in its pixels, before the matrix; None for none."""

  matrix: np.ndarray
  confidence: float
  flow: np.ndarray | None = None

  def __call__(self, points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[N, 2]: where points (x, y) [N, 2] of a reference of `size` lie in the source."""
    return transforms.mapped(self.matrix, points if self.flow is None else points + spline.at(self.flow, points, size))


def corner_error(found: Placement, true: np.ndarray, height: int, width: int) -> float:
  """Mean distance of the reference's four corners from where the matrix `true` has them, in pixels of the source."""
  ends = transforms.corners(height, width)
  return float(np.linalg.norm(found(ends, (height, width)) - transforms.mapped(true, ends), axis=-1).mean())


def best_homography(warped: Warped, size: tuple[int, int], own: np.ndarray | None = None) -> np.ndarray:
  """[3, 3]: pixels of a reference of `size` -> pixels of the warped image, fitted by least squares to the true places
  of all pixels that both show, parallax included. own: [3, 3], pixels of the reference -> pixels of the image that was
  warped, where the two are not registered."""
  points, shown = _shown(warped, size)
  shown = shown if own is None else transforms.mapped(np.linalg.inv(own), shown)
  inside = ((shown >= 0) & (shown <= np.array(size[::-1]) - 1)).all(-1)
  return cv2.findHomography(shown[inside], points[inside], 0)[0]


def overlap_error(found: Placement, warped: Warped, size: tuple[int, int]) -> float:
  """Mean distance of the warped image's pixels from where `found` puts what they show, parallax included, in pixels of
  that image. size: height and width of the reference."""
  points, shown = _shown(warped, size)
  away = np.linalg.norm(found(shown, size) - points, axis=-1)
  return float(away.mean()) if len(away) else float("inf")


def _shown(warped: Warped, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
  """(pixels [N, 2] of the warped image that show anything, the points of the reference that they show)."""
  height, width = warped.mask.shape
  step = max(1, round(_APART * max(height, width) / max(size)))
  points = np.stack(np.meshgrid(np.arange(0, width, step), np.arange(0, height, step)), -1).astype(np.float64)
  seen = warped.mask[::step, ::step]
  return points[seen], warped.shows[::step, ::step][seen]
