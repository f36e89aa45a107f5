"""Which options are the published Dig2DIG, which readings does its text leave open, and which has its tables' shape?

Dig2DIG has no released code. Its Table 3 without a distance is DDFM's row to the digit, and the seconds of its Table 5
are those of one network evaluation a step and one per source and update (docs/paper.md): DDFM's corrected update with
DIG weights. What the weights are taken of, and how sharply, is not said; `readings` has the candidates, and `shape`
holds their tables against what the paper's tables say of each other.
"""

import dataclasses
from collections.abc import Callable, Mapping

from dig2dig_jax import escape
from dig2dig_jax.methods.options import DdfmOptions, Dig2DigOptions, MethodOptions

Rows = dict[str, MethodOptions]
NONE = "no gains"

# Section 4.5: larger steps at high noise; Eq. 1 and 3: DDPM's noise; Table 4: an interval of 10; Eq. 11: a softmax.
_STATED = DdfmOptions(steps=25, spacing="quadratic", transition="ancestral", weights="dig", interval=10, distance="l2")

# What the text leaves open: the scale of the gains, the temperature, and whether weights are a softmax at all ("e.g.");
# whether a gain is of a pixel or of an image; what holds before the first gain; whether Eq. 1 or the DDIM of the
# paper's reference for it; how steps get larger; DDFM as its paper has it or as it is released.
READINGS: dict[str, dict] = {
  "unit": {},
  "unit, next first": {"first": "next"},
  "unit, DDIM": {"transition": "ddim"},
  "unit, uniform steps": {"spacing": "uniform"},
  "unit, released EM": {"em_colour": "released", "em_roles": "released"},
  "levels": {"units": "levels"},
  "levels, T 1000": {"units": "levels", "temperature": 1000.0},
  "shares": {"normalise": "mean_abs"},
  "shares, T 0.15": {"normalise": "mean_abs", "temperature": 0.15},
  "ratio": {"rule": "ratio"},
  "image, ratio": {"rule": "ratio", "scope": "image"},
  "image, levels, T 100": {"units": "levels", "scope": "image", "temperature": 100.0},
}
CHOSEN = "unit"

PUBLISHED = dataclasses.replace(_STATED, **READINGS[CHOSEN])
# The update of Eq. 3 itself, for a likelihood N(y; x0, r^2 I) of finite r: 13 grey levels.
QUADRATIC = Dig2DigOptions(
  steps=25, spacing="quadratic", transition="ancestral", interval=10, strength=0.01, strength_schedule="likelihood"
)  # fmt: skip


def distances(basis: MethodOptions) -> Rows:
  """Table 3: what the gains measure."""
  rows: Rows = {NONE: dataclasses.replace(basis, weights="uniform")}
  return rows | {name: dataclasses.replace(basis, distance=name) for name in ("l1", "ssim", "l2")}


def intervals(basis: MethodOptions) -> Rows:
  """Table 4: steps between updates of the weights."""
  return {f"interval {interval}": dataclasses.replace(basis, interval=interval) for interval in (1, 5, 10, 20)}


def step_counts(basis: MethodOptions) -> Rows:
  """Table 5: reverse steps."""
  return {f"DIG-{steps}": dataclasses.replace(basis, steps=steps) for steps in (15, 20, 25, 50)}


def readings() -> Rows:
  """DDFM, and tables 3, 4 and 5 of every reading, each run once: DIG-25, the interval of 10 and l2 are one row."""
  rows: Rows = {"DDFM": DdfmOptions()}
  for reading, changes in READINGS.items():
    basis = dataclasses.replace(_STATED, **changes)
    own = {**distances(basis), **intervals(basis), **step_counts(basis), NONE: _without_gains(changes)}
    for name, options in own.items():
      if name not in ("l2", "interval 10") and options not in rows.values():
        rows[f"{reading}: {name}"] = options
  return rows


def _without_gains(changes: Mapping) -> DdfmOptions:
  """A reading's run with uniform weights, which several readings share."""
  decisive = ("spacing", "transition", "em_colour", "em_roles")
  own = {name: value for name, value in changes.items() if name in decisive}
  return dataclasses.replace(_STATED, weights="uniform", **own)


Better = Callable[[str, str], bool]

# Of two rows, whether the first is better. `near` says whether DIG-50 and DIG-25 differ by at most a tenth of what
# DIG-25 and DIG-15 differ by; in the paper by 4 of 556 in MSE.
CLAIMS: dict[str, Callable[[Better, bool], bool]] = {
  "gains beat none": lambda better, near: better("DIG-25", NONE),
  "l2 is the best distance": lambda better, near: better("DIG-25", "l1") and better("DIG-25", "ssim"),
  "S = 1 is worse than none": lambda better, near: better(NONE, "interval 1"),
  "S = 1, 5, 10 rise": lambda better, near: better("interval 5", "interval 1") and better("DIG-25", "interval 5"),
  "S = 20 is behind 10": lambda better, near: better("DIG-25", "interval 20"),
  "15, 20, 25 steps rise": lambda better, near: better("DIG-20", "DIG-15") and better("DIG-25", "DIG-20"),
  "50 steps are as 25": lambda better, near: near,
}  # fmt: skip


def holds(claim: str, values: Mapping[str, float], *, higher: bool) -> bool | None:
  """Whether the means {row: value} of one measure bear a claim of CLAIMS out; None where a row of it is missing."""
  try:
    near = claim == "50 steps are as 25" and (
      abs(values["DIG-50"] - values["DIG-25"]) <= 0.1 * abs(values["DIG-25"] - values["DIG-15"])
    )
    return CLAIMS[claim](lambda a, b: (values[a] > values[b]) == higher and values[a] != values[b], near)
  except KeyError:
    return None


def shape(means: Mapping[str, Mapping[str, float]], better: Mapping[str, bool]) -> str:
  """Markdown: a line per reading with the measures in which it bears out each of CLAIMS.

  means: {row of `readings`: {measure: mean}}. better: {measure: whether higher is better}.
  """
  lines = []
  names = {options: name for name, options in readings().items()}
  for reading, changes in READINGS.items():
    own = {name.removeprefix(f"{reading}: "): row for name, row in means.items() if name.startswith(f"{reading}: ")}
    if not own:
      continue
    if (without := names[_without_gains(changes)]) in means:
      own[NONE] = means[without]
    cells = []
    for claim in CLAIMS:
      found = {measure: holds(claim, {name: row[measure] for name, row in own.items()}, higher=higher)
               for measure, higher in better.items()}  # fmt: skip
      held = [measure for measure, held in found.items() if held]
      cells.append("not run" if None in found.values() else ", ".join(held) or "–")
    lines.append([escape.markdown(reading), *cells])
  return escape.table(["reading", *CLAIMS], lines, text=len(CLAIMS) + 1)
