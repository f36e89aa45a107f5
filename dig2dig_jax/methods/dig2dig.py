"""What is Dig2DIG? Guided DDIM whose per-source weights are the diffusion information gains (arXiv 2503.18627)."""

import dataclasses
from collections.abc import Callable

from dig2dig_jax.errors import UserError
from dig2dig_jax.methods.base import Codec, Method
from dig2dig_jax.sampling import gain, guidance, schedule, transition, weighting

WEIGHTS = ("dig", "uniform")
WINDOWS = ("interval", "cumulative")
STRENGTH_SCHEDULES = ("constant", "likelihood")


@dataclasses.dataclass(frozen=True)
class Dig2DigOptions:
  """Every choice that the method leaves open. The defaults are the paper's, literally; flag files hold the tuned ones.

  steps: reverse steps S; 0 is the one-pass limit (the guidance applied once, no diffusion loop).
  spacing: `uniform`, `quadratic`, `logsnr`, `ddim`, or counts per section such as `10,10,5`.
  transition, eta (ddim), variance (ancestral): how x_{t-1} is drawn; see `sampling/transition.py`.
  guidance: `quadratic` or `dps`. strength: lambda, 0 to 1; with the `likelihood` schedule, the variance r^2 of the
    sources around the fused image (images are in [-1, 1]).
  bands, base: levels of the Laplacian pyramid in which sources are blended (1: per pixel), rule of its base.
  weights: `dig` or `uniform`. window: gains per `interval` steps, or accumulated between timesteps t_high and t_low.
  distance, temperature, smoothing, normalise, draws, shared_noise: see `sampling/gain.py` and `sampling/weighting.py`.
  """

  steps: int = 25
  spacing: str = "uniform"
  transition: str = "ddim"
  eta: float = 0.0
  variance: str = "fixed_small"
  guidance: str = "quadratic"
  strength: float = 1.0
  strength_schedule: str = "constant"
  bands: int = 1
  base: str = "uniform"
  weights: str = "dig"
  window: str = "interval"
  interval: int = 10
  t_high: int = 600
  t_low: int = 20
  distance: str = "l2"
  temperature: float = 1.0
  smoothing: float = 0.0
  normalise: str = "none"
  draws: int = 1
  shared_noise: bool = True
  chunk: int = 0

  def validate(self, num_timesteps: int):
    """Raises UserError, naming the flag, for a value that cannot run on a prior of `num_timesteps`."""
    checks = (
      (0 <= self.steps <= num_timesteps, "steps", f"0 to {num_timesteps}", self.steps),
      (self.interval >= 1, "dig_interval", "at least 1", self.interval),
      (self.temperature > 0, "dig_temperature", "above 0", self.temperature),
      (self.smoothing >= 0, "dig_smoothing", "at least 0 pixels", self.smoothing),
      (self.draws >= 1, "dig_draws", "at least 1", self.draws),
      (self.chunk >= 0, "dig_chunk", "at least 0", self.chunk),
      (self.bands >= 1, "bands", "at least 1", self.bands),
      (0 <= self.strength <= 1, "strength", "0 to 1", self.strength),
      (0 <= self.eta <= 1, "eta", "0 to 1", self.eta),
    )
    if self.weights == "dig" and self.window == "cumulative":
      checks += (
        (0 < self.t_high < num_timesteps, "dig_t_high", f"1 to {num_timesteps - 1}", self.t_high),
        (0 <= self.t_low < self.t_high, "dig_t_low", f"0 to below --dig_t_high={self.t_high}", self.t_low),
      )
    for ok, flag, expected, found in checks:
      if not ok:
        raise UserError(f"--{flag}={found}: expected {expected}")
    choices = (
      ("guidance", self.guidance, guidance.GUIDANCES),
      ("strength_schedule", self.strength_schedule, STRENGTH_SCHEDULES),
      ("transition", self.transition, transition.TRANSITIONS),
      ("variance", self.variance, transition.VARIANCES),
      ("weights", self.weights, WEIGHTS),
      ("dig_window", self.window, WINDOWS),
      ("dig_distance", self.distance, gain.DISTANCES),
      ("dig_normalise", self.normalise, weighting.NORMALISATIONS),
      ("base", self.base, guidance.BASE_RULES),
    )
    for flag, found, accepted in choices:
      if found not in accepted:
        raise UserError(f"--{flag}={found}: expected one of {', '.join(accepted)}")
    if self.steps == 0 and self.weights == "dig" and self.window == "interval":
      raise UserError("--steps=0 has no steps to take intervals of; add --dig_window=cumulative")
    if self.weights == "dig" and self.window == "interval" and 0 < self.steps <= self.interval:
      raise UserError(
        f"--dig_interval={self.interval}: expected below --steps={self.steps}, else the weights stay uniform; "
        "lower it, or ask for --weights=uniform"
      )
    if self.strength_schedule == "likelihood" and self.strength == 0:
      raise UserError("--strength=0: expected a variance above 0 for --strength_schedule=likelihood")
    if self.steps == 0 and self.strength_schedule == "likelihood":
      raise UserError("--steps=0 has no noise to take a likelihood at; use --strength_schedule=constant")
    if self.steps == 0 and self.guidance == "dps":
      raise UserError("--steps=0 runs no network on the fused image, so --guidance=dps has no gradient; use quadratic")


