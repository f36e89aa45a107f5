"""What is Dig2DIG? Guided DDIM whose per-source weights are the diffusion information gains (arXiv 2503.18627)."""

import dataclasses
from collections.abc import Callable
from typing import Any

from dig2dig_jax.errors import UserError
from dig2dig_jax.guidance import quadratic, spectrum
from dig2dig_jax.methods.base import Codec, Method
from dig2dig_jax.methods.options import MethodOptions, assemble, require, require_choice
from dig2dig_jax.sampling.types import Reuse

MAX_SCORE = 50  # of salience and brightness: at less, the strongest source has long won
STRENGTH_SCHEDULES = ("constant", "likelihood")


@dataclasses.dataclass(frozen=True)
class Dig2DigOptions(MethodOptions):
  """Every choice that the method leaves open. The defaults are the paper's, literally; flag files hold the tuned ones.

  steps: 0 is the one-pass limit (the guidance applied once, no diffusion loop). Others of the base: `MethodOptions`.
  guidance: `quadratic` or `dps`. strength: lambda, 0 to 1; with the `likelihood` schedule, the variance r^2 of the
    sources around the fused image (images are in [-1, 1]).
  bands, base: levels of the Laplacian pyramid in which sources are blended (1: per pixel), rule of its base.
  salience: how much the local energy of a band adds to the gains in choosing its source; 0: nothing. Needs bands.
  brightness: how much a source's local brightness, in [-1, 1], adds likewise; for medical images. Needs bands.
  exponent, against, band_window, region, target, functional, undershoot, overshoot: of the window `spectrum`, see
    `guidance/spectrum.py`; `functional` is the number of a source, -1 the last.
  """

  guidance: str = "quadratic"
  strength: float = 1.0
  strength_schedule: str = "constant"
  bands: int = 1
  base: str = "uniform"
  salience: float = 0.0
  brightness: float = 0.0
  exponent: float = 4.0
  against: str = "clean"
  band_window: float = 0.6
  region: float = 0.0
  target: float = 0.0
  functional: int = -1
  undershoot: float = -1.0
  overshoot: float = -1.0

  def validate(self, num_timesteps: int, *, least_steps: int = 0) -> None:
    """Raises UserError, naming the flag, for a value that cannot run on a prior of `num_timesteps`."""
    super().validate(num_timesteps, least_steps=least_steps)
    require(
      (self.bands >= 1, "bands", "at least 1", self.bands),
      (0 <= self.strength <= 1, "strength", "0 to 1", self.strength),
      (0 <= self.salience <= MAX_SCORE, "salience", f"0 to {MAX_SCORE}", self.salience),
      (0 <= self.brightness <= MAX_SCORE, "brightness", f"0 to {MAX_SCORE}", self.brightness),
      (0 <= self.exponent <= MAX_SCORE, "dig_exponent", f"0 to {MAX_SCORE}", self.exponent),
      (0 < self.band_window <= 100, "dig_band_window", "above 0 and at most 100 pixels", self.band_window),
      (0 <= self.region <= MAX_SCORE, "dig_region", f"0 to {MAX_SCORE}", self.region),
      (0 <= self.target <= MAX_SCORE, "target", f"0 to {MAX_SCORE}", self.target),
      (self.functional >= -1, "functional", "the number of a source, or -1 for the last", self.functional),
      (-1 <= self.undershoot <= 255, "undershoot", "0 to 255 grey levels, or -1", self.undershoot),
      (-1 <= self.overshoot <= 255, "overshoot", "0 to 255 grey levels, or -1", self.overshoot),
    )
    require_choice(
      ("guidance", self.guidance, quadratic.GUIDANCES),
      ("strength_schedule", self.strength_schedule, STRENGTH_SCHEDULES),
      ("dig_against", self.against, spectrum.AGAINST),
      ("base", self.base, spectrum.BASES if self.bandwise else quadratic.BASE_RULES),
    )
    if self.salience and self.bandwise:
      raise UserError(f"--salience={self.salience}: expected another --dig_window than spectrum, whose gains are "
                      "salience where nothing is noisy; leave it out")
    for flag in ("salience", "brightness"):
      if getattr(self, flag) and self.bands == 1:
        raise UserError(f"--{flag}={getattr(self, flag)}: weighs detail bands; expected --bands of 2 or more")
    if self.strength_schedule == "likelihood" and self.strength == 0:
      raise UserError("--strength=0: expected a variance above 0 for --strength_schedule=likelihood")
    if self.steps == 0 and self.strength_schedule == "likelihood":
      raise UserError("--steps=0 has no noise to take a likelihood at; use --strength_schedule=constant")
    if self.steps == 0 and self.guidance == "dps":
      raise UserError("--steps=0 runs no network on the fused image, so --guidance=dps has no gradient; use quadratic")

  @property
  def bandwise(self) -> bool:
    """Whether weights differ from band to band, and the weighting blends."""
    return self.weights == "dig" and self.window == "spectrum"

  def rule(self) -> spectrum.Rule:
    """Of the window `spectrum`."""
    return spectrum.Rule(**{field.name: getattr(self, field.name) for field in dataclasses.fields(spectrum.Rule)})


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
  noise: dict,
  options: Dig2DigOptions,
  reuse: Callable[[Any], Reuse] | None = None,
) -> Method:
  """The method as one `Method`.

  Args:
    denoiser: params -> Denoiser.
    codec: between images and what the prior sees.
    noise: {"name", "num_timesteps"} of the process that the prior was trained on.
    options: see `Dig2DigOptions`. Raises UserError for values out of range.
    reuse: params -> Reuse, such as `Prior.reuse`; needed, and used, where `options.reuse` is above 1.
  """
  options.validate(noise["num_timesteps"])
  return assemble(
    denoiser,
    codec,
    noise=noise,
    options=options,
    guidance=_guidance(options),
    reuse=reuse,
    rule=options.rule(),
    passes_per_step=2 if options.guidance == "dps" else 1,  # dps predicts again to differentiate (and runs backwards)
  )


def _guidance(options: Dig2DigOptions) -> quadratic.Guidance:
  if options.strength_schedule == "likelihood":
    strength = quadratic.likelihood_strength(options.strength)
  else:
    strength = options.strength
  make = quadratic.GUIDANCES[options.guidance]
  bands = {}
  if not options.bandwise:
    bands = {"levels": options.bands, "base": options.base}
    bands |= {"salience": options.salience, "brightness": options.brightness}
  correct = make(strength, **bands)
  # Without steps there is no noise to be consistent with.
  return quadratic.chain(correct, quadratic.consistent_eps()) if options.steps else correct
