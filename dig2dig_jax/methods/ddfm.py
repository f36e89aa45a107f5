"""What is DDFM? DDIM whose clean estimate takes an expectation-maximization step each time (arXiv 2303.06840)."""

import dataclasses
from collections.abc import Callable
from typing import Any

from dig2dig_jax.guidance.expectation_maximization import COLOURS, ROLES, expectation_maximization
from dig2dig_jax.guidance.quadratic import chain, consistent_eps
from dig2dig_jax.methods.base import Codec, Method
from dig2dig_jax.methods.options import MethodOptions, assemble, require, require_choice
from dig2dig_jax.sampling.types import Reuse


@dataclasses.dataclass(frozen=True)
class DdfmOptions(MethodOptions):
  """The released script's settings: 100 steps, lambda 0.5, rho 0.001. `weights=dig` scales the two fidelities by the
  information gains (uniform weights are exactly DDFM).

  em_lambda, em_rho: of the total-variation prior and of its splitting.
  em_colour: `corrected` works on luminance in [-1, 1], the sources' own scale; `released` on the script's YCbCr.
  em_roles: `paper` takes the first source as the infrared one; `released` swaps them, as the script's folders do.
  """

  steps: int = 100
  weights: str = "uniform"
  em_lambda: float = 0.5
  em_rho: float = 1e-3
  em_colour: str = "corrected"
  em_roles: str = "paper"

  def validate(self, num_timesteps: int, *, least_steps: int = 1) -> None:
    """Raises UserError, naming the flag, for a value that cannot run on a prior of `num_timesteps`."""
    super().validate(num_timesteps, least_steps=least_steps)
    require(
      (self.em_lambda > 0, "em_lambda", "above 0", self.em_lambda),
      (self.em_rho > 0, "em_rho", "above 0", self.em_rho),
    )
    require_choice(("em_colour", self.em_colour, COLOURS), ("em_roles", self.em_roles, ROLES))


def ddfm(
  denoiser: Callable,
  codec: Codec,
  *,
  noise: dict,
  options: DdfmOptions,
  reuse: Callable[[Any], Reuse] | None = None,
) -> Method:
  """DDFM as one `Method`, for two sources; arguments and errors as in `methods.dig2dig.dig2dig`."""
  options.validate(noise["num_timesteps"])
  correct = expectation_maximization(
    lamb=options.em_lambda, rho=options.em_rho, colour=options.em_colour, roles=options.em_roles
  )
  guidance = chain(correct, consistent_eps())
  return assemble(denoiser, codec, noise=noise, options=options, guidance=guidance, reuse=reuse)
