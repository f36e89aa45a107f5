"""What is DDFM? DDIM whose clean estimate takes an expectation-maximization step each time (arXiv 2303.06840)."""

from dig2dig_jax.errors import UserError
from dig2dig_jax.guidance.expectation_maximization import expectation_maximization
from dig2dig_jax.guidance.quadratic import chain, consistent_eps
from dig2dig_jax.methods.assembly import assemble
from dig2dig_jax.methods.base import Method, PriorLike
from dig2dig_jax.methods.codec import Codec
from dig2dig_jax.methods.option import of_kind
from dig2dig_jax.methods.options import DdfmOptions


def ddfm(prior: PriorLike, codec: Codec, *, options: DdfmOptions) -> Method:
  """DDFM as one `Method`, for two sources.

  With weights=dig it is the published Dig2DIG, as far as can be inferred from its numbers (docs/paper.md).

  Args:
    prior: such as `load_prior` gives.
    codec: converts between images [K, H, W, 3] and the prior's input.
    options: see `DdfmOptions`.

  Returns:
    A `Method`, for `fuse`.

  Raises:
    UserError: for options out of bounds, for `reuse` above 1 with a prior that does not support it, and for a codec
      of colour without em_colour=channels: the other ways correct luminance and leave the chroma to the prior.
  """
  of_kind(options, DdfmOptions)
  options.validate(prior.noise.num_timesteps)
  if not codec.gray and options.em_colour != "channels":
    raise UserError(f"--em_colour={options.em_colour}: fuses luminance, found colour; use channels, or "
                    "--colour=luminance")  # fmt: skip
  correct = expectation_maximization(
    lamb=options.em_lambda, rho=options.em_rho, colour=options.em_colour, roles=options.em_roles
  )
  guidance = chain(correct, consistent_eps())
  return assemble(prior, codec, options=options, guidance=guidance)
