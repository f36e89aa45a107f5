"""How do a method's options become a `Method`? The parts that all methods on a diffusion prior share."""

from collections.abc import Callable
from typing import Any

from dig2dig_jax.errors import UserError
from dig2dig_jax.guidance import spectrum, weighting
from dig2dig_jax.methods.base import Method, PriorLike, Reverse
from dig2dig_jax.methods.codec import Codec
from dig2dig_jax.methods.options import MethodOptions, UserOptions
from dig2dig_jax.sampling import schedule, transition
from dig2dig_jax.sampling.denoiser import reusing
from dig2dig_jax.sampling.schedule import NoiseSchedule
from dig2dig_jax.sampling.types import Guidance, Reuse, Step

_RULE = spectrum.Rule()


def assemble(
  prior: PriorLike, codec: Codec, *, options: MethodOptions, guidance: Guidance, rule: spectrum.Rule = _RULE
) -> Method:
  """Assembles a method from validated `options` and a guidance.

  Args:
    prior: such as `load_prior` gives, or a `CustomPrior`.
    codec: between images [K, H, W, 3] and what the prior sees.
    options: those that all methods share: steps, transition, weights.
    guidance: how the sources correct each clean estimate.
    rule: of the window `spectrum`.

  Returns:
    A `Method`, for `fuse`.

  Raises:
    UserError: if `options.reuse` is above 1 and the prior does not support it.
  """
  steps = _steps(options, prior.noise) if options.steps else None
  return Method(
    codec=codec,
    denoiser=prior.denoiser,
    weighting=_of_sources(options, _weighting(options, steps, prior, rule)),
    guidance=guidance,
    reverse=None if steps is None else _reverse(prior, steps, options),
  )


def _of_sources(options: MethodOptions, found: weighting.Weighting) -> weighting.Weighting:
  """A guidance of one's own gets the sources themselves, and weights per pixel: not what bands have made of them."""
  return found._replace(compose=None) if isinstance(options, UserOptions) else found


def _steps(options: MethodOptions, noise: NoiseSchedule) -> Step:
  kept = schedule.spacing_timesteps(noise.num_timesteps, options.steps, options.spacing, name=noise.name)
  return schedule.steps(noise.tables(kept))


def _reverse(prior: PriorLike, steps: Step, options: MethodOptions) -> Reverse:
  own: dict[str, dict[str, Any]] = {"ddim": {"eta": options.eta}, "ancestral": {"variance": options.variance}}
  step_on = transition.TRANSITIONS[options.transition](**own.get(options.transition, {}))
  if options.reuse == 1:
    return Reverse(lambda params: steps, step_on)
  reuse: Callable[[Any], Reuse] | None = getattr(prior, "reuse", None)
  if reuse is None:
    raise UserError(
      f"--reuse={options.reuse}: expected a network that exposes its deep features, found none; leave it out, or from "
      "Python give a prior that has reuse(params)"
    )
  return Reverse(
    lambda params: steps, step_on, predictor=lambda params, denoise: reusing(reuse(params), options.reuse)
  )


def _weighting(
  options: MethodOptions, steps: Step | None, prior: PriorLike, rule: spectrum.Rule
) -> weighting.Weighting:
  if options.weights == "uniform":
    return weighting.uniform()
  errors = {
    "distance": options.distance,
    "units": options.units,
    "draws": options.draws,
    "shared_noise": options.shared_noise,
    "scale": options.scale,
    "chunk": options.chunk,
  }
  weights = {name: getattr(options, name) for name in ("temperature", "smoothing", "normalise", "rule", "scope")}
  if options.window == "interval" and steps is not None:
    return weighting.interval_dig(
      steps, interval=options.interval, first=options.first, weights=weights, errors=errors
    )
  full = prior.noise.tables()
  if options.window == "spectrum":
    levels = schedule.steps_at(full, range(prior.noise.num_timesteps))
    kernels = getattr(prior, "kernels", "off")  # a prior of one's own need not know of any
    return weighting.dig_spectrum(levels, rule=rule, restore=options.restore != "off", kernels=kernels)
  return weighting.cumulative_dig(
    schedule.steps_at(full, [options.t_high, options.t_low]), weights=weights, errors=errors
  )
