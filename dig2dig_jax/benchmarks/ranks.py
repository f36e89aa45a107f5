"""How does every row of the table of clean pairs rank on each data set, and over all of them? From existing tables.

`--table=clean` scores the same rows on one data set at a time. The mean rank of each over the panel is listed here
per set, with its mean over the sets; and Dig2DIG is tested against every other row by Wilcoxon's signed-rank test, of
each measure over the pairs of all sets, with Holm's correction over rows and measures.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dig2dig_jax.benchmarks import scored
from dig2dig_jax.benchmarks.scored import BETTER, PANEL
from dig2dig_jax.errors import UserError
from dig2dig_jax.escape import table
from dig2dig_jax.evaluation.compare import ALPHA, Difference, Scores, differences, holm, mean_ranks
from dig2dig_jax.record import make_folder, write_text

OURS = "Dig2DIG"


def run(folders: Sequence[Path], out: Path) -> str:
  """Reads the tables in `folders`, writes ranks.json and ranks.md into `out` and returns the latter's text.

  UserError for a folder without such a table, for two of one name, and for tables of different rows."""
  sets = {folder.name: scored.scores(folder, "clean") for folder in folders}
  if len(sets) < len(folders):
    raise UserError(f"--scored: expected folders of different names, found {', '.join(map(str, folders))}")
  first, rows = next((name, list(own)) for name, own in sets.items())
  for name, own in sets.items():
    if list(own) != rows:
      raise UserError(f"{name}: expected the rows of {first}, found others; make both by one command")
  if OURS not in rows:
    raise UserError(f"{first}: expected a row {OURS}, found {'; '.join(rows)}; name it in --rows")
  ranks = {name: mean_ranks(own, BETTER) for name, own in sets.items()}
  over = {row: float(np.mean([own[row] for own in ranks.values()])) for row in rows}
  pairs = {name: len(own[OURS][PANEL[0]]) for name, own in sets.items()}
  tested = tests(sets)
  text = _ranks_text(ranks, over, pairs) + "\n" + _tests_text(tested)
  make_folder(out)
  told = {
    "pairs": pairs,
    "mean rank": {name: {row: round(rank, 4) for row, rank in own.items()} for name, own in ranks.items()},
    "over sets": {row: round(rank, 4) for row, rank in over.items()},
    "tests": {row: {name: {"better by": _sign(name) * own.mean, "p": own.adjusted} for name, own in found.items()}
              for row, found in tested.items()},
  }  # fmt: skip
  write_text(out / "ranks.json", json.dumps(told, indent=1) + "\n")
  write_text(out / "ranks.md", text)
  return text


def tests(sets: dict[str, Scores]) -> dict[str, dict[str, Difference]]:
  """{row: {measure: Difference}} of every other row to Dig2DIG over the pairs of all sets, `adjusted` by Holm over all
  of them. sets: {data set: {row: {measure: [N]}}}, the same rows everywhere."""
  rows = next(iter(sets.values()))
  together = {row: {name: np.concatenate([own[row][name] for own in sets.values()]) for name in PANEL} for row in rows}
  found = differences(together, OURS)
  others = [row for row in rows if row != OURS]
  keys = [(row, name) for row in others for name in PANEL]
  adjusted = holm([found[name][row].p for row, name in keys])
  tested: dict[str, dict[str, Difference]] = {row: {} for row in others}
  for (row, name), p in zip(keys, adjusted, strict=True):
    own = found[name][row]
    tested[row][name] = own._replace(mean=-own.mean, low=-own.high, high=-own.low, adjusted=p)
  return tested


def _sign(name: str) -> int:
  return 1 if BETTER[name] else -1


def _ranks_text(ranks, over, pairs) -> str:
  header = ["mean rank ↓", *(f"{name}, {count}" for name, count in pairs.items()), "over sets"]
  lines = [[row, *(f"{own[row]:.2f}" for own in ranks.values()), f"{over[row]:.2f}"] for row in over]
  return table(header, lines)


def _tests_text(tested: dict[str, dict[str, Difference]]) -> str:
  """In how many measures Dig2DIG is better and worse than each row, beyond chance."""
  lines = []
  for row, found in tested.items():
    sure = {name: _sign(name) * own.mean for name, own in found.items() if own.adjusted < ALPHA}
    better = [name for name, by in sure.items() if by > 0]
    worse = [name for name, by in sure.items() if by < 0]
    lines.append([row, ", ".join(better) or "–", ", ".join(worse) or "–"])
  return table([f"p < {ALPHA:g}, {OURS} beside", "better", "worse"], lines, text=3)
