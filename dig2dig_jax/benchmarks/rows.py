"""Which rows does each table of the benchmark have? The paper's tables 3, 4 and 5, and what it leaves open.

Every table is {row name: options}, around the options that the flags ask for ("tuned") and the published ones
(`benchmarks.published`).
"""

import dataclasses
import fnmatch
from collections.abc import Callable

from dig2dig_jax.benchmarks import published
from dig2dig_jax.benchmarks.published import PUBLISHED, Rows
from dig2dig_jax.benchmarks.theory import ORACLE, UNIFORM
from dig2dig_jax.errors import UserError
from dig2dig_jax.guidance import spectrum
from dig2dig_jax.methods.dig2dig import one_pass
from dig2dig_jax.methods.options import CcfOptions, DdfmOptions, Dig2DigOptions


def accumulated(tuned: Dig2DigOptions) -> Dig2DigOptions:
  """What the tables of reverse steps are around: the flags' options, or, where these have gains in closed form and no
  steps, the setting before those, with gains accumulated between two noise levels."""
  if tuned.window != "spectrum":
    return tuned
  return Dig2DigOptions(steps=10, strength=0.9, window="cumulative", temperature=0.006, smoothing=8.0, bands=7,
                        salience=8.0, chunk=tuned.chunk)  # fmt: skip


def methods(tuned: Dig2DigOptions) -> Rows:
  """Dig2DIG, its limits and its parts beside the methods it grew out of, each of which is as its paper sets it."""
  if tuned.window == "spectrum":
    before = accumulated(tuned)
    return {
      "DDFM": DdfmOptions(),
      "CCF": CcfOptions(),
      "fixed guidance": dataclasses.replace(before, weights="uniform", salience=0.0),
      "Dig2DIG, published": PUBLISHED,
      "Dig2DIG, quadratic": published.QUADRATIC,
      "Dig2DIG, accumulated gains": one_pass(before),
      "salience alone": dataclasses.replace(tuned, restore="off"),
      "Dig2DIG": tuned,
    }
  gains = dataclasses.replace(tuned, salience=0.0, brightness=0.0)
  salience = dataclasses.replace(tuned, weights="uniform")
  parts = {"one pass, gains alone": one_pass(gains), "one pass, salience alone": one_pass(salience)}
  return {
    "DDFM": DdfmOptions(),
    "CCF": CcfOptions(),
    "fixed guidance": dataclasses.replace(gains, weights="uniform"),
    "Dig2DIG, published": PUBLISHED,
    "Dig2DIG, quadratic": published.QUADRATIC,
    **(parts if tuned.salience else {}),
    "Dig2DIG, one pass": one_pass(tuned),
    "Dig2DIG, tuned": tuned,
  }


# What the flag files had before gains in closed form, by the base that they have now (presets/accumulated_*.flags).
_BEFORE: dict[str, dict] = {
  "functional": {},
  "brightest": {"bands": 5, "base": "brightest", "salience": 3.0, "brightness": 1.25, "temperature": 0.4,
                "smoothing": 4.0},
  "uniform": {"bands": 6, "base": "dig", "salience": 3.0, "t_high": 300, "temperature": 0.004, "smoothing": 4.0},
  "exposure": {"bands": 6, "salience": 3.0, "t_high": 300, "temperature": 0.02},
}  # fmt: skip


def clean(tuned: Dig2DigOptions) -> Rows:
  """What clean pairs say of Dig2DIG, beside the setting before it, and stepwise methods in 25 steps, so that a CPU can
  run all sets."""
  before = _BEFORE[tuned.base] if tuned.window == "spectrum" else {}
  return {
    "DDFM, 25 steps": DdfmOptions(steps=25),
    "CCF, 25 steps": CcfOptions(steps=25),
    "Dig2DIG, published": PUBLISHED,
    "before": one_pass(dataclasses.replace(accumulated(tuned), **before)),
    "salience alone": dataclasses.replace(tuned, restore="off"),
    "Dig2DIG": tuned,
  }


