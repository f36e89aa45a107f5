"""Are the scans of a JPEG file all there? A file that was cut and closed with an end marker looks whole to libjpeg.

libjpeg fills what is missing with middle gray, or leaves it coarse in a progressive file, and only warns, which
Pillow does not pass on. The check: bytes put behind a scan are read by a decoder that still lacks some, and by no
other. So the file is decoded again with such bytes, and must look the same. That costs as much as the first time,
hence it is done only where something may be missing: where the last pixel is middle gray or there are several scans.

What cannot be told: the last block alone, scans of a progressive file that are missing altogether (a coarser image, as
the format allows), and bytes changed within a scan, for JPEG has no checksum.
"""

import io
import re
import struct

import numpy as np
import PIL.Image

from dig2dig_jax.data.faults import damaged

_END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # a marker that is neither a stuffed 0 nor a restart
_FILLER = bytes(np.random.default_rng(0).integers(1, 255, 512, dtype=np.uint8))
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_GRAY = 128


def check_scans(data: bytes, image: PIL.Image.Image) -> None:
  """Raises DecodeError if a scan ended before its image did; `image` is what Pillow made of the file, not turned."""
  last = image.getpixel((image.width - 1, image.height - 1))
  gray = all(value == _GRAY for value in (last if isinstance(last, tuple) else (last,)))
  if not gray and _is_one_scan(data):
    return
  ends = _ends_of_scans(data)
  starts = [0, *ends]
  pieces = [data[start:end] for start, end in zip(starts, [*ends, len(data)], strict=True)]
  with PIL.Image.open(io.BytesIO(_FILLER.join(pieces)), formats=["JPEG"]) as again:
    if not np.array_equal(np.asarray(again), np.asarray(image)):
      raise damaged("JPEG", "a scan ends before the image does")


def frame_size(data: bytes) -> tuple[int, int]:
  """(height, width) of the frame header."""
  for marker, at in _segments(data):
    if marker in _FRAMES:
      return struct.unpack_from(">HH", data, at + 5)
  raise damaged("JPEG", "it has no frame header")


def _is_one_scan(data):
  """Whether the first scan is that of all colours, in full: the usual kind of file."""
  colours = 0
  for marker, at in _segments(data):
    if marker in _FRAMES:
      if marker in _PROGRESSIVE:
        return False
      colours = data[at + 9]
    elif marker == 0xDA:
      return data[at + 4] == colours
  return False


def _ends_of_scans(data):
  """Where each scan's data end: at the marker after it."""
  return [_next_marker(data, _after(data, at)) for marker, at in _segments(data) if marker == 0xDA]


def _segments(data):
  """(marker, where it begins) of each segment up to the end of the image, entropy-coded data passed over."""
  at = 2
  while (at := _next_marker(data, at)) + 4 <= len(data) and data[at + 1] != 0xD9:
    yield data[at + 1], at
    at = _after(data, at)


def _after(data, at):
  return at + 2 + struct.unpack_from(">H", data, at + 2)[0]


def _next_marker(data, start):
  found = _END_OF_SCAN.search(data, start)
  return found.start() if found else len(data)
