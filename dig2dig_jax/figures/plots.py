"""What do numbers of a run look like? Tables as small multiples, gains and errors over the steps, selected conditions.

Figures are made without pyplot, which keeps global state and looks for a display. Their size has bounds, whatever the
number of rows or panels.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dig2dig_jax.escape import plot_label
from dig2dig_jax.files import is_free, replacing, taken
from dig2dig_jax.metrics import METRICS

MOST_ROWS = 60  # of a plot of scores, the first ones
TALLEST, WIDEST = 100.0, 60.0  # inches
_PANELS = 12  # of a plot of gains


def write_scores(path: Path, scores: Mapping[str, Sequence[Mapping[str, float]]]) -> None:
  """One panel per measure: the mean over images of each row, with its standard error. scores: as
  `evaluation.table.Rows`. Of more than MOST_ROWS rows the first are drawn."""
  from matplotlib.figure import Figure

  names = list(scores)[:MOST_ROWS]
  measures = list(next(iter(scores.values()))[0])
  columns = min(4, len(measures))
  lines = -(-len(measures) // columns)
  figure = Figure(figsize=(2.2 + 2.4 * columns, min(TALLEST, lines * (0.7 + 0.22 * len(names)))), layout="constrained")
  axes = figure.subplots(lines, columns, sharey=True, squeeze=False)
  positions = np.arange(len(names))
  for measure, axis in zip(measures, axes.flat, strict=False):
    for position, name in zip(positions, names, strict=True):
      values = np.array([score[measure] for score in scores[name]], np.float64)
      values = values[np.isfinite(values)]
      if not values.size:
        continue
      spread = values.std(ddof=1) / np.sqrt(values.size) if values.size > 1 else 0.0
      axis.errorbar(values.mean(), position, xerr=spread, fmt="o", color="C0", markersize=4)
    arrow = {True: " ↑", False: " ↓"}.get(METRICS[measure][1], "") if measure in METRICS else ""
    axis.set_title(measure + arrow, fontsize=9)
    axis.grid(axis="x", alpha=0.3)
    axis.tick_params(labelsize=7)
  for axis in axes.flat[len(measures) :]:
    axis.set_visible(False)
  for axis in axes[:, 0]:
    axis.set_yticks(positions, [plot_label(name) for name in names])
  axes[0, 0].invert_yaxis()  # shared: the first row is at the top of every panel
  _save(figure, path)


def write_selection(path: Path, names: Sequence[str], *, t: np.ndarray, selected: np.ndarray, weights: np.ndarray):
  """CCF's conditions over a run: the weight [S, n] of each as heat, the ones that acted [S, n] marked by a dot.

  t: [S] timesteps, noisiest first, from left to right.
  """
  from matplotlib.figure import Figure

  figure = Figure(figsize=(9, min(TALLEST, 1.2 + 0.3 * len(names))), layout="constrained")
  axis = figure.subplots()
  heat = axis.imshow(weights.T, aspect="auto", interpolation="nearest", cmap="viridis")
  step, condition = np.nonzero(selected)
  axis.scatter(step, condition, s=6, color="white", edgecolors="black", linewidths=0.4)
  axis.set_yticks(np.arange(len(names)), [plot_label(name) for name in names])
  shown = np.unique(np.linspace(0, len(t) - 1, min(len(t), 9)).round().astype(int))
  axis.set_xticks(shown, [str(int(t[index])) for index in shown])
  axis.set_xlabel("timestep (dots: conditions that acted)")
  figure.colorbar(heat, ax=axis, label="weight")
  _save(figure, path)


def write_theory(path: Path, found: Mapping[str, Mapping[str, Sequence[Mapping]]]) -> None:
  """Covariances, and errors with their bounds, over the steps, one line of panels per degradation; found: as
  `benchmarks.theory.run` has it, {degradation: {row: [{"t" [S], "covariance" [S], "error" [S], "bound" [S]}]}}."""
  from matplotlib.figure import Figure

  figure = Figure(figsize=(10, 3 * len(found)), layout="constrained")
  axes = figure.subplots(len(found), 2, squeeze=False)
  for (kind, rows), (left, right) in zip(found.items(), axes, strict=True):
    for name, runs in rows.items():
      t = runs[0]["t"]
      left.plot(t, np.mean([run["covariance"] for run in runs], axis=0), label=plot_label(name))
      (line,) = right.semilogy(t, np.mean([run["error"] for run in runs], axis=0), label=plot_label(name))
      right.semilogy(t, np.mean([run["bound"] for run in runs], axis=0), ":", color=line.get_color())
    left.set_title(f"{kind}: sum over sources of Cov(w, B)", fontsize=9)
    right.set_title(f"{kind}: mean squared error of the clean estimate, its bound dotted", fontsize=9)
    for axis in (left, right):
      axis.invert_xaxis()  # time runs from noise to image
      axis.grid(alpha=0.3)
      axis.legend(fontsize=7)
      axis.set_xlabel("timestep")
  _save(figure, path)


def write_gains(path: Path, curves: Mapping[str, Mapping[str, np.ndarray]], *, t: np.ndarray, label: str) -> None:
  """Information gains over the noise level, one panel per region, mean and standard deviation over noise draws.

  curves: {region: {source: [draws, L]}}, of which the first _PANELS are drawn; t: [L] timesteps, noisiest first.
  """
  from matplotlib.figure import Figure

  curves = dict(list(curves.items())[:_PANELS])
  figure = Figure(figsize=(min(WIDEST, 1 + 4 * len(curves)), 3.4), layout="constrained")
  axes = figure.subplots(1, len(curves), squeeze=False)[0]
  for axis, (region, sources) in zip(axes, curves.items(), strict=True):
    for name, values in sources.items():
      mean, spread = values.mean(axis=0), values.std(axis=0, ddof=1)
      (line,) = axis.plot(t, mean, marker=".", label=plot_label(name))
      axis.fill_between(t, mean - spread, mean + spread, color=line.get_color(), alpha=0.25, linewidth=0)
    axis.axhline(0, color="black", linewidth=0.5)
    axis.set_title(plot_label(region), fontsize=9)
    axis.invert_xaxis()  # time runs from noise to image
    axis.grid(alpha=0.3)
    axis.legend(fontsize=7)
    axis.set_xlabel("timestep")
  axes[0].set_ylabel(label)
  _save(figure, path)


def _save(figure, path: Path) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  if not is_free(path):
    raise taken(path)
  with replacing(path) as temporary:
    figure.savefig(temporary, dpi=110, format="png", metadata={"Software": "dig2dig_jax"})