def theory_rows(tuned: Dig2DigOptions) -> Rows:
  """The weights whose bound `--suite=theory` tells: at a strength of at most 1/2, as at 1 the estimate is thrown away
  at every step."""
  steps = tuned.steps or Dig2DigOptions().steps
  basis = Dig2DigOptions(steps=steps, strength=min(tuned.strength, 0.5), chunk=tuned.chunk)
  of = lambda **changes: dataclasses.replace(basis, **changes)  # noqa: E731
  return {
    UNIFORM: of(weights="uniform"),
    "gains over intervals": basis,
    "the same, sharper": of(normalise="mean_abs", temperature=SCALE_FREE_TEMPERATURE),
    "accumulated gains": of(window="cumulative", temperature=0.006, smoothing=8.0),
    "gains in closed form": of(window="spectrum", bands=7),
    ORACLE: of(weights="uniform"),
  }


def misregistered(tuned: Dig2DigOptions) -> Rows:
  """Every method, the stepwise ones in 25 steps: what a moved source does to them shows as in their 100 and 200."""
  return {
    "DDFM, 25 steps": DdfmOptions(steps=25),
    "CCF, 25 steps": CcfOptions(steps=25),
    "Dig2DIG, published": published.PUBLISHED,
    "accumulated gains, salience": one_pass(accumulated(dataclasses.replace(tuned, window="spectrum"))),
    "Dig2DIG": tuned,
  }


def weightings(tuned: Dig2DigOptions) -> Rows:
  """Everything that weighs sources by what is known of them."""
  of = lambda **changes: dataclasses.replace(Dig2DigOptions(chunk=tuned.chunk), **changes)  # noqa: E731
  closed = lambda **changes: dataclasses.replace(tuned, restore="noise", **changes)  # noqa: E731
  return {
    "gains over intervals": of(),
    "gains over intervals, published": PUBLISHED,
    "gains over intervals, sharper": of(normalise="mean_abs", temperature=SCALE_FREE_TEMPERATURE),
    "accumulated gains": of(window="cumulative", temperature=0.006, smoothing=8.0),
    "closed form, expected": closed(against="clean"),
    "closed form, measured": closed(against="observed"),
    "salience": dataclasses.replace(tuned, restore="off"),
  }


def distances(tuned: Dig2DigOptions) -> Rows:
  """Table 3: what the gains measure. In the tuned rows gains are scale-free, so that one temperature suits all."""
  free = dataclasses.replace(tuned, normalise="mean_abs", temperature=SCALE_FREE_TEMPERATURE)
  rows: Rows = {f"published, {name}": options for name, options in published.distances(PUBLISHED).items()}
  return rows | {f"tuned, {name}": options for name, options in published.distances(free).items()}


def intervals(tuned: Dig2DigOptions) -> Rows:
  """Table 4: steps between updates of the weights."""
  rows: Rows = {f"published, {name}": options for name, options in published.intervals(PUBLISHED).items()}
  own = published.intervals(dataclasses.replace(tuned, window="interval"))
  return rows | {f"tuned, {name}": options for name, options in own.items()}


def step_counts(tuned: Dig2DigOptions) -> Rows:
  """Table 5: quality against cost."""
  return {
    "DDFM-100": DdfmOptions(),
    "CCF-200": CcfOptions(),
    **{f"{name}, published": options for name, options in published.step_counts(PUBLISHED).items()},
    **{f"{name}, tuned": options for name, options in published.step_counts(tuned).items()},
    "one pass, tuned": one_pass(tuned),
  }


def spectra(tuned: Dig2DigOptions) -> Rows:
  """The constants of gains in closed form, each moved from where it is."""
  basis = tuned if tuned.window == "spectrum" else Dig2DigOptions(steps=0, window="spectrum", bands=7)
  moved = {
    "exponent": (2.0, 3.0, 4.0, 6.0, 8.0),
    "band_window": (0.6, 1.0, 2.0),
    "region": (0.0, 1.0, 2.0),
    "bands": (4, 5, 6, 7, 9),
    "target": (0.0, 0.25, 1.0, 3.0),
    "brightness": (0.0, 0.75, 1.5),
    "base": spectrum.BASES,
    "undershoot": (-1.0, 0.0, 6.0),
    "against": spectrum.AGAINST,
    "restore": ("off",),
    "steps": (0, 10),
  }
  rows = {
    f"{name} {value}": dataclasses.replace(basis, **{name: value})
    for name, values in moved.items() for value in values if value != getattr(basis, name)
  }  # fmt: skip
  return {"as asked": basis, **rows}


