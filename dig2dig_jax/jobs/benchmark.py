"""Does Dig2DIG beat what is trivial, and what does each of its choices do? Tables of methods on one folder of pairs.

A method that stands in several tables runs once. Scores are of the gray 8-bit images, by `dig2dig_jax.metrics`; time is
that of the compiled program, without compilation, reading and scoring. A contact sheet stands beside every table,
because no score sees blotches and halos.
"""

import dataclasses
import json
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from dig2dig_jax import metrics
from dig2dig_jax.data.images import to_uint8
from dig2dig_jax.data.padding import crop
from dig2dig_jax.data.pairs import LoadedPair
from dig2dig_jax.errors import UserError
from dig2dig_jax.jobs import plots, sheet
from dig2dig_jax.jobs.ablations import REFERENCED, TABLES, rows_for
from dig2dig_jax.jobs.batches import Batch, batches
from dig2dig_jax.jobs.compare import mean_ranks
from dig2dig_jax.jobs.fuse_config import FuseConfig
from dig2dig_jax.jobs.fuser import Fuser
from dig2dig_jax.jobs.record import make_folder, write_text
from dig2dig_jax.jobs.table import csv_text, json_text, markdown
from dig2dig_jax.methods.base import Codec, evaluations
from dig2dig_jax.methods.dig2dig import Dig2DigOptions
from dig2dig_jax.methods.options import MethodOptions
from dig2dig_jax.methods.registry import make_method
from dig2dig_jax.prior import Prior

SHEET_ROWS = 6
COST = ("evaluations", "seconds")  # columns beside the measures: network evaluations and seconds per pair
TO_REFERENCE = "PSNR to the first row"


class _Results(NamedTuple):
  """Per row (a baseline's name, or options): a score per pair, a tile [H, W, 1 or 3] for each of the first pairs."""

  pairs: list[str]
  sources: list[list[tuple[str, np.ndarray]]]
  scores: dict[str | MethodOptions, list[dict[str, float]]]
  tiles: dict[str | MethodOptions, list[np.ndarray]]


def run(
  prior: Prior,
  codec: Codec,
  config: FuseConfig,
  tuned: Dig2DigOptions,
  *,
  tables: tuple[str, ...] = ("methods",),
  keep: tuple[str, ...] = (),
  protocols: tuple[str, ...] = ("panel", "common"),
  limit: int = 0,
) -> str:
  """Fuses and scores; each table's scores.{md,csv,json}, plot.png, contact_sheet.png and settings.json go into a folder
  of its name under `config.out`. Returns the tables of means, in Markdown, one per protocol; that of the panel has the
  mean rank. keep: rows to run, all if empty. protocols: names of `metrics.PROTOCOLS`. limit: pairs to take, spread
  evenly over the folder; 0 takes all.

  Raises UserError when a pair cannot be read: means over different pairs cannot be compared.
  """
  if unknown := [name for name in protocols if name not in metrics.PROTOCOLS]:
    raise UserError(f"--protocol={unknown[0]}: expected names among {', '.join(metrics.PROTOCOLS)}")
  if unknown := [name for name in tables if name not in TABLES]:
    raise UserError(f"--table={unknown[0]}: expected all, or names among {', '.join(TABLES)}")
  pairs, _ = config.find()
  if 0 < limit < len(pairs):
    pairs = [pairs[index] for index in np.linspace(0, len(pairs) - 1, limit).round().astype(int)]
  rows = {table: rows_for(table, tuned, sources=len(config.sources), keep=keep) for table in tables}
  wanted = {options: None for table in rows.values() for options in table.values()}
  methods = {
    options: make_method(prior.denoiser, codec, noise=prior.noise, options=options, reuse=prior.reuse)
    for options in wanted
  }
  costs = {options: evaluations(method, len(config.sources)) for options, method in methods.items()}
  fusers = {options: Fuser(method, prior.params, seed=config.seed) for options, method in methods.items()}
  measures = tuple(dict.fromkeys(name for protocol in protocols for name in metrics.PROTOCOLS[protocol]))
  reference = next((next(iter(named.values())) for table, named in rows.items() if table in REFERENCED), None)
  make_folder(config.out)
  results = _Results([], [], {}, {})
  failed: list[str] = []
  with tqdm(total=len(pairs), unit="pair", disable=None) as bar:
    for batch in batches(pairs, batch_size=config.batch_size, bucket=config.bucket, failed=failed):
      if failed:
        break
      _score(batch, config, fusers, costs, measures, results, reference=reference)
      bar.update(len(batch.pairs))
  if failed:
    raise UserError(failed[0])
  texts = []
  for table, named in rows.items():
    settings = {
      "table": table,
      "data": str(config.data),
      "prior": str(prior.directory),
      "seed": config.seed,
      "pairs": results.pairs,
      "rows": {
        name: {"kind": type(options).__name__, **dataclasses.asdict(options)} for name, options in named.items()
      },
    }
    texts.append(_write(config.out / table, named, results, settings, protocols))
  return "\n".join(texts)


