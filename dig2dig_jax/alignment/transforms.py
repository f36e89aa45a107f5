"""Plane projective transforms, from a few parameters and as 3 x 3 matrices.

A transform maps a point (x, y) of the reference, in pixels, whose centres are whole numbers, to the point of a source
that shows the same. Its eight parameters live in the reference's normalised frame, whose origin is the centre and whose
unit is half the diagonal, so that they, and what is known of them beforehand, do not change with the number of pixels:
shift (2), log scale, rotation in radians, stretch and shear (2), perspective (2).
"""

import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.ops.arrays import Array

PARAMETERS = 8
FREE = {"translation": 2, "similarity": 4, "affine": 6, "homography": 8}  # parameters that each model lets vary


def homography(parameters: Array, xp=jnp) -> Array:
  """[8] -> [3, 3], in normalised coordinates: shift . scale . rotation . stretch . perspective. xp: NumPy or
  jax.numpy."""
  shift_x, shift_y, log_scale, angle, stretch, shear, p, q = parameters
  cos, sin, scale = xp.cos(angle), xp.sin(angle), xp.exp(log_scale)
  similarity = xp.stack([scale * cos, -scale * sin, shift_x, scale * sin, scale * cos, shift_y, 0.0, 0.0, 1.0])
  affine = xp.stack([xp.exp(stretch), shear, 0.0, shear, xp.exp(-stretch), 0.0, 0.0, 0.0, 1.0])
  perspective = xp.stack([1.0, 0.0, 0.0, 0.0, 1.0, 0.0, p, q, 1.0])
  return similarity.reshape(3, 3) @ affine.reshape(3, 3) @ perspective.reshape(3, 3)


def apply(matrix: Array, points: Array) -> jax.Array:
  """[3, 3], points [..., 2] as (x, y) -> [..., 2]."""
  x, y = points[..., 0], points[..., 1]
  w = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2]
  u = matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]
  v = matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]
  return jnp.stack([u, v], axis=-1) / w[..., None]


def frame(height: int, width: int) -> np.ndarray:
  """[3, 3], float64: normalised coordinates -> pixels of an image of this size."""
  unit = 0.5 * np.hypot(height, width)
  return np.array([[unit, 0, (width - 1) / 2], [0, unit, (height - 1) / 2], [0, 0, 1]])


def scaling(scale_x: float, scale_y: float | None = None) -> np.ndarray:
  """[3, 3], float64: pixels of an image -> pixels of the same image resampled by these factors; edges meet edges."""
  scale_y = scale_x if scale_y is None else scale_y
  return np.array([[scale_x, 0, (scale_x - 1) / 2], [0, scale_y, (scale_y - 1) / 2], [0, 0, 1]])


def corners(height: int, width: int) -> np.ndarray:
  """[4, 2]: centres of the corner pixels as (x, y)."""
  return np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]], np.float64)


def mapped(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
  """`apply` in NumPy's float64."""
  homogeneous = np.concatenate([points, np.ones((*points.shape[:-1], 1))], axis=-1) @ np.asarray(matrix, np.float64).T
  return homogeneous[..., :2] / homogeneous[..., 2:]


def corner_error(found: np.ndarray, true: np.ndarray, height: int, width: int) -> float:
  """Mean distance of the reference's four corners under two transforms, in pixels of the source."""
  ends = corners(height, width)
  return float(np.linalg.norm(mapped(found, ends) - mapped(true, ends), axis=-1).mean())


def shifted(parameters: Array, shift: Array) -> jax.Array:
  """Parameters [8] of a similarity after a shift [2] in normalised coordinates: homography(them) @ translation."""
  moved = apply(homography(parameters), shift)
  return jnp.asarray(parameters).at[:2].set(moved)
