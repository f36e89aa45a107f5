"""What is CCF? DDIM whose clean estimate takes one optimiser step on conditions that are selected as it goes.

arXiv 2411.01573. The noise estimate stays that of the network, unlike in DDFM: so the released code does.
"""

import optax

from dig2dig_jax.guidance.controlled import controlled
from dig2dig_jax.methods.assembly import assemble
from dig2dig_jax.methods.base import Method, PriorLike
from dig2dig_jax.methods.codec import Codec
from dig2dig_jax.methods.option import of_kind
from dig2dig_jax.methods.options import CcfOptions


def ccf(prior: PriorLike, codec: Codec, *, options: CcfOptions) -> Method:
  """CCF as one `Method`.

  Args:
    prior: such as `load_prior` gives.
    codec: converts between images [K, H, W, 3] and the prior's input.
    options: see `CcfOptions`.

  Returns:
    A `Method`, for `fuse`.

  Raises:
    UserError: for options out of bounds, and for `reuse` above 1 with a prior that does not support it.
  """
  of_kind(options, CcfOptions)
  options.validate(prior.noise.num_timesteps)
  correct = controlled(options.conditions, optimiser=optax.adam(options.rate), top_k=options.top_k)
  return assemble(prior, codec, options=options, guidance=correct)
