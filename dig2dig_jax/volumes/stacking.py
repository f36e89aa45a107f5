"""How do slices become a volume? In the order of their positions along their normal, on an even grid.

Names and numbers of files say nothing. Where slices are missing or unevenly spaced, the grid's are interpolated between
their neighbours, by position, and that is said: a volume has one spacing.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dig2dig_jax.errors import UserError
from dig2dig_jax.volumes import headers
from dig2dig_jax.volumes.headers import Frame

_EVEN = 0.02  # of the spacing that distances may be off it, as positions are rounded
_SAME = 0.01  # mm below which two slices lie at one place
_ON_A_LINE = 0.2  # mm, or that share of the spacing, that a slice may lie beside the others


class Stacked(NamedTuple):
  """frames: in order. between: [Z] where each slice of the volume lies among them, 1.5 for halfway between the second
  and the third. affine: of the volume. notes: lines."""

  frames: list[Frame]
  between: np.ndarray
  affine: np.ndarray
  notes: list[str]


def stacked(frames: Sequence[Frame], name: str) -> Stacked:
  """UserError, in the name of the series, where the frames do not make one volume."""
  first = frames[0]
  for frame in frames:
    if not headers.same(first, frame):
      raise UserError(f"{name}: expected slices of one size, direction and spacing, found others in {first.path.name} "
                      f"and {frame.path.name} (a scout?); move those that do not belong to it")  # fmt: skip
  frames, notes = _once(frames, name)
  along = np.array([frame.position @ first.normal for frame in frames])
  order = np.argsort(along, kind="stable")
  frames, along = [frames[k] for k in order], along[order]
  steps = np.diff(along)
  if len(frames) > 1 and steps.min() < _SAME:
    k = int(np.argmin(steps))
    pair = f"{frames[k].path.name} and {frames[k + 1].path.name}"
    raise UserError(f"{name}: expected one slice at each place, found {pair} at the same (several times, "
                    "echoes or contrasts?); move all but one of each away")  # fmt: skip
  step, told = _step(frames, name)
  between = np.arange(len(frames), dtype=np.float64)
  if len(frames) > 1:
    spacing = float(np.median(steps))
    if np.abs(steps - spacing).max() > max(_EVEN * spacing, _SAME):
      between, line = _even(along, spacing, name)
      told.append(line)
  if len(frames) > 1:
    step = (frames[-1].position - frames[0].position) / max(len(between) - 1, 1)
  affine = np.eye(4)
  affine[:3, 0] = frames[0].along[0] * frames[0].spacing[0]
  affine[:3, 1] = frames[0].along[1] * frames[0].spacing[1]
  affine[:3, 2], affine[:3, 3] = step, frames[0].position
  return Stacked(frames, between, affine, [*notes, *told])


def _once(frames: Sequence[Frame], name: str) -> tuple[list[Frame], list[str]]:
  """Without copies: the same SOPInstanceUID in several files."""
  found = {(str(frame.header.get("SOPInstanceUID", frame.path)), frame.number): frame for frame in reversed(frames)}
  kept = list(reversed(found.values()))
  copies = len(frames) - len(kept)
  return kept, [f"{name}: {copies} slices are there twice, and taken once"] if copies else []


def _step(frames: Sequence[Frame], name: str) -> tuple[np.ndarray, list[str]]:
  """mm from slice to slice, and lines. Slices of a tilted gantry lie beside each other, evenly: on a line."""
  if len(frames) == 1:
    thickness = frames[0].thickness
    told = [] if thickness else [f"{name}: one slice without a thickness, taken as 1 mm"]
    return frames[0].normal * (thickness or 1.0), told
  positions = np.stack([frame.position for frame in frames])
  line = positions[-1] - positions[0]
  share = (positions - positions[0]) @ line / (line @ line)
  off = np.linalg.norm(positions - positions[0] - share[:, None] * line, axis=1)
  spacing = np.linalg.norm(line) / (len(frames) - 1)
  if off.max() > max(_ON_A_LINE, _ON_A_LINE * spacing):
    raise UserError(f"{name}: expected slices behind each other, found {frames[int(off.argmax())].path.name} "
                    f"{off.max():.1f} mm beside the others' line; export the series again")  # fmt: skip
  return line / (len(frames) - 1), []


def _even(along: np.ndarray, spacing: float, name: str) -> tuple[np.ndarray, str]:
  """(places of an even grid of about this spacing among the slices, what to say of it)."""
  steps = np.diff(along)
  count = round((along[-1] - along[0]) / spacing) + 1
  if count > 2 * len(along):
    raise UserError(f"{name}: expected slices about {spacing:.2f} mm apart, found gaps of up to {steps.max():.1f} mm, "
                    "more than half of the volume missing; copy the series again, whole")  # fmt: skip
  grid = np.linspace(along[0], along[-1], count)
  places = np.interp(grid, along, np.arange(len(along)))
  whole = np.abs(places - np.rint(places)) * spacing < max(_EVEN * spacing, _SAME)
  places = np.where(whole, np.rint(places), places)
  gaps = steps[steps > 1.5 * spacing]
  if np.abs(steps / spacing - np.rint(steps / spacing)).max() < 5 * _EVEN and len(gaps):
    where = ", ".join(f"{along[k]:.1f} and {along[k + 1]:.1f}" for k in np.flatnonzero(steps > 1.5 * spacing)[:3])
    return places, (f"{name}: {count - len(along)} slices of {count} are missing, between {where} mm along the normal; "
                    "they are interpolated between their neighbours")  # fmt: skip
  return places, (f"{name}: slices {steps.min():.2f} to {steps.max():.2f} mm apart, brought to {count} slices "
                  f"{(along[-1] - along[0]) / (count - 1):.2f} mm apart")
