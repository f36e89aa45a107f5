"""What do a report's tables and first sentences contain? Rows with their tooltips, and LaTeX for papers."""

import math
from collections.abc import Sequence

from dig2dig_jax.evaluation import compare, compare_table
from dig2dig_jax.evaluation.compare_table import Comparison
from dig2dig_jax.evaluation.meanings import Meaning, meaning
from dig2dig_jax.metrics import METRICS

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_SOURCES = {"ir": "infrared", "vi": "visible", "vis": "visible", "over": "over-exposed", "under": "under-exposed"}


def title(comparison: Comparison, sources: Sequence[str]) -> str:
  """Of the page: how many methods, of fusing what."""
  count = len(comparison.summaries) - len(comparison.plain)
  named = [_SOURCES.get(source.casefold(), source) for source in sources]
  what = " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)
  methods = f"{_number(count)} method{'s' * (count != 1)}" if count else "plain ways"
  return f"{methods[0].upper()}{methods[1:]} of fusing {what} images"


def lead(comparison: Comparison) -> str:
  """What was compared, and which method leads by mean rank, where there are ranks."""
  own = [method for method in comparison.summaries if method not in comparison.plain]
  count, measures = len(comparison.images), len(comparison.higher_is_better)
  told = f"{_joined(own)}, " if own else ""
  what = f"{told}on {'the same ' if count > 1 else ''}{_number(count)} pair{'s' * (count != 1)} of images, by "
  what += f"{_number(measures)} measure{'s' * (measures != 1)} (protocol {comparison.protocol})"
  what += "; plain fusions are shown for comparison." if own and comparison.plain else "."
  if not comparison.method_ranks:
    return what
  order = sorted(comparison.method_ranks.items(), key=lambda one: one[1])
  best = [method for method, rank in order if rank == order[0][1]]
  if len(best) > 1:
    return f"{what} By mean rank {_joined(best)} are level ({order[0][1]:.2f})."
  return f"{what} By mean rank {best[0]} leads ({order[0][1]:.2f}), before {order[1][0]} ({order[1][1]:.2f})."


def columns(comparison: Comparison) -> list[dict]:
  """A dictionary per measure: name, head with its arrow, meaning, and title, the tooltip."""
  found = []
  for name, higher in comparison.higher_is_better.items():
    known: Meaning | None = meaning(name) if name in METRICS or name == "LPIPS" else None
    words = f"{known.name}: {known.asks}" if known else name
    found.append({"name": name, "head": f"{name} {compare_table.arrow(comparison, name)}", "meaning": known,
                  "title": f"{words} {'More' if higher else 'Less'} is better."})  # fmt: skip
  return found


def tables(comparison: Comparison) -> dict:
  """What the page's template needs of scores, ranks and differences."""
  crowned, _ = compare_table.leaders(comparison)
  beats = {name: _better_than_all(comparison, name) for name in comparison.higher_is_better}
  own = [method for method in comparison.summaries if method not in comparison.plain]
  first = min(comparison.method_ranks.values(), default=math.nan)
  groups = []
  for plain, methods in ((False, own), (True, comparison.plain)):
    rows = []
    for method in methods:
      cells = [
        _cell(summary.mean, _mean(summary), _spread(summary),
              "best" if method in crowned[name] else "beats" if method in beats[name] else "")
        for name, summary in comparison.summaries[method].items()
      ]  # fmt: skip
      rank = comparison.method_ranks.get(method)
      rows.append({"method": method, "own": method == comparison.reference and len(own) > 1, "cells": cells,
                   "rank": "" if rank is None else rank, "rank_text": "" if rank is None else f"{rank:.2f}",
                   "first": rank == first, "rank_of_all": comparison.ranks.get(method)})  # fmt: skip
    groups += [{"plain": plain, "rows": rows}] if rows else []
  tested = compare_table.tested(comparison)
  beaten = [f"{_joined(sorted(methods))} in {name}" for name, methods in beats.items() if methods]
  return {
    "protocol": comparison.protocol, "images": len(comparison.images), "methods": list(comparison.summaries),
    "columns": columns(comparison), "groups": groups, "plain_rows": bool(comparison.plain),
    "crowned": any(crowned.values()), "own": comparison.reference if len(own) > 1 else "",
    "level": f"{compare.LEVEL:.0%}", "ranked": bool(comparison.ranks),
    "ranks_of_methods": bool(comparison.method_ranks), "beaten": "; ".join(beaten), "reference": comparison.reference,
    "tested": tested, "untested": "" if tested else compare_table.untested(comparison),
    "alpha": compare.ALPHA, "differences": _differences(comparison) if own else [],
  }  # fmt: skip


def latex(comparison: Comparison) -> dict:
  """The table, and each row of it."""
  return {"table": compare_table.latex(comparison), "rows": compare_table.latex_rows(comparison)}


def _differences(comparison: Comparison) -> list[dict]:
  groups = []
  for plain in (False, True):
    rows = [
      {"method": method, "cells": [_difference(comparison, method, name) for name in comparison.higher_is_better]}
      for method in comparison.summaries
      if method != comparison.reference and (method in comparison.plain) == plain
    ]
    groups += [{"plain": plain, "rows": rows}] if rows else []
  return groups


def _difference(comparison: Comparison, method: str, name: str) -> dict:
  found = comparison.differences[name][method]
  told = compare_table.tested(comparison, method) and found.adjusted < compare.ALPHA and found.mean != 0
  better = (found.mean > 0) == comparison.higher_is_better[name]
  sign = "+" if found.mean > 0 else ""
  text = sign + compare_table.number(found.mean).replace("-", "−")
  return _cell(found.mean, text, compare_table.paired_text(comparison, method, name),
               ("better" if better else "worse") if told else "open")  # fmt: skip


def _better_than_all(comparison: Comparison, name: str) -> set[str]:
  """The plain rows whose mean is better than that of every method; a mean that is equal to ten digits is no better."""
  own = [row[name].mean for method, row in comparison.summaries.items() if method not in comparison.plain]
  own = [mean for mean in own if not math.isnan(mean)]
  if not own:
    return set()
  sign = 1 if comparison.higher_is_better[name] else -1
  best = max(sign * float(f"{mean:.10g}") for mean in own)
  means = {method: sign * float(f"{comparison.summaries[method][name].mean:.10g}") for method in comparison.plain}
  return {method for method, mean in means.items() if mean > best}


def _mean(summary: compare.Summary) -> str:
  return compare_table.number(summary.mean) if math.isnan(summary.mean) else compare_table.mean_text(summary)


def _spread(summary: compare.Summary) -> str:
  if math.isnan(summary.mean):
    return f"undefined for all {summary.undefined} images"
  return compare_table.spread_text(summary)


def _cell(value: float, text: str, told: str, mark: str) -> dict:
  return {"value": "" if math.isnan(value) else compare_table.plain(value), "text": text, "title": told, "mark": mark}


def _number(count: int) -> str:
  return _NUMBERS[count] if count < len(_NUMBERS) else str(count)


def _joined(names: Sequence[str], most: int = 6) -> str:
  if len(names) > most:
    names = [*names[: most - 1], f"{_number(len(names) - most + 1)} more"]
  return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
