"""Does a warped pair fuse as well as the pair as it lay, once it is aligned? And what is lost without?

  python -m dig2dig_jax.benchmarks.warped_fusion --data=FOLDER --task=thermal|exposure|focus|medical [--limit=6]
                                                 [--longest=480] [--cases=mounted,unknown] [--seed=0] [--out=FOLDER]

Of every pair one source, the functional one or else the last, is warped as `--suite=alignment` warps it, and fused with
the other as it lay, brought back by the warp's own inverse, aligned (as it is where that is refused), and as it is. All
are scored on the panel against the pair as it lay, in the middle of the frame, which every warped image shows. Means
over the pairs, and how far each way is off. What the inverse loses is the second resampling's; what the alignment loses
beyond that is the alignment's, or the pair's own registration, which no aligner can know. All is therefore done twice:
on the pairs as they are published, and on the same pairs after the program has aligned them. Pairs are reduced to
`longest` pixels at most, and their middles taken in the size that all have, so that one program fuses them.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from dig2dig_jax import metrics
from dig2dig_jax.alignment import warp
from dig2dig_jax.alignment.estimate import estimate
from dig2dig_jax.benchmarks import warps
from dig2dig_jax.benchmarks.pairs import spread
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.data.images import to_uint8
from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.errors import UserError
from dig2dig_jax.escape import table
from dig2dig_jax.front.images import fuse_images
from dig2dig_jax.front.preset import TASKS, preset
from dig2dig_jax.metrics.registry import PROTOCOLS
from dig2dig_jax.record import environment, make_folder, write_text

PANEL = PROTOCOLS["panel"]
WAYS = ("as it lay", "brought back by the inverse", "aligned", "not aligned")
PAIRS = ("published", "aligned first")
LONGEST = 480
MARGIN = 0.125  # of each side, that the mounted range may take out of the warped image's field of view


class Row(NamedTuple):
  """Of one pair, as it is in `PAIRS`: scores {way: {measure: value}}, and whether the alignment was believed."""

  pair: str
  lay: str
  cameras: str
  scores: Mapping[str, Mapping[str, float]]
  accepted: bool


def run(
  pairs: Sequence[Pair], task: str, out: Path, *, cases: Sequence[str] = ("mounted",), limit: int = 0, seed: int = 0,
  longest: int = LONGEST,
) -> str:  # fmt: skip
  """Writes warped_fusion.json and .md into `out`; returns the Markdown table.

  Args:
    pairs: registered pairs with the task's sources.
    task: as `fuse_images` has it.
    cases: keys of `warps.RANGES`.
    limit: so many pairs, spread evenly; 0 takes all.
    seed: of the warps.
    longest: pixels of a pair's longer side at most.
  """
  if unknown := [name for name in cases if name not in warps.RANGES]:
    raise UserError(f"--cases={unknown[0]}: expected among {', '.join(warps.RANGES)}")
  if not pairs:
    raise UserError("expected pairs, found none; check --data")
  make_folder(out)
  chosen = spread(list(pairs), limit)
  numbers = {pair.name: number for number, pair in enumerate(pairs)}
  images = _of_one_size({pair.name: [_reduced(image.pixels, longest) for image in pair.read().values()]
                         for pair in chosen})  # fmt: skip
  rows = []
  for cameras in cases:
    for name, sources in tqdm(images.items(), unit="pair", desc=cameras, disable=None):
      rows += _rows(name, sources, task, cameras, [seed, numbers[name]])
  if not rows:
    raise UserError("expected pairs that can be aligned, found none; check --data")
  text = markdown(rows)
  record = {"task": task, "rows": [row._asdict() for row in rows], "environment": environment()}
  write_text(out / "warped_fusion.json", json.dumps(record, indent=1) + "\n")
  write_text(out / "warped_fusion.md", text)
  return text


def _reduced(pixels: np.ndarray, longest: int) -> np.ndarray:
  """uint8 [h, w, 3] of [H, W, 3] in [-1, 1]."""
  height, width = pixels.shape[:2]
  scale = min(1.0, longest / max(height, width))
  return to_uint8(cv2.resize(pixels, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA))


def _of_one_size(images: Mapping[str, list[np.ndarray]]) -> dict[str, list[np.ndarray]]:
  """The middles, in the least height and width of all."""
  size = np.min([image.shape[:2] for sources in images.values() for image in sources], axis=0)
  corners = {name: (np.array(sources[0].shape[:2]) - size) // 2 for name, sources in images.items()}
  return {name: [image[y : y + size[0], x : x + size[1]] for image in images[name]]
          for name, (y, x) in corners.items()}  # fmt: skip


def _rows(name: str, images: list[np.ndarray], task: str, cameras: str, seed: Sequence[int]) -> list[Row]:
  """As it is published, and where the program can align it, as it is then."""
  images = list(images)
  options = preset(task).options
  moved = options.functional if options.base == "functional" else len(images) - 1
  reference = next(number for number in range(len(images)) if number != moved)
  rows = [_row(name, PAIRS[0], images, moved, reference, task, cameras, seed)]
  own = estimate(images[reference], images[moved])
  if own.accepted:
    images[moved], _ = warp.onto(images[moved], own.matrix, images[reference].shape[:2])
    rows.append(_row(name, PAIRS[1], images, moved, reference, task, cameras, seed))
  return rows


def _row(name, lay, images, moved: int, reference: int, task, cameras, seed) -> Row:
  """moved: number of the image that is warped."""
  warped = warps.warp(images[moved], np.random.default_rng(list(seed)), warps.RANGES[cameras])
  size = images[reference].shape[:2]
  found = estimate(images[reference], warped.image, source_mask=warped.mask)

  def fused(source, valid=None):
    source = source if valid is None else np.dstack([source, np.uint8(valid) * 255])
    sources = [source if number == moved else image for number, image in enumerate(images)]
    return fuse_images(sources, task=task, reference=reference, resize="stretch")

  as_it_is = fused(warped.image, warped.mask)
  made = dict(zip(WAYS, (
    fused(images[moved]),
    fused(*warp.onto(warped.image, warped.matrix, size, warped.mask)),
    fused(*warp.onto(warped.image, found.matrix, size, warped.mask)) if found.accepted else as_it_is,
    as_it_is,
  ), strict=True))  # fmt: skip
  truth = [_middle(metrics.to_gray(image)) for image in images]
  scores = {}
  for way, image in made.items():
    found_scores = metrics.score(truth, _middle(metrics.to_gray(image)), PANEL)
    scores[way] = {measure: float(value) for measure, value in found_scores.items()}
  return Row(name, lay, cameras, scores, found.accepted)


def _middle(image: np.ndarray) -> np.ndarray:
  height, width = image.shape[:2]
  down, across = round(MARGIN * height), round(MARGIN * width)
  return image[down : height - down, across : width - across]


def markdown(rows: Sequence[Row]) -> str:
  """A line of means for the pairs as they lay, and one per way of how far it is off."""
  lines = []
  for lay, cameras in dict.fromkeys((row.lay, row.cameras) for row in rows):
    mine = [row for row in rows if (row.lay, row.cameras) == (lay, cameras)]
    means = {way: np.array([np.mean([row.scores[way][name] for row in mine]) for name in PANEL]) for way in WAYS}
    lines.append([lay, cameras, WAYS[0], str(len(mine)), *(f"{value:.4f}" for value in means[WAYS[0]])])
    for way in WAYS[1:]:
      count = f"{sum(row.accepted for row in mine)} accepted" if way == "aligned" else str(len(mine))
      lines.append([lay, cameras, f"{way}, off", count, *(f"{value:+.4f}" for value in means[way] - means[WAYS[0]])])
  return table(["pairs", "cameras", "second source", "of", *PANEL], lines, text=3)


def main(arguments: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(prog="python -m dig2dig_jax.benchmarks.warped_fusion", description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
  parser.add_argument("--data", type=Path, required=True)
  parser.add_argument("--task", choices=TASKS, default="thermal")
  parser.add_argument("--cases", default="mounted")
  parser.add_argument("--limit", type=int, default=0)
  parser.add_argument("--longest", type=int, default=LONGEST)
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--out", type=Path, default=Path("warped_fusion"))
  given = parser.parse_args(arguments)
  try:
    pairs, left_out = DataConfig(given.data, preset(given.task).sources).find()
    for line in left_out:
      print(f"note: {line}", file=sys.stderr)
    text = run(pairs, given.task, given.out, cases=given.cases.split(","), limit=given.limit, seed=given.seed,
               longest=given.longest)  # fmt: skip
  except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    return 2
  print(text, end="")
  return 0


if __name__ == "__main__":
  sys.exit(main())
