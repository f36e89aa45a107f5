"""How often does `dig2dig fuse` without --align report that sources lie apart, of pairs as they are and of warped ones?

  python -m dig2dig_jax.benchmarks.lying_apart --data=FOLDER[,FOLDER] [--sources=vi,ir] [--seed=1]

Pairs as they are published should get no line. The second source of each is also warped as by cameras that are mounted
(`warps`), which should give one, unless the warp is slight or the pair is one that --align=auto refuses to align. The
settings of `alignment.hint` were chosen on even pairs with seed 1, and by the published pairs.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from dig2dig_jax.alignment import hint
from dig2dig_jax.alignment.estimate import estimate
from dig2dig_jax.benchmarks import warps
from dig2dig_jax.benchmarks.command import status
from dig2dig_jax.benchmarks.known_pairs import known
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.data.pairs import Pair, in_one_frame
from dig2dig_jax.escape import table


class Row(NamedTuple):
  """as_it_is, warped: pixels that a line would say, None for no line. refused: whether the warped pair, if it has none,
  is one that cannot be aligned either."""

  as_it_is: float | None
  warped: float | None
  refused: bool


def of_pair(pair: Pair, seed: Sequence[int]) -> Row:
  """seed: of the warp."""
  images, _ = in_one_frame(pair, pair.read())
  reference, source = list(images.values())[:2]
  whole = known(pair, "", (), lambda *_: (None, 0.0))  # without an alignment of its own, which nobody asks for
  warped = warps.warp(whole.source, np.random.default_rng(seed), warps.RANGES["mounted"], whole.valid)
  as_it_is = _said(reference.pixels, source.pixels, reference.valid, source.valid)
  of_warped = whole.reference, warped.image, None, warped.mask
  found = _said(*of_warped)
  refused = found is None and not estimate(*of_warped[:2], source_mask=warped.mask).accepted
  return Row(as_it_is, found, refused)


def _said(*of_both: np.ndarray | None) -> float | None:
  doubted = hint.doubt(*of_both)
  return None if doubted is None else hint.apart(doubted, *of_both)


def markdown(rows: dict[str, Sequence[Row]]) -> str:
  """rows: by set, in the order of its pairs."""
  head = ["set", "pairs", "line, as published", "line, even pairs warped", "line, odd pairs warped",
          "warped, no line and refused by --align=auto"]  # fmt: skip
  lines = []
  for name, mine in rows.items():
    halves = [f"{sum(row.warped is not None for row in half)} of {len(half)}" for half in (mine[::2], mine[1::2])]
    lines.append([name, str(len(mine)), str(sum(row.as_it_is is not None for row in mine)), *halves,
                  str(sum(row.refused for row in mine))])  # fmt: skip
  return table(head, lines, text=1)


def run(folders: Sequence[Path], sources: Sequence[str], seed: int = 1) -> str:
  """The table, in Markdown."""
  found = {}
  for folder in folders:
    pairs, left_out = DataConfig(folder, tuple(sources)).find()
    for line in left_out:
      print(f"note: {line}", file=sys.stderr)
    found[folder.name] = [of_pair(pair, [seed, k]) for k, pair in enumerate(tqdm(pairs, unit="pair", disable=None))]
  return markdown(found)


def main(arguments: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(prog="python -m dig2dig_jax.benchmarks.lying_apart", description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
  parser.add_argument("--data", required=True, metavar="FOLDER[,FOLDER]", help="each with one folder per source")
  parser.add_argument("--sources", default="vi,ir", help="the reference, and what is warped")
  parser.add_argument("--seed", type=int, default=1)
  given = parser.parse_args(arguments)
  folders = [Path(name) for name in given.data.split(",")]
  return status(lambda: run(folders, given.sources.split(","), given.seed))


if __name__ == "__main__":
  sys.exit(main())
