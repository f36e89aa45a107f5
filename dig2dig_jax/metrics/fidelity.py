"""What can the eye still learn about the sources from the fused image? Pixel-domain VIF, and Han's VIFF for fusion.

Every measure here takes (sources [K, H, W], fused [H, W], size) as `canvas` explains, grey levels 0..255, and gives a
scalar, [K] for `vif_per_source`. Needs at least 41 x 41 pixels, else NaN. Whether a patch counts as flat is decided at
a variance of 1e-10, which float32 does not resolve: use float64.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from dig2dig_jax.metrics import canvas
from dig2dig_jax.metrics.canvas import Size

_EPSILON = 1e-10  # below this a variance counts as zero
_NOISE = 2.0  # VIF: variance of the noise of vision
_NOISE_FUSION = 0.005 * 255**2  # the same of VIFF
_WEIGHTS = (1 / 2.15, 0.0, 0.15 / 2.15, 1 / 2.15)  # of VIFF's scales


def vif(sources: jax.Array, fused: jax.Array, size: Size, *, reduce: str = "sum", flat: float = jnp.nan) -> jax.Array:
  """Over the K sources the "sum", "mean" or "min" of VIF(X, F): about 1 per source when nothing is lost, 0 for a flat
  `fused`. flat: the value of a flat source; NaN by default, 1 in the toolkit of the DDFM tables."""
  values = vif_per_source(sources, fused, size, flat=flat)
  if reduce not in ("sum", "mean", "min"):
    raise ValueError(f'reduce: expected "sum", "mean" or "min", found {reduce!r}')
  return {"sum": jnp.sum, "mean": jnp.mean, "min": jnp.min}[reduce](values)


def vif_per_source(sources: jax.Array, fused: jax.Array, size: Size, *, flat: float = jnp.nan) -> jax.Array:
  """Visual information fidelity of `fused` with respect to each source (Sheikh and Bovik 2006), [K].

  sum log(1 + g^2 s_x / (s_v + 2)) / sum log(1 + s_x / 2) over four scales: what the eye can still learn about the
  source from the fused image, over what it learns from the source.
  """
  kept = total = 0.0
  for scale in _scales(sources, fused, size):
    kept += canvas.total(jnp.log1p(scale.gain**2 * scale.variance / (scale.rest + _NOISE)), scale.size)
    total += canvas.total(jnp.log1p(scale.variance / _NOISE), scale.size)
  large_enough = jnp.minimum(jnp.asarray(scale.size[0]), jnp.asarray(scale.size[1])) > 0
  value = jnp.where(total > 0, kept / jnp.where(total > 0, total, 1), flat)
  return jnp.where(large_enough, value, jnp.nan)


def viff(sources: jax.Array, fused: jax.Array, size: Size) -> jax.Array:
  """VIFF (Han et al. 2013): at every pixel and scale the source that F renders with the smaller gain speaks; per scale
  sum (what is kept + 1e-7) / sum (what there is + 1e-7), and a weighted mean over scales. About 0..1, 1 for flat
  sources."""
  value = 0.0
  for scale, weight in zip(_scales(sources, fused, size), _WEIGHTS, strict=True):
    kept = jnp.log10(1 + scale.gain**2 * scale.variance / (scale.rest + _NOISE_FUSION))
    there = jnp.log10(1 + scale.variance / _NOISE_FUSION)
    # The last of equal gains, as the original's strict comparison has it.
    count = sources.shape[0]
    speaker = count - 1 - jnp.argmin(scale.gain[::-1], axis=0, keepdims=True)
    kept, there = (jnp.take_along_axis(x, speaker, axis=0)[0] for x in (kept, there))
    value += weight * canvas.total(kept + 1e-7, scale.size) / canvas.total(there + 1e-7, scale.size)
  large_enough = jnp.minimum(jnp.asarray(scale.size[0]), jnp.asarray(scale.size[1])) > 0
  return jnp.where(large_enough, value, jnp.nan)


class _Scale(NamedTuple):
  """gain g and rest s_v of F = g X + V, variance s_x of each source, [K, H', W'], and the size of what is valid."""

  gain: jax.Array
  rest: jax.Array
  variance: jax.Array
  size: Size


def _scales(sources, fused, size):
  images = canvas.centred(jnp.concatenate([sources, fused[None]]), size)
  count = sources.shape[0]
  found = []
  for side in (17, 9, 5, 3):
    taps = canvas.gaussian(side, side / 5)
    if side < 17:
      images = canvas.correlate(images, taps)[:, ::2, ::2]
      size = canvas.fitting(size, side)
      size = (-(-size[0] // 2), -(-size[1] // 2))
    filtered = canvas.correlate(jnp.concatenate([images, images**2, images[:-1] * images[-1:]]), taps)
    mean, square, cross = filtered[: count + 1], filtered[count + 1 : 2 * count + 2], filtered[2 * count + 2 :]
    variance, covariance = square - mean**2, cross - mean[:-1] * mean[-1:]
    source, target = variance[:-1], jnp.broadcast_to(variance[-1:], covariance.shape)
    gain = covariance / (source + _EPSILON)
    rest = target - gain * covariance
    # In this order, each on the outcome of the one before: flat source, flat fused image, inverted contrast, rounding.
    flat = source < _EPSILON
    gain, rest, source = jnp.where(flat, 0, gain), jnp.where(flat, target, rest), jnp.where(flat, 0, source)
    flat = target < _EPSILON
    gain, rest = jnp.where(flat, 0, gain), jnp.where(flat, 0, rest)
    inverted = gain < 0
    gain, rest = jnp.where(inverted, 0, gain), jnp.where(inverted, target, rest)
    found.append(_Scale(gain, jnp.maximum(rest, _EPSILON), source, canvas.fitting(size, side)))
  return found
