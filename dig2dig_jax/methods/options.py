"""What can be chosen of the methods on a diffusion prior, and what not? Each option once, with its default and bounds.

Defaults are those of the papers, literally; flag files hold the tuned values.
"""

import dataclasses

from dig2dig_jax.checks import EITHER, above, at_least, between, one_of, within
from dig2dig_jax.errors import UserError
from dig2dig_jax.methods.option import check_each, option, require

# Names of the parts that options select; `tests/methods/test_options.py` holds them against the parts.
SPACINGS = ("uniform", "quadratic", "logsnr", "ddim")
TRANSITIONS = ("ddim", "ancestral", "dpm_solver_pp_2m")
VARIANCES = ("learned_range", "fixed_small", "fixed_large")
WEIGHTS = ("dig", "uniform")
WINDOWS = ("interval", "cumulative", "spectrum")
DISTANCES = ("l2", "l1", "ssim")
UNITS = ("one", "levels")
FIRST = ("uniform", "next")
RULES = ("softmax", "ratio")
SCOPES = ("pixel", "image")
NORMALISATIONS = ("none", "mean_abs")
AGAINST = ("clean", "observed")
RESTORE = ("auto", "noise", "off")
GUIDANCES = ("quadratic", "dps")
STRENGTH_SCHEDULES = ("constant", "likelihood")
BASES = ("uniform", "dig", "mean", "brightest")
SPECTRUM_BASES = ("uniform", "brightest", "functional", "exposure")
EM_COLOURS = ("corrected", "released", "channels")
EM_ROLES = ("paper", "released")
CONDITIONS = ("ssim", "mse", "edge", "low_freq", "high_freq", "sf", "ei", "sd", "edge_both", "ei_sobel")
_MAX_SCORE = 50  # of salience and brightness: at less, the strongest source has long won
_SCORE = between(0, _MAX_SCORE)
_LEVELS = within(-1, 255, "0 to 255 grey levels, or -1")
# Steps of CCF: half of the released. A fused example correlates with its sources by 0.57 after 20 steps, 0.91 after
# 60, 0.97 after 100.
_ENOUGH = 100


@dataclasses.dataclass(frozen=True)
class MethodOptions:
  """What every method on a diffusion prior leaves open; each extends it and sets its paper's defaults."""

  steps: int = option(25, "Reverse steps; 0: Dig2DIG in one pass, without the loop", check=between(0, 10**9))
  spacing: str = option("uniform", f"Of the steps: {', '.join(SPACINGS)}, or counts per section such as 10,10,5")
  transition: str = option("ddim", "How x_{t-1} is drawn", choices=TRANSITIONS)
  eta: float = option(0.0, "Noise of DDIM", check=between(0, 1))
  variance: str = option("fixed_small", "Of ancestral steps", choices=VARIANCES)
  weights: str = option("dig", "Information gains, or fixed guidance", choices=WEIGHTS)
  window: str = option(
    "interval", "Gains per interval of steps, accumulated between two timesteps, or per band in closed form",
    choices=WINDOWS, flag="dig_window",
  )  # fmt: skip
  interval: int = option(10, "Steps between updates of the weights", check=at_least(1), flag="dig_interval")
  first: str = option(
    "uniform", "Weights of the first interval, before a gain is known: uniform, or those of the next one",
    choices=FIRST, flag="dig_first",
  )  # fmt: skip
  t_high: int = option(600, "Noisier bound of the cumulative gain, a timestep", flag="dig_t_high")
  t_low: int = option(20, "Cleaner bound of the cumulative gain, a timestep", flag="dig_t_low")
  distance: str = option("l2", "Of a restored source to the source", choices=DISTANCES, flag="dig_distance")
  units: str = option(
    "one", "Of the images that a distance is taken of: one, in [-1, 1]; levels, 0 to 255", choices=UNITS,
    flag="dig_units",
  )  # fmt: skip
  rule: str = option(
    "softmax", "Of weights: a softmax of the gains, or each one's share of the gains above 0", choices=RULES,
    flag="dig_rule",
  )  # fmt: skip
  scope: str = option("pixel", "Of a gain: each pixel, or its mean over the image", choices=SCOPES, flag="dig_scope")
  temperature: float = option(1.0, "Of the softmax over gains", check=above(0), flag="dig_temperature")
  smoothing: float = option(
    0.0, "Gaussian average of the gains, in pixels", check=between(0, 1000, " pixels"), flag="dig_smoothing"
  )
  normalise: str = option("none", "mean_abs makes gains free of scale", choices=NORMALISATIONS, flag="dig_normalise")
  draws: int = option(1, "Noise draws that gains are averaged over", check=between(1, 1000), flag="dig_draws")
  shared_noise: bool = option(
    True, "One noise image for all sources and levels of a draw", check=EITHER, flag="dig_shared_noise"
  )
  scale: int = option(1, "Gains of sources made smaller by this factor", check=between(1, 8), flag="dig_scale")
  reuse: int = option(
    1, "Steps from one whole pass of the network to the next, between which its deep features are reused",
    check=at_least(1),
  )  # fmt: skip
  chunk: int = option(0, "Network calls per batch of the gains; 0 chooses", check=at_least(0), flag="dig_chunk")
  restore: str = option(
    "auto", "With spectrum, what is found in the sources and undone: noise and stripes, auto also blur and lost "
    "resolution", choices=RESTORE,
  )  # fmt: skip

  def validate(self, num_timesteps: int, *, least_steps: int = 1) -> None:
    """Raises UserError, naming the flag, for a value that cannot run on a prior of `num_timesteps`."""
    dig, interval = self.weights == "dig", self.window == "interval"
    check_each(self)
    require((least_steps <= self.steps <= num_timesteps, "steps", f"{least_steps} to {num_timesteps}", self.steps))
    if dig and self.window == "cumulative":
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


