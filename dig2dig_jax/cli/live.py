"""`dig2dig live`: two cameras, pipes or files that play, fused as they run, on a page of this machine or into a
pipe."""

import contextlib
import dataclasses
import stat
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from dig2dig_jax.assets import EMBEDDED
from dig2dig_jax.cli import flags, interrupt, serving
from dig2dig_jax.cli.output import note, say
from dig2dig_jax.errors import UserError
from dig2dig_jax.files import typed_path

HELP = """dig2dig live IR VI

Fuses two running sources, infrared and visible, frame by frame as they arrive: the newest frame of each is used, older
ones are dropped. Every few seconds a line reports frames per second and latency. A source is one of

  /dev/video0                 a camera
  raw:PATH:WxH:CHANNELS       raw frames of bytes from a named pipe or a file; PATH - is standard input
  FILE or FOLDER              a clip as for dig2dig video, played at its own rate

  -o -                        write raw frames, three bytes per pixel, to standard output; by default a web page shows
                              them, whose address is printed
  --port=NUMBER               port of the page; by default any that is free
  --gains=prior               restore noisy sources with the prior instead of the swift network
  --restore=off               leave noise as it is
  --seconds=NUMBER            stop after this many seconds; by default at Ctrl-C or at the end of a source
  --prior=FOLDER, --compile_cache=FOLDER   as for dig2dig app

The page requires pip install 'dig2dig_jax[app]', cameras and video files 'dig2dig_jax[video]'. Exit status: 0 a source
has ended, 2 bad input, 130 Ctrl-C."""
_FLAGS = ("out", "port", "gains", "restore", "seconds", "prior", "compile_cache")
_EVERY = 5.0  # seconds between lines


def run(words: Sequence[str]) -> int:
  """The exit status. UserError for what cannot be."""
  given = _given([word for word in words if word.startswith("--")])
  places = [word for word in words if not word.startswith("--")]
  if len(places) != 2:
    raise UserError(f"dig2dig live: expected two sources, infrared and visible, found {len(places)}; see dig2dig live "
                    "--help")  # fmt: skip
  seconds = _number("seconds", given.get("seconds"))
  out = given.get("out")
  if out not in (None, "-"):
    raise UserError(f"-o {out}: expected - for standard output, or no -o for a page; use dig2dig video to write files")
  flow = _flow(places, given)
  from dig2dig_jax.video import allocation, live

  allocation.keep_freed()
  live.compile_first(flow)
  interrupt.begins()
  until = time.monotonic() + seconds if seconds else None
  tell = note if out == "-" else say
  with contextlib.ExitStack() as stack:
    show = stack.enter_context(_pipe() if out == "-" else _page(given.get("port", "0")))
    tally, arrived, said = live.Tally(), [0], time.monotonic()
    ended = lambda: until is not None and time.monotonic() >= until  # noqa: E731
    try:
      for shown in live.fused(flow, stopped=ended, tally=lambda count: arrived.__setitem__(0, count)):
        show(shown.image)
        tally.add(shown)
        if time.monotonic() - said >= _EVERY:
          tell(tally.line(arrived[0]))
          said = time.monotonic()
    except BrokenPipeError:  # the reader has closed the pipe
      pass
    finally:
      tell(f"at the end: {tally.line(arrived[0])}")
  return 0


def _given(words: Sequence[str]) -> dict[str, str]:
  given = {}
  for word in words:
    name, equals, value = word.removeprefix("--").partition("=")
    if not equals or not value or name not in _FLAGS:
      raise UserError(f"dig2dig live: expected --{'=, --'.join(_FLAGS)}=, found {word}; see dig2dig live --help")
    given[name] = value
  for name, known in (("gains", ("swift", "prior")), ("restore", ("off", "noise"))):
    if given.get(name, known[0]) not in known:
      raise UserError(f"--{name}={given[name]}: expected {' or '.join(known)}")
  return given


