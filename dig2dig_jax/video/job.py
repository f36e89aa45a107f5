"""The video job: two clips through one program, into a file or a folder, in segments that a later run goes on from."""

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dig2dig_jax.alignment.stored import Transforms
from dig2dig_jax.data.images import write_levels
from dig2dig_jax.data.ranges import Setting
from dig2dig_jax.errors import UserError
from dig2dig_jax.files import taken, what_lies_at
from dig2dig_jax.fusing import ledger
from dig2dig_jax.fusing.processes import stopped_by_signal
from dig2dig_jax.methods.base import Method
from dig2dig_jax.priors.prior import Prior
from dig2dig_jax.priors.swift import Swift, knows, told
from dig2dig_jax.record import make_folder
from dig2dig_jax.restoration import blind
from dig2dig_jax.sampling import schedule
from dig2dig_jax.video import encode, libraries, pairing, preparing, steady, stream
from dig2dig_jax.video.clip import Clip
from dig2dig_jax.video.container import Container
from dig2dig_jax.video.parts import Parts
from dig2dig_jax.video.program import is_steady, program

SEGMENT = 50  # frames
_TOLD = 8  # cuts that a line names
_ONE_CUT = 3  # frames within which both clips change, where one has fewer frames


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
  bucket: int = 128
  tile: int = 0
  overlap: int = 0
  bit_depth: int = 8
  segment: int = SEGMENT
  settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  progress: Callable[[int, int | None], Any] = lambda done, count: None

  def identity(self, clips: Mapping[str, Clip], prior: Any) -> dict[str, Any]:
    """What decides the result, JSON-able."""
    sources = {name: [str(clip.path.absolute()), _bytes(clip.path), clip.count] for name, clip in clips.items()}
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


def flow_of(
  clips: Mapping[str, Clip], config: VideoConfig, method: Method, options: Any, prior: Any, tell: Callable[[str], Any]
) -> stream.Flow:
  """What is decided of two clips, each in a line that is told, and the program for it. The method's options restore
  nothing: that is done here, for the whole sequence."""
  restore = config.restore and isinstance(prior, Prior)
  found = preparing.prepared(
    clips, settings=config.ranges, transforms=config.transforms, valid=config.valid, restore=restore
  )
  for line in (*found.lines, *pairing.lines(clips)):
    tell(line)
  for source in found.sources if isinstance(prior, Swift) else ():
    deviation = float(source.noise.deviation)
    if deviation > blind.FROM and not knows(prior.quick, blind.asked(source.noise, source.gray, _levels(prior))):
      tell(told(prior.quick, source.name, deviation))
  if not is_steady(options):
    tell("frames are fused each by itself: weights that are carried along time need --dig_window=spectrum and "
         "--steps=0")
  fused = program(
    method,
    options,
    prior.noise,
    noise=jax.tree.map(lambda *fields: np.stack(fields), *(source.noise for source in found.sources)),
    gray=tuple(source.gray for source in found.sources),
    seed=config.seed,
    share=config.share,
    bit_depth=config.bit_depth,
    tile=config.tile,
    overlap=config.overlap,
  )
  bands = options.bands if is_steady(options) else 1
  return stream.Flow(clips, found, fused, prior.params, bands, config.bucket, config.offset)


def _levels(prior: Prior) -> schedule.Step:
  """All that it was trained on."""
  return schedule.steps_at(prior.noise.tables(), range(prior.noise.num_timesteps))


