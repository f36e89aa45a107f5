"""How good are the fused images in these folders? Scores per image and a comparison of the folders by one protocol.

Every method is scored on the same images, those that all folders have: means over different images cannot be compared.
Images are compared as 8-bit gray.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from dig2dig_jax import metrics
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.errors import UserError, one_line
from dig2dig_jax.evaluation import compare, compare_table, signs
from dig2dig_jax.evaluation import folders as fused_folders
from dig2dig_jax.evaluation.folders import Fused
from dig2dig_jax.evaluation.scores import Scores, stamps
from dig2dig_jax.evaluation.table import csv_text
from dig2dig_jax.fusing.outputs import refuse_sources
from dig2dig_jax.record import make_folder, write_text

# (gray sources, gray fused image) -> value: a measure that needs more than the images, as LPIPS its weights. By its
# attribute `identity` scores of an earlier run are known to be of the same weights; without it they are not.
Extra = Callable[[list[np.ndarray], np.ndarray], float]
NO_LPIPS = "LPIPS is unavailable without its weights: dig2dig convert lpips, then --lpips=FOLDER"


class Report(NamedTuple):
  """text: the summary in Markdown. left_out: one line per file without a partner. failed: one line per image that a
  method lacks, or that is damaged or of another size: it counts for no method. scores: {method: [{metric: value}]}.
  notes: what became of the scores of an earlier run."""

  text: str
  left_out: list[str]
  failed: list[str]
  comparison: compare_table.Comparison
  scores: dict[str, list[dict[str, float]]]
  notes: Sequence[str] = ()


def run(
  fused: Mapping[str, Path],
  data: DataConfig,
  out: Path,
  *,
  protocol: str = "panel",
  baselines: bool = True,
  limit: int = 0,
  lpips: Extra | None = None,
  visit: Callable[[Fused], None] | None = None,
) -> Report:
  """Scores the images of every folder `fused` {method: folder} against their sources, the pairs of `data`.

  Writes scores.jsonl as it goes, from which the same command goes on (`evaluation.scores`), then scores.csv (every
  image) and summary.md, .tex and .json (means, intervals, ranks, paired tests against the first method) into `out`.
  protocol: a name of `metrics.PROTOCOLS`. baselines: rows of the trivial fusions and of each source copied.
  limit: first pairs only, 0 takes all. lpips: adds that column, which no rank counts. visit: sees the images of every
  pair whose scores stand. UserError when no image can be scored.
  """
  if protocol not in metrics.PROTOCOLS:
    raise UserError(f"--protocol={protocol}: expected one of {', '.join(metrics.PROTOCOLS)}")
  if not fused and not baselines:
    raise UserError("--fused: expected one or more folders of fused images, found none; add --fused=FOLDER")
  if clash := sorted({*fused_folders.baseline_names(data.sources)} & set(fused)) if baselines else []:
    raise UserError(f"--fused: expected names other than the baselines', found {clash[0]}; rename that folder")
  pairs, left_out = data.find()
  refuse_sources(out, pairs)
  folders = {method: fused_folders.index(folder, left_out) for method, folder in fused.items()}
  left_out = left_out + fused_folders.superfluous(folders, pairs)
  pairs = pairs[: limit or None]
  make_folder(out)
  measures = metrics.PROTOCOLS[protocol]
  rows = [*fused, *(fused_folders.baseline_names(data.sources) if baselines else ())]
  columns = dict.fromkeys(rows, (*measures, *(() if lpips is None else ("LPIPS",))))
  weights = lpips and getattr(lpips, "identity", uuid.uuid4().hex)
  settings = {"job": "evaluate", "signs": signs.VERSION, "lpips": weights}
  failed: list[str] = []
  names: list[str] = []
  with Scores(out, settings, columns) as log:
    files = {pair.name: stamps(pair, fused_folders.files(pair, folders)) for pair in pairs}
    done = log.done(files)
    for pair in tqdm(pairs, unit="pair", disable=None):
      if pair.name in done and visit is None:
        names.append(pair.name)
        continue
      try:
        images = fused_folders.load(pair, fused, folders, failed)
        if images is None:
          continue
        own = {} if pair.name in done else signs.of_pair(images.sources, images.methods, images.signs)
        if baselines:
          images = fused_folders.with_baselines(images)
        scored = None if pair.name in done else _score(images, measures, lpips)
      except Exception as error:  # a pair can only fail alone: most of all, no memory for it
        failed.append(f"{pair.name}: expected scores, found {one_line(error)}; left out for all methods")
        continue
      if scored is not None:
        log.append(pair.name, files[pair.name], scored, own)
      names.append(pair.name)
      if visit is not None:
        visit(images)
    found = log.load(names)
    told = signs.lines(log.signs(names))
  if not names:
    methods = ", ".join(fused) or data.place
    raise UserError(f"{data.place}: expected images that all of {methods} have, found none; {failed[0]}")
  write_text(out / "scores.csv", csv_text(found, images=names))
  notes = _notes(fused_folders.counts(folders, pairs), len(pairs), len(names)) + told
  if lpips is None and protocol in ("dig2dig", "all"):
    notes.append(NO_LPIPS)
  comparison = _compare(protocol, found, names, notes, plain=tuple(row for row in rows if row not in fused))
  text = compare_table.markdown(comparison)
  write_text(out / "summary.md", text)
  write_text(out / "summary.tex", compare_table.latex(comparison))
  write_text(out / "summary.json", compare_table.json_text(comparison))
  return Report(text, left_out, failed, comparison, found, log.notes)


def _score(images: Fused, names: Sequence[str], lpips: Extra | None) -> dict[str, dict[str, float]]:
  """{method: {metric: value}}. One call per method: in a batch, the last bits would depend on who else is compared."""
  sources = [metrics.to_gray(source) for source in images.sources.values()]
  rows = {}
  for method, image in images.methods.items():
    gray = metrics.to_gray(image)
    rows[method] = metrics.score(sources, gray, names)
    if lpips is not None:
      rows[method]["LPIPS"] = lpips(sources, gray)
  return rows


def _notes(counts: Mapping[str, int], pairs: int, scored: int) -> list[str]:
  if scored == pairs:
    return []
  found = "".join(f"; {method} has {count}" for method, count in counts.items())
  return [f"{pairs - scored} of {pairs} pairs are left out{found}"]


def _compare(protocol: str, found, names: list[str], notes: list[str], *, plain: tuple[str, ...]):
  columns = tuple(next(iter(found.values()))[0])
  scores = {method: {name: np.array([row[name] for row in rows]) for name in columns} for method, rows in found.items()}
  better = {name: name in metrics.METRICS and metrics.METRICS[name].higher_is_better for name in columns}
  summaries = {method: {name: compare.summarise(row[name]) for name in columns} for method, row in scores.items()}
  reference = next(iter(scores))
  ranked = {name: better[name] for name in metrics.PROTOCOLS[protocol]}
  own = {method: row for method, row in scores.items() if method not in plain}
  return compare_table.Comparison(
    protocol=protocol,
    images=names,
    higher_is_better=better,
    summaries=summaries,
    ranks=compare.mean_ranks(scores, ranked) if len(scores) > 1 else {},
    reference=reference,
    differences=_differences(scores, reference, plain),
    notes=notes,
    plain=plain,
    method_ranks=compare.mean_ranks(own, ranked) if len(own) > 1 else {},
  )


def _differences(scores: compare.Scores, reference: str, plain: Sequence[str]):
  """Methods and plain rows are two questions, each adjusted by itself: rows for scale make no method's p larger."""
  families = [[method for method in scores if (method in plain) == is_plain] for is_plain in (False, True)]
  found = [compare.differences({reference: scores[reference]} | {one: scores[one] for one in family}, reference)
           for family in families]  # fmt: skip
  return {metric: {one: (found[one in plain])[metric][one] for one in scores if one != reference}
          for metric in scores[reference]}  # fmt: skip
