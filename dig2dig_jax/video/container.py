"""Which frames does a video file hold? Decoded by FFmpeg; upright, 8 or 16 bits, gray or RGB."""

import contextlib
import functools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from dig2dig_jax.data.faults import is_size
from dig2dig_jax.errors import UserError
from dig2dig_jax.video import libraries
from dig2dig_jax.video.clip import RATE, Clip, Frame

_FURTHER = 60  # frames after a key frame that are decoded to come to a place
_HD = 720  # lines, from which untagged colours are those of HDTV


class Container(Clip):
  """The first video stream of a file. Time stamps are the stream's own; frames without one follow at the mean rate."""

  def __init__(self, path: Path):
    self.path = path
    with self._opened() as (container, stream):
      self.time_base = Fraction(stream.time_base or Fraction(1, 90000))
      self.rate = Fraction(stream.average_rate or stream.guessed_rate or RATE)
      self.count = stream.frames or None
      self._length = _length(stream)
      first = next(container.decode(stream), None)
      if first is None:
        raise UserError(f"{path}: expected a video, found no frame that can be decoded; copy or export it again")
      samples = self._decoded(first)
    if not is_size(*samples.shape[:2]):
      raise UserError(f"{path}: expected frames of a usual size, found {samples.shape[1]}x{samples.shape[0]}; reduce "
                      "it")
    self.size = samples.shape[:2]
    if self.count is None and self._length is not None:
      self.count = round(self._length * self.rate) or None

  @contextlib.contextmanager
  def _opened(self):
    av = libraries.pyav(self.path)
    with libraries.reading(self.path), av.open(str(self.path)) as container:
      if not container.streams.video:
        raise UserError(f"{self.path}: expected a video, found a file without frames; give another one")
      stream = container.streams.video[0]
      stream.thread_type = "AUTO"
      yield container, stream

  def frames(self) -> Iterator[Frame]:
    with self._opened() as (container, stream):
      first, last, number = None, None, 0
      step = max(1, round(1 / (self.rate * self.time_base)))
      for frame in container.decode(stream):
        pts = frame.pts if frame.pts is not None else 0 if last is None else last + step
        if last is not None and pts <= last:  # a stamp that stands twice, or runs back
          pts = last + 1
        first = pts if first is None else first
        last = pts
        yield Frame(number, pts, (pts - first) * self.time_base, functools.partial(self._samples, frame))
        number += 1

  def sample(self, count: int) -> list[np.ndarray]:
    found = []
    with self._opened() as (container, stream):
      start = stream.start_time or 0
      if self._length is None:
        frames = container.decode(stream)
        return [self._samples(frame) for _, frame in zip(range(count), frames, strict=False)]
      for k in range(count):
        wanted = start + int((k + 0.5) / count * self._length / self.time_base)
        container.seek(wanted, stream=stream)
        chosen = None
        for passed, frame in enumerate(container.decode(stream)):
          chosen = frame
          if frame.pts is None or frame.pts >= wanted or passed >= _FURTHER:
            break
        if chosen is not None:
          found.append(self._samples(chosen))
    return found

  def _samples(self, frame) -> np.ndarray:
    return self.checked(self._decoded(frame), f"{self.path}, at {float(frame.time or 0):.2f} s")

  def _decoded(self, frame) -> np.ndarray:
    """[H, W, 1] or [H, W, 3] of uint8 or uint16."""
    with libraries.reading(self.path):
      turned = frame.rotation
      layout = frame.format
      deep = max(part.bits for part in layout.components) > 8
      if len(layout.components) == 1 and not layout.has_palette:
        samples = frame.to_ndarray(format="gray16le" if deep else "gray")[..., None]
      else:
        colours = frame.colorspace
        if int(colours) == 2:  # nobody says
          colours = "ITU709" if frame.height >= _HD else "ITU601"
        samples = frame.to_ndarray(format="rgb48le" if deep else "rgb24", src_colorspace=colours)
      if turned % 90 == 0 and turned % 360:
        samples = np.ascontiguousarray(np.rot90(samples, turned // 90))
      return samples


def _length(stream) -> Fraction | None:
  """Seconds of the stream, or of the file, where one of them says so."""
  if stream.duration:
    return stream.duration * Fraction(stream.time_base)
  if stream.container.duration:
    return Fraction(stream.container.duration, 1_000_000)
  return None
