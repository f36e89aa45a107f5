"""What is CCF? DDIM whose clean estimate takes one optimiser step on conditions that are selected as it goes.

arXiv 2411.01573. The noise estimate stays that of the network, unlike in DDFM: so the released code does.
"""

from collections.abc import Callable
from typing import Any

import optax

from dig2dig_jax.guidance.controlled import controlled
from dig2dig_jax.methods.assembly import assemble
from dig2dig_jax.methods.base import Codec, Method
from dig2dig_jax.methods.options import CcfOptions
from dig2dig_jax.sampling.schedule import NoiseSchedule
from dig2dig_jax.sampling.types import Reuse


def ccf(
  denoiser: Callable,
  codec: Codec,
  *,
  noise: NoiseSchedule,
  options: CcfOptions,
  reuse: Callable[[Any], Reuse] | None = None,
) -> Method:
  """CCF as one `Method`; arguments and errors as in `methods.dig2dig.dig2dig`."""
  options.validate(noise.num_timesteps)
  correct = controlled(options.conditions, optimiser=optax.adam(options.rate), top_k=options.top_k)
  return assemble(denoiser, codec, noise=noise, options=options, guidance=correct, reuse=reuse)
