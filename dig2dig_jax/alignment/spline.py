"""Smooth displacements of the points of an image, by a coarse grid of control points: uniform cubic B-splines.

A grid [R, K, 2] holds displacements (x, y) of R by K control points, in whatever unit; the outermost lie outside of the
frame, one spacing beyond its edge. Splines of this kind cannot tear as long as their gradient stays well below one.
"""

import functools

import numpy as np

from dig2dig_jax.ops.arrays import Array

LEAST = 4  # control points a side
STEEPEST = 0.5  # gradient of a displacement, in pixels per pixel, that keeps neighbours in their order with ease
_SAMPLES = 64  # per side: places that integrals and gradients are taken at


def basis(places: Array, count: int, xp=np) -> Array:
  """[N, count]: weights of `count` control points at `places` [N] along a side, 0 to 1. xp: NumPy or jax.numpy."""
  return _cubic(xp.clip(places, 0, 1)[:, None] * (count - 3) - (xp.arange(count) - 1)[None], xp)


def dense(grid: Array, rows: Array, columns: Array, xp=np) -> Array:
  """[H, W, 2]: the displacement at places `rows` [H] and `columns` [W] along the sides, 0 to 1."""
  down, across = basis(rows, grid.shape[0], xp), basis(columns, grid.shape[1], xp)
  return xp.einsum("yr,rkc,xk->yxc", down, grid, across)


def at(grid: np.ndarray, points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """[..., 2]: the displacement at points (x, y) [..., 2] in pixels of an image of `size`."""
  flat = points.reshape(-1, 2)
  down, across = (basis(flat[:, axis] / max(size[1 - axis] - 1, 1), grid.shape[1 - axis]) for axis in (1, 0))
  return np.einsum("nr,rkc,nk->nc", down, grid, across).reshape(points.shape)


def largest(grid: np.ndarray) -> float:
  """Length of the largest displacement within the frame, in the grid's unit."""
  places = np.linspace(0, 1, _SAMPLES)
  return float(np.linalg.norm(dense(grid, places, places), axis=-1).max())


def steepest(grid: np.ndarray, size: tuple[int, int]) -> float:
  """Largest gradient of a displacement in pixels: the spectral norm of its derivative, over an image of `size`."""
  (rows, down), (columns, across) = (_slopes(count, side) for count, side in zip(grid.shape[:2], size, strict=True))
  by_y, by_x = (np.einsum("yr,rkc,xk->yxc", *pair) for pair in ((down, grid, columns), (rows, grid, across)))
  return float(np.linalg.norm(np.stack([by_x, by_y], -1), 2, axis=(-2, -1)).max())


def bending(rows: int, columns: int, height: float, width: float) -> np.ndarray:
  """[M, M]: quadratic form of one component of a grid, row by row, that is the mean over a frame of `height` by `width`
  of the squared second derivatives, the mixed one twice."""
  down, across = _grams(rows, height), _grams(columns, width)
  return np.kron(down[0], across[2]) + 2 * np.kron(down[1], across[1]) + np.kron(down[2], across[0])


@functools.cache
def _derivatives(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """[_SAMPLES, count]: the basis and its derivatives by places, at the middles of as many intervals."""
  away = ((np.arange(_SAMPLES) + 0.5) / _SAMPLES)[:, None] * (count - 3) - (np.arange(count) - 1)[None]
  near, sign = np.abs(away), np.sign(away)
  first = np.where(near < 1, 1.5 * near**2 - 2 * near, np.where(near < 2, -0.5 * (2 - near) ** 2, 0.0))
  second = np.where(near < 1, 3 * near - 2, np.where(near < 2, 2 - near, 0.0))
  return _cubic(away, np), sign * first * (count - 3), second * (count - 3) ** 2


def _cubic(away: Array, xp) -> Array:
  near = xp.abs(away)
  return xp.where(near < 1, 2 / 3 - near**2 + near**3 / 2, xp.where(near < 2, (2 - near) ** 3 / 6, 0.0))


def _slopes(count: int, side: int) -> tuple[np.ndarray, np.ndarray]:
  values, first, _ = _derivatives(count)
  return values, first / max(side - 1, 1)


def _grams(count: int, side: float) -> list[np.ndarray]:
  return [(one.T @ one) / _SAMPLES / side ** (2 * order) for order, one in enumerate(_derivatives(count))]
