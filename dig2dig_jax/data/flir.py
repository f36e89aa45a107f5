"""What is in a radiometric JPEG of FLIR? The sensor's counts, the constants of their temperatures, and a photograph.

Segments APP1 that begin with "FLIR" hold one block in parts, with a directory of records: the counts, as a PNG whose
bytes are swapped or as they are; the camera's constants; the embedded photograph; how that lies on the thermal
image. Names, places and types of the fields are those that ExifTool documents for FLIR. The rendered picture of such a
file (palette, scale, logo) is not looked at.
"""

import io
import re
import struct
from typing import BinaryIO, NamedTuple

import numpy as np
import PIL.Image

from dig2dig_jax.data import kept, pillow_samples, png, tiff
from dig2dig_jax.data.decoded import Decoded, upright
from dig2dig_jax.data.faults import DecodeError, check_size, damaged
from dig2dig_jax.data.radiometry import Camera, celsius

TOLD = "a radiometric JPEG of FLIR, read as temperatures in degrees Celsius"
UNREAD = "a JPEG with a segment of FLIR's in which no temperatures can be found, read as a photograph"
_KIND = "radiometric JPEG"
_HEAD = b"FLIR\0"
_SEGMENT = re.compile(rb"\xff\xe1..FLIR\0", re.DOTALL)
_COUNTS, _PHOTOGRAPH, _CAMERA, _PLACED = 0x01, 0x0E, 0x20, 0x2A  # types of records
_MOST_RECORDS = 4096
_PIXELS = 0x20  # where samples begin in a record, behind its sizes
_LAST = 0x310  # bytes of the camera's record that are needed


class Placed(NamedTuple):
  """How many times wider the photograph sees than the thermal camera, and by how many of its pixels the centre of what
  both see is off the photograph's own, to the right and down."""

  ratio: float
  right: int
  down: int


class Second(NamedTuple):
  """photograph uint8 [h, w, 3] in RGB, None where there is none that can be read. placed: None where the file does not
  say. orientation: EXIF's, of the file, by which neither is turned yet."""

  photograph: np.ndarray | None
  placed: Placed | None
  orientation: int


def block(file: BinaryIO) -> bytes | None:
  """The block of FLIR in a JPEG file, read from its beginning; None where there is none with counts in it. Raises
  DecodeError where parts of it are missing."""
  parts: dict[int, bytes] = {}
  last, at = 0, 2
  while True:
    file.seek(at)
    head = file.read(4)
    if len(head) < 4 or head[0] != 0xFF or head[1] in (0xD9, 0xDA):
      break
    (length,) = struct.unpack(">H", head[2:])
    if head[1] == 0xE1 and length >= 10 and (start := file.read(8))[:5] == _HEAD:
      parts[start[6]], last = file.read(length - 10), start[7]
    at += 2 + max(length, 2)
  if not parts:
    return None
  if set(parts) != set(range(last + 1)):
    raise damaged(_KIND, f"{len(parts)} of {last + 1} parts of its thermal data are there")
  whole = b"".join(parts[number] for number in range(last + 1))
  return whole if _COUNTS in _records(whole) else None


def is_mentioned(data: bytes) -> bool:
  """Whether there is a segment of FLIR's anywhere in a JPEG file, where `block` finds it or where damage hides it."""
  return _SEGMENT.search(data) is not None


def size(data: bytes) -> tuple[int, int]:
  """(height, width) of a block's thermal image, as it is stored."""
  record, order = _ordered(_records(data)[_COUNTS])
  if png.SIGNATURE == record[_PIXELS : _PIXELS + 8]:
    return png.size(record[_PIXELS:])
  width, height = struct.unpack_from(f"{order}2H", record, 2)
  return height, width


def second(data: bytes, own: bytes) -> Second:
  """The photograph. data: of the JPEG file. own: its `block`. Raises DecodeError, and what the libraries raise."""
  records = _records(own)
  return Second(_photograph(records), _placed(records), _orientation(data))


def decode(data: bytes, own: bytes) -> Decoded:
  """Temperatures [H, W, 1] in degrees Celsius, upright; alpha where there are none everywhere. data: of the JPEG file.
  own: its `block`. Raises DecodeError."""
  records = _records(own)
  camera, limits = _camera(records)
  degrees = upright(celsius(_counts(records, limits), camera), _orientation(data))
  known = np.isfinite(degrees)
  if not known.any():
    raise damaged(_KIND, "its constants make no temperature of any of its counts")
  alpha = None if known.all() else np.where(known, 255, 0).astype(np.uint8)
  samples = np.where(known, degrees, degrees[known].min())[..., None]
  with PIL.Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
    own_description = kept.of(image.getexif(), None)
  return Decoded(samples, alpha, TOLD, own_description, celsius=True)


