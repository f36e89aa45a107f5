"""Which method is first on which set? A table of folders of `--table=peers`: mean ranks, and measures won and lost.

  python -m dig2dig_jax.benchmarks.peers.overview out/peers/tno out/peers/roadscene

A cell: mean rank among the rows of that set, then on how many measures the first method is better and worse than this
row, by Wilcoxon's test over the pairs with Holm's correction. Ranks are not compared between sets, whose rows differ.
Copies of the sources are among a set's rows, but have no line here.
"""

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dig2dig_jax import escape
from dig2dig_jax.benchmarks import command
from dig2dig_jax.benchmarks.peers.table import rank_biserial, tally
from dig2dig_jax.errors import UserError, one_line
from dig2dig_jax.evaluation.compare import ALPHA
from dig2dig_jax.evaluation.compare_table import from_plain


class Run(NamedTuple):
  """Of one folder. ranks: {row: mean rank}. tallies: {row but the first: measures that the first wins, and loses}."""

  name: str
  pairs: int
  first: str
  ranks: dict[str, float]
  tallies: dict[str, tuple[int, int]]


def read(folder: Path) -> Run:
  """UserError for a folder without the summary and scores of a run."""
  try:
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    with (folder / "scores.csv").open(encoding="utf-8", newline="") as file:
      rows = list(csv.DictReader(file))
    first, ranks = summary["reference"], dict(summary["mean_rank"])
    tallies = {row: _tally(summary, rows, first, row) for row in ranks if row != first}
    return Run(folder.name, len(summary["images"]), first, ranks, tallies)
  except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
    raise UserError(f"{folder}: expected what --table=peers writes, found {one_line(error)}") from error


def _tally(summary: dict[str, Any], rows: Sequence[dict[str, str]], first: str, row: str) -> tuple[int, int]:
  p = {measure: from_plain(told[row]["adjusted"]) for measure, told in summary["difference"].items()}
  effects = {}
  for measure, higher in summary["higher_is_better"].items():
    if p[measure] < ALPHA:  # scores of no others are asked for
      own, other = (
        np.array([_number(line[measure]) for line in rows if line["method"] == name]) for name in (first, row)
      )
      effects[measure] = rank_biserial((own - other) * (1 if higher else -1))
  return tally(effects, p)


def _number(text: str) -> float:
  return float(text) if text else float("nan")


def markdown(runs: Sequence[Run]) -> str:
  """A line per row of any set, in the order of the first in which it stands."""
  names = list(dict.fromkeys(name for run in runs for name in run.ranks if not name.startswith("copy of ")))
  lines = []
  for name in names:
    cells = []
    for run in runs:
      rank = run.ranks.get(name)
      told = "" if name not in run.tallies else ", {}/{}".format(*run.tallies[name])
      cells.append("–" if rank is None else f"{rank:.2f}{told}")
    lines.append([escape.markdown(name), *cells])
  heads = ["row", *(f"{escape.markdown(run.name)}, {run.pairs} pairs" for run in runs)]
  return escape.table(heads, lines)


def main(words: Sequence[str]) -> int:
  parser = argparse.ArgumentParser(prog="python -m dig2dig_jax.benchmarks.peers.overview", description=__doc__)
  parser.add_argument("folders", type=Path, nargs="+")
  folders = parser.parse_args(words).folders
  return command.status(lambda: markdown([read(folder) for folder in folders]))


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
