"""How much does each source count, where and when? Uniform weights, and the diffusion information gains of Dig2DIG.

A `Weighting` computes all its rows [U, K, H, W, 1] before the reverse steps: gains depend on the sources and on the
noise only, never on the fused image. Step number i reads row i // interval.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dig2dig_jax.ops.filters import gaussian_blur
from dig2dig_jax.sampling.gain import restoration_errors
from dig2dig_jax.sampling.types import Denoiser, Step

NORMALISATIONS = ("none", "mean_abs")


class Weighting(NamedTuple):
  """`compute(key, sources [K, H, W, C], denoise) -> rows [U, K, H, W, 1]`, convex over K; `interval` in steps;
  `evaluations`: network evaluations per source that `compute` spends, on images `scale` times smaller."""

  compute: Callable[[jax.Array, jax.Array, Denoiser], jax.Array]
  interval: int
  evaluations: int
  scale: int = 1


def uniform() -> Weighting:
  """1 / K everywhere: fixed guidance, the baseline."""

  def compute(key, sources, denoise):
    return jnp.full((1, *sources.shape[:3], 1), 1 / sources.shape[0])

  return Weighting(compute, interval=2**30, evaluations=0)


def weights_from_gains(
  gains: jax.Array, *, temperature: float, smoothing: float = 0.0, normalise: str = "none"
) -> jax.Array:
  """softmax over K of gains / temperature (Dig2DIG Eq. 11): [..., K, H, W, 1] in and out.

  smoothing: standard deviation in pixels of a Gaussian average of the gains. normalise: `mean_abs` divides by the mean
  absolute gain of the row, which makes the temperature independent of contrast and noise level.
  """
  gains = gaussian_blur(gains, smoothing)
  if normalise == "mean_abs":
    gains = gains / (jnp.mean(jnp.abs(gains), axis=(-4, -3, -2, -1), keepdims=True) + 1e-8)
  elif normalise != "none":
    raise ValueError(f"normalise: expected one of {NORMALISATIONS}, found {normalise!r}")
  return jax.nn.softmax(gains / temperature, axis=-4)


def interval_dig(steps: Step, *, interval: int = 10, weights: dict, errors: dict) -> Weighting:
  """The paper's gains (Eq. 8): between a step and the one `interval` earlier; the first row is uniform.

  `weights` and `errors` are the options of `weights_from_gains` and `restoration_errors`.
  """
  levels = jax.tree.map(lambda table: table[::interval], steps)

  def compute(key, sources, denoise):
    error = restoration_errors(key, sources, levels, denoise, **errors)
    first = jnp.full((1, *error.shape[1:]), 1 / sources.shape[0])
    return jnp.concatenate([first, weights_from_gains(error[:-1] - error[1:], **weights)])

  return Weighting(compute, interval, levels.t.shape[0] * errors.get("draws", 1), errors.get("scale", 1))


def cumulative_dig(bounds: Step, *, weights: dict, errors: dict) -> Weighting:
  """One row for all steps: the gain accumulated between two noise levels (the paper's Figure 5).

  bounds: Step [2], the noisier level first.
  """

  def compute(key, sources, denoise):
    error = restoration_errors(key, sources, bounds, denoise, **errors)
    return weights_from_gains(error[:1] - error[1:], **weights)

  return Weighting(compute, interval=2**30, evaluations=2 * errors.get("draws", 1), scale=errors.get("scale", 1))