@dataclasses.dataclass(frozen=True)
class Dig2DigOptions(MethodOptions):
  """Every choice that Dig2DIG leaves open; with the window `spectrum`, those of `guidance/spectrum.py`."""

  guidance: str = option("quadratic", "dps uses the network's gradient", choices=GUIDANCES)
  strength: float = option(
    1.0, "lambda; of the likelihood schedule the variance r^2 of the sources around the fused image",
    check=between(0, 1),
  )  # fmt: skip
  strength_schedule: str = option("constant", "Of lambda over the steps", choices=STRENGTH_SCHEDULES)
  bands: int = option(1, "Levels of the pyramid in which sources are blended; 1: pixels", check=at_least(1))
  base: str = option(
    "uniform", f"Rule of the coarsest band: {', '.join(BASES)}; with spectrum {', '.join(SPECTRUM_BASES)}",
    check=one_of(tuple(dict.fromkeys(BASES + SPECTRUM_BASES))),
  )  # fmt: skip
  salience: float = option(
    0.0, "How much the local energy of a band counts beside the gains; needs bands, not spectrum", check=_SCORE
  )
  brightness: float = option(0.0, "How much a source's local brightness counts likewise; needs bands", check=_SCORE)
  exponent: float = option(
    4.0, "spectrum: weights are a softmax of it x the share of the gain", check=_SCORE, flag="dig_exponent"
  )
  against: str = option(
    "clean", "spectrum: the gain expected of the clean source, or of the observed one", choices=AGAINST,
    flag="dig_against",
  )  # fmt: skip
  band_window: float = option(
    0.6, "spectrum: average of a gain, in pixels of its band", flag="dig_band_window",
    check=within(1e-6, 100, "above 0 and at most 100 pixels"),
  )  # fmt: skip
  region: float = option(
    0.0, "spectrum: power of the share of all bands' gains in the region around", check=_SCORE, flag="dig_region"
  )
  target: float = option(0.0, "spectrum: how much more what shines in --functional counts", check=_SCORE)
  functional: int = option(
    -1, "spectrum: source in which bright means target (ir, pet); the last by default", kind="source",
    check=within(-1, 10**6, "the number of a source, or -1 for the last"),
  )  # fmt: skip
  undershoot: float = option(-1.0, "spectrum: grey levels below all sources that are left; -1: any", check=_LEVELS)
  overshoot: float = option(-1.0, "spectrum: grey levels above all sources that are left; -1: any", check=_LEVELS)

  def validate(self, num_timesteps: int, *, least_steps: int = 0) -> None:
    """Raises UserError, naming the flag, for a value that cannot run on a prior of `num_timesteps`."""
    super().validate(num_timesteps, least_steps=least_steps)
    bases = SPECTRUM_BASES if self.bandwise else BASES
    require((self.base in bases, "base", f"one of {', '.join(bases)}", self.base))
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

  def notes(self) -> tuple[str, ...]:
    """A correction that replaces the estimate leaves nothing of it."""
    whole = self.strength == 1 and self.strength_schedule == "constant" and self.guidance == "quadratic"
    if not self.steps or not whole:
      return ()
    return (
      f"--strength=1: the last of {self.steps} steps puts the weighted sources in place of the estimate, so that the "
      "steps, --transition and the prior's estimates change nothing; lower it, or take --strength_schedule=likelihood",
    )

  @property
  def bandwise(self) -> bool:
    """Whether weights differ from band to band, and the weighting blends."""
    return self.weights == "dig" and self.window == "spectrum"


