"""Who wins, by how much, and at what cost? Markdown of peers' scores: means, each peer against the first, and costs.

Of a measure and a peer: on how many pairs the first method is better, level and worse, the matched-pairs
rank-biserial correlation (Kerby 2014; 1 where it is better on all pairs, -1 where on none), and Wilcoxon's p by Holm
over the methods.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from dig2dig_jax import escape
from dig2dig_jax.benchmarks.peers.measure import Cost
from dig2dig_jax.evaluation.compare import ALPHA
from dig2dig_jax.evaluation.compare_table import Comparison, arrow, mean_text, number


def rank_biserial(delta: np.ndarray) -> float:
  """Of differences [N]: (ranks of the positive ones - of the negative ones) / all ranks, summed; equal ones are left
  out. NaN where all are."""
  from scipy import stats

  found = delta[np.isfinite(delta) & (delta != 0)]
  if not len(found):
    return float("nan")
  ranks = stats.rankdata(np.abs(found))
  return float(np.sum(ranks * np.sign(found)) / np.sum(ranks))


def tally(effects: Mapping[str, float], p: Mapping[str, float]) -> tuple[int, int]:
  """On how many measures the first is better, and worse, beyond chance. effects: {measure: rank-biserial correlation}.
  p: {measure: adjusted p}; NaN tells nothing."""
  sure = [r for name, r in effects.items() if p[name] < ALPHA]
  return sum(r > 0 for r in sure), sum(r < 0 for r in sure)


def markdown(
  comparison: Comparison,
  scores: Mapping[str, Sequence[Mapping[str, float]]],
  costs: Mapping[str, Cost],
  licences: Mapping[str, str],
) -> str:
  """scores: {method: [{measure: value}]}, of the comparison's images; costs, licences: {peer: ...}."""
  names = list(comparison.higher_is_better)
  rows = []
  for method, row in comparison.summaries.items():
    cost = costs.get(method)
    own = ["–"] * 4 if cost is None else [number(cost.cpu_seconds), number(cost.seconds), number(cost.first),
                                          f"{cost.peak:.0f}"]  # fmt: skip
    ranks = [f"{comparison.ranks[method]:.2f}"] if comparison.ranks else []
    rows.append([escape.markdown(method), *(mean_text(row[name]) for name in names), *ranks, *own])
  heads = [f"{escape.markdown(name)} {arrow(comparison, name)}" for name in names]
  heads = ["method", *heads, *(["mean rank ↓"] if comparison.ranks else []), "CPU s a pair", "s a pair",
           "CPU s, first pair", "MB"]  # fmt: skip
  text = f"{len(comparison.images)} pairs, means over pairs\n\n" + escape.table(heads, rows)
  first = comparison.reference
  others = [method for method in costs if method != first and method in scores]
  if others:
    text += f"\n{first} against each peer: pairs better/level/worse, rank-biserial r, p by Holm\n\n"
    lines = [[escape.markdown(peer), *(_cell(comparison, scores, first, peer, name) for name in names),
              _tally(comparison, scores, first, peer)] for peer in others]  # fmt: skip
    text += escape.table(["against", *map(escape.markdown, names), f"measures won/lost at p < {ALPHA:g}"], lines)
  text += "\n" + "".join(f"* {escape.markdown(peer)}: licence {licence}\n" for peer, licence in licences.items())
  return text


def _delta(comparison: Comparison, scores, first: str, peer: str, name: str) -> np.ndarray:
  """Positive where the first is better."""
  values = [np.array([row[name] for row in scores[method]], float) for method in (first, peer)]
  return (values[0] - values[1]) * (1 if comparison.higher_is_better[name] else -1)


def _cell(comparison: Comparison, scores, first: str, peer: str, name: str) -> str:
  delta = _delta(comparison, scores, first, peer, name)
  delta = delta[np.isfinite(delta)]
  counts = f"{np.sum(delta > 0)}/{np.sum(delta == 0)}/{np.sum(delta < 0)}"
  p = comparison.differences[name][peer].adjusted
  told = "" if np.isnan(p) else ", p < 0.001" if p < 0.001 else f", p {p:.3f}"
  return f"{counts}, r {number(rank_biserial(delta))}{told}"


def _tally(comparison: Comparison, scores, first: str, peer: str) -> str:
  names = list(comparison.higher_is_better)
  effects = {name: rank_biserial(_delta(comparison, scores, first, peer, name)) for name in names}
  p = {name: comparison.differences[name][peer].adjusted for name in names}
  return "{}/{}".format(*tally(effects, p))
