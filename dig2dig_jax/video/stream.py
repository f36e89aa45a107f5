"""How do frames flow? Decoded and prepared in a thread while the device computes the one before; a few are held."""

import contextlib
import queue
import sys
import threading
from collections.abc import Generator, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import jax
import numpy as np

from dig2dig_jax.data.padding import bucket_size, crop, reflect_pad
from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing import faults
from dig2dig_jax.video import pairing, steady
from dig2dig_jax.video.clip import Clip
from dig2dig_jax.video.preparing import Prepared
from dig2dig_jax.video.program import Fused, Program

AHEAD = 3  # frames that wait to be computed


class Ready(NamedTuple):
  """A frame to be fused. visible: its number in the visible clip. images: K times [Hb, Wb, 1 or 3], padded, see
  `Prepared.frames`."""

  number: int
  visible: int
  pts: int
  images: tuple[np.ndarray, ...]


class Done(NamedTuple):
  """A fused frame. visible: its number in the visible clip. image: uint8 or uint16 [H, W, 1 or 3]. state:
  after it; of the device. cut: whether a scene begins with it."""

  number: int
  visible: int
  pts: int
  image: np.ndarray
  state: steady.State
  cut: bool


class Flow(NamedTuple):
  """What runs. clips: by the sources' names, the infrared one first. bucket: padded sides are multiples of it."""

  clips: Mapping[str, Clip]
  prepared: Prepared
  program: Program
  params: Any
  bands: int
  bucket: int = 32
  offset: Fraction = Fraction(0)

  @property
  def padded(self) -> tuple[int, int]:
    """The size that the program runs at."""
    return bucket_size(*self.prepared.size, multiple=self.bucket)

  def start(self) -> steady.State:
    """Before the first frame."""
    return steady.start(len(self.clips), self.padded, self.bands)


def fused(
  flow: Flow, *, first: int = 0, state: steady.State | None = None
) -> Generator[Done, None, None]:
  """The fused frames from number `first` on, in order. state: after the frame before; needed where `first` is above 0.

  Every frame is computed while the next ones are decoded, and the one before is given out. Where this is closed early
  the thread ends. UserError, naming the file, for a frame that cannot be decoded.
  """
  state = flow.start() if state is None else state
  channels = slice(None) if flow.prepared.is_colour else slice(0, 1)
  begun: tuple[Ready, Fused, steady.State] | None = None
  with contextlib.closing(_ahead(_ready(flow, first))) as stream:
    for ready in stream:
      found, state = _begun(flow, ready, state)
      if begun is not None:
        yield _waited(flow, *begun, channels)
      begun = ready, found, state
    if begun is not None:
      yield _waited(flow, *begun, channels)


def _ready(flow: Flow, first: int) -> Generator[Ready, None, None]:
  infrared, visible = flow.clips.values()
  for number, pair in enumerate(pairing.together(infrared, visible, flow.offset)):
    if number >= first:
      images = flow.prepared.frames([frame.read() for frame in pair.frames])
      padded = tuple(reflect_pad(image, flow.padded) for image in images)
      yield Ready(number, pair.frames[1].number, pair.frames[1].pts, padded)


def _begun(flow: Flow, ready: Ready, state: steady.State) -> tuple[Fused, steady.State]:
  try:
    return flow.program(flow.params, ready.images, state)
  except jax.errors.JaxRuntimeError as error:
    raise UserError(faults.line(f"frame {ready.number + 1}", error)) from error


def _waited(flow: Flow, ready: Ready, found: Fused, state: steady.State, channels: slice) -> Done:
  try:
    image, cut = jax.device_get((found.image, found.cut))
  except jax.errors.JaxRuntimeError as error:
    raise UserError(faults.line(f"frame {ready.number + 1}", error)) from error
  image = crop(image, flow.prepared.size)[..., channels]
  return Done(ready.number, ready.visible, ready.pts, image, state, bool(cut))


def _ahead(frames: Generator[Ready, None, None]) -> Generator[Ready, None, None]:
  """The same, drawn by a thread that is up to `AHEAD` frames ahead. Its faults are raised here."""
  waiting: queue.Queue = queue.Queue(AHEAD)
  stopped = threading.Event()

  def put(entry) -> bool:
    while not stopped.is_set():
      with contextlib.suppress(queue.Full):
        waiting.put(entry, timeout=0.1)
        return True
    return False

  def draw():
    try:
      with contextlib.closing(frames):
        for frame in frames:
          if not put((frame, None)):
            return
      put((None, None))
    except BaseException as error:  # whatever it is, whoever waits for a frame is told
      put((None, error))

  reader = threading.Thread(target=draw, name="frames", daemon=True)
  reader.start()
  try:
    while True:
      frame, error = waiting.get()
      if error is not None:
        raise error
      if frame is None:
        return
      yield frame
  finally:
    stopped.set()
    if not sys.is_finalizing():  # else the interpreter ends the thread
      reader.join()
