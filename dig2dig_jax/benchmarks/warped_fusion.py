"""Does a warped pair fuse as well as the pair as it lay, once it is aligned? And what is lost without?

  python -m dig2dig_jax.benchmarks.warped_fusion --data=FOLDER --task=thermal|exposure|focus|medical [--limit=6]
                                                 [--cases=mounted,unknown] [--seed=0] [--out=FOLDER]

Of every pair one source, the functional one or else the last, is warped as `--suite=alignment` warps it, and fused with
the other as it lay, as it is warped, and aligned. All three are scored against the pair as it lay, on the panel, in the
middle of the frame, which every warped image shows. Means over the pairs, and how far aligned and not aligned are off.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from dig2dig_jax import front, metrics
from dig2dig_jax.alignment.estimate import estimate
from dig2dig_jax.benchmarks import warps
from dig2dig_jax.benchmarks.pairs import spread
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.data.images import to_uint8
from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.errors import UserError
from dig2dig_jax.escape import table
from dig2dig_jax.metrics.registry import PROTOCOLS
from dig2dig_jax.record import environment, make_folder, write_text

PANEL = PROTOCOLS["panel"]
WAYS = ("as it lay", "aligned", "not aligned")
MARGIN = 0.125  # of each side, that the mounted range may take out of the warped image's field of view


class Row(NamedTuple):
  """Of one pair: scores {way: {measure: value}}, and whether the alignment was believed."""

  pair: str
  cameras: str
  scores: Mapping[str, Mapping[str, float]]
  accepted: bool


def run(
  pairs: Sequence[Pair], task: str, out: Path, *, cases: Sequence[str] = ("mounted",), limit: int = 0, seed: int = 0
) -> str:
  """Writes warped_fusion.json and .md into `out`; returns the Markdown table.

  Args:
    pairs: registered pairs with the task's sources.
    task: as `front.preset` has it.
    cases: keys of `warps.RANGES`.
    limit: so many pairs, spread evenly; 0 takes all.
    seed: of the warps.
  """
  if unknown := [name for name in cases if name not in warps.RANGES]:
    raise UserError(f"--cases={unknown[0]}: expected among {', '.join(warps.RANGES)}")
  if not pairs:
    raise UserError("expected pairs, found none; check --data")
  make_folder(out)
  chosen = spread(list(pairs), limit)
  numbers = {pair.name: number for number, pair in enumerate(pairs)}
  rows = [_row(pair, task, cameras, [seed, numbers[pair.name]])
          for cameras in cases for pair in tqdm(chosen, unit="pair", desc=cameras, disable=None)]  # fmt: skip
  text = markdown(rows)
  record = {"task": task, "rows": [row._asdict() for row in rows], "environment": environment()}
  write_text(out / "warped_fusion.json", json.dumps(record, indent=1) + "\n")
  write_text(out / "warped_fusion.md", text)
  return text


def _row(pair: Pair, task: str, cameras: str, seed: Sequence[int]) -> Row:
  images = [to_uint8(image.pixels) for image in pair.read().values()]
  options = front.preset(task).options
  moved = options.functional if options.base == "functional" else len(images) - 1
  reference = next(number for number in range(len(images)) if number != moved)
  warped = warps.warp(images[moved], np.random.default_rng(list(seed)), warps.RANGES[cameras])
  alpha = np.uint8(warped.mask)[..., None] * 255
  sources = [np.concatenate([warped.image, alpha], axis=-1) if number == moved else image
             for number, image in enumerate(images)]  # fmt: skip
  believed = estimate(images[reference], warped.image, source_mask=warped.mask).accepted
  fused = {
    "as it lay": front.fuse_images(images, task=task, reference=reference),
    "aligned": front.fuse_images(sources, task=task, reference=reference, align="auto"),
    "not aligned": front.fuse_images(sources, task=task, reference=reference, resize="stretch"),
  }
  truth = [_middle(metrics.to_gray(image)) for image in images]
  scores = {way: {name: float(value) for name, value in metrics.score(truth, _middle(metrics.to_gray(image)),
                                                                      PANEL).items()}
            for way, image in fused.items()}  # fmt: skip
  return Row(pair.name, cameras, scores, believed)


def _middle(image: np.ndarray) -> np.ndarray:
  height, width = image.shape[:2]
  down, across = round(MARGIN * height), round(MARGIN * width)
  return image[down : height - down, across : width - across]


def markdown(rows: Sequence[Row]) -> str:
  """A line per range and way, and one each for the differences from the pairs as they lay."""
  lines = []
  for cameras in dict.fromkeys(row.cameras for row in rows):
    mine = [row for row in rows if row.cameras == cameras]
    means = {way: [float(np.mean([row.scores[way][name] for row in mine])) for name in PANEL] for way in WAYS}
    accepted = f"{sum(row.accepted for row in mine)} of {len(mine)}"
    lines += [[cameras, way, accepted if way == "aligned" else "", *(f"{value:.4f}" for value in means[way])]
              for way in WAYS]  # fmt: skip
    for way in WAYS[1:]:
      off = [value - own for value, own in zip(means[way], means[WAYS[0]], strict=True)]
      lines.append([cameras, f"{way}, off", "", *(f"{value:+.4f}" for value in off)])
  return table(["cameras", "second source", "accepted", *PANEL], lines, text=2)


def main(arguments: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(prog="python -m dig2dig_jax.benchmarks.warped_fusion", description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
  parser.add_argument("--data", type=Path, required=True)
  parser.add_argument("--task", choices=front.TASKS, default="thermal")
  parser.add_argument("--cases", default="mounted")
  parser.add_argument("--limit", type=int, default=0)
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--out", type=Path, default=Path("warped_fusion"))
  given = parser.parse_args(arguments)
  try:
    pairs, left_out = DataConfig(given.data, front.preset(given.task).sources).find()
    for line in left_out:
      print(f"note: {line}", file=sys.stderr)
    text = run(pairs, given.task, given.out, cases=given.cases.split(","), limit=given.limit, seed=given.seed)
  except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    return 2
  print(text, end="")
  return 0


if __name__ == "__main__":
  sys.exit(main())
