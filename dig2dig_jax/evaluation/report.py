"""What does a comparison look like? One HTML page: pictures, scores, plots, and how they were made.

The page is a single file that asks the network for nothing. Its size has a budget (`report_pictures`); pictures in it
stay text until the reader comes near them.
"""

import base64
import importlib.resources
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2
import numpy as np

from dig2dig_jax.data import images
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.errors import UserError
from dig2dig_jax.evaluation import compare, compare_table, folders, report_plots
from dig2dig_jax.evaluation import fused as evaluate_fused
from dig2dig_jax.evaluation.folders import Fused
from dig2dig_jax.evaluation.report_pictures import Album, Pictures
from dig2dig_jax.figures import sheet
from dig2dig_jax.fusing import ledger
from dig2dig_jax.record import environment, write_text

PAGE = "report.html"
_NOTES = 8  # lines about what a folder lacks, before the rest is only counted


def run(
  fused: Mapping[str, Path],
  data: DataConfig,
  out: Path,
  *,
  command: str,
  budget_mb: float = 50,
  baselines: bool = True,
  limit: int = 0,
  **options,
) -> evaluate_fused.Report:
  """Evaluates as `evaluate_fused.run` does, writing the same files, and writes `report.html` beside them.

  command: what the reader can type to get this page. budget_mb: megabytes that all pictures may take together. options:
  protocol and lpips, of `evaluate_fused.run`. A folder's own records are shown where it has them: run.json, log/
  and the maps in weights/, as the fuse job writes them. UserError as there, and for a budget that is not positive.
  """
  if not budget_mb > 0:
    raise UserError(f"--page_mb={budget_mb}: expected above 0")
  sources, pairs = data.sources, data.find_files()[0][: limit or None]
  maps = {method: folder / "weights" for method, folder in fused.items() if (folder / "weights").is_dir()}
  shown_sources = sources[:1] if len(sources) == 2 else sources  # of two, the second map is one minus the first
  # A copy of a source is that source: no picture of its own.
  labels = [*sources, *fused, *(folders.baseline_names(()) if baselines else ())]
  labels += [f"weight of {source}, {method}" for method in maps for source in shown_sources]
  album = Album(pairs=len(pairs), images=len(labels), budget=int(budget_mb * 1e6))
  pictures: dict[str, Pictures] = {}
  notes: list[str] = []  # what the folders lack
  faults: list[str] = []  # of pictures

  def visit(pair: Fused) -> None:
    with sheet.for_show(f"pictures of {pair.name}", faults):
      tiles = pair.sources | {name: image for name, image in pair.methods.items() if name in labels}
      for method, folder in maps.items():
        for source in shown_sources:
          tiles[f"weight of {source}, {method}"] = _map(folder, pair, source, notes)
      judged = list(fused) if len(fused) > 1 else [name for name in pair.methods if name in labels]
      if (found := album.add(tiles, judged)) is not None:
        pictures[pair.name] = found

  report = evaluate_fused.run(fused, data, out, baselines=baselines, limit=limit, visit=visit, **options)
  records = {method: _json_file(folder / "run.json", notes) for method, folder in fused.items()}
  curves = {method: _curves(folder, records[method], sources, notes) for method, folder in fused.items()}
  curves = {method: rows for method, rows in curves.items() if rows}
  plots: list[dict[str, str]] = []
  with sheet.for_show("plots of the page", faults):
    plots = _plots(report, records, curves, sources, baselines)
  notes = [*notes[:_NOTES], *([f"and {len(notes) - _NOTES} more like these"] if len(notes) > _NOTES else [])]
  page = _template().render(
    title=f"Image fusion: {', '.join(fused) or 'plain fusions'}",
    css=_asset("report.css"),
    js=_asset("report.js"),
    command=command,
    environment=environment(),
    runs=[_run(method, folder, records[method]) for method, folder in fused.items()],
    failed=report.failed,
    left_out=report.left_out,
    notes=[*report.comparison.notes, *notes, *faults],
    sources=sources,
    maps=bool(maps),
    shown=len(pictures),
    plots=plots,
    data=_script(_page_data(report, labels, pictures, len(sources), len(fused))),
    albums=[_script(found._asdict()) for found in pictures.values()],
    **_tables(report.comparison, set(fused)),
  )
  write_text(out / PAGE, page)
  return report._replace(notes=[*report.notes, *faults])


def _tables(comparison: compare_table.Comparison, fused: set[str]) -> dict:
  best, _ = compare_table.leaders(comparison)
  rows = []
  for method, row in comparison.summaries.items():
    cells = [_cell(row[name].mean, compare_table.mean_text(row[name]), compare_table.spread_text(row[name]))
             | {"best": method in best[name]} for name in row]  # fmt: skip
    rows.append({"method": method, "baseline": method not in fused, "cells": cells,
                 "rank": comparison.ranks.get(method)})  # fmt: skip
  differences = [
    {"method": method, "cells": [_difference(comparison, method, name) for name in comparison.higher_is_better]}
    for method in comparison.summaries if method != comparison.reference
  ]  # fmt: skip
  return {
    "protocol": comparison.protocol,
    "images": comparison.images,
    "methods": list(comparison.summaries),
    "heads": _heads(comparison),
    "level": f"{compare.LEVEL:.0%}",
    "ranked": bool(comparison.ranks),
    "reference": comparison.reference,
    "rows": rows,
    "differences": differences,
  }


