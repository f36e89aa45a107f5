"""Seeded warps of registered pairs."""

from typing import NamedTuple

import cv2
import numpy as np

from dig2dig_jax.alignment import transforms


class Range(NamedTuple):
  shift: float
  angle: float
  scale: tuple[float, float]
  corner: float
  ratio: float


MOUNTED = Range(0.04, 3.0, (0.9, 1.1), 0.005, 1.0)
UNKNOWN = Range(0.10, 8.0, (0.75, 1.33), 0.01, 4.0)


def draw(rng, kind: Range, height, width):
  """[3,3]: reference pixels -> source pixels (of the same size)."""
  shift = rng.uniform(-1, 1, 2) * kind.shift * np.array([width, height])
  angle = np.deg2rad(rng.uniform(-1, 1) * kind.angle)
  scale = np.exp(rng.uniform(*np.log(kind.scale)))
  ends = transforms.corners(height, width)
  centre = np.array([width - 1, height - 1]) / 2
  turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
  moved = (ends - centre) @ turn.T + centre + shift + rng.uniform(-1, 1, (4, 2)) * kind.corner * np.array([width, height])
  return cv2.getPerspectiveTransform(ends.astype(np.float32), moved.astype(np.float32)).astype(np.float64)


def warp(image, matrix, size=None):
  """image [H,W(,C)] -> (warped, mask): warped(matrix x) = image(x)."""
  height, width = image.shape[:2]
  out = (width, height)
  warped = cv2.warpPerspective(image, matrix, out, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
  grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float64)
  back = transforms.mapped(np.linalg.inv(matrix), grid)
  mask = ((back >= 0) & (back <= [width - 1, height - 1])).all(-1)
  warped[~mask] = 0
  return warped, mask
