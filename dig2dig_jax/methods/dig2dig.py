"""What is Dig2DIG? Guided DDIM whose per-source weights are the diffusion information gains (arXiv 2503.18627)."""

import dataclasses
from collections.abc import Callable
from typing import Any

from dig2dig_jax.guidance import quadratic, spectrum
from dig2dig_jax.methods.assembly import assemble
from dig2dig_jax.methods.base import Codec, Method
from dig2dig_jax.methods.options import Dig2DigOptions
from dig2dig_jax.sampling.schedule import NoiseSchedule
from dig2dig_jax.sampling.types import Reuse


def one_pass(options: Dig2DigOptions) -> Dig2DigOptions:
  """The same without reverse steps: with lambda = 1 and weights that stay, the last step puts the blended sources in
  place of the estimate, whatever the loop did. Gains must then be known beforehand."""
  window = "cumulative" if options.weights == "dig" and options.window == "interval" else options.window
  return dataclasses.replace(
    options, steps=0, strength=1.0, strength_schedule="constant", guidance="quadratic", window=window
  )


def dig2dig(
  denoiser: Callable,
  codec: Codec,
  *,
  noise: NoiseSchedule,
  options: Dig2DigOptions,
  reuse: Callable[[Any], Reuse] | None = None,
) -> Method:
  """The method as one `Method`.

  Args:
    denoiser: params -> Denoiser.
    codec: between images and what the prior sees.
    noise: the process that the prior was trained on.
    options: see `Dig2DigOptions`. Raises UserError for values out of range.
    reuse: params -> Reuse, such as `Prior.reuse`; needed, and used, where `options.reuse` is above 1.
  """
  options.validate(noise.num_timesteps)
  return assemble(
    denoiser,
    codec,
    noise=noise,
    options=options,
    guidance=_guidance(options),
    reuse=reuse,
    rule=rule_of(options),
    passes_per_step=2 if options.guidance == "dps" else 1,  # dps predicts again to differentiate (and runs backwards)
  )


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