def _number(name: str, text: str | None) -> float | None:
  if text is None:
    return None
  try:
    found = float(text)
  except ValueError:
    found = -1.0
  if not 0 < found <= 1e6:
    raise UserError(f"--{name}={text}: expected seconds, above 0, such as 10")
  return found


def _flow(places: Sequence[str], given: dict[str, str]) -> Any:
  """What runs: opened, looked at, decided and said."""
  from dig2dig_jax.front.preset import preset
  from dig2dig_jax.fusing import compile_cache
  from dig2dig_jax.methods.codec import luminance_codec
  from dig2dig_jax.methods.registry import make_method
  from dig2dig_jax.methods.sequence import without_restoring
  from dig2dig_jax.priors.prior import load_prior
  from dig2dig_jax.priors.swift import with_swift
  from dig2dig_jax.video import job, live
  from dig2dig_jax.video.config import VideoConfig

  clips = dict(zip(("ir", "vi"), map(source, places), strict=True))
  cache = given.get("compile_cache", flags.cache_folder())
  if cache and (told := compile_cache.use(typed_path(cache))):
    note(f"note: {told}")
  prior = load_prior(typed_path(given["prior"]) if "prior" in given else EMBEDDED)
  prior = prior if given.get("gains") == "prior" else with_swift(prior)
  live.begin(clips)
  options = without_restoring(preset("thermal").options)
  config = dataclasses.replace(VideoConfig(), restore=given.get("restore") != "off")
  method = make_method(prior, luminance_codec(1), options=options)
  return job.flow_of(clips, config, method, options, prior, lambda line: note(f"note: {line}"))


def source(place: str):
  """The clip of one: a camera, raw frames, or what plays. UserError for what is none."""
  from dig2dig_jax.video import live
  from dig2dig_jax.video.clip import open_clip

  if place.startswith("raw:"):
    path, size, channels = _raw(place)
    if path == "-":
      return live.Raw(Path("standard input"), sys.stdin.buffer, size, channels)
    try:
      return live.Raw(Path(path), typed_path(path).open("rb"), size, channels)
    except OSError as error:
      raise UserError(f"{path}: expected a pipe or a file of raw frames, found {error.strerror}; check the "
                    "name") from error  # fmt: skip
  path = typed_path(place)
  with contextlib.suppress(OSError):
    if stat.S_ISCHR(path.stat().st_mode):
      return live.Device(path)
  return open_clip(path, Fraction(25))


def _raw(place: str) -> tuple[str, tuple[int, int], int]:
  path, _, rest = place.removeprefix("raw:").rpartition(":")
  channels = rest
  path, _, size = path.rpartition(":")
  width, _, height = size.partition("x")
  if not (path and width.isdecimal() and height.isdecimal() and channels in ("1", "3")
          and 16 <= int(width) <= 8192 and 16 <= int(height) <= 8192):  # fmt: skip
    raise UserError(f"{place}: expected raw:PATH:WIDTHxHEIGHT:CHANNELS, 1 or 3 of them, such as raw:-:640x480:1")
  return path, (int(height), int(width)), int(channels)


@contextlib.contextmanager
def _pipe() -> Iterator[Callable]:
  import numpy as np

  def show(image) -> None:
    sys.stdout.buffer.write(np.repeat(image, 3 // image.shape[-1], axis=-1).tobytes())
    sys.stdout.buffer.flush()

  yield show


@contextlib.contextmanager
def _page(port: str) -> Iterator[Callable]:
  number = serving.port(port)
  with serving.packages("dig2dig live: expected the packages starlette and uvicorn for its page",
                        "pip install 'dig2dig_jax[app]', or -o -"):  # fmt: skip
    from dig2dig_jax.app import stream
  pictures = stream.Pictures()
  try:
    page = stream.Page(pictures, number)
  except OSError as error:
    raise UserError(f"--port={port}: expected a port that is free, found {error.strerror}; leave it out") from error
  with page:
    say(f"{page.address}   is the address of the page, for a browser on this machine; Ctrl-C stops it")
    yield pictures.show
