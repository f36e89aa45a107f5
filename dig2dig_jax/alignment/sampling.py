"""Bilinear resampling of maps under a transform."""

import jax
import jax.numpy as jnp

from dig2dig_jax.alignment import transforms
from dig2dig_jax.ops.arrays import Array


def bilinear(image: Array, points: Array) -> jax.Array:
  """image [H, W], points [..., 2] as (x, y) -> [...]; the edge goes on outside."""
  height, width = image.shape
  x, y = jnp.clip(points[..., 0], 0, width - 1.001), jnp.clip(points[..., 1], 0, height - 1.001)
  left, top = jnp.floor(x).astype(jnp.int32), jnp.floor(y).astype(jnp.int32)
  fx, fy = x - left, y - top
  flat, at = image.reshape(-1), top * width + left
  upper = flat[at] * (1 - fx) + flat[at + 1] * fx
  lower = flat[at + width] * (1 - fx) + flat[at + width + 1] * fx
  return upper * (1 - fy) + lower * fy


def grid(height: int, width: int) -> jax.Array:
  """[H, W, 2]: pixels as (x, y)."""
  return jnp.stack(jnp.meshgrid(jnp.arange(width, dtype=jnp.float32), jnp.arange(height, dtype=jnp.float32)), -1)


def warped(image: Array, mask: Array, matrix: Array, size: tuple[int, int]) -> tuple[jax.Array, jax.Array]:
  """Image and mask [H, W], matrix [3, 3] from the result's pixels to the image's -> both, of `size`."""
  return seen(image, mask, transforms.apply(matrix, grid(*size)))


def seen(image: Array, mask: Array, points: Array) -> tuple[jax.Array, jax.Array]:
  """Image and mask [H, W] as they are at points [..., 2] -> both [...]."""
  return bilinear(image, points), inside(mask, points)


def inside(mask: Array, points: Array) -> jax.Array:
  """mask [H, W] as it is at points [..., 2]; 0 outside."""
  height, width = mask.shape
  x, y = points[..., 0], points[..., 1]
  within = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
  return (bilinear(mask, points) > 0.999) * within.astype(mask.dtype)
