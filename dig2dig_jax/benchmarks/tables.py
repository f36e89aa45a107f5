"""Does Dig2DIG beat what is trivial, and what does each of its choices do? Tables of methods on one folder of pairs.

A method that stands in several tables runs once. Scores are of the gray 8-bit images, by `dig2dig_jax.metrics`; time is
that of the compiled program, without compilation, reading and scoring. They are written pair by pair
(`evaluation.scores`), so that the same command goes on where a run was ended. A contact sheet stands beside every
table, because no score sees blotches and halos.
"""

import dataclasses
import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from dig2dig_jax import metrics
from dig2dig_jax.benchmarks import told
from dig2dig_jax.benchmarks.pairs import COST, LPIPS, TO_REFERENCE, Plan, loaded, scored, settings, spread
from dig2dig_jax.benchmarks.rows import REFERENCED, STEPWISE, TABLES, rows_for
from dig2dig_jax.benchmarks.stepwise import Programs, Stepwise
from dig2dig_jax.data import validity
from dig2dig_jax.data.pairs import LoadedPair
from dig2dig_jax.errors import UserError
from dig2dig_jax.evaluation.lpips import Score
from dig2dig_jax.evaluation.scores import Row, Scores, stamps
from dig2dig_jax.evaluation.table import csv_text, json_text
from dig2dig_jax.figures import plots, sheet
from dig2dig_jax.fusing.batches import batches
from dig2dig_jax.fusing.config import FuseConfig
from dig2dig_jax.fusing.fuser import Fuser
from dig2dig_jax.methods.codec import Codec
from dig2dig_jax.methods.cost import evaluations
from dig2dig_jax.methods.options import Dig2DigOptions, MethodOptions
from dig2dig_jax.methods.registry import make_method
from dig2dig_jax.priors.prior import Prior
from dig2dig_jax.record import make_folder, write_text

SHEET_ROWS = 6



class Report(NamedTuple):
  """text: the tables of means in Markdown. left_out: one line per file without a partner. failed: one line per pair
  that could not be read, fused or scored: it counts for no row. notes: of an earlier run's scores, and of pictures."""

  text: str
  left_out: list[str]
  failed: list[str]
  notes: list[str]


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
  middle: int = 0,
  lpips: Score | None = None,
  tell: Callable[[str], None] = lambda line: None,
) -> Report:
  """Fuses and scores. scores.jsonl in `config.out` grows pair by pair; each table's scores.{md,csv,json},
  settings.json, plot.png and contact_sheet.png go into a folder of its name there. The text has the tables of means, in
  Markdown, one per protocol; that of the panel has the mean rank.

  keep: rows to run, all if empty. protocols: names of `metrics.PROTOCOLS`. limit: pairs to take, spread evenly over the
  folder; 0 takes all. middle: side of the square in the middle of every pair to take; 0 is all of it. lpips: adds that
  column. tell: hears what the run will cost before it begins. config.settings: all that the codec and the prior were
  made of. A pair that fails is left out for all rows, so that means are over the same pairs. UserError where none is
  left.
  """
  if unknown := [name for name in protocols if name not in metrics.PROTOCOLS]:
    raise UserError(f"--protocol={unknown[0]}: expected names among {', '.join(metrics.PROTOCOLS)}")
  if unknown := [name for name in tables if name not in TABLES]:
    raise UserError(f"--table={unknown[0]}: expected all, or names among {', '.join(TABLES)}")
  pairs, left_out = config.find()
  pairs = spread(pairs, limit)
  plan = _plan(prior, codec, config, tuned, tables, keep, protocols)._replace(lpips=lpips, middle=middle)
  extra = () if lpips is None else (LPIPS,)
  shared, own = (*plan.measures, *extra, *COST), () if plan.reference is None else (TO_REFERENCE,)
  columns = {**dict.fromkeys(metrics.BASELINES, shared), **dict.fromkeys(plan.labels.values(), (*shared, *own))}
  failed: list[str] = []
  tally = validity.Tally(config.sources)
  rows_shown: dict[str, list[np.ndarray]] = {table: [] for table in plan.tables}
  load = functools.partial(loaded, middle=middle)
  with Scores(config.out, settings(plan, prior), columns) as log:
    files = {pair.name: stamps(pair) for pair in pairs}
    before = log.done(files)
    todo = [pair for pair in pairs if pair.name not in before]
    shown = {pair.name for pair in todo[:SHEET_ROWS]}
    complete = set(before)
    tell(told.ahead(plan, len(todo)))
    with tqdm(total=len(todo), unit="pair", disable=None) as bar:
      for batch in batches(todo, batch_size=config.batch_size, bucket=config.bucket, failed=failed, load=load):
        for pair in batch.pairs:
          tally.add(pair.valid)
        for pair, found in scored(batch, plan, failed):
          log.append(pair.name, files[pair.name], found.rows)
          complete.add(pair.name)
          if pair.name in shown:
            _show(plan, pair, found.images, rows_shown, log.notes)
        bar.update(len(batch.pairs))
    names = [pair.name for pair in pairs if pair.name in complete]
    if not names:
      raise UserError(failed[0])
    scores = log.load(names)
    texts = []
    for table, named in plan.tables.items():
      decided = {
        "table": table,
        "data": str(config.data),
        "prior": str(prior.directory),
        "seed": config.seed,
        "pairs": names,
        "fingerprint": log.fingerprint,
        "rows": {
          name: {"kind": type(options).__name__, **dataclasses.asdict(options)} for name, options in named.items()
        },
      }
      rows = {name: scores[plan.labels[options]] for name, options in named.items()}
      # Held against a run of many steps, the plain fusions say nothing.
      plain = {} if table in REFERENCED else {name: scores[name] for name in metrics.BASELINES}
      # The sheet of a run that was ended and goes on shows its own first pairs: it stays.
      stays = bool(before) and _is_of(config.out / table, log.fingerprint)
      sheet_rows = [] if stays else rows_shown[table]
      own = {**plain, **rows}
      texts.append(_write(config.out / table, own, names, decided, protocols, extra, sheet_rows, log.notes))
  return Report("\n".join(texts), left_out, failed, log.notes + tally.lines())


