"""What do numbers of a run look like? Tables as small multiples, and the conditions that a run selected.

Figures are made without pyplot, which keeps global state and looks for a display.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dig2dig_jax.files import replacing
from dig2dig_jax.metrics import METRICS


def write_scores(path: Path, scores: Mapping[str, Sequence[Mapping[str, float]]]) -> None:
  """One panel per measure: the mean over images of each row, with its standard error. scores: as `jobs.table.Rows`."""
  from matplotlib.figure import Figure

  names = list(scores)
  measures = list(next(iter(scores.values()))[0])
  columns = min(4, len(measures))
  lines = -(-len(measures) // columns)
  figure = Figure(figsize=(2.2 + 2.4 * columns, lines * (0.7 + 0.22 * len(names))), layout="constrained")
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
    axis.set_yticks(positions, names)
  axes[0, 0].invert_yaxis()  # shared: the first row is at the top of every panel
  _save(figure, path)


def write_selection(path: Path, names: Sequence[str], *, t: np.ndarray, selected: np.ndarray, weights: np.ndarray):
  """CCF's conditions over a run: the weight [S, n] of each as heat, the ones that acted [S, n] marked by a dot.

  t: [S] timesteps, noisiest first, from left to right.
  """
  from matplotlib.figure import Figure

  figure = Figure(figsize=(9, 1.2 + 0.3 * len(names)), layout="constrained")
  axis = figure.subplots()
  heat = axis.imshow(weights.T, aspect="auto", interpolation="nearest", cmap="viridis")
  step, condition = np.nonzero(selected)
  axis.scatter(step, condition, s=6, color="white", edgecolors="black", linewidths=0.4)
  axis.set_yticks(np.arange(len(names)), names)
  shown = np.unique(np.linspace(0, len(t) - 1, min(len(t), 9)).round().astype(int))
  axis.set_xticks(shown, [str(int(t[index])) for index in shown])
  axis.set_xlabel("timestep (dots: conditions that acted)")
  figure.colorbar(heat, ax=axis, label="weight")
  _save(figure, path)


def _save(figure, path: Path) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  with replacing(path) as temporary:
    figure.savefig(temporary, dpi=110, format="png")
