"""What does the fuse job need to know, and what does it tell at its end?"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from dig2dig_jax.alignment.aligner import Aligner
from dig2dig_jax.alignment.frames import Frames
from dig2dig_jax.alignment.ghosts import Deghoster
from dig2dig_jax.data import validity
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.data.readers import Found
from dig2dig_jax.fusing.outputs import refuse_sources
from dig2dig_jax.restoration.blind_restorer import BlindRestorer
from dig2dig_jax.restoration.restorer import Restorer


@dataclasses.dataclass(frozen=True, kw_only=True)
class FuseConfig(DataConfig):
  """Beside the pairs: out: folder of results.
  bucket: padded sides are multiples of it (pixels). batch_size: pairs per device and call; 0 chooses.
  tile, overlap, shard_image: see `Fuser`. bit_depth: of the PNGs, 8 or 16; 0 takes the sources' largest.
  described_by: the source whose description (EXIF, a profile of its colours) the fused images keep; empty for none.
  looks: tell where the sources of the first pair plainly lie apart, see `look`.
  sheet: write a contact sheet of the first pairs. maps: write every weight map as PNG, and what CCF selected per step.
  colormap: (source, palette) whose colours are laid over the fused images; None for none.
  temperatures: write those of a radiometric source beside every image.
  overwrite: write over results of other flags, weights or sources. only: "failed" for the pairs that failed in an
  earlier run and were not done since, empty for all that are to be done. conditions: names of CCF's conditions.
  frames: brings the sources of each pair onto each other, or into one size; None to take them as they lie.
  deghoster: leaves to one source what moved; None to fuse all that all show.
  learned: noise that a network in the prior's place knows, see `blind.beyond`; None where there is none.
  restorer: of degraded sources, as they were told or as they are found; None to take sources as they are.
  results: what holds the fused images, `files` or shards of a kind (`sharded`); shard: pairs in one.
  settings: flags that decide pixels, for the record and to tell runs apart. machine: others, for the record
  and to find programs by. program_cache: folder of compiled programs, None for none."""

  out: Path
  seed: int = 0
  batch_size: int = 1
  bucket: int = 128
  tile: int | None = None
  overlap: int = 128
  shard_image: bool = False
  bit_depth: int = 8
  described_by: str = ""
  sheet: bool = True
  looks: bool = False
  maps: bool = False
  temperatures: bool = False
  colormap: tuple[str, str] | None = None
  overwrite: bool = False
  results: str = "files"
  shard: int = 1000
  only: str = ""
  conditions: tuple[str, ...] = ()
  frames: Aligner | Frames | None = Frames()
  deghoster: Deghoster | None = None
  restorer: Restorer | BlindRestorer | None = None
  learned: tuple[float, float] | None = None
  settings: dict = dataclasses.field(default_factory=dict)
  machine: dict = dataclasses.field(default_factory=dict)
  program_cache: Path | None = None

  def find(self) -> Found:
    """The same. UserError, too, where results would lie among sources."""
    pairs, left_out = super().find()
    refuse_sources(self.out, pairs)
    return pairs, left_out

  def preparing(self, found: Sequence[Pair]) -> tuple[Callable[[Pair], Pair], list[str]]:
    """The same, to be looked through for what moved."""
    prepare, told = super().preparing(found)
    return lambda pair: prepare(pair)._replace(deghost=self.deghoster), told

  def decisive(self) -> dict:
    """Everything that decides pixels but weights and images."""
    own = ("seed", "sources", "bucket", "tile", "overlap", "bit_depth")
    restored = {} if self.restorer is None else {"restored": self.restorer.decisive()}
    asked = self.frames.decisive() if self.frames is not None else {}
    aligned = {"align": asked} if asked else {}
    still = {} if self.deghoster is None else {"deghost": self.deghoster.decisive()}
    valid = validity.decisive(self.valid)
    colours = {"palettes": dict(self.palettes)} if self.palettes else {}
    colours |= {"colormap": list(self.colormap)} if self.colormap else {}
    return {**self.settings, **restored, **aligned, **still, **valid, **colours,
            **{name: getattr(self, name) for name in own}}  # fmt: skip


@dataclasses.dataclass
class FuseReport:
  """What happened: printed by the job, returned to callers."""

  done: int = 0
  skipped: int = 0  # done by an earlier run
  left: int = 0  # not begun, because the run was told to stop
  stopped_by: str | None = None  # what told it to
  failed: list[str] = dataclasses.field(default_factory=list)  # one line per pair
  left_out: list[str] = dataclasses.field(default_factory=list)  # one line per file without partner, or no image
  notes: list[str] = dataclasses.field(default_factory=list)
  seconds: float = 0.0  # from the first image read to the last written, compilation excluded
  compile_seconds: float = 0.0
  programs: int = 0
  evaluations: int = 0  # network evaluations per pair

  def summary(self) -> str:
    each = f"at most {self.evaluations} {_plural('network evaluation', self.evaluations)} per pair"
    rate = f"{self.seconds / self.done:.2f} s per pair, {each}" if self.done else "nothing fused"
    left = f"{self.left} {_plural('pair', self.left)} left for the same command"
    before = f", {self.skipped} done before" if self.skipped else ""
    stopped = f"; stopped by {self.stopped_by}, {left}" if self.left else ""
    return (
      f"{self.done} {_plural('pair', self.done)} fused, {len(self.failed)} failed{before}; {rate}; {self.programs} "
      f"{_plural('program', self.programs)} compiled or loaded in {self.compile_seconds:.1f} s{stopped}"
    )


def _plural(word: str, count: int) -> str:
  return word if count == 1 else f"{word}s"
