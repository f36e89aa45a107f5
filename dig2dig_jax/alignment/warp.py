"""A source in the frame of its reference: resampled once, in its own range, and it is known where it shows anything."""

import functools

import cv2
import numpy as np

from dig2dig_jax.alignment import spline, transforms
from dig2dig_jax.errors import UserError

LONGEST = 32766  # pixels a side that OpenCV resamples
_REDUCED = 1.2  # pixels of the source per pixel of the reference, from which it is smoothed before
CLOSED = 0.999  # of a pixel that is valid, at least


def onto(
  image: np.ndarray, matrix: np.ndarray, size: tuple[int, int], mask: np.ndarray | None = None,
  flow: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
  """(the image in the reference's frame, where it is valid there: bool `size`, None for everywhere).

  Cubic; nothing comes out darker or brighter than the image itself, in its own type. Outside it holds its nearest edge.

  Args:
    image: [H, W, C] or [H, W] of 8- or 16-bit whole numbers or float32.
    matrix: [3, 3], pixels of the reference -> pixels of the image.
    size: height and width of the reference.
    mask: bool [H, W], where the image is valid; None for everywhere.
    flow: [R, K, 2], displacements of the reference's points, in its pixels, before `matrix`, see `spline`.
  """
  if max(*image.shape[:2], *size) > LONGEST:
    raise UserError(f"expected images of at most {LONGEST} pixels a side to align, found {max(*image.shape[:2], *size)}"
                    "; reduce them first")
  ratio = scale(matrix, size)
  smooth = image.astype(np.float32)
  if ratio > _REDUCED:
    smooth = cv2.GaussianBlur(smooth, (0, 0), 0.5 * np.sqrt(ratio**2 - 1))
  points = _points(matrix, size, flow)
  resample = functools.partial(_resampled, matrix=matrix, size=size, points=None if flow is None else points)
  warped = resample(smooth, way=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
  warped = np.clip(warped.reshape(*size, *image.shape[2:]), image.min(), image.max())
  if image.dtype.kind in "ui":
    warped = np.rint(warped)
  known = np.ones(image.shape[:2], np.float32) if mask is None else mask.astype(np.float32)
  valid = (resample(known, way=cv2.INTER_LINEAR, borderValue=0) > CLOSED) & _inside(points, image.shape[:2])
  return warped.astype(image.dtype), None if valid.all() else valid


def _resampled(image: np.ndarray, way: int, matrix: np.ndarray, size, points: np.ndarray | None, **border):
  """points: where every pixel is looked up, None for where `matrix` says."""
  if points is None:
    return cv2.warpPerspective(image, matrix, size[::-1], flags=way | cv2.WARP_INVERSE_MAP, **border)
  return cv2.remap(image, *np.moveaxis(np.float32(points), -1, 0), way, **border)


def _points(matrix: np.ndarray, size: tuple[int, int], flow: np.ndarray | None) -> np.ndarray:
  """[H, W, 2], float64: where the reference's pixels lie in the source."""
  points = np.stack(np.meshgrid(np.arange(size[1]), np.arange(size[0])), -1).astype(np.float64)
  if flow is not None:
    points += spline.dense(flow, *(np.arange(side) / max(side - 1, 1) for side in size))
  return transforms.mapped(matrix, points)


def _inside(points: np.ndarray, source: tuple[int, int]) -> np.ndarray:
  """bool [H, W]: which points lie within the source's frame, half a pixel's rounding allowed."""
  x, y = np.moveaxis(points, -1, 0)
  return (x >= -0.5) & (y >= -0.5) & (x <= source[1] - 0.5) & (y <= source[0] - 0.5)


def scale(matrix: np.ndarray, size: tuple[int, int]) -> float:
  """Pixels of the source per pixel of the reference, at its centre."""
  centre = np.array([size[1] - 1, size[0] - 1]) / 2
  around = transforms.mapped(matrix, centre + np.array([[0, 0], [1, 0], [0, 1]]))
  return float(np.sqrt(abs(np.linalg.det(around[1:] - around[0]))))