def _difference(comparison: compare_table.Comparison, method: str, name: str) -> dict:
  found = comparison.differences[name][method]
  p = "" if math.isnan(found.adjusted) else ", p < 0.001" if found.adjusted < 1e-3 else f", p = {found.adjusted:.3f}"
  return _cell(found.mean, compare_table.number(found.mean) + p, compare_table.paired_text(comparison, method, name))


def _cell(value: float, text: str, title: str) -> dict:
  return {"value": "" if math.isnan(value) else compare_table.plain(value), "text": text, "title": title}


def _heads(comparison: compare_table.Comparison) -> dict[str, str]:
  return {name: f"{name} {compare_table.arrow(comparison, name)}" for name in comparison.higher_is_better}


def _page_data(report: evaluate_fused.Report, labels, pictures: Mapping[str, Pictures], first: int, fused: int) -> dict:
  names = list(report.comparison.higher_is_better)
  return {
    "labels": labels,
    "left": first if fused else 0,
    "right": first + 1 if first + 1 < len(labels) else 0,
    "shown": list(pictures),
    "full": [bool(found.close_ups) for found in pictures.values()],
    "images": report.comparison.images,
    "methods": list(report.scores),
    "scores": [[[compare_table.plain(row[name]) for row in rows] for name in names] for rows in report.scores.values()],
  }


def _plots(report: evaluate_fused.Report, records, curves, sources, baselines: bool) -> list[dict[str, str]]:
  comparison = report.comparison
  heads = _heads(comparison)
  scores = {method: {name: np.array([row[name] for row in rows]) for name in heads}
            for method, rows in report.scores.items()}  # fmt: skip
  plots = [("Distribution over the images", report_plots.distributions(scores, heads))]
  cost = {method: record["evaluations"] for method, record in records.items() if record and "evaluations" in record}
  cost |= {method: 0 for method in folders.baseline_names(()) if baselines}
  if len(cost) > 1 and any(cost.values()):
    means = {method: {name: row[name].mean for name in row} for method, row in comparison.summaries.items()}
    text = report_plots.quality_against_cost(cost, means, heads)
    plots.append(("Quality against network evaluations", text))
  if curves:
    plots.append(("Over the run: weight of each source, and its distance from the estimate",
                  report_plots.curves(curves, sources)))  # fmt: skip
  encoded = [(title, base64.b64encode(text.encode()).decode("ascii")) for title, text in plots]
  return [{"title": title, "uri": f"data:image/svg+xml;base64,{code}"} for title, code in encoded]


def _run(method: str, folder: Path, record: Mapping | None) -> dict:
  if record is None:
    return {"method": method, "folder": folder, "record": None}
  settings = record.get("settings", {})
  names = ("method", "prior", "seed", "dtype", "batch_size")
  facts = {name: settings[name] for name in names if name in settings} | record.get("environment", {})
  facts |= {name: record[name] for name in ("done", "seconds", "evaluations") if name in record}
  return {"method": method, "folder": folder, "command": settings.get("command"), "facts": facts,
          "record": json.dumps(record, indent=1, ensure_ascii=False)}  # fmt: skip


def _map(folder: Path, pair: Fused, source: str, notes: list[str]) -> np.ndarray:
  """The weight map in colours; gray, with a note, where it is missing or of another size."""
  size = next(iter(pair.sources.values())).shape[:2]
  path = folder / f"{pair.name}_{source}.png"
  try:
    weight = (images.read_image(path).pixels[..., :1] + 1) / 2
    if weight.shape[:2] != size:
      raise UserError(f"{path}: expected a map of the pair's size, found {weight.shape[:2]}")
  except UserError as error:
    notes.append(str(error))
    return np.full((*size, 1), 128, np.uint8)
  return images.to_uint8(sheet.heat(weight))


def _json_file(path: Path, notes: list[str]):
  """What a run left behind; None where it left nothing, with a note where that cannot be read."""
  if not path.exists():
    return None
  try:
    return json.loads(path.read_text(encoding="utf-8"))
  except (OSError, ValueError) as error:
    notes.append(f"{path}: expected JSON, found {error}; the page goes without it")
    return None


def _curves(folder: Path, record: Mapping | None, sources: Sequence[str], notes: list[str]) -> dict[str, dict] | None:
  """A run's curves with the sources in this page's order; None, with a note, where they are of other sources."""
  lines = {pair: found[-1] for pair, found in ledger.read(folder, notes).items()}
  rows = {pair: line["curves"] for pair, line in lines.items() if "curves" in line} or None
  own = list((record or {}).get("settings", {}).get("sources", sources))
  if rows and not set(sources) <= set(own):
    found = ", ".join(own)
    notes.append(f"{folder}: expected curves of {', '.join(sources)}, found {found}; the page goes without them")
    return None
  order = [own.index(source) for source in sources if source in own]
  return rows and {
    name: {"t": row["t"], **{field: np.array(row[field])[:, order] for field in ("weight", "residual")}}
    for name, row in rows.items()
  }


def _template() -> jinja2.Template:
  environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
  return environment.from_string(_asset(PAGE))


def _asset(name: str) -> str:
  return (importlib.resources.files("dig2dig_jax.evaluation") / "templates" / name).read_text(encoding="utf-8")


def _script(content) -> str:
  """JSON that cannot end the script element it stands in."""
  return json.dumps(content, allow_nan=False, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