def _plan(prior: Prior, codec: Codec, config: FuseConfig, tuned: Dig2DigOptions, tables, keep, protocols) -> Plan:
  sources = len(config.sources)
  rows = {table: rows_for(table, tuned, sources=sources, gray=codec.gray, keep=keep) for table in tables}
  labels: dict[MethodOptions, str] = {}
  for table, named in rows.items():
    for name, options in named.items():
      labels.setdefault(options, f"{table}: {name}")
  methods = {options: make_method(prior, codec, options=options) for options in labels}
  programs = Programs(prior, codec, seed=config.seed)
  stepwise = {options for table, named in rows.items() if table in STEPWISE for options in named.values()}
  return Plan(
    config=config,
    tables=rows,
    labels=labels,
    fusers={options: Stepwise(options, programs, prior.params) if options in stepwise else
            Fuser(method, prior.params, seed=config.seed) for options, method in methods.items()},
    costs={options: evaluations(made, prior.params, len(config.sources)) for options, made in methods.items()},
    measures=tuple(dict.fromkeys(name for protocol in protocols for name in metrics.PROTOCOLS[protocol])),
    reference=next((next(iter(named.values())) for table, named in rows.items() if table in REFERENCED), None),
  )


def _show(plan: Plan, pair: LoadedPair, images: dict[str, np.ndarray], rows: dict[str, list], notes: list[str]):
  """Adds the pair's row to every table's sheet."""
  sources = [(f"{pair.name} {name}", pixels) for name, pixels in zip(plan.config.sources, pair.sources, strict=True)]
  for table, named in plan.tables.items():
    plain = [] if table in REFERENCED else [(name, images[name]) for name in metrics.BASELINES]
    tiles = [*sources, *plain, *((name, images[plan.labels[options]]) for name, options in named.items())]
    if (row := sheet.try_row(tiles, notes)) is not None:
      rows[table].append(row)


def _is_of(out: Path, fingerprint: str) -> bool:
  """Whether a table's contact sheet is of a run of these settings."""
  try:
    settings = json.loads((out / "settings.json").read_text(encoding="utf-8"))
    return settings["fingerprint"] == fingerprint and (out / "contact_sheet.png").exists()
  except (OSError, ValueError, KeyError, TypeError):
    return False


def _write(
  out: Path,
  rows: dict[str, list[Row]],
  names: Sequence[str],
  settings: dict,
  protocols: tuple[str, ...],
  extra: tuple[str, ...],
  shown: list[np.ndarray],
  notes: list[str],
) -> str:
  """One table: numbers first, so that no picture can take them with it."""
  make_folder(out)
  cost = (*COST, TO_REFERENCE) if settings["table"] in REFERENCED else COST
  cost = (*extra, *cost)
  columns = (*dict.fromkeys(name for protocol in protocols for name in metrics.PROTOCOLS[protocol]), *cost)
  scores = {name: [{column: score[column] for column in columns} for score in found] for name, found in rows.items()}
  text = "\n".join(told.means(scores, protocol, cost) for protocol in protocols)
  if settings["table"] == "reading":
    text += f"\nMeasures in which a reading has what the paper's tables 3, 4 and 5 say\n\n{told.shape(scores)}"
  write_text(out / "scores.md", text)
  write_text(out / "scores.csv", csv_text(scores, images=names))
  write_text(out / "scores.json", json_text(scores, images=names))
  write_text(out / "settings.json", json.dumps(settings, indent=1) + "\n")
  sheet.try_write(out / "contact_sheet.png", shown, notes)
  with sheet.for_show(out / "plot.png", notes):
    plots.write_scores(out / "plot.png", scores)
  return f"Table {settings['table']}\n\n{text}"
