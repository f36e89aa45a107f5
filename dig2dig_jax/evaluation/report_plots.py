"""What do a report's plots show? Distributions of scores, cost against quality, and curves over a run, as SVG text.

Figures are made without pyplot, which keeps global state and looks for a display.
"""

import io
from collections.abc import Mapping, Sequence

import numpy as np

from dig2dig_jax.escape import plot_label
from dig2dig_jax.figures.plots import MOST_ROWS, TALLEST

_STYLE = {"svg.fonttype": "none", "svg.hashsalt": "dig2dig_jax", "font.family": "sans-serif", "font.size": 8}


def distributions(scores: Mapping[str, Mapping[str, np.ndarray]], heads: Mapping[str, str]) -> str:
  """A panel per metric with a box (quartiles, whiskers of 1.5 interquartile ranges) per method. scores: {method:
  {metric: [N]}}; heads: {metric: title}. Values that are not finite are left out."""
  names = list(scores)[:MOST_ROWS]

  def draw(axis, metric):
    values = [row[metric][np.isfinite(row[metric])] for row in (scores[name] for name in names)]
    axis.boxplot(values, orientation="horizontal", widths=0.6, flierprops={"markersize": 2},
                 medianprops={"color": "#b3261e"})  # fmt: skip
    axis.set_yticks(np.arange(1, len(names) + 1), [plot_label(name) for name in names])
    axis.invert_yaxis()

  return _panels(heads, draw, row_height=0.24 * len(names) + 0.5)


def quality_against_cost(cost: Mapping[str, int], means: Mapping[str, Mapping[str, float]], heads) -> str:
  """A panel per metric: its mean against the network evaluations per pair, one point per method of `cost`."""

  def draw(axis, metric):
    for number, (method, evaluations) in enumerate(list(cost.items())[:MOST_ROWS]):
      style = {"markersize": 5, "color": f"C{number % 10}", "label": plot_label(method)}
      axis.plot(evaluations, means[method][metric], "o", **style)
    axis.set_xscale("symlog", linthresh=1)  # fusions without a network cost 0
    axis.set_xlim(left=-0.3)
    axis.set_xticks(sorted(set(cost.values())), [str(value) for value in sorted(set(cost.values()))])
    axis.minorticks_off()

  return _panels(heads, draw, row_height=1.9, legend=True, below="network evaluations per pair")


def curves(runs: Mapping[str, Mapping[str, Mapping]], sources: Sequence[str]) -> str:
  """Per run the mean over pairs of each source's weight and of its distance from the estimate against the timestep.

  runs: {method: {pair: {"t": [S], "weight": [S, K], "residual": [S, K]}}}, as the fuse job's curves.json.
  """
  heads = {
    (method, field): f"{method}: {field} of the sources"
    for method in list(runs)[:MOST_ROWS] for field in ("weight", "residual")
  }  # fmt: skip

  def draw(axis, key):
    method, field = key
    rows = list(runs[method].values())
    values = np.array([row[field] for row in rows], np.float64)  # [N, S, K]
    for index, source in enumerate(sources):
      own = values[..., index]
      axis.plot(rows[0]["t"], own.mean(axis=0), color=f"C{index}", label=plot_label(source))
      low, high = np.quantile(own, [0.1, 0.9], axis=0)
      axis.fill_between(rows[0]["t"], low, high, color=f"C{index}", alpha=0.15, linewidth=0)
    axis.invert_xaxis()  # as the run goes: noisiest first

  return _panels(heads, draw, row_height=1.9, columns=2, legend=True, below="timestep (band: 10 to 90 % of the pairs)")


def _panels(heads: Mapping, draw, *, row_height: float, columns: int = 4, legend: bool = False, below: str = "") -> str:
  import matplotlib
  from matplotlib.figure import Figure

  columns = min(columns, len(heads))
  rows = -(-len(heads) // columns)
  with matplotlib.rc_context(_STYLE):
    figure = Figure(figsize=(12.4, min(TALLEST, rows * row_height + 0.4)), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for (key, title), axis in zip(heads.items(), axes.flat, strict=False):
      draw(axis, key)
      axis.set_title(plot_label(title), fontsize=9)
      axis.grid(alpha=0.25)
      axis.spines[["top", "right"]].set_visible(False)
    for axis in axes.flat[len(heads) :]:
      axis.set_visible(False)
    for axis in axes[:, 1:].flat:
      if axes[0, 0].get_yticklabels() and not legend:
        axis.set_yticklabels([])
    if legend:
      figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=6, frameon=False)
    if below:
      figure.supxlabel(below, fontsize=8)
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
  return text.getvalue()