@dataclasses.dataclass(frozen=True)
class DdfmOptions(MethodOptions):
  """The released script's settings. `weights=dig` scales the two fidelities by the information gains (uniform weights
  are exactly DDFM)."""

  steps: int = option(100, "Reverse steps", check=between(1, 10**9))
  weights: str = option("uniform", "Information gains, or fixed guidance", choices=WEIGHTS)
  em_lambda: float = option(0.5, "lambda, weight of the total-variation prior", check=above(0))
  em_rho: float = option(1e-3, "rho, of the splitting of the total variation", check=above(0))
  em_colour: str = option(
    "corrected", "Luminance on the sources' own scale, on that of the released script, or each of R, G and B for "
    "itself, which --colour=rgb takes", choices=EM_COLOURS
  )
  em_roles: str = option(
    "paper", "paper takes the first source as the infrared one, the released script's folders swap them",
    choices=EM_ROLES,
  )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class CcfOptions(MethodOptions):
  """The released script's settings. `weights=dig` weighs the source terms of the conditions by the gains."""

  steps: int = option(200, "Reverse steps", check=between(1, 10**9))
  weights: str = option("uniform", "Information gains, or fixed guidance", choices=WEIGHTS)
  conditions: tuple[str, ...] = option(
    ("ssim", "mse", "edge", "low_freq", "high_freq", "sf", "ei", "sd"), "Names of the conditions to select from",
    choices=CONDITIONS,
  )  # fmt: skip
  top_k: int = option(3, "Conditions that act at a step", check=at_least(1), flag="ccf_top_k")
  rate: float = option(0.03, "Rate of Adam on the image", check=above(0), flag="ccf_rate")

  def validate(self, num_timesteps: int, *, least_steps: int = 1) -> None:
    """Raises UserError, naming the flag, for a value that cannot run on a prior of `num_timesteps`."""
    super().validate(num_timesteps, least_steps=least_steps)
    most = len(self.conditions)
    require((1 <= self.top_k <= most, "ccf_top_k", f"1 to the {most} conditions", self.top_k))

  def notes(self) -> tuple[str, ...]:
    """Its noise estimate is not corrected along with the image: what it adds in few, long steps stays as noise."""
    if self.steps >= _ENOUGH:
      return ()
    return (
      f"--steps={self.steps}: ccf as released takes {type(self)().steps}, and with less than {_ENOUGH} noise is left; "
      "raise it, or take --method=dig2dig, which needs few",
    )


@dataclasses.dataclass(frozen=True)
class DrFusionOptions:
  """What DRFusion leaves open; everything else, the noise levels included, is learned."""

  sigma_y: float = option(
    0.03, "Standard deviation of the observations' noise that its corrections assume, images in [0, 1]; the released "
    "code's for every degradation", check=above(0), flag="drfusion_sigma_y",
  )  # fmt: skip
  correct: bool = option(
    True, "Pull the estimates of every step to the observations and to each other; off: the network alone",
    check=EITHER, flag="drfusion_correct",
  )  # fmt: skip
  output: str = option(
    "fused", "The fused image, a source as it is restored, or all three as the channels of one image",
    choices=("fused", "first", "second", "channels"), flag="drfusion_output",
  )  # fmt: skip
  ensemble: bool = option(
    False, "Mean over the image and its three mirror images, at four times the cost (arXiv 1707.02921)", check=EITHER,
    flag="drfusion_ensemble",
  )  # fmt: skip

  def validate(self) -> None:
    """Raises UserError, naming the flag."""
    check_each(self)


@dataclasses.dataclass(frozen=True)
class UserOptions(MethodOptions):
  """Of a method from outside the package, `--method=module:function`: what all methods share. sha256: of the module's
  file, so that results of another version of it count as results of another method."""

  weights: str = option("uniform", "Information gains, or fixed guidance", choices=WEIGHTS)
  method: str = option("", "Module and function that make it")
  sha256: str = option("", "Of the module's file")


OPTIONS: dict[str, type[MethodOptions | DrFusionOptions]] = {
  "dig2dig": Dig2DigOptions,
  "ddfm": DdfmOptions,
  "ccf": CcfOptions,
  "drfusion": DrFusionOptions,
}
