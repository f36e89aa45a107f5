"""What does a video job take, and what has it to report?"""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from dig2dig_jax.alignment.stored import Transforms
from dig2dig_jax.data.ranges import Setting
from dig2dig_jax.fusing import ledger
from dig2dig_jax.video import steady
from dig2dig_jax.video.clip import Clip

SEGMENT = 50  # frames
BUCKET = 32  # pixels: a clip's programs are compiled for it alone, so that there is little to be gained from more


@dataclasses.dataclass(frozen=True, kw_only=True)
class VideoConfig:
  """ranges, valid: settings as of images, see `data.ranges` and `data.validity`. transforms: how the clips lie on each
  other. restore: whether noise is looked for. share: see `steady.carried`. offset: seconds after the visible clip's
  first frame that the infrared one's was taken. seed: of all frames. bucket: padded sides are multiples of it. tile,
  overlap: of the network's tiles. bit_depth: 8, or 16 for PNG. segment: frames. settings: flags that decide pixels,
  JSON-able, to tell runs apart. progress: told how many frames are done, of how many (None: unknown)."""

  ranges: Mapping[str, Setting] = dataclasses.field(default_factory=dict)
  valid: str = "auto"
  transforms: Transforms | None = None
  restore: bool = True
  share: float = steady.SHARE
  offset: Fraction = Fraction(0)
  seed: int = 0
  bucket: int = BUCKET
  tile: int = 0
  overlap: int = 0
  bit_depth: int = 8
  segment: int = SEGMENT
  settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  progress: Callable[[int, int | None], Any] = lambda done, count: None

  def identity(self, clips: Mapping[str, Clip], prior: Any) -> dict[str, Any]:
    """What decides the result, JSON-able."""
    sources = {name: [str(clip.path.absolute()), *_state(clip.path), clip.count] for name, clip in clips.items()}
    own = {name: getattr(self, name)
           for name in ("valid", "restore", "share", "seed", "bucket", "tile", "overlap", "bit_depth", "segment")}
    return {
      "sources": sources,
      "flags": {**self.settings, **own, "offset": str(self.offset),
                "rates": [str(clip.rate) for clip in clips.values()],
                "ranges": {name: str(setting) for name, setting in self.ranges.items()},
                "transforms": self.transforms.record() if self.transforms else None},
      "weights": ledger.weights_hash(prior.params),
      "versions": ledger.versions(),
    }  # fmt: skip


@dataclasses.dataclass
class VideoReport:
  """frames: of the result. before: those that an earlier run had done. seconds: of this run, without compiling.
  stopped_by: the signal that ended it. cuts: numbers of the frames that a scene begins with, from 0."""

  frames: int = 0
  before: int = 0
  count: int | None = None
  seconds: float = 0.0
  stopped_by: str | None = None
  cuts: list[int] = dataclasses.field(default_factory=list)
  notes: list[str] = dataclasses.field(default_factory=list)

  def summary(self) -> str:
    """A line."""
    new = self.frames - self.before
    rate = f", {new / self.seconds:.2f} frames a second" if new and self.seconds > 0 else ""
    kept = f", {self.before} of them by an earlier run" if self.before else ""
    if self.stopped_by:
      of = f" of {self.count}" if self.count else ""
      return (f"stopped by {self.stopped_by}: {self.frames}{of} frames are kept{kept}; the same command goes on from "
              "there")  # fmt: skip
    return f"{self.frames} frames fused{kept}{rate}"


def _state(path: Path) -> tuple[int, str]:
  """(bytes, a hash of names, sizes and times of change) of a file, or of those in a folder: other frames in the same
  place are another source, without reading them all."""
  files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
  found = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
  return sum(size for _, size, _ in found), hashlib.sha256(repr(found).encode()).hexdigest()
