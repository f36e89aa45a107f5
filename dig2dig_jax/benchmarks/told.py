"""What does a table of the benchmark say? Its means, what it will cost, and whether it has the shape of the paper's."""

import numpy as np

from dig2dig_jax import metrics
from dig2dig_jax.benchmarks import published
from dig2dig_jax.benchmarks.pairs import LPIPS, Plan
from dig2dig_jax.evaluation.compare import mean_ranks
from dig2dig_jax.evaluation.scores import Row
from dig2dig_jax.evaluation.table import markdown, summarise


def ahead(plan: Plan, pairs: int) -> str:
  """What lies before a run, in words."""
  each, rows = sum(plan.costs.values()), f"{len(plan.costs)} {'row' if len(plan.costs) == 1 else 'rows'}"
  return (f"{pairs} {'pair' if pairs == 1 else 'pairs'} to do in {rows}: at most {each} "
          f"network evaluations a pair, {pairs * each} in all; the same command goes on where a run was ended")


def means(scores: dict[str, list[Row]], protocol: str, cost: tuple[str, ...]) -> str:
  """The means of a protocol's measures, its cost, and, for the panel, the mean over measures of the row's rank."""
  names = metrics.PROTOCOLS[protocol]
  shown = {row: [{name: score[name] for name in (*names, *cost)} for score in found] for row, found in scores.items()}
  further = {}
  if protocol == "panel":
    values = {row: {name: np.array([score[name] for score in scores[row]]) for name in names} for row in scores}
    ranks = mean_ranks(values, {name: metrics.METRICS[name].higher_is_better for name in names})
    further = {"mean rank ↓": {row: f"{rank:.2f}" for row, rank in ranks.items()}}
  return f"Protocol {protocol}\n\n{markdown(shown, further=further)}"


def shape(scores: dict[str, list[Row]]) -> str:
  """Of the readings: in which measures that the paper's tables have, and that are scored, each has their shape."""
  there = next(iter(scores.values()))[0]
  better = {name: metrics.METRICS[name].higher_is_better for name in ("SSIM_uniform", "MSE", "CC")
            if name in there} | ({LPIPS: False} if LPIPS in there else {})  # fmt: skip
  found = {row: {name: mean.value for name, mean in one.items()} for row, one in summarise(scores).items()}
  return published.shape(found, better)