def dig2dig(denoiser: Callable, codec: Codec, *, noise: dict, options: Dig2DigOptions) -> Method:
  """The method as one `Method`.

  Args:
    denoiser: params -> Denoiser.
    codec: between images and what the prior sees.
    noise: {"name", "num_timesteps"} of the process that the prior was trained on.
    options: see `Dig2DigOptions`. Raises UserError for values out of range.
  """
  options.validate(noise["num_timesteps"])
  steps = None
  if options.steps:
    kept = schedule.spacing_timesteps(noise["num_timesteps"], options.steps, options.spacing, name=noise["name"])
    steps = schedule.steps(schedule.make_schedule(noise["name"], num_timesteps=noise["num_timesteps"], timesteps=kept))
  return Method(
    codec=codec,
    denoiser=denoiser,
    steps=steps,
    guidance=_guidance(options),
    weighting=_weighting(options, steps, noise),
    transition=_transition(options),
    passes_per_step=2 if options.guidance == "dps" else 1,  # dps predicts again to differentiate (and runs backwards)
  )


def _guidance(options: Dig2DigOptions) -> guidance.Guidance:
  if options.strength_schedule == "likelihood":
    strength = guidance.likelihood_strength(options.strength)
  else:
    strength = options.strength
  correct = guidance.GUIDANCES[options.guidance](strength, levels=options.bands, base=options.base)
  # Without steps there is no noise to be consistent with.
  return guidance.chain(correct, guidance.consistent_eps()) if options.steps else correct


def _transition(options: Dig2DigOptions) -> transition.Transition:
  own = {"ddim": {"eta": options.eta}, "ancestral": {"variance": options.variance}}
  return transition.TRANSITIONS[options.transition](**own.get(options.transition, {}))


def _weighting(options: Dig2DigOptions, steps, noise: dict) -> weighting.Weighting:
  if options.weights == "uniform":
    return weighting.uniform()
  errors = {
    "distance": options.distance,
    "draws": options.draws,
    "shared_noise": options.shared_noise,
    "chunk": options.chunk,
  }
  weights = {"temperature": options.temperature, "smoothing": options.smoothing, "normalise": options.normalise}
  if options.window == "interval":
    return weighting.interval_dig(steps, interval=options.interval, weights=weights, errors=errors)
  full = schedule.make_schedule(noise["name"], num_timesteps=noise["num_timesteps"])
  return weighting.cumulative_dig(
    schedule.steps_at(full, [options.t_high, options.t_low]), weights=weights, errors=errors
  )
