"""What does a comparison look like? One HTML page: pictures, scores, plots, and how they were made.

The page is a single file that asks the network for nothing and names no place of a machine. Its size has a budget
(`report_pictures`); pictures in it stay text until the reader comes near them.
"""

import importlib.resources
import json
import os
from collections.abc import Mapping
from pathlib import Path

import jinja2
import numpy as np

from dig2dig_jax import pages
from dig2dig_jax.data import images
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.errors import UserError
from dig2dig_jax.evaluation import compare_table, folders, report_made, report_plots, report_tables
from dig2dig_jax.evaluation import fused as evaluate_fused
from dig2dig_jax.evaluation.folders import Fused
from dig2dig_jax.evaluation.report_pictures import Album, Pictures
from dig2dig_jax.evaluation.table import csv_text
from dig2dig_jax.figures import sheet
from dig2dig_jax.files import as_path
from dig2dig_jax.record import environment, write_text

PAGE, SPEC = "report.html", "figure.toml"
_NOTES = 8  # lines about what a folder lacks, before the rest is only counted
_COST = "Means against the network evaluations of a pair; trivial fusions have none."
_DOTS = "A dot is an image, a box holds the middle half of them, the line is the median."


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
  """Evaluates as `evaluate_fused.run` does, writing the same files, and writes `report.html` beside them, and
  `figure.toml`, from which `dig2dig figure` draws the first pair.

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
  plain = folders.baseline_names(()) if baselines else []
  map_names = [f"weight of {source}, {method}" for method in maps for source in shown_sources]
  kinds = {**dict.fromkeys(sources, "source"), **dict.fromkeys(fused, "method"), **dict.fromkeys(plain, "plain"),
           **dict.fromkeys(map_names, "map")}  # fmt: skip
  album = Album(pairs=len(pairs), images=len(kinds), budget=int(budget_mb * 1e6))
  pictures: dict[str, Pictures] = {}
  size: dict[str, tuple[int, int]] = {}
  notes: list[str] = []  # what the folders lack
  faults: list[str] = []  # of pictures

  def visit(pair: Fused) -> None:
    with sheet.for_show(f"pictures of {pair.name}", faults):
      tiles = pair.sources | {name: image for name, image in pair.methods.items() if name in kinds}
      for method, folder in maps.items():
        for source in shown_sources:
          tiles[f"weight of {source}, {method}"] = _map(folder, pair, source, notes)
      judged = list(fused) if len(fused) > 1 else [name for name in pair.methods if name in kinds]
      if (found := album.add(tiles, judged)) is not None:
        pictures[pair.name], size[pair.name] = found, next(iter(tiles.values())).shape[:2]

  report = evaluate_fused.run(fused, data, out, baselines=baselines, limit=limit, visit=visit, **options)
  records = {method: report_made.json_file(folder / "run.json", notes) for method, folder in fused.items()}
  curves = {method: report_made.curves(folder, records[method], sources, notes) for method, folder in fused.items()}
  curves = {method: rows for method, rows in curves.items() if rows}
  plots: list[dict] = []
  still: list[str] = []
  with sheet.for_show("plots of the page", faults):
    plots, still = _plots(report, records, curves, sources, plain)
  spec = ""
  if pictures and fused:
    with sheet.for_show(out / SPEC, faults):
      first = next(iter(pictures))
      if _write_spec(out, next(pair for pair in pairs if pair.name == first), fused, pictures[first], size[first]):
        spec = SPEC
  notes = [*notes[:_NOTES], *([f"and {len(notes) - _NOTES} more like these"] if len(notes) > _NOTES else [])]

  def hide(text: str) -> str:
    return report_made.placeless(text, [out, *fused.values(), *([as_path(data.data)] if data.data != Path() else [])])

  page = _template().render(
    title=report_tables.title(report.comparison, sources),
    lead=report_tables.lead(report.comparison),
    css=pages.text(pages.STYLE) + _asset("report.css"),
    scripts=[pages.text(pages.DIVIDER), _asset("report.js"), _asset("figure.js")],
    command=hide(command),
    environment=environment(),
    runs=[report_made.of_run(method, records[method], hide) for method in fused],
    failed=[hide(line) for line in report.failed],
    left_out=[hide(line) for line in report.left_out],
    notes=[hide(line) for line in (*report.comparison.notes, *notes, *faults)],
    maps=bool(maps),
    shown=len(pictures),
    spec=spec,
    plots=plots,
    still=still,
    data=_script(_page_data(report, kinds, pictures)),
    albums=[_script(found._asdict()) for found in pictures.values()],
    **report_tables.tables(report.comparison),
  )
  write_text(out / PAGE, page)
  return report._replace(notes=[*report.notes, *faults])


def _page_data(report: evaluate_fused.Report, kinds: Mapping[str, str], pictures: Mapping[str, Pictures]) -> dict:
  names, labels = list(report.comparison.higher_is_better), list(kinds)
  first = next((k for k, kind in enumerate(kinds.values()) if kind != "source"), 0)
  others = [k for k, kind in enumerate(kinds.values()) if kind == "method" and k != first]
  return {
    "labels": labels,
    "kinds": list(kinds.values()),
    "own": first,
    "left": others[0] if others else 0,
    "right": first,
    "shown": list(pictures),
    "full": [bool(found.close_ups) for found in pictures.values()],
    "images": report.comparison.images,
    "methods": list(report.scores),
    "scores": [[[compare_table.plain(row[name]) for row in rows] for name in names] for rows in report.scores.values()],
    "latex": report_tables.latex(report.comparison),
    "csv": csv_text(report.scores, images=report.comparison.images),
  }


def _plots(report: evaluate_fused.Report, records, curves, sources, plain) -> tuple[list[dict], list[str]]:
  comparison = report.comparison
  heads = {column["name"]: column["head"] for column in report_tables.columns(comparison)}
  scores = {method: {name: np.array([row[name] for row in rows]) for name in heads}
            for method, rows in report.scores.items()}  # fmt: skip
  panels = report_plots.distributions(scores, heads, images=comparison.images, plain=comparison.plain)
  plots = [{"title": "Distribution over the images", "hint": _DOTS, "panels": panels}]
  cost = {method: record["evaluations"] for method, record in records.items() if record and "evaluations" in record}
  cost |= dict.fromkeys(plain, 0)
  if len(cost) > 1 and any(cost.values()):
    means = {method: {name: row[name].mean for name in row} for method, row in comparison.summaries.items()}
    panels, letters = report_plots.quality_against_cost(cost, means, heads, plain=plain)
    plots.append({"title": "Quality against cost", "hint": f"{_COST} {', '.join(letters)}.", "panels": panels})
  panels, still = report_plots.curves(curves, sources)
  if panels:
    plots.append({"title": "Over the run: weight of each source, and its distance from the estimate", "hint": "",
                  "panels": panels})  # fmt: skip
  return plots, still


def _write_spec(out: Path, pair: Pair, fused: Mapping[str, Path], found: Pictures, size: tuple[int, int]) -> bool:
  """The first pair as a figure, its box where the methods differ most; paths from the file's own folder. Whether all
  images are files, which a figure is drawn of; otherwise nothing is written."""
  height, width = size
  wide, tall = max(1, width // 5), max(1, min(height, width * 3 // 20))
  left = max(0, min(width - wide, round(found.focus[0] * width - wide / 2)))
  top = max(0, min(height - tall, round(found.focus[1] * height - tall / 2)))
  indexed = {method: folders.index(folder, []) for method, folder in fused.items()}
  places = dict(pair.files) | folders.files(pair, indexed)
  if not all(isinstance(place, Path) for place in places.values()):
    return False
  images_ = [f"{_toml(label)} = {_toml(os.path.relpath(place, out))}" for label, place in places.items()]
  lines = [
    "# Drawn by: dig2dig figure figure.toml -o figure.pdf. What else may stand here: dig2dig figure --help.",
    f"width = {88.9 if len(places) < 4 else 181}  # millimetres: a column of IEEE's, or both",
    f"columns = {min(len(places), 6)}", "", "[images]", *images_, "", "[[box]]", f"at = [{left}, {top}]",
    f"size = [{wide}, {tall}]", "",
  ]  # fmt: skip
  write_text(out / SPEC, "\n".join(lines))
  return True


def _toml(text: str) -> str:
  """A basic string, whose escapes are those of JSON."""
  return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


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


def _template() -> jinja2.Template:
  environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
  return environment.from_string(_asset(PAGE))


def _asset(name: str) -> str:
  return (importlib.resources.files("dig2dig_jax.evaluation") / "templates" / name).read_text(encoding="utf-8")


def _script(content) -> str:
  """JSON that cannot end the script element it stands in."""
  return json.dumps(content, allow_nan=False, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
