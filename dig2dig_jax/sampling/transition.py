"""How is x_{t-1} drawn from x_t and a (possibly guided) prediction? Constructors of `Transition(init, update)` pairs.

All take the prediction as given: guidance has already corrected x0 and chosen whether eps follows it. The last step
(alpha_bar_prev = 1) draws no noise and, for ddim and dpm_solver_pp_2m, returns x0 itself. Pure; fit for scan and vmap.
`ddim_moments` and `ancestral_moments` are the transitions without their noise, for runs with recorded noise.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dig2dig_jax.errors import UserError
from dig2dig_jax.ops.arrays import Array, Image, Scalar
from dig2dig_jax.sampling import process
from dig2dig_jax.sampling.types import Prediction, Step, Transition

VARIANCES = ("learned_range", "fixed_small", "fixed_large")


def ddim_moments(prediction: Prediction, step: Step, *, eta: float = 0.0) -> tuple[Image, Scalar]:
  """Mean and standard deviation of the DDIM step (Song et al., arXiv 2010.02502, Eq. 12 and 16).

  sigma = eta sqrt((1 - a') / (1 - a)) sqrt(1 - a / a'); mean = sqrt(a') x0 + sqrt(1 - a' - sigma^2) eps.
  """
  a, a_prev = step.alpha_bar, step.alpha_bar_prev
  if eta == 0:  # without the roots of zero, whose gradient in a learned alpha_bar is not finite
    return jnp.sqrt(a_prev) * prediction.x0 + jnp.sqrt(1 - a_prev) * prediction.eps, jnp.zeros_like(a)
  sigma = eta * jnp.sqrt((1 - a_prev) / (1 - a)) * jnp.sqrt(1 - a / a_prev)
  # At eta = 1 and almost no signal the remainder is a difference of equals, which rounding may take below zero.
  towards = jnp.sqrt(jnp.maximum(1 - a_prev - sigma**2, 0.0))
  return jnp.sqrt(a_prev) * prediction.x0 + towards * prediction.eps, sigma


def ddim(*, eta: float = 0.0) -> Transition:
  """DDIM: deterministic at eta = 0, as noisy as the ancestral sampler at eta = 1.

  Args:
    eta: share of the noise, 0 to 1.

  Returns:
    A `Transition`.

  Raises:
    UserError: for eta outside [0, 1].
  """
  if not 0 <= eta <= 1:
    raise UserError(f"eta: expected a number from 0 to 1, found {eta}; 0 is deterministic")

  def update(key, x_t, prediction, step, state):
    mean, sigma = ddim_moments(prediction, step, eta=eta)
    if eta == 0:
      return mean, state
    return mean + sigma * jax.random.normal(key, x_t.shape, x_t.dtype), state

  return Transition(init=lambda x: (), update=update)


def ancestral_moments(
  x_t: Image, prediction: Prediction, step: Step, *, variance: str = "learned_range"
) -> tuple[Image, Scalar | Image]:
  """Mean of q(x_{t-1} | x_t, x0) and log variance (one if fixed, an image if learned) of the DDPM step.

  The log variance is finite at the last step too, where no noise is drawn.
  """
  if variance not in VARIANCES:
    raise UserError(f"variance: expected {', '.join(VARIANCES)}, found {variance!r}; use one of these")
  mean = process.posterior_mean(prediction.x0, x_t, step)
  if variance == "fixed_small":
    return mean, process.fixed_small_log_variance(step)
  if variance == "fixed_large":
    return mean, process.fixed_large_log_variance(step)
  if prediction.variance is None:
    raise UserError(
      "variance: expected a network with variance channels for learned_range, found one without; "
      "use fixed_small or fixed_large"
    )
  return mean, process.learned_range_log_variance(prediction.variance, step)


def ancestral(*, variance: str = "learned_range") -> Transition:
  """DDPM's ancestral sampling: the posterior mean of prediction.x0 and x_t, plus noise of the chosen variance; eps is
  unused.

  Args:
    variance: `learned_range`, of networks that predict it; `fixed_small` or `fixed_large`.

  Returns:
    A `Transition`.

  Raises:
    UserError: for an unknown variance.
  """
  if variance not in VARIANCES:
    raise UserError(f"variance: expected {', '.join(VARIANCES)}, found {variance!r}; use one of these")

  def update(key, x_t, prediction, step, state):
    mean, log_variance = ancestral_moments(x_t, prediction, step, variance=variance)
    noise = jax.random.normal(key, x_t.shape, x_t.dtype)
    return mean + jnp.where(process.is_last(step), 0.0, jnp.exp(0.5 * log_variance)) * noise, state

  return Transition(init=lambda x: (), update=update)


class History(NamedTuple):
  """What the two-step solver remembers of the previous step."""

  x0: Image  # its (guided) clean estimate
  half_log_snr: Scalar  # its lambda
  known: Array  # [] bool, False before the first step


def dpm_solver_pp_2m() -> Transition:
  """DPM-Solver++(2M), second order in lambda = log(alpha / sigma) (Lu et al., arXiv 2211.01095, algorithm 2).

  x' = (sigma' / sigma) x_t + (alpha' - sigma' alpha / sigma) D, where D is x0 extrapolated through the previous step's
  x0 to the middle of this one. First and last step are first order (D = x0). Uses x0 alone: eps and key are ignored.

  Returns:
    A `Transition`, whose state is the previous step's x0.
  """

  def init(x):
    return History(x0=jnp.zeros_like(x), half_log_snr=jnp.zeros((), x.dtype), known=jnp.zeros((), bool))

  def update(key, x_t, prediction, step, state):
    del key
    x0 = prediction.x0
    alpha, sigma = jnp.sqrt(step.alpha_bar), jnp.sqrt(1 - step.alpha_bar)
    alpha_prev, sigma_prev = jnp.sqrt(step.alpha_bar_prev), jnp.sqrt(1 - step.alpha_bar_prev)
    now = process.half_log_snr(step.alpha_bar)
    second_order = state.known & ~process.is_last(step)
    # The step's length in lambda is infinite at the last step and meaningless at the first: harmless values there.
    length = process.half_log_snr(jnp.where(second_order, step.alpha_bar_prev, 0.5)) - now
    length_before = jnp.where(second_order, now - state.half_log_snr, 1.0)
    slope = jnp.where(second_order, length / (2 * length_before), 0.0)
    target = x0 + slope * (x0 - state.x0)
    x_prev = (sigma_prev / sigma) * x_t + (alpha_prev - sigma_prev * alpha / sigma) * target
    return x_prev, History(x0=x0, half_log_snr=now, known=jnp.ones((), bool))

  return Transition(init=init, update=update)


TRANSITIONS: dict[str, Callable[..., Transition]] = {
  "ddim": ddim, "ancestral": ancestral, "dpm_solver_pp_2m": dpm_solver_pp_2m
}  # fmt: skip
