"""How are two sources fused while they run? The newest frame of each, whatever was missed; late frames help nobody.

A thread per source keeps its newest frame. Every new frame of the visible source is fused with the newest infrared one;
frames that come while one is computed are passed over, and counted.
"""

import abc
import functools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, NamedTuple

import jax
import numpy as np

from dig2dig_jax.data.padding import crop, reflect_pad
from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing import faults
from dig2dig_jax.video import libraries, steady
from dig2dig_jax.video.clip import Clip, Frame
from dig2dig_jax.video.preparing import SAMPLE
from dig2dig_jax.video.stream import Flow

_PATIENCE = 0.5  # seconds between looks at whether somebody asked to stop
_STALE = 1.5  # periods


class Shown(NamedTuple):
  """image: uint8 [H, W, 1 or 3]. latency: seconds from the visible frame's arrival to this. number: of the visible
  frames that arrived, from 0."""

  image: np.ndarray
  latency: float
  number: int


class Live(Clip):
  """A source whose frames come when they come. The first ones are kept, for what is decided once of all."""

  def __init__(self, path: Path, size: tuple[int, int], rate: Fraction):
    self.path, self.size, self.rate, self.count = path, size, rate, None
    self.time_base = Fraction(1, 1000)
    self._first: list[np.ndarray] = []

  @abc.abstractmethod
  def arriving(self) -> Iterator[np.ndarray]:
    """The samples of frames, each as soon as it is there."""

  def begin(self) -> None:
    """Waits for the first frames. UserError where the source ends before."""
    self._rest = self.arriving()
    for samples in self._rest:
      self._first.append(self.checked(samples, str(self.path)))
      if len(self._first) == SAMPLE:
        return
    raise UserError(f"{self.path}: expected {SAMPLE} frames and more, found {len(self._first)}; check the source")

  def sample(self, count: int) -> list[np.ndarray]:
    return self._first[:count]

  def frames(self) -> Iterator[Frame]:
    start = time.monotonic()
    for number, samples in enumerate(self._rest):
      samples = self.checked(samples, str(self.path))
      past = Fraction(time.monotonic() - start).limit_denominator(10**6)
      yield Frame(number, int(past * 1000), past, functools.partial(_as_it_is, samples))


def _as_it_is(samples: np.ndarray) -> np.ndarray:
  return samples


class Raw(Live):
  """Raw frames of a pipe or a file, uint8, one after the other, rows of pixels of one or three channels."""

  def __init__(self, path: Path, file: BinaryIO, size: tuple[int, int], channels: int, rate: Fraction = Fraction(25)):
    super().__init__(path, size, rate)
    self._file, self._shape = file, (*size, channels)

  def arriving(self) -> Iterator[np.ndarray]:
    wanted = int(np.prod(self._shape))
    while True:
      content = self._file.read(wanted)
      if not content:
        return
      if len(content) < wanted:
        raise UserError(f"{self.path}: expected frames of {wanted} bytes, found {len(content)} at the end; check their "
                        "size and channels")  # fmt: skip
      yield np.frombuffer(content, np.uint8).reshape(self._shape)


class Device(Live):
  """A camera, through FFmpeg. kind: FFmpeg's name of its driver, v4l2 on Linux."""

  def __init__(self, path: Path, kind: str = "v4l2"):
    av = libraries.pyav(path)
    with libraries.reading(path, "check that it is plugged in, and that no other program has it"):
      self._container = av.open(str(path), format=kind)
      self._stream = self._container.streams.video[0]
    size = self._stream.height, self._stream.width
    super().__init__(path, size, Fraction(self._stream.average_rate or 25))

  def arriving(self) -> Iterator[np.ndarray]:
    with libraries.reading(self.path):
      for frame in self._container.decode(self._stream):
        yield frame.to_ndarray(format="rgb24")


