"""Which colour has an image on average? What a network's loss hardly sees, from a set of images instead."""

import jax.numpy as jnp

from dig2dig_jax.ops.arrays import Array
from dig2dig_jax.sampling import process
from dig2dig_jax.sampling.types import Correction


def mean_colour(mean: Array, covariance: Array) -> Correction:
  """The mean over pixels of x0 becomes its posterior mean; everything else of x0 stays, and eps follows.

  With N pixels and s = sqrt(alpha_bar), the mean of x_t is N(s c, (1 - alpha_bar) / N) for the colour c, so that
  E[c | x_t] = m + s S (s^2 S + (1 - alpha_bar) / N)^-1 (mean x_t - s m). A loss over pixels is hardly affected by
  what a network says of c, an N-th of it; the noisiest steps divide its error by s, below 0.01 there, and it comes
  out as a cast.

  Args:
    mean: m [C], of the images' mean colours, in [-1, 1].
    covariance: S [C, C], of them.

  Returns:
    A `Correction`, for `sample`.
  """

  def update(key, prediction, x_t, step, state):
    height, width, channels = x_t.shape
    signal = jnp.sqrt(step.alpha_bar)
    observed = step.alpha_bar * covariance + (1 - step.alpha_bar) / (height * width) * jnp.eye(channels)
    surprise = jnp.mean(x_t, axis=(0, 1)) - signal * mean
    wanted = mean + signal * covariance @ jnp.linalg.solve(observed, surprise)
    shift = wanted - jnp.mean(prediction.x0, axis=(0, 1))
    x0 = prediction.x0 + shift[None, None]
    return prediction._replace(x0=x0, eps=process.eps_from_x0(x_t, x0, step.alpha_bar)), state

  return Correction(lambda: (), update)
