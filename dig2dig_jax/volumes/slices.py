"""What does a method see of two volumes? Slices of one grid, each source in its own range, filled where it holds
nothing."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from dig2dig_jax.data import filling
from dig2dig_jax.data.ranges import Setting
from dig2dig_jax.data.scaling import Range, to_pixels
from dig2dig_jax.volumes import intensity, resample
from dig2dig_jax.volumes.resample import Resampled
from dig2dig_jax.volumes.volume import Volume

_ALIKE = 1.01  # sides of voxels that differ by less count as equal


class Slices(NamedTuple):
  """names, ranges, sources: of the volumes, in the method's order. reference: whose grid it is. covered: [Z] the least
  share of a slice that a source covers."""

  names: tuple[str, ...]
  ranges: tuple[Range, ...]
  sources: tuple[Resampled, ...]
  reference: Volume
  covered: np.ndarray

  @property
  def depth(self) -> int:
    """How many slices there are."""
    return self.reference.size[2]

  def slice(self, k: int) -> np.ndarray:
    """[K, Y, X, 3] float32 in [-1, 1]: slice number k of every source."""
    pixels, areas = [], []
    for source, found in zip(self.sources, self.ranges, strict=True):
      values, valid = source.slice(k)
      scaled, _ = to_pixels(values, (found,))
      pixels.append(np.repeat(scaled, 3 // scaled.shape[-1], axis=-1))
      areas.append(valid)
    holding = [pixels[j] for j, valid in enumerate(areas) if valid is None or valid.any()]
    for j, valid in enumerate(areas):
      if valid is not None and not valid.any():  # above or below its field of view: what the others hold there
        pixels[j], areas[j] = np.stack(holding).mean(axis=0, dtype=np.float32), None
    return filling.fill(np.stack(pixels), areas)

  def middle(self) -> int:
    """The middle one of the slices that all sources cover best."""
    best = np.flatnonzero(self.covered >= 0.99 * self.covered.max())
    return int(best[len(best) // 2])


def of_volumes(
  volumes: Sequence[Volume],
  names: Sequence[str],
  *,
  settings: Mapping[str, Setting],
  reference: str = "",
) -> tuple[Slices, list[str]]:
  """The slices of two volumes, and lines about what was decided.

  Args:
    volumes, names: in the method's order.
    settings: of their ranges, see `data.ranges`.
    reference: name of the one whose grid is taken; by default the finer one within a slice, among equals the first.

  UserError where they do not overlap.
  """
  number = list(names).index(reference) if reference else _finest(volumes)
  frame = volumes[number]
  ranges, told = intensity.of_volumes(dict(zip(names, volumes, strict=True)), settings)
  sources, covered = [], np.ones(frame.size[2])
  lines = [f"reference: {names[number]}, {_grid(frame)}" + ("" if reference else "; --reference= names another")]
  for name, volume in zip(names, volumes, strict=True):
    source = Resampled(volume, frame)
    sources.append(source)
    if volume is frame:
      continue
    share = source.covered()
    resample.check_overlap(volume, frame, share)
    lines += resample.lines(volume, frame)
    lines.append(f"{name}: {_grid(volume)}, resampled to the reference" + _alone(share, names[number]))
    covered = np.minimum(covered, share)
  return Slices(tuple(names), tuple(ranges[name] for name in names), tuple(sources), frame, covered), lines + told


def _finest(volumes: Sequence[Volume]) -> int:
  least = min(volume.in_plane for volume in volumes)
  return next(k for k, volume in enumerate(volumes) if volume.in_plane <= _ALIKE * least)


def _grid(volume: Volume) -> str:
  size, spacing = (" x ".join(f"{one:.4g}" for one in values) for values in (volume.size, volume.spacing))
  return f"{size} voxels of {spacing} mm"


def _alone(share: np.ndarray, other: str) -> str:
  covered = 100 * float(share.mean())
  return "" if covered > 99.95 else f", of which it covers {covered:.0f} %; {other} stands alone elsewhere"
