"""Radiometric JPEGs as FLIR's cameras write them, by the description of the format: nothing of the reader is used."""

import io
import struct
from typing import NamedTuple

import cv2
import numpy as np
import PIL.Image

# Of a camera of the T series, as its files state them.
CONSTANTS = {
  "r1": 21106.77, "b": 1501.0, "f": 1.0, "o": -7340, "r2": 0.012545258, "emissivity": 0.95, "distance": 2.0,
  "reflected": 293.15, "air": 294.0, "window": 295.0, "transmission": 1.0, "humidity": 0.5,
  "alpha": (0.006569, 0.01262), "beta": (-0.002276, -0.00667), "x": 1.9,
}  # fmt: skip
_FLOATS = {"emissivity": 0x20, "distance": 0x24, "reflected": 0x28, "air": 0x2C, "window": 0x30, "transmission": 0x34,
           "humidity": 0x3C, "r1": 0x58, "b": 0x5C, "f": 0x60, "x": 0x80, "r2": 0x30C}  # fmt: skip


class Placed(NamedTuple):
  ratio: float
  right: int
  down: int


def file(
  counts, *, photograph=None, placed=None, stored="png", part=65000, order=">", limits=None, orientation=1, ycc=False,
  **constants,
):  # fmt: skip
  """The bytes of a JPEG file. counts uint16 [H, W]; stored: png (bytes swapped), plain png, or raw."""
  records = [(0x01, _counts(counts, stored)), (0x20, _camera({**CONSTANTS, **constants}, limits))]
  if photograph is not None:
    records.append((0x0E, _photograph(photograph, ycc)))
  if placed is not None:
    records.append((0x2A, struct.pack("<f6h", *placed, 0, 0, 0, 0).ljust(64, b"\0")))
  block = _block(records, order)
  parts = [block[at : at + part] for at in range(0, len(block), part)]
  segments = b""
  for number, content in enumerate(parts):
    body = b"FLIR\0\1" + bytes([number, len(parts) - 1]) + content
    segments += b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
  rendered = _rendered(counts, orientation)
  return rendered[:2] + segments + rendered[2:]


def _rendered(counts, orientation):
  """What the camera shows: a palette over the counts, which no reader of temperatures may look at."""
  levels = cv2.normalize(counts, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
  written, exif = io.BytesIO(), PIL.Image.Exif()
  exif[0x0112], exif[271] = orientation, "FLIR Systems AB"
  PIL.Image.fromarray(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1]).save(written, "JPEG", exif=exif)
  return written.getvalue()


def _block(records, order):
  head = struct.pack(f"{order}4s16s4I", b"FFF\0", b"made for a test", 101, 64, len(records), 2).ljust(64, b"\0")
  directory, content, at = b"", b"", 64 + 32 * len(records)
  for number, (kind, data) in enumerate(records):
    directory += struct.pack(f"{order}2H7I", kind, 3, 100, number + 1, at + len(content), len(data), 0, 0, 0)
    content += data
  return head + directory + content


def _counts(counts, stored):
  height, width = counts.shape
  head = struct.pack("<3H", 2, width, height).ljust(0x20, b"\0")
  if stored == "raw":
    return head + counts.astype("<u2").tobytes()
  written = counts.byteswap() if stored == "png" else counts
  return head + cv2.imencode(".png", written)[1].tobytes()


def _camera(values, limits):
  record = bytearray(0x468)
  struct.pack_into("<H", record, 0, 2)
  for name, at in _FLOATS.items():
    struct.pack_into("<f", record, at, values[name])
  struct.pack_into("<4f", record, 0x70, *values["alpha"], *values["beta"])
  struct.pack_into("<i", record, 0x308, values["o"])
  struct.pack_into("<2H", record, 0x310, *(limits or (0, 0)))
  record[0xD4 : 0xD4 + 9] = b"FLIR T640"
  return bytes(record)


def _photograph(photograph, ycc):
  height, width = photograph.shape[:2]
  head = struct.pack("<3H", 2, width, height).ljust(0x20, b"\0")
  written = io.BytesIO()
  image = PIL.Image.fromarray(photograph)
  if ycc:
    PIL.Image.fromarray(np.asarray(image.convert("YCbCr"))).save(written, "PNG")
  else:
    image.save(written, "JPEG", quality=95, subsampling=0)
  return head + written.getvalue()
