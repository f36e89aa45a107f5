"""What are the scores of one pair in every row of the benchmark, and which settings determine them?"""

import dataclasses
import time
from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np

from dig2dig_jax import metrics
from dig2dig_jax.benchmarks.stepwise import Stepwise
from dig2dig_jax.data.images import to_uint8
from dig2dig_jax.data.padding import crop
from dig2dig_jax.data.pairs import LoadedPair, Pair, load_pair
from dig2dig_jax.errors import UserError, one_line
from dig2dig_jax.evaluation.lpips import Score
from dig2dig_jax.evaluation.scores import Row
from dig2dig_jax.fusing import ledger
from dig2dig_jax.fusing.batches import Batch
from dig2dig_jax.fusing.config import FuseConfig
from dig2dig_jax.fusing.fuser import Fuser
from dig2dig_jax.methods.options import MethodOptions
from dig2dig_jax.priors.prior import Prior

COST = ("evaluations", "seconds")  # columns beside the measures: network evaluations and seconds per pair
TO_REFERENCE = "PSNR to the first row"
LPIPS = "LPIPS"  # smaller is better; of no rank


class Plan(NamedTuple):
  """What runs: labels {options: name of the row in scores.jsonl}, and per options the method and its evaluations.
  reference: options that rows are compared with, or None. lpips: adds its column. middle: side of the square in the
  middle of every pair that is taken, 0 for all of it."""

  config: FuseConfig
  tables: dict[str, dict[str, MethodOptions]]
  labels: dict[MethodOptions, str]
  fusers: dict[MethodOptions, Fuser | Stepwise]
  costs: dict[MethodOptions, int]
  measures: tuple[str, ...]
  reference: MethodOptions | None
  lpips: Score | None = None
  middle: int = 0


class Found(NamedTuple):
  """Of one pair: rows {label: scores}, and images {label: pixels} in [-1, 1]."""

  rows: dict[str, Row]
  images: dict[str, np.ndarray]


def spread(pairs: list[Pair], limit: int) -> list[Pair]:
  """So many of them, spread evenly; all for 0."""
  if not 0 < limit < len(pairs):
    return pairs
  return [pairs[index] for index in np.linspace(0, len(pairs) - 1, limit).round().astype(int)]


def settings(plan: Plan, prior: Prior) -> dict:
  """All that decides scores but the images and the measures."""
  rows = {label: {"kind": type(options).__name__, **dataclasses.asdict(options)}
          for options, label in plan.labels.items()}  # fmt: skip
  for row in rows.values():
    row.pop("chunk", None)  # of the machine: no pixel depends on it
  return {
    "job": "benchmark",
    "rows": rows,
    "reference": plan.labels.get(plan.reference),
    **({"middle": plan.middle} if plan.middle else {}),
    **({"lpips": plan.lpips.identity} if plan.lpips else {}),
    "weights": ledger.weights_hash(prior.params),
    "noise": dataclasses.asdict(prior.noise),
    **plan.config.decisive(),
  }


def loaded(pair: Pair, middle: int) -> LoadedPair:
  """The pair, or the square of side `middle` in its middle."""
  found = load_pair(pair)
  return found._replace(sources=middle_of(found.sources, middle))


def middle_of(sources: np.ndarray, middle: int) -> np.ndarray:
  """[K, h, w, C] of [K, H, W, C]: the square of side `middle` in the middle, or what there is of it; 0 for all."""
  if not middle:
    return sources
  top, left = ((side - min(side, middle)) // 2 for side in sources.shape[1:3])
  return sources[:, top : top + middle, left : left + middle]


def scored(batch: Batch, plan: Plan, failed: list[str]) -> Iterator[tuple[LoadedPair, Found]]:
  """(pair, what was found) of the batch's pairs, a line in `failed` for each that could not be fused or scored."""
  fused, seconds = {}, {}
  try:
    for options, fuser in plan.fusers.items():
      compiling, start = fuser.compile_seconds, time.monotonic()
      fused[options] = fuser(batch.images, batch.ids)[0]
      elapsed = time.monotonic() - start - (fuser.compile_seconds - compiling)
      seconds[options] = elapsed / len(batch.images)  # a batch that is filled up with repeats costs as much
  except (UserError, MemoryError, jax.errors.JaxRuntimeError) as error:  # most of all: no memory for such images
    reason = one_line(error)
    failed += [f"{pair.name}: expected a result, found {reason}; left out for all rows" for pair in batch.pairs]
    return
  for i, pair in enumerate(batch.pairs):
    try:
      pixels = {options: crop(fused[options][i], pair.sources.shape[1:3]) for options in plan.fusers}
      yield pair, _score(pair, pixels, seconds, plan)
    except (UserError, MemoryError, jax.errors.JaxRuntimeError) as error:
      failed.append(f"{pair.name}: expected scores, found {one_line(error)}; left out for all rows")


def _score(pair: LoadedPair, pixels: dict[MethodOptions, np.ndarray], seconds, plan: Plan) -> Found:
  gray = [metrics.to_gray(to_uint8(source)) for source in pair.sources]
  rows, images = {}, {}
  for name, blend in metrics.BASELINES.items():
    start = time.monotonic()
    image = blend(gray)
    cost = dict(zip(COST, (0, time.monotonic() - start), strict=True))
    rows[name] = _measured(gray, image, plan) | cost
    images[name] = image[..., None] / 127.5 - 1
  levels = {options: metrics.to_gray(to_uint8(found)) for options, found in pixels.items()}
  for options, image in levels.items():
    score = _measured(gray, image, plan)
    score |= dict(zip(COST, (plan.costs[options], seconds[options]), strict=True))
    if plan.reference is not None:
      error = np.mean((image - levels[plan.reference]) ** 2)
      score[TO_REFERENCE] = 10 * np.log10(255**2 / error) if error else np.inf
    rows[plan.labels[options]], images[plan.labels[options]] = score, pixels[options]
  return Found(rows, images)


def _measured(gray: list[np.ndarray], image: np.ndarray, plan: Plan) -> Row:
  return metrics.score(gray, image, plan.measures) | ({LPIPS: plan.lpips(gray, image)} if plan.lpips else {})
