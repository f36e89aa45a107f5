"""Does every patch of the fused image look like the best of the sources' patches? MEF-SSIM of Ma, Zeng and Wang (2015).

Every measure here takes (sources [K, H, W], fused [H, W], size) as `canvas` explains, grey levels 0..255, and gives a
scalar 0..1, NaN where the 11 x 11 window does not fit. Luminance plays no part. Tang's and thfylsty's toolkits print
MEF-MS-SSIM as "MS_SSIM".

A reference patch is linear in the sources' patches, so that box and Gaussian filters of the images and their products
replace the loop over patches.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.metrics import canvas
from dig2dig_jax.metrics.canvas import Size

_SIDE = 11
_POWERS = np.array([0.0448, 0.2856, 0.3001]) / (0.0448 + 0.2856 + 0.3001)  # of the three scales
_C = (0.03 * 255) ** 2


def mef_ssim(sources: jax.Array, fused: jax.Array, size: Size) -> jax.Array:
  """Mean over all patches of the structural similarity of F's patch to the reference patch."""
  count = sources.shape[0]
  images = canvas.centred(jnp.concatenate([sources, fused[None]]), size)
  pairs = [(i, j) for i in range(count + 1) for j in range(i, count + 1)]
  stack = jnp.concatenate([images, jnp.stack([images[i] * images[j] for i, j in pairs])])
  # Box sums times the number of pixels stay whole numbers: whether a patch is flat is exact.
  sums = canvas.correlate(stack, np.ones(_SIDE))
  weighted = canvas.correlate(stack, canvas.gaussian(_SIDE, 1.5))
  inner = {
    pair: (_SIDE**2 * product - sums[pair[0]] * sums[pair[1]]) / _SIDE**2
    for pair, product in zip(pairs, sums[count + 1 :], strict=True)
  }  # inner products of the patches without their means
  covariance = {
    pair: product - weighted[pair[0]] * weighted[pair[1]]
    for pair, product in zip(pairs, weighted[count + 1 :], strict=True)
  }
  share = _reference(inner, count)  # of each source's patch in the reference patch, [K, H', W']
  cross = sum(share[k] * covariance[k, count] for k in range(count))
  reference = _quadratic(share, covariance, count)
  quality = (2 * cross + _C) / (reference + covariance[count, count] + _C)
  return canvas.mean(quality, canvas.fitting(size, _SIDE))


def mef_ms_ssim(sources: jax.Array, fused: jax.Array, size: Size) -> jax.Array:
  """MEF-SSIM at three scales, 2 x 2 means and every second pixel between them, multiplied to the powers of MS-SSIM."""
  value = 1.0
  for scale, power in enumerate(_POWERS):
    if scale:
      images, size = _halved(jnp.concatenate([sources, fused[None]]), size)
      sources, fused = images[:-1], images[-1]
    value *= mef_ssim(sources, fused, size) ** power
  return value


def _reference(inner, count: int) -> jax.Array:
  """Sources' factors in the reference patch: weighted by contrast, rescaled to the strongest source's contrast."""
  norms = jnp.sqrt(jnp.maximum(jnp.stack([inner[k, k] for k in range(count)]), 0))
  strengths = norms + 0.001
  together = jnp.sqrt(jnp.maximum(_quadratic(jnp.ones((count, 1, 1), norms.dtype), inner, count), 0))
  single = jnp.sum(norms, axis=0)
  consistency = jnp.clip(jnp.where(single > 0, together / jnp.where(single > 0, single, 1), 0), 0, 1)
  # At full consistency the tangent is unbounded, and so is what rounding makes of it: 10 either way.
  power = jnp.where(consistency > 0.95, 10, jnp.minimum(jnp.tan(math.pi / 2 * jnp.minimum(consistency, 0.95)), 10))
  weights = (strengths / _SIDE) ** power[None] + float(np.finfo(np.float64).eps)
  weights = weights / jnp.sum(weights, axis=0, keepdims=True)
  share = weights / strengths
  length = jnp.sqrt(jnp.maximum(_quadratic(share, inner, count), 0))
  scale = jnp.where(length > 0, jnp.max(strengths, axis=0) / jnp.where(length > 0, length, 1), 0)
  return share * scale[None]


def _quadratic(factors: jax.Array, products, count: int) -> jax.Array:
  """sum_kl factors_k factors_l products_kl over the sources."""
  return sum(
    (1 if i == j else 2) * factors[i] * factors[j] * products[i, j] for i in range(count) for j in range(i, count)
  )


def _halved(x: jax.Array, size: Size) -> tuple[jax.Array, Size]:
  """2 x 2 means at every second pixel, the last row and column repeated where a side is odd."""
  frame = canvas.framed(x, size, "edge")[:, 1:, 1:]
  x = (frame[:, :-1, :-1] + frame[:, 1:, :-1] + frame[:, :-1, 1:] + frame[:, 1:, 1:]) / 4
  return x[:, ::2, ::2], (-(-size[0] // 2), -(-size[1] // 2))
