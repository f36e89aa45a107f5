"""Options of the methods that use a diffusion prior, each declared once with its default and bounds.

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
  """Options shared by every method that uses a diffusion prior; each extends it and sets the defaults of its paper."""

  steps: int = option(25, "Reverse steps; 0: Dig2DIG in one pass, without reverse steps", check=between(0, 10**9))
  spacing: str = option(
    "uniform", f"Spacing of the timesteps: {', '.join(SPACINGS)}, or counts per section such as 10,10,5"
  )
  transition: str = option("ddim", "Reverse step, by which x_{t-1} is drawn", choices=TRANSITIONS)
  eta: float = option(0.0, "eta of DDIM, the share of fresh noise", check=between(0, 1))
  variance: str = option("fixed_small", "Variance of ancestral steps", choices=VARIANCES)
  weights: str = option("dig", "Fusion weights: from information gains, or fixed and uniform", choices=WEIGHTS)
  window: str = option(
    "interval", "Noise levels of a gain: per interval of steps, accumulated between two timesteps, or in closed form "
    "per band", choices=WINDOWS, flag="dig_window",
  )  # fmt: skip
  interval: int = option(10, "Steps between updates of the weights", check=at_least(1), flag="dig_interval")
  first: str = option(
    "uniform", "Weights of the first interval, before any gain is known: uniform, or those of the next interval",
    choices=FIRST, flag="dig_first",
  )  # fmt: skip
  t_high: int = option(600, "Noisier bound of the cumulative gain, a timestep", flag="dig_t_high")
  t_low: int = option(20, "Cleaner bound of the cumulative gain, a timestep", flag="dig_t_low")
  distance: str = option(
    "l2", "Distance between the denoised and the original source", choices=DISTANCES, flag="dig_distance"
  )
  units: str = option(
    "one", "Value range in which distances are computed: one is [-1, 1], levels is 0 to 255", choices=UNITS,
    flag="dig_units",
  )  # fmt: skip
  rule: str = option(
    "softmax", "Weights from gains: their softmax, or each gain's share of the positive gains", choices=RULES,
    flag="dig_rule",
  )  # fmt: skip
  scope: str = option("pixel", "Gain of each pixel, or its mean over the image", choices=SCOPES, flag="dig_scope")
  temperature: float = option(1.0, "Temperature of the softmax over gains", check=above(0), flag="dig_temperature")
  smoothing: float = option(
    0.0, "Standard deviation of Gaussian smoothing of the gains, in pixels", check=between(0, 1000, " pixels"),
    flag="dig_smoothing",
  )  # fmt: skip
  normalise: str = option(
    "none", "Normalisation of the gains; mean_abs makes them independent of scale", choices=NORMALISATIONS,
    flag="dig_normalise",
  )  # fmt: skip
  draws: int = option(
    1, "Number of noise draws over which gains are averaged", check=between(1, 1000), flag="dig_draws"
  )
  shared_noise: bool = option(
    True, "Use the same noise image for all sources and noise levels of a draw", check=EITHER, flag="dig_shared_noise"
  )
  scale: int = option(
    1, "Factor by which sources are downsampled before gains are computed", check=between(1, 8), flag="dig_scale"
  )
  reuse: int = option(
    1, "Evaluate the whole network at one step in this many and reuse its deep features in between",
    check=at_least(1),
  )  # fmt: skip
  chunk: int = option(
    0, "Network evaluations per batch when computing gains; 0 chooses automatically", check=at_least(0),
    flag="dig_chunk",
  )  # fmt: skip
  restore: str = option(
    "auto", "With spectrum, degradations to detect and remove: noise means noise and stripes, auto also blur and lost "
    "resolution", choices=RESTORE,
  )  # fmt: skip

  def validate(self, num_timesteps: int, *, least_steps: int = 1) -> None:
    """Raises UserError, naming the flag, for a value that cannot run with a prior of `num_timesteps`."""
    dig, interval = self.weights == "dig", self.window == "interval"
    check_each(self)
    require((least_steps <= self.steps <= num_timesteps, "steps", f"{least_steps} to {num_timesteps}", self.steps))
    if dig and self.window == "cumulative":
      require(
        (0 < self.t_high < num_timesteps, "dig_t_high", f"1 to {num_timesteps - 1}", self.t_high),
        (0 <= self.t_low < self.t_high, "dig_t_low", f"0 to below --dig_t_high={self.t_high}", self.t_low),
      )
    if self.steps == 0 and dig and interval:
      raise UserError("--steps=0 has no steps to divide into intervals; add --dig_window=spectrum or cumulative")
    if dig and interval and 0 < self.steps <= self.interval:
      raise UserError(
        f"--dig_interval={self.interval}: expected below --steps={self.steps}, otherwise the weights stay uniform; "
        "lower it, or use --weights=uniform"
      )

  def notes(self) -> tuple[str, ...]:
    """Warnings, one line each, about valid options that are likely to disappoint."""
    return ()


@dataclasses.dataclass(frozen=True)
class Dig2DigOptions(MethodOptions):
  """All options of Dig2DIG; those marked `spectrum` belong to `guidance/spectrum.py`."""

  guidance: str = option(
    "quadratic", "Guidance by a quadratic likelihood on the clean estimate, or dps, by the network's gradient",
    choices=GUIDANCES,
  )  # fmt: skip
  strength: float = option(
    1.0, "Strength lambda of the guidance; with the likelihood schedule, the variance r^2 of the sources around the "
    "fused image", check=between(0, 1),
  )  # fmt: skip
  strength_schedule: str = option("constant", "Schedule of lambda over the steps", choices=STRENGTH_SCHEDULES)
  bands: int = option(
    1, "Levels of the Laplacian pyramid in which sources are blended; 1 blends pixels", check=at_least(1)
  )
  base: str = option(
    "uniform", f"Fusion rule of the coarsest band: {', '.join(BASES)}; with spectrum {', '.join(SPECTRUM_BASES)}",
    check=one_of(tuple(dict.fromkeys(BASES + SPECTRUM_BASES))),
  )  # fmt: skip
  salience: float = option(
    0.0, "Weight of a band's local energy relative to the gains; needs --bands, not for spectrum", check=_SCORE
  )
  brightness: float = option(
    0.0, "Weight of a source's local brightness relative to the gains; needs --bands", check=_SCORE
  )
  exponent: float = option(
    4.0, "spectrum: factor of the gain's share in the softmax that gives the weights", check=_SCORE,
    flag="dig_exponent",
  )  # fmt: skip
  against: str = option(
    "clean", "spectrum: expected gain with respect to the clean source, or measured gain of the observed one",
    choices=AGAINST, flag="dig_against",
  )  # fmt: skip
  band_window: float = option(
    0.6, "spectrum: standard deviation of the averaging window of a gain, in pixels of its band",
    flag="dig_band_window", check=within(1e-6, 100, "above 0 and at most 100 pixels"),
  )  # fmt: skip
  region: float = option(
    0.0, "spectrum: exponent of a source's share of the gains of all bands in the surrounding region", check=_SCORE,
    flag="dig_region",
  )  # fmt: skip
  target: float = option(0.0, "spectrum: extra weight of bright pixels of the --functional source", check=_SCORE)
  functional: int = option(
    -1, "spectrum: source whose bright pixels are targets (ir, pet); the last by default", kind="source",
    check=within(-1, 10**6, "the number of a source, or -1 for the last"),
  )  # fmt: skip
  undershoot: float = option(
    -1.0, "spectrum: grey levels by which the result may fall below all sources; -1: no limit", check=_LEVELS
  )
  overshoot: float = option(
    -1.0, "spectrum: grey levels by which the result may exceed all sources; -1: no limit", check=_LEVELS
  )

  def validate(self, num_timesteps: int, *, least_steps: int = 0) -> None:
    """Raises UserError, naming the flag, for a value that cannot run on a prior of `num_timesteps`."""
    super().validate(num_timesteps, least_steps=least_steps)
    bases = SPECTRUM_BASES if self.bandwise else BASES
    require((self.base in bases, "base", f"one of {', '.join(bases)}", self.base))
    if self.salience and self.bandwise:
      raise UserError(f"--salience={self.salience}: expected a --dig_window other than spectrum, whose gains are "
                      "salience on clean sources; leave it out")
    for flag in ("salience", "brightness"):
      if getattr(self, flag) and self.bands == 1:
        raise UserError(f"--{flag}={getattr(self, flag)}: weighs detail bands; expected --bands of 2 or more")
    if self.strength_schedule == "likelihood" and self.strength == 0:
      raise UserError("--strength=0: expected a variance above 0 for --strength_schedule=likelihood")
    if self.steps == 0 and self.strength_schedule == "likelihood":
      raise UserError("--steps=0 has no noise level for a likelihood; use --strength_schedule=constant")
    if self.steps == 0 and self.guidance == "dps":
      raise UserError("--steps=0 runs no network on the fused image, so --guidance=dps has no gradient; use quadratic")

  def notes(self) -> tuple[str, ...]:
    """Warns of a correction that replaces the estimate entirely, so that nothing of the estimate remains."""
    whole = self.strength == 1 and self.strength_schedule == "constant" and self.guidance == "quadratic"
    if not self.steps or not whole:
      return ()
    return (
      f"--strength=1: the last of {self.steps} steps replaces the estimate by the weighted sources, so the steps, "
      "--transition and the prior's estimates have no effect; lower it, or use --strength_schedule=likelihood",
    )

  @property
  def bandwise(self) -> bool:
    """Whether weights differ between bands and the weighting itself blends the sources."""
    return self.weights == "dig" and self.window == "spectrum"


@dataclasses.dataclass(frozen=True)
class DdfmOptions(MethodOptions):
  """Options of DDFM; defaults are the settings of the released script. `weights=dig` scales its two data-fidelity terms
  by the information gains; uniform weights are exactly DDFM."""

  steps: int = option(100, "Reverse steps", check=between(1, 10**9))
  weights: str = option("uniform", "Fusion weights: from information gains, or fixed and uniform", choices=WEIGHTS)
  em_lambda: float = option(0.5, "lambda, weight of the total-variation prior", check=above(0))
  em_rho: float = option(1e-3, "rho, penalty of the splitting of the total variation", check=above(0))
  em_colour: str = option(
    "corrected", "EM step on luminance on the sources' own scale, on luminance on the scale of the released script, or "
    "on each of R, G and B separately, which needs --colour=rgb", choices=EM_COLOURS
  )
  em_roles: str = option(
    "paper", "paper: the first source is the infrared one; released: swapped, as in the released script",
    choices=EM_ROLES,
  )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class CcfOptions(MethodOptions):
  """Options of CCF, with the settings of the released script as defaults. `weights=dig` weights the source terms of the
  conditions by the gains."""

  steps: int = option(200, "Reverse steps", check=between(1, 10**9))
  weights: str = option("uniform", "Fusion weights: from information gains, or fixed and uniform", choices=WEIGHTS)
  conditions: tuple[str, ...] = option(
    ("ssim", "mse", "edge", "low_freq", "high_freq", "sf", "ei", "sd"), "Conditions to select from",
    choices=CONDITIONS,
  )  # fmt: skip
  top_k: int = option(3, "Number of conditions selected at each step", check=at_least(1), flag="ccf_top_k")
  rate: float = option(0.03, "Learning rate of Adam on the image", check=above(0), flag="ccf_rate")

  def validate(self, num_timesteps: int, *, least_steps: int = 1) -> None:
    """Raises UserError, naming the flag, for a value that cannot run on a prior of `num_timesteps`."""
    super().validate(num_timesteps, least_steps=least_steps)
    most = len(self.conditions)
    require((1 <= self.top_k <= most, "ccf_top_k", f"1 to the {most} conditions", self.top_k))

  def notes(self) -> tuple[str, ...]:
    """Warns of few steps: CCF does not correct its noise estimate, so the noise that long steps add stays."""
    if self.steps >= _ENOUGH:
      return ()
    return (
      f"--steps={self.steps}: the released CCF takes {type(self)().steps} steps, and fewer than {_ENOUGH} leave noise; "
      "raise it, or use --method=dig2dig, which needs few",
    )


@dataclasses.dataclass(frozen=True)
class DrFusionOptions:
  """Options of DRFusion; everything else, including the noise levels, is learned."""

  sigma_y: float = option(
    0.03, "Standard deviation of the observation noise that the corrections assume, for images in [0, 1]; the released "
    "code uses this value for every degradation", check=above(0), flag="drfusion_sigma_y",
  )  # fmt: skip
  correct: bool = option(
    True, "Correct the estimates of every step towards the observations and each other; off: the network alone",
    check=EITHER, flag="drfusion_correct",
  )  # fmt: skip
  output: str = option(
    "fused", "Result: the fused image, the restored first or second source, or all three as channels of one image",
    choices=("fused", "first", "second", "channels"), flag="drfusion_output",
  )  # fmt: skip
  ensemble: bool = option(
    False, "Average over the image and its three mirror images at four times the cost (arXiv 1707.02921)", check=EITHER,
    flag="drfusion_ensemble",
  )  # fmt: skip

  def validate(self) -> None:
    """Raises UserError, naming the flag."""
    check_each(self)


@dataclasses.dataclass(frozen=True)
class UserOptions(MethodOptions):
  """Options of a method from outside the package (`--method=module:function`): those that all methods share. sha256 is
  that of the module's file, so that results of a different version count as results of a different method."""

  weights: str = option("uniform", "Fusion weights: from information gains, or fixed and uniform", choices=WEIGHTS)
  method: str = option("", "Module and function that construct the method")
  sha256: str = option("", "SHA-256 of the module's file")


OPTIONS: dict[str, type[MethodOptions | DrFusionOptions]] = {
  "dig2dig": Dig2DigOptions,
  "ddfm": DdfmOptions,
  "ccf": CcfOptions,
  "drfusion": DrFusionOptions,
}
