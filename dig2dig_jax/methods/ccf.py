"""What is CCF? DDIM whose clean estimate takes one optimiser step on conditions that are selected as it goes.

arXiv 2411.01573. The noise estimate stays that of the network, unlike in DDFM: so the released code does.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import optax

from dig2dig_jax.errors import UserError
from dig2dig_jax.guidance.conditions import CONDITIONS
from dig2dig_jax.guidance.controlled import controlled
from dig2dig_jax.methods.base import Codec, Method
from dig2dig_jax.methods.options import MethodOptions, assemble, require
from dig2dig_jax.sampling.types import Reuse

RELEASED = ("ssim", "mse", "edge", "low_freq", "high_freq", "sf", "ei", "sd")
# Steps: half of the released. A fused example correlates with its sources by 0.57 after 20 steps, 0.91 after 60, 0.97
# after 100.
_ENOUGH = 100


@dataclasses.dataclass(frozen=True)
class CcfOptions(MethodOptions):
  """The released script's settings: 200 steps, Adam of rate 0.03, 3 of 8 conditions at a time. `weights=dig` weighs the
  source terms of the conditions by the information gains.

  conditions: names of `guidance.conditions.CONDITIONS`. top_k: how many act at a step. rate: of Adam on the image.
  """

  steps: int = 200
  weights: str = "uniform"
  conditions: tuple[str, ...] = RELEASED
  top_k: int = 3
  rate: float = 0.03

  def validate(self, num_timesteps: int, *, least_steps: int = 1) -> None:
    """Raises UserError, naming the flag, for a value that cannot run on a prior of `num_timesteps`."""
    super().validate(num_timesteps, least_steps=least_steps)
    for name in self.conditions:
      if name not in CONDITIONS:
        raise UserError(f"--conditions={name}: expected names among {', '.join(CONDITIONS)}")
    require(
      (1 <= self.top_k <= len(self.conditions), "ccf_top_k", f"1 to the {len(self.conditions)} conditions", self.top_k),
      (self.rate > 0, "ccf_rate", "above 0", self.rate),
    )

  def notes(self) -> tuple[str, ...]:
    """Its noise estimate is not corrected along with the image: what it adds in few, long steps stays as noise."""
    if self.steps >= _ENOUGH:
      return ()
    return (
      f"--steps={self.steps}: ccf as released takes {type(self)().steps}, and with less than {_ENOUGH} noise is left; "
      "raise it, or take --method=dig2dig, which needs few",
    )


def ccf(
  denoiser: Callable,
  codec: Codec,
  *,
  noise: dict,
  options: CcfOptions,
  reuse: Callable[[Any], Reuse] | None = None,
) -> Method:
  """CCF as one `Method`; arguments and errors as in `methods.dig2dig.dig2dig`."""
  options.validate(noise["num_timesteps"])
  correct = controlled(options.conditions, optimiser=optax.adam(options.rate), top_k=options.top_k)
  return assemble(denoiser, codec, noise=noise, options=options, guidance=correct, reuse=reuse)
