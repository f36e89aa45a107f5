"""Laplacian pyramids (Burt and Adelson 1983) of float32 [..., H, W, C] at any size, exactly invertible.

A pyramid of `levels` is a list: `levels - 1` detail bands, finest first, then the base.
"""

import jax
import jax.numpy as jnp

TAPS = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def _reduce_axis(x, axis: int):
  pad = [(0, 0)] * x.ndim
  pad[axis] = (2, 2)
  padded = jnp.pad(x, pad, mode="symmetric")
  size = x.shape[axis]
  return sum(tap * jax.lax.slice_in_dim(padded, i, i + size, stride=2, axis=axis) for i, tap in enumerate(TAPS))


def _expand_axis(x, size: int, axis: int):
  pad = [(0, 0)] * x.ndim
  pad[axis] = (1, 1)
  padded = jnp.pad(x, pad, mode="symmetric")
  n = x.shape[axis]
  left, middle, right = (jax.lax.slice_in_dim(padded, i, i + n, axis=axis) for i in range(3))
  even, odd = (left + 6 * middle + right) / 8, (middle + right) / 2
  shape = list(x.shape)
  shape[axis] = 2 * n
  return jax.lax.slice_in_dim(jnp.stack([even, odd], axis=axis + 1).reshape(shape), 0, size, axis=axis)


def reduce(x: jax.Array) -> jax.Array:
  """Half the height and width, rounded up: 5-tap binomial low-pass, every second sample."""
  return _reduce_axis(_reduce_axis(x, x.ndim - 3), x.ndim - 2)


def expand(x: jax.Array, height: int, width: int) -> jax.Array:
  """Double the height and width, cut to (height, width): the interpolation that belongs to `reduce`."""
  return _expand_axis(_expand_axis(x, height, x.ndim - 3), width, x.ndim - 2)


def max_levels(height: int, width: int) -> int:
  """Levels until the shorter side would fall below two pixels."""
  return max(1, (min(height, width) - 1).bit_length())


def gaussian_pyramid(x: jax.Array, levels: int) -> list[jax.Array]:
  """x and its successive reductions, `levels` arrays."""
  out = [x]
  for _ in range(levels - 1):
    out.append(reduce(out[-1]))
  return out


def laplacian_pyramid(x: jax.Array, levels: int) -> list[jax.Array]:
  """Detail bands and base; `collapse` is the inverse."""
  gaussian = gaussian_pyramid(x, levels)
  details = [fine - expand(coarse, *fine.shape[-3:-1]) for fine, coarse in zip(gaussian, gaussian[1:], strict=False)]
  return [*details, gaussian[-1]]


def collapse(bands: list[jax.Array]) -> jax.Array:
  """The image whose Laplacian pyramid `bands` is."""
  image = bands[-1]
  for band in reversed(bands[:-1]):
    image = band + expand(image, *band.shape[-3:-1])
  return image