def _score(
  batch: Batch, config: FuseConfig, fusers, costs, measures: tuple[str, ...], results: _Results, *, reference
) -> None:
  fused, seconds = {}, {}
  for options, fuser in fusers.items():
    compiling, start = fuser.compile_seconds, time.monotonic()
    fused[options] = fuser(batch.images, batch.ids)[0]
    elapsed = time.monotonic() - start - (fuser.compile_seconds - compiling)
    seconds[options] = elapsed / len(batch.images)  # a batch that is filled up with repeats costs as much
  for i, pair in enumerate(batch.pairs):
    gray = [metrics.to_gray(to_uint8(source)) for source in pair.sources]
    shown = len(results.pairs) < SHEET_ROWS
    results.pairs.append(pair.name)
    if shown:
      results.sources.append(_source_tiles(config, pair))
    for name, blend in metrics.BASELINES.items():
      start = time.monotonic()
      image = blend(gray)
      tile = image[..., None] / 127.5 - 1 if shown else None
      cost = 0, time.monotonic() - start
      _add(results, name, metrics.score(gray, image, measures), cost, tile)
    pixels = {options: crop(fused[options][i], pair.sources.shape[1:3]) for options in fusers}
    images = {options: metrics.to_gray(to_uint8(found)) for options, found in pixels.items()}
    for options, image in images.items():
      cost = costs[options], seconds[options]
      score = metrics.score(gray, image, measures)
      if reference is not None:
        error = np.mean((image - images[reference]) ** 2)
        score[TO_REFERENCE] = 10 * np.log10(255**2 / error) if error else np.inf
      _add(results, options, score, cost, pixels[options] if shown else None)


def _add(results: _Results, row, score: dict[str, float], cost: tuple[float, float], tile: np.ndarray | None) -> None:
  results.scores.setdefault(row, []).append(score | dict(zip(COST, cost, strict=True)))
  if tile is not None:
    results.tiles.setdefault(row, []).append(tile)


def _source_tiles(config: FuseConfig, pair: LoadedPair) -> list[tuple[str, np.ndarray]]:
  return [(f"{pair.name} {name}", pixels) for name, pixels in zip(config.sources, pair.sources, strict=True)]


def _write(
  out: Path, named: dict[str, MethodOptions], results: _Results, settings: dict, protocols: tuple[str, ...]
) -> str:
  """One table: the baselines, then its own rows."""
  make_folder(out)
  # Held against a run of many steps, the plain fusions say nothing.
  referenced = settings["table"] in REFERENCED
  keys = {**{name: name for name in (() if referenced else metrics.BASELINES)}, **named}
  cost = (*COST, TO_REFERENCE) if referenced else COST
  columns = (*dict.fromkeys(name for protocol in protocols for name in metrics.PROTOCOLS[protocol]), *cost)
  scores = {
    name: [{column: score[column] for column in columns} for score in results.scores[key]] for name, key in keys.items()
  }
  tiles = {name: results.tiles[key] for name, key in keys.items()}
  rows = [
    sheet.row([*sources, *((name, images[number]) for name, images in tiles.items())])
    for number, sources in enumerate(results.sources)
  ]
  sheet.write_sheet(out / "contact_sheet.png", rows)
  plots.write_scores(out / "plot.png", scores)
  text = "\n".join(_text(scores, protocol, cost) for protocol in protocols)
  write_text(out / "scores.md", text)
  write_text(out / "scores.csv", csv_text(scores, images=results.pairs))
  write_text(out / "scores.json", json_text(scores, images=results.pairs))
  write_text(out / "settings.json", json.dumps(settings, indent=1) + "\n")
  return f"Table {settings['table']}\n\n{text}"


def _text(scores: dict[str, list[dict[str, float]]], protocol: str, cost: tuple[str, ...]) -> str:
  """The means of a protocol's measures, its cost, and, for the panel, the mean over measures of the row's rank."""
  names = metrics.PROTOCOLS[protocol]
  shown = {row: [{name: score[name] for name in (*names, *cost)} for score in found] for row, found in scores.items()}
  further = {}
  if protocol == "panel":
    values = {row: {name: np.array([score[name] for score in scores[row]]) for name in names} for row in scores}
    ranks = mean_ranks(values, {name: metrics.METRICS[name].higher_is_better for name in names})
    further = {"mean rank ↓": {row: f"{rank:.2f}" for row, rank in ranks.items()}}
  return f"Protocol {protocol}\n\n{markdown(shown, further=further)}"