def run(
  clips: Mapping[str, Clip],
  out: Path,
  config: VideoConfig,
  method: Method,
  options: Any,
  prior: Any,
  *,
  overwrite: bool = False,
  tell: Callable[[str], Any] = lambda line: None,
) -> VideoReport:
  """Fuses clips {source: Clip}, the infrared one first, the visible one second, whose frames, time stamps and sound the
  result has. out: a file of a format of `encode.FORMATS`, or a folder for numbered PNG.

  A run that was ended leaves its segments beside `out`, and the same run goes on from them. UserError where that cannot
  be: what is told before anything is computed, and frames that cannot be decoded.
  """
  check(out, clips, config, overwrite=overwrite)
  make_folder(out.parent)
  report = VideoReport(count=_count(clips))
  with Parts(out, config.identity(clips, prior), overwrite=overwrite) as parts:
    if not parts.done:
      _check_nothing_there(out, overwrite=overwrite)
    flow = flow_of(clips, config, method, options, prior, tell)
    writer = _Video(out, parts, flow, config) if is_file(out) else _Images(out, flow, config)
    report.before = report.frames = sum(len(part.pts) for part in parts.done)
    for line in writer.lines():
      tell(line)
    _fuse(flow, config, parts, writer, report)
    report.cuts = _apart([number for part in parts.done for number in part.cuts])
    if report.stopped_by is None:
      if not parts.done:
        raise UserError(f"{clips[list(clips)[1]].path}: expected frames at the times of those of the other clip, found "
                        "none; correct --offset")
      report.notes += writer.finish(parts)
      parts.remove()
  if report.cuts:
    named = ", ".join(str(number + 1) for number in report.cuts[:_TOLD])
    more = f" and {len(report.cuts) - _TOLD} more" if len(report.cuts) > _TOLD else ""
    report.notes.append(f"new scenes begin with frame {named}{more}: nothing is carried over these cuts")
  return report


def _fuse(flow: stream.Flow, config: VideoConfig, parts: Parts, writer, report: VideoReport) -> None:
  """Segment by segment, until the clips end or a signal asks to stop."""
  first = report.frames
  pts: list[int] = []
  cuts: list[int] = []
  begun = time.monotonic()
  with (
    stopped_by_signal() as stopped,
    contextlib.closing(stream.fused(flow, first=first, state=parts.state())) as frames,
    writer.open() as segment,
  ):
    state = flow.start()
    for done in frames:
      if done.number == first:
        begun = time.monotonic()  # the first one waited for the program
      if stopped.is_set():
        segment.abandon()
        break
      segment.add(done)
      pts.append(done.pts)
      cuts += [done.number] if done.cut else []
      state = done.state
      config.progress(done.number + 1, report.count)
      if len(pts) == config.segment:
        segment.commit()
        parts.finish(pts, cuts, state)
        report.frames += len(pts)
        pts, cuts = [], []
    else:
      if pts:
        segment.commit()
        parts.finish(pts, cuts, state)
        report.frames += len(pts)
    report.stopped_by = stopped.by
  report.seconds = time.monotonic() - begun


class _Video:
  """Frames into segments of H.264."""

  def __init__(self, out: Path, parts: Parts, flow: stream.Flow, config: VideoConfig):
    self._out, self._parts, self._size = out, parts, flow.prepared.size
    self._visible = list(flow.clips.values())[1]
    self._segment: encode.Segment | None = None
    self._stack = contextlib.ExitStack()

  def lines(self) -> list[str]:
    """What is worth a line beforehand."""
    if encode.even(self._size) == tuple(self._size):
      return []
    height, width = encode.even(self._size)
    return [f"{self._size[1]} x {self._size[0]} is written as {width} x {height}: H.264 has even sides; -o FOLDER "
            "keeps all"]

  @contextlib.contextmanager
  def open(self):
    """A context in which frames are added."""
    try:
      yield self
    except BaseException:
      self.abandon()
      raise
    finally:
      self.abandon()

  def add(self, done: stream.Done) -> None:
    if self._segment is None:
      path = self._parts.path(len(self._parts.done))
      self._segment = self._stack.enter_context(encode.Segment(path, self._size, self._visible.rate))
    self._segment.add(done.image)

  def commit(self) -> None:
    self._segment = None
    self._stack.pop_all().close()

  def abandon(self) -> None:
    """What was begun is not kept."""
    if self._segment is not None:
      stack, self._segment = self._stack.pop_all(), None
      with contextlib.suppress(_Abandoned):
        stack.__exit__(_Abandoned, _Abandoned(), None)

  def finish(self, parts: Parts) -> list[str]:
    """The file, of all segments; lines about its sound."""
    visible = self._visible
    sound = visible.path if isinstance(visible, Container) and encode.has_sound(visible.path) else None
    last = max(1, round(1 / (visible.rate * visible.time_base)))
    joined = [encode.Joined(parts.path(part.number), part.pts) for part in parts.done]
    return encode.join(self._out, joined, visible.time_base, last, sound)


