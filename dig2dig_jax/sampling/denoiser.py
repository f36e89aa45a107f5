"""How does a network become a Prediction? Wrappers that hide the parameterisation of a diffusion model."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from dig2dig_jax.sampling import process
from dig2dig_jax.sampling.types import Denoiser, Prediction, Step


def eps_denoiser(apply: Callable, params: Any, *, clip: bool = True) -> Denoiser:
  """Denoiser of an epsilon-predicting network: x0 = (x_t - sqrt(1 - alpha_bar) eps) / sqrt(alpha_bar) (Dig2DIG Eq. 10).

  `apply(params, x [1, H, W, C], t [1]) -> [1, H, W, C or 2C]`; channels beyond C are the learned variance.
  With `clip`, x0 is limited to [-1, 1] and eps re-derived from it, as guided-diffusion does.
  """

  def denoise(x_t: jax.Array, step: Step) -> Prediction:
    output = apply(params, x_t[None], step.t[None])[0].astype(jnp.float32)
    channels = x_t.shape[-1]
    eps, variance = output[..., :channels], output[..., channels:]
    x0 = process.x0_from_eps(x_t, eps, step.alpha_bar)
    if clip:
      x0 = jnp.clip(x0, -1, 1)
      eps = process.eps_from_x0(x_t, x0, step.alpha_bar)
    return Prediction(x0, eps, variance if variance.shape[-1] else None)

  return denoise
