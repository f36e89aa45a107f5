"""A prior N(mean, spread^2 I): its denoiser, and what follows from it in closed form (float64 numpy).

At signal level a the noised marginal has variance a s^2 + 1 - a, so E[x0 | x_t] = m + g (x_t - sqrt(a) m) with the
gain g = sqrt(a) s^2 / (a s^2 + 1 - a), which is also the Jacobian of the clean estimate.
"""

import jax.numpy as jnp
import numpy as np

from dig2dig_jax.sampling import process
from dig2dig_jax.sampling.types import Prediction


def gain(a, spread):
  """g of the module's docstring, for numbers or arrays of either library."""
  return a**0.5 * spread**2 / (a * spread**2 + 1 - a)


def denoiser(mean, spread):
  """The exact Denoiser of the prior; `mean` is a number or [H, W, C]."""

  def denoise(x_t, step):
    a = step.alpha_bar
    x0 = mean + gain(a, spread) * (x_t - jnp.sqrt(a) * mean)
    return Prediction(x0, process.eps_from_x0(x_t, x0, a))

  return denoise


def levels(steps):
  """(alpha_bar, alpha_bar_prev) of a stacked Step as float64 numpy: what the float32 run really uses."""
  return np.asarray(steps.alpha_bar, np.float64), np.asarray(steps.alpha_bar_prev, np.float64)


def expected_error(source, a, mean, spread):
  """E over the noise of (x0hat - y)^2 for x_t = sqrt(a) y + sqrt(1 - a) n: bias squared plus variance."""
  g = gain(a, spread)
  return (1 - g * a**0.5) ** 2 * (source - mean) ** 2 + g**2 * (1 - a)


def posterior_strength(spread, noise):
  """lambda_t of `dps` for r_t^2 = noise^2 + Var(x0 | x_t): with it p(y | x_t) is exact for y = x0 + noise."""

  def strength(step):
    a = step.alpha_bar
    return (1 - a) / (a * (noise**2 + spread**2 * (1 - a) / (a * spread**2 + 1 - a)))

  return strength


def guided_path(x, steps, *, mean, spread, target, strength):
  """All x_{t-1} [S, ...] of DDIM whose clean estimate is drawn to `target` by `strength` (one per step, or a number).

  DDIM with a consistent eps is x' = r x + (sqrt(a') - r sqrt(a)) x0 with r = sqrt((1 - a') / (1 - a)), and x0 is affine
  in x: the run is an affine recursion.
  """
  x, path = np.asarray(x, np.float64), []
  strength = np.broadcast_to(np.asarray(strength, np.float64), steps.t.shape)
  for a, a_prev, amount in zip(*levels(steps), strength, strict=True):
    ratio = np.sqrt((1 - a_prev) / (1 - a))
    of_x0 = np.sqrt(a_prev) - ratio * np.sqrt(a)
    slope = (1 - amount) * gain(a, spread)
    offset = (1 - amount) * (mean - gain(a, spread) * np.sqrt(a) * mean) + amount * np.asarray(target, np.float64)
    x = (ratio + of_x0 * slope) * x + of_x0 * offset
    path.append(x)
  return np.array(path)


def flow(x, a, mean, spread):
  """Where the probability flow takes x at signal level a: the clean sample of N(mean, spread^2)."""
  return mean + spread / np.sqrt(a * spread**2 + 1 - a) * (np.asarray(x, np.float64) - np.sqrt(a) * mean)
