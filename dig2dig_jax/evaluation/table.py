"""How do scores become a table? Markdown, CSV and JSON text from the scores of several methods on the same images.

Rows: {method name: [{metric: value} for each image]}, in the order to print; every dictionary has the same metrics.
A value may be NaN (undefined) or infinite. Means are over the defined values and say how many were undefined.
Pure functions from scores to text, that open no file and read no flag. ValueError for rows that do not fit together.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from dig2dig_jax import escape
from dig2dig_jax.metrics import METRICS

Rows = Mapping[str, Sequence[Mapping[str, float]]]


class Mean(NamedTuple):
  """`value`: mean of the defined values, NaN if there are none. `undefined`: how many were NaN."""

  value: float
  undefined: int


def summarise(rows: Rows) -> dict[str, dict[str, Mean]]:
  """{method: {metric: Mean}}. A method without any image has NaN means of which none is undefined."""
  metrics = _metric_names(rows)
  return {method: {name: _mean([score[name] for score in scores]) for name in metrics}
          for method, scores in rows.items()}


def markdown(rows: Rows, *, further: Mapping[str, Mapping[str, str]] = MappingProxyType({})) -> str:
  """One line per method: number of images and means, to about four digits; `(2 undefined)` follows such a mean.
  further: columns at the end, {heading: {method: cell}}.

  The arrow beside a metric points to where it is better, by METRICS; a metric that METRICS lacks has none.
  """
  means = summarise(rows)
  metrics = _metric_names(rows)
  header = ["method", "images", *(_heading(name) for name in metrics), *further]
  lines = []
  for method, scores in rows.items():
    cells = [*(_cell(means[method][name]) for name in metrics), *(column[method] for column in further.values())]
    lines.append([escape.markdown(method), str(len(scores)), *cells])
  return escape.table(header, lines)


def csv_text(rows: Rows, *, images: Sequence[str]) -> str:
  """One line per method and image, at full precision; an undefined value is an empty field, an infinite one `inf`.

  images: the images' names, in the order of every method's scores.
  """
  metrics = _metric_names(rows)
  _check_images(rows, images)
  text = io.StringIO()
  writer = csv.writer(text, lineterminator="\n")
  writer.writerow(["method", "image", *metrics])
  for method, scores in rows.items():
    for image, score in zip(images, scores, strict=True):
      values = [float(score[name]) for name in metrics]
      names = escape.csv_cell(method), escape.csv_cell(image)
      writer.writerow([*names, *("" if math.isnan(value) else repr(value) for value in values)])
  return text.getvalue()


def json_text(rows: Rows, *, images: Sequence[str]) -> str:
  """{method: {"images": {name: {metric: value}}, "mean": {metric: value}, "undefined": {metric: count}}}.

  Strict JSON: an undefined value is null, an infinite one the string "Infinity" or "-Infinity". images: as in
  `csv_text`, and all different.
  """
  means = summarise(rows)
  _check_images(rows, images)
  if len(set(images)) < len(images):
    raise ValueError("images: expected names that are all different, found one twice")
  report = {
    method: {
      "images": {image: {name: _json_number(value) for name, value in score.items()}
                 for image, score in zip(images, scores, strict=True)},
      "mean": {name: _json_number(mean.value) for name, mean in means[method].items()},
      "undefined": {name: mean.undefined for name, mean in means[method].items() if mean.undefined},
    }
    for method, scores in rows.items()
  }
  return escape.json_text(report, indent=2)


def _metric_names(rows: Rows) -> list[str]:
  names: list[str] | None = None
  for method, scores in rows.items():
    for score in scores:
      names = list(score) if names is None else names
      if set(score) != set(names):
        raise ValueError(f"{method}: expected the metrics {', '.join(names)}, found {', '.join(score)}")
  return names or []


def _check_images(rows: Rows, images: Sequence[str]) -> None:
  for method, scores in rows.items():
    if len(scores) != len(images):
      raise ValueError(f"{method}: expected one score for each of {len(images)} images, found {len(scores)}")


def _mean(values: Sequence[float]) -> Mean:
  defined = [float(value) for value in values if not math.isnan(value)]
  return Mean(sum(defined) / len(defined) if defined else math.nan, len(values) - len(defined))


def _heading(name: str) -> str:
  if name not in METRICS:
    return escape.markdown(name)
  higher_is_better = METRICS[name][1]
  return f"{escape.markdown(name)} {'↑' if higher_is_better else '↓'}"


def _cell(mean: Mean) -> str:
  undefined = f" ({mean.undefined} undefined)" if mean.undefined else ""
  return _number(mean.value) + undefined


def _number(value: float) -> str:
  if math.isnan(value):
    return "–"
  decimals = next((n for n, limit in enumerate((1000, 100, 10, 1)) if abs(value) >= limit), 4)
  return f"{value:z.{decimals}f}"  # z: a tiny negative mean is 0.0000, not -0.0000


def _json_number(value: float) -> float | str | None:
  value = float(value)
  if math.isnan(value):
    return None
  return value if math.isfinite(value) else "Infinity" if value > 0 else "-Infinity"
