"""What do a report's plots show? Distributions of scores, cost against quality, and curves over a run, as SVG.

A panel per measure or curve, so that a page can put as many beside each other as it has room for. Lines and letters
take the page's colours, by day and by night; classes: own, plain, mark, box, grid, line, band.
"""

import html
import math
from collections.abc import Mapping, Sequence

import numpy as np

from dig2dig_jax.escape import shown

MOST_ROWS = 60  # of a plot, the first ones
_DOTS = 80  # images, up to which each is a dot
_WIDE, _LEFT, _RIGHT, _TOP, _BELOW = 340, 112, 12, 24, 22  # pixels: of a panel, and around its axes
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_STILL = 0.01  # of a curve's values, below which nothing is to be seen in it


def distributions(
  scores: Mapping[str, Mapping[str, np.ndarray]], heads: Mapping[str, str], *, images: Sequence[str],
  plain: Sequence[str] = (),
) -> list[str]:
  """A panel per metric: a line per method with a dot per image, the box of the quartiles and the median. scores:
  {method: {metric: [N]}}; heads: {metric: title}; images: [N] names; plain: methods that stand for scale. Values that
  are not finite are left out."""
  names = list(scores)[:MOST_ROWS]
  return [_distribution({name: np.asarray(scores[name][metric], np.float64) for name in names}, title, images, plain)
          for metric, title in heads.items()]  # fmt: skip


def _distribution(rows: Mapping[str, np.ndarray], title: str, images: Sequence[str], plain: Sequence[str]) -> str:
  finite = np.concatenate([values[np.isfinite(values)] for values in rows.values()])
  across = _Axis(finite, _LEFT, _WIDE - _RIGHT)
  tall = _TOP + 18 * len(rows) + _BELOW
  parts = [_title(title), *across.ticks(_TOP, tall - _BELOW)]
  for number, (name, values) in enumerate(rows.items()):
    y, kind = _TOP + 18 * number + 9, "plain" if name in plain else "own"
    parts.append(f'<text class="{kind}" x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{_label(name)}</text>')
    known = values[np.isfinite(values)]
    if not len(known):
      continue
    low, middle, high = (across.at(value) for value in np.quantile(known, [0.25, 0.5, 0.75]))
    if len(known) > 3:
      parts.append(f'<rect class="box {kind}" x="{low:.1f}" y="{y - 5}" width="{max(1, high - low):.1f}" height="10"/>')
    if len(values) <= _DOTS:
      parts += [
        f'<circle class="{kind}" cx="{across.at(value):.1f}" cy="{y}" r="2.6"><title>{_text(name)}, {_text(image)}: '
        f"{value:.4g}</title></circle>"
        for image, value in zip(images, values, strict=True) if np.isfinite(value)
      ]  # fmt: skip
    parts.append(f'<path class="mark" d="M{middle:.1f} {y - 7}v14"><title>{_text(name)}: median '
                 f"{np.median(known):.4g}</title></path>")  # fmt: skip
  return _svg(title, tall, parts)


def quality_against_cost(
  cost: Mapping[str, int], means: Mapping[str, Mapping[str, float]], heads: Mapping[str, str], *,
  plain: Sequence[str] = (),
) -> tuple[list[str], list[str]]:
  """(a panel per metric: its mean against the network evaluations per pair; what the letters in them stand for)."""
  cost = dict(list(cost.items())[:MOST_ROWS])
  letters = dict(zip((name for name in cost if name not in plain), _LETTERS, strict=False))
  across = _Axis(np.array([math.log10(1 + value) for value in cost.values()]), 52, _WIDE - _RIGHT)
  panels = []
  for metric, title in heads.items():
    values = np.array([means[name][metric] for name in cost], np.float64)
    up = _Axis(values[np.isfinite(values)], 150, _TOP + 6)
    parts = [_title(title), *up.ticks(46, _WIDE - _RIGHT, upright=False)]
    for value in sorted(set(cost.values())):
      x = across.at(math.log10(1 + value))
      parts.append(f'<text x="{x:.1f}" y="170" text-anchor="middle">{value}</text>')
    parts.append(f'<text x="{_WIDE / 2}" y="184" text-anchor="middle">network evaluations per pair</text>')
    for name, value in zip(cost, values, strict=True):
      if np.isfinite(value):
        x, y, own = across.at(math.log10(1 + cost[name])), up.at(value), name in letters
        parts.append(f'<circle class="{"own" if own else "plain"}" cx="{x:.1f}" cy="{y:.1f}" r="{7 if own else 3}">'
                     f"<title>{_text(name)}: {value:.4g}</title></circle>")  # fmt: skip
        if own:
          letter = f'x="{x:.1f}" y="{y + 3.5:.1f}" text-anchor="middle">{letters[name]}'
          parts.append(f'<text class="letter" {letter}</text>')
    panels.append(_svg(title, 190, parts))
  return panels, [f"{letter} {shown(name)}" for name, letter in letters.items()]


