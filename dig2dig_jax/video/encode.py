"""How do fused frames become a video file? H.264 in segments that stand alone, joined without encoding again.

A segment begins with a key frame and has no frames that refer to later ones, so that its packets are its frames in
order; their time stamps are put on when segments are joined. One thread encodes, without x264's macroblock tree, whose
vector code reads memory that it has not written: the same frames are the same bytes.
"""

import heapq
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from dig2dig_jax.errors import UserError
from dig2dig_jax.files import replacing
from dig2dig_jax.video import libraries

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
MARK = "fused by dig2dig_jax"  # the comment in a file's metadata: this program wrote it
_OPTIONS = {"crf": "17", "preset": "veryfast", "threads": "1", "mbtree": "0"}
_BT709, _LIMITED = 1, 1  # FFmpeg's numbers
_REPEATABLE = {"fflags": "bitexact"}  # no times and random numbers in headers


class Segment:
  """Writes frames into one file. A context; the file appears whole, on a clean exit, or not at all."""

  def __init__(self, path: Path, size: tuple[int, int], rate: Fraction):
    """size: (height, width), of which odd sides lose a line."""
    self._path, self._size, self._rate = path, even(size), rate

  def __enter__(self) -> Self:
    av = self._av = libraries.pyav(self._path)
    self._replacing = replacing(self._path)
    with libraries.writing(self._path):
      self._container = av.open(str(self._replacing.__enter__()), "w", format="mp4", options=_REPEATABLE)
    self._stream = self._container.add_stream("libx264", rate=self._rate, options=_OPTIONS)
    self._stream.height, self._stream.width = self._size
    self._stream.pix_fmt, context = "yuv420p", self._stream.codec_context
    context.max_b_frames, context.gop_size = 0, 250
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    context.color_range = _LIMITED
    self._count = 0
    return self

  def __exit__(self, kind, error, trace) -> bool | None:
    with libraries.writing(self._path):
      try:
        if kind is None:
          self._container.mux(self._stream.encode())
        self._container.close()
      except BaseException as failed:
        self._replacing.__exit__(type(failed), failed, failed.__traceback__)
        raise
      self._replacing.__exit__(kind, error, trace)
    return None

  def add(self, image: np.ndarray) -> None:
    """uint8 [H, W, 1 or 3]."""
    height, width = self._size
    rgb = np.ascontiguousarray(np.repeat(image, 3 // image.shape[-1], axis=-1)[:height, :width])
    frame = self._av.VideoFrame.from_ndarray(rgb, format="rgb24")
    frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
    frame.pts, self._count = self._count, self._count + 1
    frame.time_base = 1 / self._rate
    with libraries.writing(self._path):
      self._container.mux(self._stream.encode(frame))


def even(size: tuple[int, int]) -> tuple[int, int]:
  """The sides that H.264 with halved colours can have."""
  return size[0] // 2 * 2, size[1] // 2 * 2


class Joined(NamedTuple):
  """A segment and the time stamps of its frames."""

  path: Path
  pts: Sequence[int]


def join(
  out: Path, segments: Sequence[Joined], time_base: Fraction, last: int, sound_of: Path | None
) -> list[str]:
  """Writes `out` from segments and the sound of a file, neither of which is encoded again; whole or not at all.

  time_base: seconds of a unit of the time stamps. last: how many units the last frame is shown. Returns a line where
  the file had sound that the format of `out` does not take.
  """
  av = libraries.pyav(out)
  notes: list[str] = []
  with libraries.writing(out), replacing(out) as temporary:
    with av.open(str(temporary), "w", format=FORMATS[out.suffix.lower()], options=_REPEATABLE) as container:
      container.metadata["comment"] = MARK
      with av.open(str(segments[0].path)) as first:
        stream = container.add_stream_from_template(first.streams.video[0])
        stream.time_base = time_base
      pictures = _pictures(av, stream, segments, time_base, last)
      end = (segments[-1].pts[-1] + last) * time_base
      if sound_of is None:
        for _, _, packet in pictures:
          container.mux_one(packet)
        return notes
      with av.open(str(sound_of)) as source:
        sounds = {}
        for one in source.streams.audio:
          try:
            sounds[one.index] = container.add_stream_from_template(one)
          except (ValueError, av.error.FFmpegError):
            notes.append(f"the sound of {sound_of} ({one.codec_context.name}) cannot be put into {out.suffix}; left "
                         "out, -o FILE.mkv supports most formats")  # fmt: skip
        for _, _, packet in heapq.merge(pictures, _sounds(source, sounds, end)):
          container.mux_one(packet)
  return notes


def _pictures(av, stream, segments: Sequence[Joined], time_base: Fraction, last: int) -> Iterator[tuple]:
  """(time, order, packet) of every frame."""
  stamps = [pts for segment in segments for pts in segment.pts]
  following = iter([*stamps[1:], stamps[-1] + last])
  for segment in segments:
    with av.open(str(segment.path)) as container:
      packets = (packet for packet in container.demux(container.streams.video[0]) if packet.size)
      for pts, packet in zip(segment.pts, packets, strict=True):
        packet.time_base = time_base
        packet.pts = packet.dts = pts
        packet.duration = next(following) - pts
        packet.stream = stream
        yield pts * time_base, 0, packet


def _sounds(source, streams, end: Fraction) -> Iterator[tuple]:
  """(time, order, packet) of the sound that is heard before `end`, seconds."""
  if not streams:
    return
  for order, packet in enumerate(source.demux([source.streams[index] for index in streams]), 1):
    time = None if packet.dts is None else packet.dts * Fraction(packet.time_base)
    if time is None or time >= end:
      continue
    packet.stream = streams[packet.stream.index]
    yield time, order, packet


def has_sound(path: Path) -> bool:
  """Whether a video file has any."""
  av = libraries.pyav(path)
  with libraries.reading(path), av.open(str(path)) as container:
    return bool(container.streams.audio)


def is_own(path: Path) -> bool:
  """Whether this program wrote a video file."""
  av = libraries.pyav(path)
  try:
    with libraries.reading(path), av.open(str(path)) as container:
      return MARK in (value for name, value in container.metadata.items() if name.lower() == "comment")
  except UserError:
    return False
