"""What does the noising process q say? x_t = sqrt(a) x0 + sqrt(1 - a) eps, with a = alpha_bar, as pure functions.

Images have any shape and any range; alpha_bar and the fields of `step` are scalars (or broadcast against the image).
All float32: near t = 0 the float32 alpha_bar fixes 1 - alpha_bar only to about 3e-8, which is the schedule that is run.
"""

import jax.numpy as jnp

from dig2dig_jax.ops.arrays import Array
from dig2dig_jax.sampling.types import Step


def q_sample(x0: Array, noise: Array, alpha_bar: Array | float) -> Array:
  """Draw of q(x_t | x_0): the clean image at signal level alpha_bar, given standard normal `noise` of its shape."""
  return jnp.sqrt(alpha_bar) * x0 + jnp.sqrt(1 - alpha_bar) * noise


def x0_from_eps(x_t: Array, eps: Array, alpha_bar: Array | float) -> Array:
  """Clean image that x_t and a noise estimate imply (paper Eq. 10, 26). Not clipped."""
  return (x_t - jnp.sqrt(1 - alpha_bar) * eps) / jnp.sqrt(alpha_bar)


def eps_from_x0(x_t: Array, x0: Array, alpha_bar: Array | float) -> Array:
  """Noise that x_t and a clean estimate imply; alpha_bar < 1. Inverse of `x0_from_eps`."""
  return (x_t - jnp.sqrt(alpha_bar) * x0) / jnp.sqrt(1 - alpha_bar)


def half_log_snr(alpha_bar: Array | float) -> Array:
  """lambda = log(sqrt(a) / sqrt(1 - a)), 0 < a < 1: the clock of DPM-Solver. Grows as noise falls."""
  return 0.5 * (jnp.log(alpha_bar) - jnp.log1p(-alpha_bar))


def is_last(step: Step) -> Array:
  """True at the step that lands on the clean image: nothing is drawn there."""
  return step.alpha_bar_prev == 1


def posterior_mean(x0: Array, x_t: Array, step: Step) -> Array:
  """Mean of q(x_{t-1} | x_t, x_0) = (beta sqrt(a') x0 + (1 - a') sqrt(a / a') x_t) / (1 - a), a' the next a."""
  a, a_prev = step.alpha_bar, step.alpha_bar_prev
  # 1 - a loses its digits in float32 as a -> 1. The two logs keep theirs: ratio = (1 - a') / (1 - a), and from
  # 1 - a = (1 - a') + a' beta follows beta / (1 - a) = (1 - ratio) / a', which is exact where the quotient is not.
  ratio = jnp.where(is_last(step), 0.0, jnp.exp(step.posterior_log_variance - step.log_beta))
  share = jnp.where(a > 0.5, (1 - ratio) / a_prev, jnp.exp(step.log_beta) / (1 - a))
  return share * jnp.sqrt(a_prev) * x0 + ratio * jnp.sqrt(a / a_prev) * x_t


def learned_range_log_variance(v: Array, step: Step) -> Array:
  """Log variance of a learned-sigma network: v in about [-1, 1] goes from the posterior's to log beta, not clamped."""
  fraction = (v + 1) / 2
  return fraction * step.log_beta + (1 - fraction) * step.posterior_log_variance


def fixed_large_log_variance(step: Step) -> Array:
  """Log beta; at the last step the clipped posterior log variance, as guided-diffusion has it."""
  return jnp.where(is_last(step), step.posterior_log_variance, step.log_beta)


def fixed_small_log_variance(step: Step) -> Array:
  """Log variance of q(x_{t-1} | x_t, x_0), clipped at the last step."""
  return step.posterior_log_variance
