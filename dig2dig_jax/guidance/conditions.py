"""Which conditions does CCF have? The bank of conditions (arXiv 2411.01573), each a loss to be minimised.

A condition is a pure function `f(x0 [H, W, 3], sources [K, H, W, 3], weights [K, H, W, 1]) -> scalar` of images in
[-1, 1]; a user's own has the same signature. Weights are convex over K; with 1 / K the terms are the released
ones, quirks included. Terms that depend only on the fused image ignore the rest.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.ops import color
from dig2dig_jax.ops.arrays import Array
from dig2dig_jax.ops.filters import gaussian_kernel, separable_filter

Condition = Callable[[Array, Array, Array], Array]

_LAPLACE = np.full((3, 3), -1.0) + 9 * np.outer([0, 1, 0], [0, 1, 0])
_SOBEL_H = np.array([[1.0, 2, 1], [0, 0, 0], [-1, -2, -1]])
_RELEASED_V = np.array([[-1.0, 0, -1], [2, 0, -2], [1, 0, -1]])  # not a Sobel kernel, but that of the released code


def ssim(x0, sources, weights):
  """Minus structural similarity to the sources: 11 x 11 Gaussian window of 1.5 pixels, zeros beyond the border."""
  taps = gaussian_kernel(1.5, radius=5)

  def moments(*images):
    return (separable_filter(image, taps, border="constant") for image in images)

  def similarity(a, b):
    mean_a, mean_b, aa, bb, ab = moments(a, b, a * a, b * b, a * b)
    covariance, variances = ab - mean_a * mean_b, aa - mean_a**2 + bb - mean_b**2
    luminance = (2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4)
    return luminance * (2 * covariance + 9e-4) / (variances + 9e-4)

  maps = jax.vmap(lambda source: similarity((source + 1) / 2, (x0 + 1) / 2))(sources)
  return -_weighted_mean(maps, weights)


def mse(x0, sources, weights):
  """Mean squared difference from the sources."""
  return _weighted_mean(jax.vmap(lambda source: jnp.square(source - x0))(sources), weights)


def edge(x0, sources, weights):
  """Laplacian response against that of the last source, the visible one: the released term averages it with itself."""
  return _weighted_mean(jnp.square(_response(x0, _LAPLACE) - _response(sources[-1], _LAPLACE))[None], weights[-1:]) * (
    sources.shape[0]
  )


def edge_both(x0, sources, weights):
  """`edge` against every source, as its formula intends."""
  own = _response(x0, _LAPLACE)
  return _weighted_mean(jax.vmap(lambda source: jnp.square(own - _response(source, _LAPLACE)))(sources), weights)


def low_freq(x0, sources, weights):
  """Haar approximation against the (weighted) mean of those of the sources."""
  coarse = _haar(jnp.repeat(weights, 3, axis=-1))[0] / 2  # means of 2 x 2 weights
  return jnp.mean(jnp.square(_haar(x0)[0] - jnp.sum(coarse * _haar(sources)[0], axis=0)))


def high_freq(x0, sources, weights):
  """Haar details against the largest of those of the sources (by weighted magnitude); at a tie the later one."""
  details = _haar(sources)[1]
  magnitude = jnp.abs(details) * _haar(jnp.repeat(weights, 3, axis=-1))[0][:, None]
  target, largest = details[-1], magnitude[-1]
  for k in range(sources.shape[0] - 2, -1, -1):
    target = jnp.where(magnitude[k] > largest, details[k], target)
    largest = jnp.maximum(largest, magnitude[k])
  return jnp.mean(jnp.square(_haar(x0)[1] - target))


def sf(x0, sources, weights):
  """Minus spatial frequency of the gray image."""
  gray = color.luma(x0)
  return -_root(jnp.mean(jnp.square(jnp.diff(gray, axis=0))) + jnp.mean(jnp.square(jnp.diff(gray, axis=1))))


def ei(x0, sources, weights):
  """Minus edge intensity as released: one kernel is not a Sobel kernel, and it has no gradient."""
  return jax.lax.stop_gradient(-jnp.mean(_root(_response(x0, _SOBEL_H) ** 2 + _response(x0, _RELEASED_V) ** 2)))


def ei_sobel(x0, sources, weights):
  """Minus edge intensity by both Sobel kernels, with its gradient: `ei` as intended."""
  gray = color.luma(x0)[..., 0]
  return -jnp.mean(_root(_correlate(gray, _SOBEL_H) ** 2 + _correlate(gray, _SOBEL_H.T) ** 2))


def sd(x0, sources, weights):
  """Minus standard deviation (sample), averaged over the channels."""
  count = x0.shape[0] * x0.shape[1]
  variance = jnp.sum(jnp.square(x0 - x0.mean(axis=(0, 1), keepdims=True)), axis=(0, 1)) / (count - 1)
  return -jnp.mean(_root(variance))


CONDITIONS: dict[str, Condition] = {
  "ssim": ssim, "mse": mse, "edge": edge, "low_freq": low_freq, "high_freq": high_freq, "sf": sf, "ei": ei, "sd": sd,
  "edge_both": edge_both, "ei_sobel": ei_sobel,
}  # fmt: skip


def _weighted_mean(maps: Array, weights: Array) -> Array:
  """Sum over K of the means of weights [K, H, W, 1] x maps [K, H, W, C]."""
  return jnp.sum(jnp.mean(weights * maps, axis=(1, 2, 3)))


def _response(image: Array, kernel: np.ndarray) -> Array:
  """[H, W, 1]: gray levels 0..255 correlated with a 3 x 3 kernel, limited to 0..255 and taken back to [-1, 1]."""
  response = _correlate((color.luma(image)[..., 0] + 1) * 127.5, kernel)
  inside = (response >= 0) & (response <= 255)  # PyTorch passes the gradient at equality, jnp.clip half of it
  return (jnp.where(inside, response, jnp.clip(jax.lax.stop_gradient(response), 0, 255)) / 127.5 - 1)[..., None]


def _correlate(gray: Array, kernel: np.ndarray) -> Array:
  """Cross-correlation of [H, W] with a 3 x 3 kernel, zeros beyond the border."""
  height, width = gray.shape
  padded = jnp.pad(gray, 1)
  total = jnp.zeros_like(gray)
  for i, j in zip(*np.nonzero(kernel), strict=True):
    total += float(kernel[i, j]) * padded[i : i + height, j : j + width]
  return total


def _haar(images: Array) -> tuple[Array, Array]:
  """One orthonormal level of [..., H, W, C]: approximation [..., h, w, C], details [..., 3, h, w, C]."""
  height, width = (side // 2 * 2 for side in images.shape[-3:-1])  # an odd last line is dropped
  rows = images[..., :height, :width, :]
  a, b = rows[..., ::2, ::2, :], rows[..., ::2, 1::2, :]
  c, d = rows[..., 1::2, ::2, :], rows[..., 1::2, 1::2, :]
  return (a + b + c + d) / 2, jnp.stack([a + b - c - d, a - b + c - d, a - b - c + d], axis=-4) / 2


def _root(x: Array) -> Array:
  """Square root with slope 0 at 0."""
  positive = x > 0
  return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), 0)