class _Abandoned(Exception):
  """A segment that is not finished."""


class _Images:
  """Frames into numbered PNG."""

  def __init__(self, out: Path, flow: stream.Flow, config: VideoConfig):
    self._out, self._names = out, list(flow.clips.values())[1].names

  def lines(self) -> list[str]:
    return []

  @contextlib.contextmanager
  def open(self):
    yield self

  def add(self, done: stream.Done) -> None:
    name = self._names[done.visible] if self._names is not None else f"{done.visible + 1:06d}"
    write_levels(self._out / f"{name}.png", done.image)

  def commit(self) -> None:
    """Every file stands."""

  def abandon(self) -> None:
    """What stands is written again, to the same bytes."""

  def finish(self, parts: Parts) -> list[str]:
    return []


def _apart(cuts: list[int]) -> list[int]:
  """Cuts without those that follow another one at once: clips of different rates change a few frames apart."""
  found: list[int] = []
  for number in cuts:
    if not found or number - found[-1] > _ONE_CUT:
      found.append(number)
  return found


def is_file(out: Path) -> bool:
  """Whether a video file is to be written, and not a folder of images. UserError for another kind of file."""
  if out.suffix.lower() in encode.FORMATS and not out.is_dir():
    return True
  if out.suffix and not out.is_dir():
    raise UserError(f"--out={out}: expected {', '.join(encode.FORMATS)}, or a folder for numbered PNG, found "
                    f"{out.suffix}; choose one")
  return False


def check(out: Path, clips: Mapping[str, Clip], config: VideoConfig, *, overwrite: bool) -> None:
  """UserError where a result of these clips cannot be written, to be asked before anything is computed."""
  video = is_file(out)
  if video:
    libraries.pyav(out)
    if config.bit_depth != 8:
      raise UserError(f"--bit_depth={config.bit_depth}: expected 8 for a video file, found more; take -o FOLDER for "
                      "PNG")
  above = next(folder for folder in out.absolute().parents if folder.exists() or folder.is_symlink())
  if not above.is_dir() or not os.access(above, os.W_OK):
    found = "no permission" if above.is_dir() else what_lies_at(above)
    raise UserError(f"{out}: expected a folder to write to, found {found} at {above}; choose another -o")
  for clip in clips.values():
    if os.path.realpath(clip.path) == os.path.realpath(out):
      raise UserError(f"{out}: expected another place than the sources'; choose another -o")
  if video and (out.exists() or out.is_symlink()):
    if not overwrite:
      raise UserError(f"{out}: expected nothing there, found a file; choose another name, or add --overwrite")
    if not out.is_file() or not encode.is_own(out):
      raise taken(out)


def _check_nothing_there(out: Path, *, overwrite: bool) -> None:
  if not is_file(out) and not overwrite and out.is_dir() and any(out.glob("*.png")):
    raise UserError(f"{out}: expected an empty folder, found images; choose another -o, or add --overwrite")


def _count(clips: Mapping[str, Clip]) -> int | None:
  """Of the result's frames, as far as headers tell."""
  return list(clips.values())[1].count


def _bytes(path: Path) -> int:
  if path.is_dir():
    return sum(file.stat().st_size for file in path.iterdir() if file.is_file())
  return path.stat().st_size
