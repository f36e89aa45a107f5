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
from dig2dig_jax.jobs.ablations import TABLES, rows_for
from dig2dig_jax.jobs.batches import Batch, batches
from dig2dig_jax.jobs.fuse import FuseConfig, Fuser
from dig2dig_jax.jobs.record import make_folder, write_text
from dig2dig_jax.jobs.table import csv_text, json_text, markdown
from dig2dig_jax.methods.base import Codec, evaluations
from dig2dig_jax.methods.dig2dig import Dig2DigOptions
from dig2dig_jax.methods.options import MethodOptions
from dig2dig_jax.methods.registry import make_method
from dig2dig_jax.prior import Prior

SHEET_ROWS = 6
COST = ("evaluations", "seconds")  # columns beside the measures: network evaluations and seconds per pair


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
  limit: int = 0,
) -> str:
  """Fuses and scores; each table's scores.{md,csv,json}, plot.png, contact_sheet.png and settings.json go into a folder
  of its name under `config.out`. Returns the tables of means, in Markdown. keep: rows to run, all if empty.

  Raises UserError when a pair cannot be read: means over different pairs cannot be compared.
  """
  if unknown := [name for name in tables if name not in TABLES]:
    raise UserError(f"--table={unknown[0]}: expected all, or names among {', '.join(TABLES)}")
  if not isinstance(tuned, Dig2DigOptions):
    raise UserError("--job=benchmark varies Dig2DIG and has the other methods as rows; leave out --method")
  pairs, _ = config.find()
  pairs = pairs[: limit or None]
  rows = {table: rows_for(table, tuned, sources=len(config.sources), keep=keep) for table in tables}
  wanted = {options: None for table in rows.values() for options in table.values()}
  methods = {
    options: make_method(prior.denoiser, codec, noise=prior.noise, options=options) for options in wanted
  }
  costs = {options: evaluations(method, len(config.sources)) for options, method in methods.items()}
  fusers = {options: Fuser(method, prior.params, seed=config.seed) for options, method in methods.items()}
  make_folder(config.out)
  results = _Results([], [], {}, {})
  failed: list[str] = []
  with tqdm(total=len(pairs), unit="pair", disable=None) as bar:
    for batch in batches(pairs, batch_size=config.batch_size, bucket=config.bucket, failed=failed):
      if failed:
        break
      _score(batch, config, fusers, costs, results)
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
      "rows": {
        name: {"kind": type(options).__name__, **dataclasses.asdict(options)} for name, options in named.items()
      },
    }
    texts.append(_write(config.out / table, named, results, settings))
  return "\n".join(texts)


def _score(batch: Batch, config: FuseConfig, fusers, costs, results: _Results) -> None:
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
      _add(results, name, gray, image, (0, time.monotonic() - start), tile)
    for options in fusers:
      pixels = crop(fused[options][i], pair.sources.shape[1:3])
      image = metrics.to_gray(to_uint8(pixels))
      _add(results, options, gray, image, (costs[options], seconds[options]), pixels if shown else None)


def _add(results: _Results, row, gray, image, cost: tuple[float, float], tile: np.ndarray | None) -> None:
  results.scores.setdefault(row, []).append(metrics.score(gray, image) | dict(zip(COST, cost, strict=True)))
  if tile is not None:
    results.tiles.setdefault(row, []).append(tile)


def _source_tiles(config: FuseConfig, pair: LoadedPair) -> list[tuple[str, np.ndarray]]:
  return [(f"{pair.name} {name}", pixels) for name, pixels in zip(config.sources, pair.sources, strict=True)]


def _write(out: Path, named: dict[str, MethodOptions], results: _Results, settings: dict) -> str:
  """One table: the baselines, then its own rows."""
  make_folder(out)
  keys = {**{name: name for name in metrics.BASELINES}, **named}
  scores = {name: results.scores[key] for name, key in keys.items()}
  tiles = {name: results.tiles[key] for name, key in keys.items()}
  rows = [
    sheet.row([*sources, *((name, images[number]) for name, images in tiles.items())])
    for number, sources in enumerate(results.sources)
  ]
  sheet.write_sheet(out / "contact_sheet.png", rows)
  plots.write_scores(out / "plot.png", scores)
  text = markdown(scores)
  write_text(out / "scores.md", text)
  write_text(out / "scores.csv", csv_text(scores, images=results.pairs))
  write_text(out / "scores.json", json_text(scores, images=results.pairs))
  write_text(out / "settings.json", json.dumps(settings, indent=1) + "\n")
  return f"Table {settings['table']}\n\n{text}"