def curves(runs: Mapping[str, Mapping[str, Mapping]], sources: Sequence[str]) -> tuple[list[str], list[str]]:
  """(two panels per run: the mean over pairs of each source's weight and of its distance from the estimate, against the
  timestep; a line for each where nothing is to be seen, for the run has no steps or its values do not change).

  runs: {method: {pair: {"t": [S], "weight": [S, K], "residual": [S, K]}}}, as the fuse job's curves.json.
  """
  panels, told = [], []
  for method, pairs in list(runs.items())[:MOST_ROWS]:
    rows = list(pairs.values())
    t = np.asarray(rows[0]["t"], np.float64)
    for field, what in (("weight", "weight"), ("residual", "distance from the estimate")):
      values = np.array([row[field] for row in rows], np.float64)  # [N, S, K]
      mean = values.mean(axis=0)
      if len(t) < 3 or np.all(np.ptp(mean, axis=0) < _STILL):
        means = ", ".join(f"{source} {value:.2f}" for source, value in zip(sources, mean.mean(axis=0), strict=True))
        told.append(f"{shown(method)}: {what} {means}, the same at every step")
      else:
        panels.append(_curve(f"{method}: {what}", t, values, sources))
  return panels, told


def _curve(title: str, t: np.ndarray, values: np.ndarray, sources: Sequence[str]) -> str:
  low, high = np.quantile(values, [0.1, 0.9], axis=0)
  across = _Axis(-t, 46, _WIDE - _RIGHT, margin=0)
  up = _Axis(np.concatenate([low.ravel(), high.ravel()]), 150, _TOP + 6)
  parts = [_title(title), *up.ticks(46, _WIDE - _RIGHT, upright=False)]
  for index, source in enumerate(sources):
    middle = zip(t, values[..., index].mean(axis=0), strict=True)
    line = " ".join(f"{across.at(-x):.1f},{up.at(y):.1f}" for x, y in middle)
    edge = [*zip(t, low[:, index], strict=True), *zip(t[::-1], high[::-1, index], strict=True)]
    around = " ".join(f"{across.at(-x):.1f},{up.at(y):.1f}" for x, y in edge)
    parts.append(f'<polygon class="band s{index % 4}" points="{around}"/>'
                 f'<polyline class="line s{index % 4}" points="{line}"><title>{_text(source)}</title></polyline>'
                 f'<text class="s{index % 4}" x="{52 + 70 * index}" y="38">{_label(source, 10)}</text>')  # fmt: skip
  for value in (t[0], t[-1]):
    parts.append(f'<text x="{across.at(-value):.1f}" y="166" text-anchor="middle">{value:.0f}</text>')
  parts.append(f'<text x="{_WIDE / 2}" y="182" text-anchor="middle">timestep (band: 10 to 90 % of the pairs)</text>')
  return _svg(title, 190, parts)


class _Axis:
  """From values to pixels, with ticks at round values."""

  def __init__(self, values: np.ndarray, first: float, last: float, margin: float = 0.05):
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    if high - low < 1e-9 * max(1.0, abs(high)):
      low, high = low - 0.5, high + 0.5
    self._low, self._span = low - margin * (high - low), (1 + 2 * margin) * (high - low)
    self._first, self._length = first, last - first

  def at(self, value: float) -> float:
    return self._first + self._length * (value - self._low) / self._span

  def ticks(self, near: float, far: float, *, upright: bool = True) -> list[str]:
    """Grid lines from near to far, with their values at the far end, or, where they lie, at the near one."""
    unit = 10.0 ** math.floor(math.log10(self._span / 3))
    step = next(unit * factor for factor in (1, 2, 5, 10) if self._span / (unit * factor) <= 5)
    parts = []
    for number in range(math.ceil(self._low / step), math.floor((self._low + self._span) / step) + 1):
      place, text = self.at(number * step), f"{number * step:.6g}"
      parts.append(
        f'<path class="grid" d="M{place:.1f} {near}V{far}"/><text x="{place:.1f}" y="{far + 14}" text-anchor="middle">'
        f"{text}</text>" if upright else
        f'<path class="grid" d="M{near} {place:.1f}H{far}"/><text x="{near - 5}" y="{place + 4:.1f}" text-anchor="end">'
        f"{text}</text>"
      )  # fmt: skip
    return parts


def _svg(title: str, tall: float, parts: Sequence[str]) -> str:
  return (f'<svg viewBox="0 0 {_WIDE} {tall}" role="img" aria-label="{_text(title)}">{"".join(parts)}</svg>')


def _title(title: str) -> str:
  return f'<text class="title" x="0" y="13">{_label(title, 44)}</text>'


def _label(name: str, most: int = 17) -> str:
  text = shown(name)
  return _text(text if len(text) <= most else f"{text[: most // 2]}…{text[-(most - most // 2 - 1) :]}")


def _text(text: str) -> str:
  return html.escape("".join(sign if sign.isprintable() else " " for sign in shown(text)))