class Newest:
  """The newest frame of a clip, read by a thread as they come: those of a file at its own pace. A context."""

  def __init__(self, clip: Clip, start: float):
    """start: when the first frame is due, on the monotonic clock."""
    self._clip, self._start = clip, start
    self._change = threading.Condition()
    self._frame: tuple[int, np.ndarray, float] | None = None
    self._error: BaseException | None = None
    self._stopped, self.ended, self.arrived = False, False, 0
    self._thread = threading.Thread(target=self._draw, name=f"newest of {clip.path}", daemon=True)

  def __enter__(self) -> "Newest":
    self._thread.start()
    return self

  def __exit__(self, *_) -> None:
    self._stopped = True  # a thread that waits for a pipe ends with the process

  def after(self, number: int, patience: float = _PATIENCE) -> tuple[int, np.ndarray, float] | None:
    """(number, samples, when it arrived) of the newest frame, if it is beyond `number`; None where none came in time.
    The thread's fault is raised here."""
    with self._change:
      self._change.wait_for(lambda: self._beyond(number) or self.ended, patience)
      if self._error is not None:
        raise self._error
      return self._frame if self._beyond(number) else None

  def _beyond(self, number: int) -> bool:
    return self._frame is not None and self._frame[0] > number

  def _draw(self) -> None:
    try:
      played = not isinstance(self._clip, Live)
      for frame in self._clip.frames():
        if self._stopped:
          return
        if played and (wait := self._start + float(frame.time) - time.monotonic()) > 0:
          time.sleep(wait)
        found = (self.arrived, frame.read(), time.monotonic())
        with self._change:
          self._frame, self.arrived = found, self.arrived + 1
          self._change.notify_all()
    except BaseException as error:  # whoever waits for a frame is told
      self._error = error
    finally:
      with self._change:
        self.ended = True
        self._change.notify_all()


class Tally:
  """How many frames a second, and how late? Of the last `WINDOW` frames."""

  WINDOW = 100

  def __init__(self) -> None:
    self.shown, self._last = 0, [0.0]
    self._latencies: list[float] = []
    self._times: list[float] = []

  def add(self, shown: Shown) -> None:
    self.shown += 1
    self._latencies = [*self._latencies[1 - self.WINDOW :], shown.latency]
    self._times = [*self._times[1 - self.WINDOW :], time.monotonic()]

  def line(self, arrived: int) -> str:
    """arrived: visible frames so far."""
    if not self._latencies:
      return "no frame yet"
    span = self._times[-1] - self._times[0]
    rate = f"{(len(self._times) - 1) / span:.1f} frames a second, " if span > 0 else ""
    middle, late = (1e3 * np.quantile(self._latencies, q) for q in (0.5, 0.95))
    return (f"{rate}latency {middle:.0f} ms ({late:.0f} for one in twenty), {max(arrived - self.shown, 0)} of "
            f"{arrived} frames passed over")  # fmt: skip


def compile_first(flow: Flow) -> None:
  """Makes the program ready, so that the first frames do not wait for it."""
  black = [np.zeros_like(clip.sample(1)[0]) for clip in flow.clips.values()]
  images = tuple(reflect_pad(image, flow.padded) for image in flow.prepared.frames(black))
  jax.block_until_ready(flow.program(flow.params, images, flow.start())[0].image)


def fused(
  flow: Flow, *, stopped: Callable[[], bool] = lambda: False, tally: Callable[[int], None] = lambda arrived: None
) -> Iterator[Shown]:
  """The fused frames, until a source ends or `stopped` says so: the infrared one has ended when its last frame is
  `_STALE` of its periods old and visible ones go on. tally: told how many visible frames have arrived.

  UserError, naming the source, for a frame that cannot be read.
  """
  infrared, visible = flow.clips.values()
  channels = slice(None) if flow.prepared.is_colour else slice(0, 1)
  state: steady.State = flow.start()
  start = time.monotonic()
  with Newest(infrared, start) as one, Newest(visible, start) as other:
    number, warm = -1, None
    while not stopped():
      warm = one.after(-1) if warm is None else (one.after(warm[0], 0) or warm)
      if warm is None:
        if one.ended:
          return
        continue
      if one.ended and not other.ended and (time.monotonic() - warm[2]) * infrared.rate > _STALE:
        return
      found = other.after(number)
      if found is None:
        if other.ended:
          return
        continue
      number, samples, arrived = found
      images = tuple(reflect_pad(image, flow.padded) for image in flow.prepared.frames([warm[1], samples]))
      try:
        result, state = flow.program(flow.params, images, state)
        image = crop(jax.device_get(result.image), flow.prepared.size)[..., channels]
      except jax.errors.JaxRuntimeError as error:
        raise UserError(faults.line(f"frame {number + 1}", error)) from error
      tally(other.arrived)
      yield Shown(image, time.monotonic() - arrived, number)


def begin(clips: Mapping[str, Clip]) -> None:
  """Waits for the first frames of those that run already."""
  for clip in clips.values():
    if isinstance(clip, Live):
      clip.begin()
