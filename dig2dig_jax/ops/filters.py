"""Separable smoothing of maps: float32 [..., H, W, C], filtered over H and W, mirrored at the borders unless asked."""

import jax
import jax.numpy as jnp
import numpy as np


def gaussian_kernel(sigma: float, radius: int | None = None) -> np.ndarray:
  """Normalised float64 taps [2 radius + 1]; the radius defaults to three standard deviations."""
  radius = max(1, int(np.ceil(3 * sigma))) if radius is None else radius
  taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
  return taps / taps.sum()


def _along(x: jax.Array, taps: np.ndarray, axis: int, border: str) -> jax.Array:
  # A sum of shifted slices: one fused loop on CPU and GPU, where a one-channel convolution would be slow.
  radius = len(taps) // 2
  pad = [(0, 0)] * x.ndim
  pad[axis] = (radius, radius)
  padded = jnp.pad(x, pad, mode=border)
  size = x.shape[axis]
  return sum(float(tap) * jax.lax.slice_in_dim(padded, i, i + size, axis=axis) for i, tap in enumerate(taps))


def separable_filter(
  x: jax.Array, taps: np.ndarray, *, columns: np.ndarray | None = None, border: str = "symmetric"
) -> jax.Array:
  """`taps` (odd length) along H, then `columns` (the same if None) along W; same shape out.

  border: a mode of `jnp.pad`, `constant` for zeros.
  """
  return _along(_along(x, taps, x.ndim - 3, border), taps if columns is None else columns, x.ndim - 2, border)


def gaussian_blur(x: jax.Array, sigma: float) -> jax.Array:
  """Gaussian smoothing with a standard deviation of `sigma` pixels; sigma = 0 returns x."""
  return separable_filter(x, gaussian_kernel(sigma)) if sigma > 0 else x
