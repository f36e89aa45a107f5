"""How does a network become a Prediction? Wrappers that hide the parameterisation of a diffusion model."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from dig2dig_jax.ops.arrays import Image
from dig2dig_jax.sampling import process
from dig2dig_jax.sampling.types import Denoiser, Prediction, Reuse, StatefulDenoiser, Step


def eps_denoiser(apply: Callable, params: Any, *, clip: bool = True) -> Denoiser:
  """Denoiser of an epsilon-predicting network: x0 = (x_t - sqrt(1 - alpha_bar) eps) / sqrt(alpha_bar) (Dig2DIG Eq. 10).

  `apply(params, x [1, H, W, C], t [1]) -> [1, H, W, C or 2C]`; channels beyond C are the learned variance.
  With `clip`, x0 is limited to [-1, 1] and eps re-derived from it, as guided-diffusion does.
  """

  def denoise(x_t: Image, step: Step) -> Prediction:
    return _prediction(apply(params, x_t[None], step.t[None]), x_t, step, clip)

  return denoise


def eps_reuse(full: Callable, shallow: Callable, params: Any, *, clip: bool = True) -> Reuse:
  """The same of a network that gives and takes deep features.

  `full(params, x, t) -> (output, features)`, `shallow(params, x, t, features) -> output`; shapes as `eps_denoiser`'s.
  """

  def run_full(x_t, step):
    output, features = full(params, x_t[None], step.t[None])
    return _prediction(output, x_t, step, clip), features

  def run_shallow(x_t, step, features):
    return _prediction(shallow(params, x_t[None], step.t[None], features), x_t, step, clip)

  return Reuse(run_full, run_shallow)


def reusing(reuse: Reuse, every: int) -> StatefulDenoiser:
  """The whole network at every `every`th step from the first on; its deep features are reused in between."""

  def init(x_t, step):
    _, shapes = jax.eval_shape(reuse.full, x_t, step)
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

  def update(x_t, step, features):
    return jax.lax.cond(
      step.index % every == 0,
      lambda: reuse.full(x_t, step),
      lambda: (reuse.shallow(x_t, step, features), features),
    )

  return StatefulDenoiser(init, update)


def _prediction(output, x_t: Image, step: Step, clip: bool) -> Prediction:
  output = output[0].astype(jnp.float32)
  channels = x_t.shape[-1]
  eps, variance = output[..., :channels], output[..., channels:]
  x0 = process.x0_from_eps(x_t, eps, step.alpha_bar)
  if clip:
    x0 = jnp.clip(x0, -1, 1)
    eps = process.eps_from_x0(x_t, x0, step.alpha_bar)
  return Prediction(x0, eps, variance if variance.shape[-1] else None)
