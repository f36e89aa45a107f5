"""How does a comparison of methods become text? Markdown, LaTeX and JSON with means, spread, ranks and paired tests.

`Comparison` holds what `evaluation.compare` computed; the functions here only write it down. Metric names print with
the arrow that says where better is; in the table of means the best method of a column is bold and the second
underlined (LaTeX). Trivial fusions stand apart, and are neither.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from dig2dig_jax import escape
from dig2dig_jax.evaluation.compare import LEVEL, RESAMPLES, Difference, Summary, smallest_p


class Comparison(NamedTuple):
  """images: their names. summaries: {method: {metric: Summary}}; ranks: {method: mean rank}, or empty; reference: the
  method that `differences` {metric: {method: Difference}} are to. plain: the rows of trivial fusions.
  method_ranks: as `ranks`, among the other rows alone; empty below two."""

  protocol: str
  images: list[str]
  higher_is_better: dict[str, bool]
  summaries: dict[str, dict[str, Summary]]
  ranks: dict[str, float]
  reference: str
  differences: dict[str, dict[str, Difference]]
  notes: list[str]
  plain: tuple[str, ...] = ()
  method_ranks: Mapping[str, float] = MappingProxyType({})


def markdown(comparison: Comparison) -> str:
  """Three tables (means and ranks; spread; paired differences) with a line on each, and the notes."""
  names = list(comparison.higher_is_better)
  heads = [f"{escape.markdown(name)} {arrow(comparison, name)}" for name in names]
  best, _ = leaders(comparison)
  means, spread = [], []
  for method, row in comparison.summaries.items():
    cells = [f"**{mean_text(row[name])}**" if method in best[name] else mean_text(row[name]) for name in names]
    rank = [f"{comparison.ranks[method]:.2f}"] if comparison.ranks else []
    means.append([escape.markdown(method), *cells, *rank])
    spread.append([escape.markdown(method), *(spread_text(row[name]) for name in names)])
  text = f"Protocol {comparison.protocol}, {len(comparison.images)} images, means over images\n\n"
  text += escape.table(["method", *heads, *(["mean rank ↓"] if comparison.ranks else [])], means)
  text += f"\nDeviation over images, and {LEVEL:.0%} bootstrap interval of the mean ({RESAMPLES} resamples)\n\n"
  text += escape.table(["method", *heads], spread)
  if others := [method for method in comparison.summaries if method != comparison.reference]:
    rows = [[escape.markdown(method), *(paired_text(comparison, method, name) for name in names)] for method in others]
    reference = escape.markdown(comparison.reference)
    tests = "p of Wilcoxon's test, by Holm per metric" if tested(comparison) else f"no test: {untested(comparison)}"
    text += f"\nPaired difference to {reference} with interval; {tests}\n\n"
    text += escape.table(["method", *heads], rows)
  return text + "".join(f"\nNote: {escape.markdown(note)}\n" for note in comparison.notes)


def latex(comparison: Comparison) -> str:
  """The table of means for booktabs."""
  names = list(comparison.higher_is_better)
  arrows = {True: r"$\uparrow$", False: r"$\downarrow$"}
  heads = [f"{escape.tex(name)} {arrows[comparison.higher_is_better[name]]}" for name in names]
  lines = [
    f"% protocol {comparison.protocol}, {len(comparison.images)} images",
    rf"\begin{{tabular}}{{l{'r' * (len(names) + bool(comparison.ranks))}}}",
    r"\toprule",
    " & ".join(["method", *heads, *(["rank"] if comparison.ranks else [])]) + r" \\",
    r"\midrule",
  ]
  rows = latex_rows(comparison)
  own = [row for method, row in rows.items() if method not in comparison.plain]
  plain = [row for method, row in rows.items() if method in comparison.plain]
  lines += [*own, *([r"\midrule"] if own and plain else []), *plain]
  return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def latex_rows(comparison: Comparison) -> dict[str, str]:
  """{method: its line of `latex`}."""
  best, second = leaders(comparison)
  lines = {}
  for method, row in comparison.summaries.items():
    cells = [escape.tex(method)]
    for name in row:
      value = number(row[name].mean, "--").replace("inf", r"$\infty$")
      value = rf"\textbf{{{value}}}" if method in best[name] else value
      cells.append(rf"\underline{{{value}}}" if method in second[name] else value)
    rank = [f"{comparison.ranks[method]:.2f}"] if comparison.ranks else []
    lines[method] = " & ".join([*cells, *rank]) + r" \\"
  return lines


def json_text(comparison: Comparison) -> str:
  """Everything at full precision. Strict JSON: NaN is null, infinity the string "Infinity" or "-Infinity"."""
  report = {
    "protocol": comparison.protocol,
    "images": comparison.images,
    "higher_is_better": comparison.higher_is_better,
    "summary": {
      method: {name: _fields(summary) for name, summary in row.items()} for method, row in comparison.summaries.items()
    },
    "mean_rank": comparison.ranks,
    "mean_rank_of_methods": dict(comparison.method_ranks),
    "reference": comparison.reference,
    "difference": {
      name: {method: _fields(difference) for method, difference in row.items()}
      for name, row in comparison.differences.items()
    },
    "notes": comparison.notes,
  }
  return escape.json_text(report)


def leaders(comparison: Comparison) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
  """Per metric the methods with the best and with the second best mean; none where a single method is compared."""
  best, second = {}, {}
  rows = {method: row for method, row in comparison.summaries.items() if method not in comparison.plain}
  for name, higher in comparison.higher_is_better.items():
    defined = {method: row[name].mean for method, row in rows.items() if not math.isnan(row[name].mean)}
    means = {method: float(f"{mean:.10g}") for method, mean in defined.items()}  # equal but for rounding is equal
    values = sorted(set(means.values()), reverse=higher)
    if len(rows) < 2:
      values = []
    best[name], second[name] = (
      {method for method, mean in means.items() if values[place : place + 1] == [mean]} for place in (0, 1)
    )
  return best, second


def mean_text(summary: Summary) -> str:
  """The mean, and how many values had none."""
  return number(summary.mean) + (f" ({summary.undefined} undefined)" if summary.undefined else "")


def spread_text(summary: Summary) -> str:
  """Deviation and interval."""
  if math.isnan(summary.deviation):
    return "–"
  return f"± {number(summary.deviation)} [{number(summary.low)}, {number(summary.high)}]"


def paired_text(comparison: Comparison, method: str, name: str) -> str:
  """Mean difference to the reference with interval and p."""
  difference = comparison.differences[name][method]
  if math.isnan(difference.p):
    return "–"
  p = ", p < 0.001" if difference.adjusted < 0.001 else f", p = {difference.adjusted:.3f}"
  count = "" if difference.images == len(comparison.images) else f", {difference.images} images"
  interval = f"[{number(difference.low)}, {number(difference.high)}]"
  return f"{number(difference.mean)} {interval}{p * tested(comparison, method)}{count}"


def tested(comparison: Comparison, method: str | None = None) -> bool:
  """Whether there are images enough for a test of this method, or of any, to tell something."""
  others = [one for one in comparison.summaries if one != comparison.reference]
  return any(smallest_p(len(comparison.images), _family(comparison, one)) < 1 - LEVEL
             for one in (others if method is None else [method]))  # fmt: skip


def untested(comparison: Comparison) -> str:
  """Why there are no p-values."""
  count = len(comparison.images)
  others = [_family(comparison, one) for one in comparison.summaries if one != comparison.reference]
  rows = min(others, default=1)
  fewest = next(n for n in range(2, 64) if smallest_p(n, rows) < 1 - LEVEL)
  return (f"Wilcoxon's test of {count} image{'s' * (count > 1)}, by Holm over {rows} row{'s' * (rows > 1)}, gives no p "
          f"below {smallest_p(count, rows):.2g}, whatever the scores; {fewest} images are the fewest")


def _family(comparison: Comparison, method: str) -> int:
  """How many comparisons Holm's adjustment of this row is over: methods and plain rows are asked about apart."""
  is_plain = method in comparison.plain
  return sum(one != comparison.reference and (one in comparison.plain) == is_plain for one in comparison.summaries)


def number(value: float, undefined: str = "–") -> str:
  """About four digits; `undefined` for NaN."""
  if math.isnan(value):
    return undefined
  decimals = next((n for n, limit in enumerate((1000, 100, 10, 1)) if abs(value) >= limit), 4)
  return f"{value:z.{decimals}f}"  # z: a tiny negative mean is 0.0000, not -0.0000


def arrow(comparison: Comparison, name: str) -> str:
  """Where better is."""
  return "↑" if comparison.higher_is_better[name] else "↓"


def _fields(values: NamedTuple) -> Mapping[str, float | str | None]:
  return {name: plain(value) for name, value in values._asdict().items()}


def plain(value: float) -> float | str | None:
  """For strict JSON: NaN is None, infinity a string."""
  if isinstance(value, int | np.integer):
    return int(value)
  if math.isnan(value):
    return None
  return float(value) if math.isfinite(value) else "Infinity" if value > 0 else "-Infinity"


def from_plain(value: float | str | None) -> float:
  """What `plain` was given."""
  return np.nan if value is None else float(value)  # "Infinity" is a float's name, too
