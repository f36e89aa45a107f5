"""What is Dig2DIG? Guided DDIM whose per-source weights are the diffusion information gains (arXiv 2503.18627)."""

import dataclasses
from collections.abc import Callable

from dig2dig_jax.guidance import quadratic, spectrum
from dig2dig_jax.methods.assembly import assemble
from dig2dig_jax.methods.base import Method, PriorLike
from dig2dig_jax.methods.codec import Codec
from dig2dig_jax.methods.option import of_kind
from dig2dig_jax.methods.options import Dig2DigOptions


def one_pass(options: Dig2DigOptions) -> Dig2DigOptions:
  """The same without reverse steps: with lambda = 1 and weights that stay, the last step puts the blended sources in
  place of the estimate, whatever the loop did. Gains must then be known beforehand."""
  window = "cumulative" if options.weights == "dig" and options.window == "interval" else options.window
  return dataclasses.replace(
    options, steps=0, strength=1.0, strength_schedule="constant", guidance="quadratic", window=window
  )


def dig2dig(prior: PriorLike, codec: Codec, *, options: Dig2DigOptions) -> Method:
  """Dig2DIG as one `Method`.

  Args:
    prior: such as `load_prior` gives.
    codec: converts between images [K, H, W, 3] and the prior's input.
    options: see `Dig2DigOptions`.

  Returns:
    A `Method`, for `fuse`.

  Raises:
    UserError: for options out of bounds, and for `reuse` above 1 with a prior that does not support it.
  """
  of_kind(options, Dig2DigOptions)
  options.validate(prior.noise.num_timesteps)
  return assemble(prior, codec, options=options, guidance=_guidance(options), rule=rule_of(options))


def rule_of(options: Dig2DigOptions) -> spectrum.Rule:
  """Of the window `spectrum`: the fields of `spectrum.Rule` are options by the same names."""
  return spectrum.Rule(**{field.name: getattr(options, field.name) for field in dataclasses.fields(spectrum.Rule)})


def _guidance(options: Dig2DigOptions) -> quadratic.Guidance:
  strength: float | Callable = options.strength
  if options.strength_schedule == "likelihood":
    strength = quadratic.likelihood_strength(options.strength)
  make = quadratic.GUIDANCES[options.guidance]
  bands = {}
  if not options.bandwise:
    bands = {"levels": options.bands, "base": options.base}
    bands |= {"salience": options.salience, "brightness": options.brightness}
  correct = make(strength, **bands)
  # Without steps there is no noise to be consistent with.
  return quadratic.chain(correct, quadratic.consistent_eps()) if options.steps else correct
