"""Which constants would have been chosen without a data set, and how good are they there? From existing tables.

`--table=spectrum` moves one constant of gains in closed form at a time, on one data set. Several such tables of a task
are compared here: for each set, the value of each constant that has the best mean rank of the panel on the *other*
sets is compared, on that set, with the shipped one. Of a single table, either half of the pairs is left out in turn.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dig2dig_jax.benchmarks import scored
from dig2dig_jax.benchmarks.scored import BETTER, PANEL
from dig2dig_jax.errors import UserError
from dig2dig_jax.escape import table
from dig2dig_jax.evaluation.compare import mean_ranks
from dig2dig_jax.record import make_folder, write_text

_TABLE = "spectrum"

Values = Mapping[str, Mapping[str, np.ndarray]]  # {row: {measure: [N]}}


class Scored(NamedTuple):
  """A data set's table. values: of every row. moved: {row: (constant, value)} of the rows that move one. shipped: the
  first row's constants."""

  name: str
  values: Values
  moved: Mapping[str, tuple[str, object]]
  shipped: Mapping[str, object]


class Choice(NamedTuple):
  """chosen: the constant's value by the other sets. rank, shipped_rank: on the set that was left out, among all its
  values. behind: of the shipped value, the panel's measure that loses most by it there, as a share of its value."""

  constant: str
  shipped: object
  chosen: object
  rank: float
  shipped_rank: float
  behind: tuple[str, float]


def run(folders: Sequence[Path], out: Path) -> str:
  """Reads the tables in `folders`, writes left_out.json and left_out.md into `out` and returns the latter's text.

  UserError for a folder without such a table, for tables of different rows, and for a single one of fewer than four
  pairs."""
  sets = [_read(folder) for folder in folders]
  if len(sets) == 1:
    sets = _halves(sets[0])
  for other in sets[1:]:
    if (other.shipped, other.moved) != (sets[0].shipped, sets[0].moved):
      raise UserError(f"{other.name}: expected the rows of {sets[0].name}, found others; make both by one command")
  found = {one.name: choices(one, [other for other in sets if other is not one]) for one in sets}
  lines = [
    [name, choice.constant, str(choice.shipped), str(choice.chosen), f"{choice.shipped_rank:.2f}", f"{choice.rank:.2f}",
     f"{choice.behind[0]} {choice.behind[1]:+.2%}"]
    for name, own in found.items() for choice in own
  ]  # fmt: skip
  header = ["left out", "constant", "shipped", "chosen by the others", "shipped: mean rank", "chosen: mean rank",
            "where the shipped one is most behind"]  # fmt: skip
  text = table(header, lines)
  make_folder(out)
  told = {name: {choice.constant: {"shipped": choice.shipped, "chosen": choice.chosen} for choice in own}
          for name, own in found.items()}  # fmt: skip
  write_text(out / "left_out.json", json.dumps(told, indent=1) + "\n")
  write_text(out / "left_out.md", text)
  return text


def choices(left_out: Scored, others: Sequence[Scored]) -> list[Choice]:
  """For every constant that a row moves: what `others` choose by the mean over them of the mean rank, the shipped value
  where they are level, and what that is worth on `left_out`."""
  first = next(iter(left_out.values))
  found = []
  for constant in dict.fromkeys(name for name, _ in left_out.moved.values()):
    rows = [first, *(row for row, (name, _) in left_out.moved.items() if name == constant)]
    ranks = [mean_ranks({row: one.values[row] for row in rows}, BETTER) for one in others]
    best = min(rows, key=lambda row: (np.mean([rank[row] for rank in ranks]), row != first))
    own = mean_ranks({row: left_out.values[row] for row in rows}, BETTER)
    chosen = left_out.shipped[constant] if best == first else left_out.moved[best][1]
    behind = _behind(left_out.values[first], left_out.values[best])
    found.append(Choice(constant, left_out.shipped[constant], chosen, own[best], own[first], behind))
  return found


def _behind(shipped: Mapping[str, np.ndarray], chosen: Mapping[str, np.ndarray]) -> tuple[str, float]:
  """The measure by which `shipped` is most behind `chosen`, and by what share of the latter's mean, below 0 if so."""

  def ahead(name: str) -> float:
    ours, theirs = (np.nanmean(values[name]) for values in (shipped, chosen))
    return float((ours - theirs) / max(abs(theirs), 1e-9) * (1 if BETTER[name] else -1))

  worst = min(PANEL, key=ahead)
  return worst, ahead(worst)


def _read(folder: Path) -> Scored:
  values, options = scored.scores(folder, _TABLE), scored.options(folder, _TABLE)
  if unscored := sorted(set(options) - set(values)):
    raise UserError(f"{folder}: expected scores of all rows in settings.json, found none of {unscored[0]}")
  first, *rows = options
  moved = {}
  for row in rows:
    changed = [name for name, value in options[row].items() if value != options[first].get(name)]
    if len(changed) == 1:
      moved[row] = changed[0], options[row][changed[0]]
  return Scored(folder.name, values, moved, options[first])


def _halves(one: Scored) -> list[Scored]:
  count = len(next(iter(next(iter(one.values.values())).values())))
  if count < 4:
    raise UserError(f"{one.name}: expected several tables, or one of at least 4 pairs, found {count}")
  return [
    one._replace(name=f"{one.name}, {word} pairs",
                 values={row: {name: x[start::2] for name, x in own.items()} for row, own in one.values.items()})
    for start, word in ((0, "odd"), (1, "even"))
  ]  # fmt: skip
