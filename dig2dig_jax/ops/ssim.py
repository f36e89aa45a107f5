"""Local structural similarity as a map: used as a distance by the gains. (Scores are in `metrics`.)"""

import jax
import jax.numpy as jnp

from dig2dig_jax.ops.filters import gaussian_kernel, separable_filter


def ssim_map(a: jax.Array, b: jax.Array, *, data_range: float = 2.0) -> jax.Array:
  """Per-pixel SSIM of [..., H, W, C] images, Wang et al. 2004: 11 x 11 Gaussian window of standard deviation 1.5,
  K1 = 0.01, K2 = 0.03, population moments, mirrored borders. Values in [-1, 1]."""
  c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
  taps = gaussian_kernel(1.5, radius=5)
  mean_a, mean_b = separable_filter(a, taps), separable_filter(b, taps)
  # Moments of differences from the mean would need a window per pixel; E[x^2] - mean^2 can dip below zero by rounding.
  variance_a = jnp.maximum(separable_filter(a * a, taps) - mean_a**2, 0)
  variance_b = jnp.maximum(separable_filter(b * b, taps) - mean_b**2, 0)
  covariance = separable_filter(a * b, taps) - mean_a * mean_b
  luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
  return luminance * (2 * covariance + c2) / (variance_a + variance_b + c2)