def _records(data: bytes) -> dict[int, bytes]:
  """{type: the first record of it that is not empty}."""
  if data[:4] not in (b"FFF\0", b"AFF\0") or len(data) < 0x40:
    raise damaged(_KIND, "its thermal data have no header")
  order = ">" if 100 <= struct.unpack_from(">I", data, 0x14)[0] < 200 else "<"
  start, count = struct.unpack_from(order + "2I", data, 0x18)
  if count > _MOST_RECORDS or start + 32 * count > len(data):
    raise damaged(_KIND, f"a directory of {count} records")
  found: dict[int, bytes] = {}
  for number in range(count):
    kind, _, _, _, at, length = struct.unpack_from(order + "2H4I", data, start + 32 * number)
    if kind and length and at + length <= len(data):
      found.setdefault(kind, data[at : at + length])
    elif kind in (_COUNTS, _CAMERA) and length:
      raise damaged(_KIND, "a record lies outside of its thermal data")
  return found


def _ordered(record: bytes) -> tuple[bytes, str]:
  """(the record, its byte order): its first word is a 2."""
  if len(record) < _PIXELS:
    raise damaged(_KIND, f"a record of {len(record)} bytes")
  return record, "<" if struct.unpack_from("<H", record)[0] == 2 else ">"


def _counts(records, limits: tuple[int, int]) -> np.ndarray:
  record, order = _ordered(records[_COUNTS])
  stored = record[_PIXELS:]
  if stored.startswith(png.SIGNATURE):
    samples = _inner(stored)
    if samples.dtype != np.uint16 or samples.shape[-1] != 1:
      raise damaged(_KIND, f"thermal data of {samples.dtype} in {samples.shape[-1]} channels")
    as_stored, swapped = samples[..., 0], samples[..., 0].byteswap()
    # Cameras write the low byte first, which PNG does not; some do not. The limits that the camera states tell.
    return as_stored if _within(as_stored, limits) and not _within(swapped, limits) else swapped
  width, height = struct.unpack_from(f"{order}2H", record, 2)
  check_size(height, width, kind=_KIND)
  if len(stored) < 2 * height * width:
    raise damaged(_KIND, f"{len(stored)} bytes of thermal data for {height} x {width} pixels")
  return np.frombuffer(stored, f"{order}u2", height * width).reshape(height, width).astype(np.uint16)


def _inner(stored: bytes) -> np.ndarray:
  """The samples of a PNG inside of the file."""
  try:
    return pillow_samples.read(stored, "PNG").samples
  except DecodeError:
    raise
  except Exception as error:  # damaged bytes surface as almost any type
    raise damaged(_KIND, f"the PNG of its thermal data: {type(error).__name__}") from error


def _within(counts: np.ndarray, limits: tuple[int, int]) -> bool:
  low, high = limits
  return low < high and low <= int(np.median(counts)) <= high


def _camera(records) -> tuple[Camera, tuple[int, int]]:
  """(the constants, the least and the largest count)."""
  if _CAMERA not in records or len(records[_CAMERA]) < _LAST:
    raise damaged(_KIND, "the camera's constants are missing")
  record, order = _ordered(records[_CAMERA])

  def number(at, kind="f"):
    return struct.unpack_from(order + kind, record, at)[0]

  humidity = number(0x3C)
  found = Camera(
    r1=number(0x58), b=number(0x5C), f=number(0x60), o=number(0x308, "i"), r2=number(0x30C),
    emissivity=number(0x20), distance=number(0x24), reflected=number(0x28), air=number(0x2C), window=number(0x30),
    transmission=number(0x34), humidity=humidity / 100 if humidity > 2 else humidity,
    alpha=(number(0x70), number(0x74)), beta=(number(0x78), number(0x7C)), x=number(0x80),
  )  # fmt: skip
  if not found.is_usable():
    raise DecodeError("expected a radiometric JPEG whose constants make temperatures, found others "
                      f"({', '.join(f'{name} {value}' for name, value in found._asdict().items())[:300]}); export it "
                      "as TIFF from the camera maker's program")  # fmt: skip
  limits = struct.unpack_from(f"{order}2H", record, _LAST) if len(record) >= _LAST + 4 else (0, 0)
  return found, limits


def _photograph(records) -> np.ndarray | None:
  if _PHOTOGRAPH not in records:
    return None
  stored = records[_PHOTOGRAPH][_PIXELS:]
  if stored.startswith(b"\xff\xd8\xff"):
    found = pillow_samples.read(stored, "JPEG").samples
    return np.repeat(found, 3 // found.shape[-1], axis=-1)
  if not stored.startswith(png.SIGNATURE):
    return None
  found = pillow_samples.read(stored, "PNG").samples
  if found.dtype != np.uint8 or found.shape[-1] != 3:
    return None
  return _of_luminance(found)


def _of_luminance(found: np.ndarray) -> np.ndarray:
  """A PNG's channels are Y, Cb and Cr of JPEG's kind."""
  y, cb, cr = np.moveaxis(found.astype(np.float32), -1, 0)
  green = y - 0.344136 * (cb - 128) - 0.714136 * (cr - 128)
  rgb = np.stack([y + 1.402 * (cr - 128), green, y + 1.772 * (cb - 128)], axis=-1)
  return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


def _placed(records) -> Placed | None:
  if _PLACED not in records or len(records[_PLACED]) < 8:
    return None
  ratio, right, down = struct.unpack_from("<f2h", records[_PLACED])
  return Placed(ratio, right, down) if np.isfinite(ratio) and 0.1 < ratio < 10 else None


def _orientation(data: bytes) -> int:
  with PIL.Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
    return image.getexif().get(tiff.ORIENTATION, 1)
