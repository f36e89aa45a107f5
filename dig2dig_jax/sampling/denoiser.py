"""How does a network become a Prediction? Wrappers that hide the parameterisation of a diffusion model."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from dig2dig_jax.ops.arrays import Image
from dig2dig_jax.sampling import process
from dig2dig_jax.sampling.parametrisation import Parametrisation, Reading, reading
from dig2dig_jax.sampling.types import Denoiser, Prediction, Reuse, StatefulDenoiser, Step

_EPS = Parametrisation()


def network_denoiser(
  apply: Callable, params: Any, parametrisation: Parametrisation = _EPS, *, clip: bool = True
) -> Denoiser:
  """Denoiser of a network whose output is defined by `parametrisation` (`sampling/parametrisation.py`).

  Args:
    apply: `apply(params, x [1, H, W, C], t [1]) -> [1, H, W, C or 2C]`; channels beyond C are the learned variance. x
      and t are the parametrisation's: for `flow` and `edm` another mixture and a non-integer time.
    params: the network's parameters, any PyTree.
    parametrisation: what the output means; noise by default.
    clip: limit x0 to [-1, 1] and re-derive eps from it, as guided-diffusion does.

  Returns:
    A `Denoiser`: `denoise(x_t [H, W, C], step) -> Prediction`.
  """

  def denoise(x_t: Image, step: Step) -> Prediction:
    call = reading(parametrisation, x_t, step)
    return _prediction(apply(params, call.x[None], call.time[None]), call, parametrisation, x_t, step, clip)

  return denoise


def eps_denoiser(apply: Callable, params: Any, *, clip: bool = True) -> Denoiser:
  """`network_denoiser` of an epsilon-predicting network: x0 = (x_t - sqrt(1 - alpha_bar) eps) / sqrt(alpha_bar)
  (Dig2DIG Eq. 10)."""
  return network_denoiser(apply, params, clip=clip)


def network_reuse(
  full: Callable, shallow: Callable, params: Any, parametrisation: Parametrisation = _EPS, *, clip: bool = True
) -> Reuse:
  """The same of a network that gives and takes deep features.

  `full(params, x, t) -> (output, features)`, `shallow(params, x, t, features) -> output`; shapes as
  `network_denoiser`'s.
  """

  def run_full(x_t, step):
    call = reading(parametrisation, x_t, step)
    output, features = full(params, call.x[None], call.time[None])
    return _prediction(output, call, parametrisation, x_t, step, clip), features

  def run_shallow(x_t, step, features):
    call = reading(parametrisation, x_t, step)
    output = shallow(params, call.x[None], call.time[None], features)
    return _prediction(output, call, parametrisation, x_t, step, clip)

  return Reuse(run_full, run_shallow)


def eps_reuse(full: Callable, shallow: Callable, params: Any, *, clip: bool = True) -> Reuse:
  """`network_reuse` of an epsilon-predicting network."""
  return network_reuse(full, shallow, params, clip=clip)


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


def _prediction(
  output, call: Reading, parametrisation: Parametrisation, x_t: Image, step: Step, clip: bool
) -> Prediction:
  output = output[0].astype(jnp.float32)
  channels = x_t.shape[-1]
  told, variance = output[..., :channels], output[..., channels:]
  x0 = call.read(told)
  if clip:
    x0 = jnp.clip(x0, -1, 1)
  if clip or parametrisation.name != "eps":
    told = process.eps_from_x0(x_t, x0, step.alpha_bar)
  return Prediction(x0, told, variance if variance.shape[-1] else None)
