"""What is DDFM? DDIM whose clean estimate takes an expectation-maximization step each time (arXiv 2303.06840)."""

from collections.abc import Callable
from typing import Any

from dig2dig_jax.guidance.expectation_maximization import expectation_maximization
from dig2dig_jax.guidance.quadratic import chain, consistent_eps
from dig2dig_jax.methods.assembly import assemble
from dig2dig_jax.methods.base import Codec, Method
from dig2dig_jax.methods.options import DdfmOptions
from dig2dig_jax.sampling.schedule import NoiseSchedule
from dig2dig_jax.sampling.types import Reuse


def ddfm(
  denoiser: Callable,
  codec: Codec,
  *,
  noise: NoiseSchedule,
  options: DdfmOptions,
  reuse: Callable[[Any], Reuse] | None = None,
) -> Method:
  """DDFM as one `Method`, for two sources; arguments and errors as in `methods.dig2dig.dig2dig`."""
  options.validate(noise.num_timesteps)
  correct = expectation_maximization(
    lamb=options.em_lambda, rho=options.em_rho, colour=options.em_colour, roles=options.em_roles
  )
  guidance = chain(correct, consistent_eps())
  return assemble(denoiser, codec, noise=noise, options=options, guidance=guidance, reuse=reuse)
