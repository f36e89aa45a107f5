"""Contrast of the fused image, and its distance from and correlation with the sources: SD, MSE, RMSE, PSNR, CC, SCD.

Every measure here takes (sources [K, H, W], fused [H, W], size) as `canvas` explains, grey levels 0..255, and gives a
scalar.
"""

import jax
import jax.numpy as jnp

from dig2dig_jax.metrics import canvas
from dig2dig_jax.metrics.canvas import Size


def standard_deviation(sources: jax.Array, fused: jax.Array, size: Size, *, sample: bool = False) -> jax.Array:
  """SD of `fused`: of the population or, like MATLAB's std2 and torch.std, of a sample (N - 1)."""
  del sources
  centred = canvas.centred(fused, size)
  squares = canvas.mean((centred - canvas.mean(centred, size)) ** 2, size)
  count = jnp.asarray(size[0] * size[1]).astype(fused.dtype)
  return jnp.sqrt(squares * (count / (count - 1) if sample else 1))


def mean_squared_error(sources: jax.Array, fused: jax.Array, size: Size, *, peak: float = 255) -> jax.Array:
  """MSE: the mean over the K sources of mean (X - F)^2, on the scale 0..peak."""
  return jnp.mean(_errors(sources, fused, size)) * (peak / 255) ** 2


def root_mean_squared_error(sources: jax.Array, fused: jax.Array, size: Size) -> jax.Array:
  """RMSE: the mean over the K sources of sqrt(mean (X - F)^2), on the 0..255 scale."""
  return jnp.mean(jnp.sqrt(_errors(sources, fused, size)))


def rmse_vifb(sources: jax.Array, fused: jax.Array, size: Size) -> jax.Array:
  """What VIFB and MEFB print as RMSE: the mean over the sources of sqrt(sum (X - F)^2) / (h w), which is no RMSE."""
  count = jnp.asarray(size[0] * size[1]).astype(fused.dtype)
  return jnp.mean(jnp.sqrt(_errors(sources, fused, size) / count))


def psnr(sources: jax.Array, fused: jax.Array, size: Size, *, variant: str = "of_mean") -> jax.Array:
  """Peak signal-to-noise ratio in dB; inf where the error is 0.

  variant: "of_mean" 10 log10(255^2 / MSE), MSE the mean over the sources; "sum" and "mean" of the K single values
  ("sum" is the convention of the Dig2DIG tables); "cdd" with the peak max(F); "tang" of the MSE on 0..1 with peak 255,
  which adds 48.13 dB; "vifb" 20 log10(255 / sqrt(rmse_vifb)).
  """
  errors = _errors(sources, fused, size)
  if variant in ("sum", "mean"):
    singles = 10 * jnp.log10(255**2 / errors)
    return jnp.sum(singles) if variant == "sum" else jnp.mean(singles)
  if variant == "of_mean":
    return 10 * jnp.log10(255**2 / jnp.mean(errors))
  if variant == "cdd":
    return 10 * jnp.log10(canvas.high(fused, size) ** 2 / jnp.mean(errors))
  if variant == "tang":
    return 10 * jnp.log10(255**4 / jnp.mean(errors))
  if variant == "vifb":
    return 10 * jnp.log10(255**2 / rmse_vifb(sources, fused, size))
  raise ValueError(f"variant: expected of_mean, sum, mean, cdd, tang or vifb, found {variant!r}")


def correlation(sources: jax.Array, fused: jax.Array, size: Size) -> jax.Array:
  """CC: the mean over the K sources of r(X, F), -1..1. NaN when the fused image or a source is flat."""
  return jnp.mean(_pearson(sources, jnp.broadcast_to(fused[None], sources.shape), size))


def sum_of_correlations_of_differences(sources: jax.Array, fused: jax.Array, size: Size) -> jax.Array:
  """SCD: the sum over the K sources of r(F - the mean of the other sources, X), -K..K (Aslantas and Bendes 2015).

  With two sources "the mean of the others" is the other one, as published. NaN when a source or a difference is flat,
  so also when the fused image copies one of two sources.
  """
  others = jnp.sum(sources, axis=0, keepdims=True) - sources
  # (K - 1) times the difference has the same correlations and whole levels: whether it is flat stays exact.
  return jnp.sum(_pearson(sources, (sources.shape[0] - 1) * fused[None] - others, size))


def _errors(sources, fused, size):
  """Mean squared error of each source, [K]."""
  return canvas.mean((sources - fused[None]) ** 2, size)


def _pearson(a: jax.Array, b: jax.Array, size: Size) -> jax.Array:
  # Flatness is decided by the extremes, which are exact. The variance of a flat image may be a rounding error.
  flat = jnp.logical_or(
    canvas.high(a, size) == canvas.low(a, size), canvas.high(b, size) == canvas.low(b, size)
  )
  a, b = canvas.centred(a, size), canvas.centred(b, size)
  a, b = a - canvas.mean(a, size)[..., None, None], b - canvas.mean(b, size)[..., None, None]
  scale = jnp.sqrt(canvas.total(a * a, size) * canvas.total(b * b, size))
  return jnp.where(flat, jnp.nan, canvas.total(a * b, size) / scale)
