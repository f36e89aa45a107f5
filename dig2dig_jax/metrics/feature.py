"""How much do local patterns of the sources and the fused image tell about each other? Haghighat's FMI (2011, 2014).

`fmi` takes (sources [K, H, W], fused [H, W], size) as `canvas` explains, and gives a scalar 0..1. The
original is ill-conditioned: a window flat in both images gives 0 or 1 as rounding decides. Here equal windows give 1
and other flat ones 0. A copy of one source wins; low value, high cost.
"""

import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.metrics import canvas
from dig2dig_jax.metrics.canvas import Size

_SIDE = 3
_PIXELS = _SIDE**2
_TINY = 1e-12  # of a variance or a probability: below it stands rounding


def fmi(sources: jax.Array, fused: jax.Array, size: Size, *, feature: str = "none") -> jax.Array:
  """Mean over the sources and all 3 x 3 windows of 2 MI / (H + H) between the windows' patterns.

  A pattern is the window's features, stretched to 0..1 and divided by their sum, read as a distribution over its nine
  pixels; their joint distribution is Nelsen's mixture of independence and the Frechet bound, with the correlation of
  the patterns. feature: "none", "gradient" (horizontal) or "dct" (of the whole image).
  """
  windows = _windows(_features(jnp.concatenate([sources, fused[None]]), size, feature))
  patterns = _patterns(windows)
  inner = canvas.fitting(size, _SIDE)
  values = []
  for window, pattern in zip(windows[:-1], patterns[:-1], strict=True):
    same = jnp.all(window == windows[-1], axis=0)
    values.append(canvas.mean(jnp.where(same, 1, _information(pattern, patterns[-1])), inner))
  return jnp.mean(jnp.stack(values))


def _features(images: jax.Array, size: Size, feature: str) -> jax.Array:
  if feature == "none":
    return images
  if feature == "gradient":
    frame = canvas.framed(images, size, "edge")[:, 1:-1]
    index = jnp.arange(images.shape[2])
    ends = jnp.logical_or(index == 0, index == size[1] - 1)
    return (frame[..., 2:] - frame[..., :-2]) * jnp.where(ends, 1, 0.5).astype(images.dtype)[None, None]
  if feature == "dct":
    rows, columns = (_cosines(n, length, images.dtype) for n, length in zip(images.shape[1:], size, strict=True))
    highest = jax.lax.Precision.HIGHEST
    return jnp.einsum("ij,kjw,vw->kiv", rows, images, columns, precision=highest)
  raise ValueError(f'feature: expected "none", "gradient" or "dct", found {feature!r}')


def _cosines(extent: int, length, dtype) -> jax.Array:
  """Orthonormal DCT-II of the first `length` of `extent` samples, as a matrix."""
  index = jnp.arange(extent)
  length = jnp.asarray(length).astype(dtype)
  matrix = jnp.cos(np.pi / length * (index[None] + 0.5).astype(dtype) * index[:, None].astype(dtype))
  matrix = matrix * jnp.where(index == 0, jnp.sqrt(1 / length), jnp.sqrt(2 / length))[:, None]
  return jnp.where(index[None] < length, matrix, 0)


def _windows(images: jax.Array) -> jax.Array:
  """[n, H, W] -> [n, 9, H - 2, W - 2], a window's pixels column by column."""
  h, w = (n - _SIDE + 1 for n in images.shape[1:])
  return jnp.stack([images[:, i : i + h, j : j + w] for j in range(_SIDE) for i in range(_SIDE)], axis=1)


def _patterns(windows: jax.Array) -> jax.Array:
  """Each window as a distribution over its nine pixels."""
  lowest, highest = windows.min(axis=1, keepdims=True), windows.max(axis=1, keepdims=True)
  flat = highest == lowest
  stretched = jnp.where(flat, 1, (windows - lowest) / jnp.where(flat, 1, highest - lowest))
  return stretched / jnp.sum(stretched, axis=1, keepdims=True)


def _information(a: jax.Array, b: jax.Array) -> jax.Array:
  """2 MI / (H + H) of patterns [9, H', W'] -> [H', W']."""
  correlation = _correlation(a, b)
  upper = (correlation >= 0)[None]
  cumulative_a, cumulative_b = jnp.cumsum(a, axis=0), jnp.cumsum(b, axis=0)

  def bound(x):  # [9, H', W']: the joint cumulative distribution at its extreme, where that of a is x
    return jnp.where(upper, jnp.minimum(x[None], cumulative_b), jnp.maximum(x[None] + cumulative_b - 1, 0))

  # Hoeffding: a covariance is the sum of the joint minus the product of the single cumulative distributions.
  def add(covariance, x):
    return covariance + jnp.sum(bound(x) - x[None] * cumulative_b, axis=0), None

  covariance, _ = jax.lax.scan(add, jnp.zeros_like(correlation), cumulative_a)
  scale = _deviation(a) * _deviation(b)
  known = jnp.logical_and(correlation != 0, scale > _TINY)
  mixing = jnp.where(known, correlation * scale / jnp.where(known, covariance, 1), 0)[None]

  def subtract(carry, row):  # one row of the joint distribution
    entropy, before = carry
    p, x = row
    now = bound(x)
    steps = now - before
    mass = jnp.concatenate([steps[:1], steps[1:] - steps[:-1]])
    joint = mixing * mass + (1 - mixing) * p[None] * b
    # A mixture beyond the bound has negative entries; the original takes the real part of their logarithm.
    size = jnp.abs(joint)
    return (entropy - jnp.sum(joint * jnp.log(jnp.where(size > 0, size, 1)), axis=0), now), None

  start = (jnp.zeros_like(correlation), jnp.zeros_like(b))
  (joint_entropy, _), _ = jax.lax.scan(subtract, start, (a, cumulative_a))
  entropies = _entropy(a) + _entropy(b)
  return jnp.where(entropies > 0, 2 * (entropies - joint_entropy) / jnp.where(entropies > 0, entropies, 1), 0)


def _correlation(a, b):
  a, b = a - 1 / _PIXELS, b - 1 / _PIXELS  # their means: both sum to 1
  scale_a, scale_b = jnp.sum(a * a, axis=0), jnp.sum(b * b, axis=0)
  known = jnp.logical_and(scale_a > _TINY, scale_b > _TINY)
  return jnp.where(known, jnp.sum(a * b, axis=0) / jnp.sqrt(jnp.where(known, scale_a * scale_b, 1)), 0)


def _deviation(p):
  """Standard deviation of the pixel's number, 1 to 9, under p."""
  number = jnp.arange(1, _PIXELS + 1, dtype=p.dtype)[:, None, None]
  mean = jnp.sum(number * p, axis=0, keepdims=True)
  return jnp.sqrt(jnp.sum((number - mean) ** 2 * p, axis=0))


def _entropy(p):
  return jnp.sum(p * jnp.log(1 / jnp.where(p > 0, p, 1)), axis=0)