def temperatures(tuned: Dig2DigOptions) -> Rows:
  """Temperature x smoothing of the gains."""
  return {
    f"temperature {temperature:g}, {smoothing:g} px": dataclasses.replace(
      tuned, temperature=temperature, smoothing=smoothing
    )
    for temperature in (1.0, 0.02, 0.006, 0.002, 0.0005)
    for smoothing in (0.0, 4.0, 8.0)
  }


def schedules(tuned: Dig2DigOptions) -> Rows:
  """Transition x spacing of the steps."""
  return {
    f"{transition}, {spacing}": dataclasses.replace(tuned, transition=transition, spacing=spacing)
    for transition in ("ddim", "dpm_solver_pp_2m")
    for spacing in ("uniform", "quadratic", "logsnr")
  }


def noises(tuned: Dig2DigOptions) -> Rows:
  """Noise shared by all sources and levels or drawn for each, and the number of draws averaged over."""
  return {
    f"{'shared' if shared else 'own'} noise, {draws} {'draw' if draws == 1 else 'draws'}": dataclasses.replace(
      tuned, shared_noise=shared, draws=draws
    )
    for shared in (True, False)
    for draws in (1, 4)
  }


def savings(tuned: Dig2DigOptions) -> Rows:
  """Fewer and cheaper evaluations, beside a run of REFERENCE steps."""
  of = lambda **changes: dataclasses.replace(tuned, **changes)  # noqa: E731
  return {
    f"{REFERENCE} steps": of(steps=REFERENCE),
    **{f"DDIM, {steps} steps": of(steps=steps) for steps in (25, 10, 5)},
    **{f"DPM-Solver++(2M), {steps} steps": of(steps=steps, transition="dpm_solver_pp_2m") for steps in (25, 10, 5)},
    **{f"DDIM, 25 steps, reuse {every}": of(steps=25, reuse=every) for every in (2, 3, 5)},
    "DDIM, 25 steps, gains at half size": of(steps=25, scale=2),
    "one pass (--fast)": one_pass(tuned),
    "one pass, gains at half size": one_pass(of(scale=2)),
    "one pass, gains at quarter size": one_pass(of(scale=4)),
  }


REFERENCE = 100

# A share of the mean absolute gain: what the tuned temperature of squared errors is on infrared + visible pairs (0.13
# to 0.21 on eight).
SCALE_FREE_TEMPERATURE = 0.15

TABLES: dict[str, Callable[[Dig2DigOptions], Rows]] = {
  "methods": methods,
  "clean": clean,
  "3": distances,
  "4": intervals,
  "5": step_counts,
  "temperature": temperatures,
  "schedule": schedules,
  "noise": noises,
  "savings": savings,
  "spectrum": spectra,
  "reading": lambda tuned: published.readings(),
}
# Tables that know gains in closed form.
BANDWISE = ("methods", "clean", "spectrum")
# Tables of rows that share their programs, see `benchmarks.stepwise`: seconds there are of steps called one by one.
STEPWISE = ("reading",)
# Tables whose rows are compared with the first one by PSNR.
REFERENCED = ("savings",)


def rows_for(
  table: str, tuned: Dig2DigOptions, *, sources: int, gray: bool = True, keep: tuple[str, ...] = ()
) -> Rows:
  """The rows of one of TABLES that `sources` sources allow (DDFM fuses two); of them, those that `keep` names, if any.
  gray: whether luminance is fused; of colour, DDFM takes each channel. UserError where `keep` names another."""
  around = tuned if table in BANDWISE else accumulated(tuned)
  rows = {name: dataclasses.replace(options, chunk=tuned.chunk) for name, options in TABLES[table](around).items()}
  if not gray:
    rows = {name: dataclasses.replace(options, em_colour="channels") if isinstance(options, DdfmOptions) else options
            for name, options in rows.items()}  # fmt: skip
  for pattern in keep:
    if not fnmatch.filter(rows, pattern):
      raise UserError(f"--rows={pattern}: expected rows of table {table}: {'; '.join(rows)}")
  return {
    name: options
    for name, options in rows.items()
    if (sources == 2 or not isinstance(options, DdfmOptions))
    and (not keep or any(fnmatch.fnmatchcase(name, pattern) for pattern in keep))
  }
