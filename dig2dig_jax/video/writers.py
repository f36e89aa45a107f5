"""Where do fused frames go: into segments of a video file, or into numbered images? And may they lie there?"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from dig2dig_jax.data.images import write_levels
from dig2dig_jax.errors import UserError
from dig2dig_jax.files import taken, what_lies_at
from dig2dig_jax.fusing import ledger
from dig2dig_jax.video import encode, libraries, stream
from dig2dig_jax.video.clip import Clip
from dig2dig_jax.video.config import VideoConfig
from dig2dig_jax.video.container import Container
from dig2dig_jax.video.parts import Parts


def writer(out: Path, parts: Parts, flow: stream.Flow) -> "VideoFile | Images":
  """Of a video file or of a folder, as `out` says."""
  return VideoFile(out, parts, flow) if is_file(out) else Images(out, flow)


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


def check_nothing_there(out: Path, *, overwrite: bool) -> None:
  if not is_file(out) and not overwrite and out.is_dir() and any(out.glob("*.png")):
    raise UserError(f"{out}: expected an empty folder, found images; choose another -o, or add --overwrite")


class VideoFile:
  """Frames into segments of H.264."""

  def __init__(self, out: Path, parts: Parts, flow: stream.Flow):
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

  def commit(self) -> dict[str, str]:
    """The segment is done. Names and SHA-256 of files beside it: there are none."""
    self._segment = None
    self._stack.pop_all().close()
    return {}

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


class Images:
  """Frames into numbered PNG."""

  def __init__(self, out: Path, flow: stream.Flow):
    self._out, self._names = out, list(flow.clips.values())[1].names
    self._written: list[Path] = []

  def lines(self) -> list[str]:
    return []

  @contextlib.contextmanager
  def open(self):
    yield self

  def add(self, done: stream.Done) -> None:
    name = self._names[done.visible] if self._names is not None else f"{done.visible + 1:06d}"
    path = self._out / f"{name}.png"
    write_levels(path, done.image)
    self._written.append(path)

  def commit(self) -> dict[str, str]:
    """Names and SHA-256 of the files since the last one."""
    written, self._written = self._written, []
    return {path.name: ledger.file_hash(path) for path in written}

  def abandon(self) -> None:
    """What stands is written again, to the same bytes."""

  def finish(self, parts: Parts) -> list[str]:
    return []
