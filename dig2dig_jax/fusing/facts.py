"""What did the pairs of a run tell, that is said of all together at its end? Small figures of each, no pixels."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from dig2dig_jax.alignment import aligner, ghosts
from dig2dig_jax.data import duplicates, told, validity
from dig2dig_jax.data.pairs import LoadedPair
from dig2dig_jax.fusing import look
from dig2dig_jax.fusing.config import FuseConfig
from dig2dig_jax.restoration import blind, blind_restorer

_CONTRADICTING = 0.7  # of what chance has, from which a run says that its gains contradict each other


class Facts:
  """Grows pair by pair, or by those of another process (`merge`)."""

  def __init__(self):
    self.valid: list[tuple[float | None, ...]] = []
    self.lost: list[tuple[str, ...]] = []
    self.told: list[tuple[str, ...]] = []
    self.same: list[str] = []
    self.aligned: list[tuple[str, dict[str, Any]]] = []
    self.moved: list[tuple[str, Mapping[str, ghosts.Moved]]] = []
    self.looks: list[look.Look] = []
    # Of each pair: the noise in its sources [K, 2], in [-1, 1]; how far its gains contradict each other.
    self.noise: dict[str, np.ndarray] = {}
    self.contradictions: dict[str, float] = {}
    self.coloured: set[str] = set()  # pairs whose source of --colormap has colours of its own
    self.celsius: dict[str, str] = {}  # of each pair: the source whose temperatures were written, empty for none

  def add(self, pair: LoadedPair) -> None:
    """A pair that was read."""
    self.valid.append(pair.valid)
    self.lost.append(pair.lost)
    self.told.append(pair.told)
    self.same += pair.same
    self.aligned.append((pair.name, dict(pair.aligned)))
    # Of a map of motion only the affected share is kept; its consumer takes the mean, which leaves a number unchanged.
    share = {source: one._replace(area=np.float64(one.area.mean())) for source, one in pair.moved.items()}
    self.moved.append((pair.name, share))

  def merge(self, other: "Facts") -> None:
    for name, own in vars(self).items():
      found = getattr(other, name)
      if isinstance(own, list):
        own.extend(found)
      else:
        own.update(found)

  def lines(self, config: FuseConfig, of_fuser: list[str]) -> list[str]:
    """For the user. of_fuser: what is said between, of programs and memory."""
    tally = validity.Tally(config.sources)
    for valid in self.valid:
      tally.add(valid)
    lines = duplicates.lines(self.same) + told.lines(config.sources, self.told)
    lines += aligner.lines(self.aligned) + look.lines(self.looks) + ghosts.lines(self.moved)
    lines += tally.lines() + of_fuser
    lines += blind.told(config.sources, list(self.noise.values())) + blind_restorer.told(config.sources, self.lost)
    if config.learned is not None:
      lines += blind.beyond(config.sources, list(self.noise.values()), config.learned)
    lines += _without_temperatures(self.celsius)
    if self.coloured and config.colormap is not None:
      lines.append(f"{config.colormap[0]}: {len(self.coloured)} of {len(self.aligned)} images have colours of their "
                   "own, so --colormap is not applied to them")
    return lines + _contradicting(list(self.contradictions.values()), len(config.sources))


def _contradicting(shares: list[float], sources: int) -> list[str]:
  """A line where gains prefer another source from one update to the next nearly as often as chance would."""
  chance = 1 - 1 / sources
  if not shares or np.mean(shares) < _CONTRADICTING * chance:
    return []
  low, high = (round(100 * share) for share in (min(shares), max(shares)))
  span = f"{low}" if low == high else f"{low} to {high}"
  return [f"gains of consecutive updates prefer different sources at {span} % of the pixels, where chance gives "
          f"{round(100 * chance)} %: they follow the noise that was drawn; --dig_smoothing or --dig_draws average it"]


def _without_temperatures(found: dict[str, str]) -> list[str]:
  """A line where pairs have no source with temperatures."""
  count = sum(not source for source in found.values())
  return [f"{count} of {len(found)} pairs have no radiometric source, and no temperatures"] if count else []
