"""How do a method's options become a `Method`? The parts that all methods on a diffusion prior share."""

from collections.abc import Callable
from typing import Any

from dig2dig_jax.errors import UserError
from dig2dig_jax.guidance import spectrum, weighting
from dig2dig_jax.methods.base import Codec, Method
from dig2dig_jax.methods.options import MethodOptions
from dig2dig_jax.sampling import schedule, transition
from dig2dig_jax.sampling.schedule import NoiseSchedule
from dig2dig_jax.sampling.types import Guidance, Reuse, Step

_RULE = spectrum.Rule()


def assemble(
  denoiser: Callable,
  codec: Codec,
  *,
  noise: NoiseSchedule,
  options: MethodOptions,
  guidance: Guidance,
  passes_per_step: int = 1,
  reuse: Callable[[Any], Reuse] | None = None,
  rule: spectrum.Rule = _RULE,
) -> Method:
  """The method of checked `options` with this guidance. denoiser: params -> Denoiser; noise: the process that the
  prior was trained on; reuse: params -> Reuse, for `options.reuse` above 1; rule: of the window
  `spectrum`."""
  if options.reuse > 1 and reuse is None:
    raise UserError(
      f"--reuse={options.reuse}: expected a network that gives its deep features, found none; leave it out, or from "
      "Python give the method reuse=prior.reuse too"
    )
  steps = None
  if options.steps:
    kept = schedule.spacing_timesteps(noise.num_timesteps, options.steps, options.spacing, name=noise.name)
    steps = schedule.steps(noise.tables(kept))
  own: dict[str, dict[str, Any]] = {"ddim": {"eta": options.eta}, "ancestral": {"variance": options.variance}}
  return Method(
    codec=codec,
    denoiser=denoiser,
    steps=steps,
    guidance=guidance,
    weighting=_weighting(options, steps, noise, rule),
    transition=transition.TRANSITIONS[options.transition](**own.get(options.transition, {})),
    passes_per_step=passes_per_step,
    reuse=reuse if options.reuse > 1 else None,
    reuse_every=options.reuse,
  )


def _weighting(
  options: MethodOptions, steps: Step | None, noise: NoiseSchedule, rule: spectrum.Rule
) -> weighting.Weighting:
  if options.weights == "uniform":
    return weighting.uniform()
  errors = {
    "distance": options.distance,
    "draws": options.draws,
    "shared_noise": options.shared_noise,
    "scale": options.scale,
    "chunk": options.chunk,
  }
  weights = {"temperature": options.temperature, "smoothing": options.smoothing, "normalise": options.normalise}
  if options.window == "interval" and steps is not None:
    return weighting.interval_dig(steps, interval=options.interval, weights=weights, errors=errors)
  full = noise.tables()
  if options.window == "spectrum":
    levels = schedule.steps_at(full, range(noise.num_timesteps))
    return weighting.dig_spectrum(levels, rule=rule, restore=options.restore != "off")
  return weighting.cumulative_dig(
    schedule.steps_at(full, [options.t_high, options.t_low]), weights=weights, errors=errors
  )
