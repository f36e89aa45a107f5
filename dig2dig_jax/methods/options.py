"""Which choices do all methods share, and which parts do they select? Reverse steps, transition and weights."""

import dataclasses
from collections.abc import Callable
from typing import Any

from dig2dig_jax.errors import UserError
from dig2dig_jax.guidance import gain, spectrum, weighting
from dig2dig_jax.methods.base import Codec, Method
from dig2dig_jax.sampling import schedule, transition
from dig2dig_jax.sampling.types import Guidance, Reuse, Step

WEIGHTS = ("dig", "uniform")
RESTORE = ("auto", "noise", "off")
WINDOWS = ("interval", "cumulative", "spectrum")
_RULE = spectrum.Rule()


@dataclasses.dataclass(frozen=True)
class MethodOptions:
  """What every method leaves open; each method's own options extend it and set its paper's defaults.

  steps: reverse steps S. spacing: `uniform`, `quadratic`, `logsnr`, `ddim`, or counts per section such as `10,10,5`.
  transition, eta (ddim), variance (ancestral): how x_{t-1} is drawn; see `sampling/transition.py`.
  weights: `dig` or `uniform`. window: gains per `interval` steps, accumulated between timesteps t_high and t_low, or
    of the whole `spectrum` of bands in closed form (`guidance/spectrum.py`). restore: with `spectrum`, what is
    found in the sources and undone: `noise` (and stripes), `auto` (that, and, by
    `blind_restorer.py` before the method runs, blur and lost resolution), or `off`.
  scale: gains are taken of sources made smaller by this factor. reuse: steps from one whole pass of the network to the
    next, between which its deep features are reused.
  distance, temperature, smoothing, normalise, draws, shared_noise: see `guidance/gain.py` and `guidance/weighting.py`.
  """

  steps: int = 25
  spacing: str = "uniform"
  transition: str = "ddim"
  eta: float = 0.0
  variance: str = "fixed_small"
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
  scale: int = 1
  reuse: int = 1
  chunk: int = 0
  restore: str = "auto"

  def validate(self, num_timesteps: int, *, least_steps: int = 1) -> None:
    """Raises UserError, naming the flag, for a value that cannot run on a prior of `num_timesteps`."""
    dig, interval = self.weights == "dig", self.window == "interval"
    cumulative = self.window == "cumulative"
    require(
      (least_steps <= self.steps <= num_timesteps, "steps", f"{least_steps} to {num_timesteps}", self.steps),
      (self.interval >= 1, "dig_interval", "at least 1", self.interval),
      (self.temperature > 0, "dig_temperature", "above 0", self.temperature),
      (self.smoothing >= 0, "dig_smoothing", "at least 0 pixels", self.smoothing),
      (self.draws >= 1, "dig_draws", "at least 1", self.draws),
      (1 <= self.scale <= 8, "dig_scale", "1 to 8", self.scale),
      (self.reuse >= 1, "reuse", "at least 1", self.reuse),
      (self.chunk >= 0, "dig_chunk", "at least 0", self.chunk),
      (0 <= self.eta <= 1, "eta", "0 to 1", self.eta),
    )
    require_choice(
      ("transition", self.transition, transition.TRANSITIONS),
      ("variance", self.variance, transition.VARIANCES),
      ("weights", self.weights, WEIGHTS),
      ("dig_window", self.window, WINDOWS),
      ("dig_distance", self.distance, gain.DISTANCES),
      ("restore", self.restore, RESTORE),
      ("dig_normalise", self.normalise, weighting.NORMALISATIONS),
    )
    if dig and cumulative:
      require(
        (0 < self.t_high < num_timesteps, "dig_t_high", f"1 to {num_timesteps - 1}", self.t_high),
        (0 <= self.t_low < self.t_high, "dig_t_low", f"0 to below --dig_t_high={self.t_high}", self.t_low),
      )
    if self.steps == 0 and dig and interval:
      raise UserError("--steps=0 has no steps to take intervals of; add --dig_window=spectrum or cumulative")
    if dig and interval and 0 < self.steps <= self.interval:
      raise UserError(
        f"--dig_interval={self.interval}: expected below --steps={self.steps}, else the weights stay uniform; "
        "lower it, or ask for --weights=uniform"
      )

  def notes(self) -> tuple[str, ...]:
    """What is worth a line before a run of these options, which can run and may disappoint."""
    return ()


def require(*checks: tuple[bool, str, str, Any]) -> None:
  """UserError for the first (holds, flag, what is expected, what was found) that does not hold."""
  for holds, flag, expected, found in checks:
    if not holds:
      raise UserError(f"--{flag}={found}: expected {expected}")


def require_choice(*choices: tuple[str, str, Any]) -> None:
  """UserError for the first (flag, found, accepted names) whose value is not among the names."""
  for flag, found, accepted in choices:
    if found not in accepted:
      raise UserError(f"--{flag}={found}: expected one of {', '.join(accepted)}")


def assemble(
  denoiser: Callable,
  codec: Codec,
  *,
  noise: dict,
  options: MethodOptions,
  guidance: Guidance,
  passes_per_step: int = 1,
  reuse: Callable[[Any], Reuse] | None = None,
  rule: spectrum.Rule = _RULE,
) -> Method:
  """The method of checked `options` with this guidance. denoiser: params -> Denoiser; noise: {"name", "num_timesteps"}
  of the process that the prior was trained on; reuse: params -> Reuse, for `options.reuse` above 1; rule: of the window
  `spectrum`."""
  if options.reuse > 1 and reuse is None:
    raise UserError(
      f"--reuse={options.reuse}: expected a network that gives its deep features, found none; leave it out, or from "
      "Python give the method reuse=prior.reuse too"
    )
  steps = None
  if options.steps:
    kept = schedule.spacing_timesteps(noise["num_timesteps"], options.steps, options.spacing, name=noise["name"])
    steps = schedule.steps(schedule.make_schedule(noise["name"], num_timesteps=noise["num_timesteps"], timesteps=kept))
  own = {"ddim": {"eta": options.eta}, "ancestral": {"variance": options.variance}}
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


def _weighting(options: MethodOptions, steps: Step | None, noise: dict, rule: spectrum.Rule) -> weighting.Weighting:
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
  if options.window == "interval":
    return weighting.interval_dig(steps, interval=options.interval, weights=weights, errors=errors)
  full = schedule.make_schedule(noise["name"], num_timesteps=noise["num_timesteps"])
  if options.window == "spectrum":
    levels = schedule.steps_at(full, range(noise["num_timesteps"]))
    return weighting.dig_spectrum(levels, rule=rule, restore=options.restore != "off")
  return weighting.cumulative_dig(
    schedule.steps_at(full, [options.t_high, options.t_low]), weights=weights, errors=errors
  )
