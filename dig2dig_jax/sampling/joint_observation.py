"""How does DRFusion sample? DDIM on [source 1, source 2, fused], whose three estimates each step corrects together.

Shi et al., arXiv 2604.08922, and its released code. Values are in [0, 1]; the noise levels are learned, the run starts
from the observations without noise, and the corrections are scaled for noise as DDNM+ does (arXiv 2212.00490, Eq. 17).
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Float

from dig2dig_jax.errors import UserError
from dig2dig_jax.ops.arrays import Array, Image, Images
from dig2dig_jax.sampling.types import Denoiser, Guidance, Prediction, Step

SIGMA_Y = 0.03  # standard deviation of the observations' noise that the released code assumes, whatever it is
_TINY = 1e-12


def learned_steps(alpha: Array) -> Step:
  """Step [T], t = T .. 1, of the learned `alpha` [T]: alpha_bar_t = alpha_1 ... alpha_t, alpha_bar_0 = 1.

  alpha is unconstrained, as published. The fields of other samplers' variances are 0.
  """
  levels = jnp.concatenate([jnp.ones(1, alpha.dtype), jnp.cumprod(alpha)])
  count = alpha.shape[0]
  return Step(
    index=jnp.arange(count, dtype=jnp.int32),
    t=jnp.arange(count, 0, -1, dtype=jnp.int32),
    alpha_bar=levels[:0:-1],
    alpha_bar_prev=levels[-2::-1],
    log_beta=jnp.zeros(count),
    posterior_log_variance=jnp.zeros(count),
  )


def start(sources: Images, steps: Step) -> Float[Array, "H W 3"]:
  """x_T [H, W, 3] = sqrt(alpha_bar_T) [y_1, y_2, (y_1 + y_2) / 2] of two sources. No noise."""
  first, second = _two(sources)
  return jnp.sqrt(steps.alpha_bar[0]) * jnp.concatenate([first, second, (first + second) / 2], axis=-1)


def noise_and_mask_denoiser(apply: Callable, params: Any) -> Denoiser:
  """Denoiser of `apply(params, x [1, H, W, 3], t [1]) -> (noise, mask [1, H, W, 1])`; nothing is clipped."""

  def denoise(x_t: Image, step: Step) -> Prediction:
    noise, mask = (output[0] for output in apply(params, x_t[None], step.t[None]))
    x0 = (x_t - jnp.sqrt(1 - step.alpha_bar) * noise) / jnp.sqrt(step.alpha_bar)
    return Prediction(x0, noise, mask=mask)

  return denoise


def correction_scale(alpha_bar: Array, alpha_bar_prev: Array, sigma_y: Array | float = SIGMA_Y) -> Array:
  """lambda of DDNM+ in [0, 1]: 1 where the step's own noise covers that of the observation, else their ratio.

  sigma = sqrt(beta (1 - a') / (1 - a)), c = sqrt(a') beta / (1 - a), beta = 1 - a / a';
  lambda = min(1, sigma / (c sigma_y)). At the last step (a' = 1) sigma is its floor and lambda nearly 0.
  """
  beta = 1 - alpha_bar / jnp.maximum(alpha_bar_prev, _TINY)
  noise = jnp.maximum(1 - alpha_bar, _TINY)
  sigma = jnp.sqrt(jnp.maximum(beta * (1 - alpha_bar_prev) / noise, _TINY))
  carried = jnp.sqrt(jnp.maximum(alpha_bar_prev, _TINY)) * beta / noise * sigma_y
  return jnp.where(sigma >= carried, 1.0, sigma / jnp.maximum(carried, _TINY))


def joint_observation(sigma_y: float = SIGMA_Y, *, correct: bool = True) -> Guidance:
  """Pulls both source channels to their observations by lambda, then the fused one to the masked sum of both.

  a <- a - l (a - y1), b <- b - l (b - y2), f <- f - l (m (a - y1) + (1 - m) (b - y2) - m y1 - (1 - m) y2 + f) with
  the new a, b. eps stays the network's. The state, and the trace, hold the masks as `source_weights` [2, H, W, 1].
  correct: False leaves the network's estimates as they are, l = 0, to see what the correction does.
  """

  def init(sources):
    return jnp.zeros(_two(sources).shape)

  def update(prediction, state, sources, *, step, **kw):
    scale = correction_scale(step.alpha_bar, step.alpha_bar_prev, sigma_y) if correct else 0.0
    first, second = sources
    a, b, fused = jnp.split(prediction.x0, 3, axis=-1)
    mask = prediction.mask
    a = a - scale * (a - first)
    b = b - scale * (b - second)
    residual = mask * (a - first) + (1 - mask) * (b - second) - mask * first - (1 - mask) * second + fused
    x0 = jnp.concatenate([a, b, fused - scale * residual], axis=-1)
    return prediction._replace(x0=x0), jnp.stack([mask, 1 - mask])

  return Guidance(init, update, diagnose=lambda state: {"source_weights": state})


def _two(sources: Images) -> Images:
  if sources.shape[0] != 2:
    raise UserError(f"--method=drfusion fuses two sources, found {sources.shape[0]}; use --method=dig2dig or ccf")
  return sources
