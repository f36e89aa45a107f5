"""What does an OpenEXR file hold? Linear light, as floats, of one flat part; alpha says where there is any.

The header is read here, so that a size is bounded, and a file that was cut is told from a whole one, before anything is
decoded; the samples are the package OpenEXR's. Colours are stored multiplied by alpha, and divided by it again. Where
the stored window is another than the one shown, the image is the one shown, with nothing outside of the stored one.
"""

import contextlib
import io
import struct

import numpy as np

from dig2dig_jax.data.faults import DecodeError, check_size, damaged, needs, several

TOLD = "OpenEXR, linear light, taken as it is"
_TILED, _DEEP, _MULTIPART = 0x200, 0x800, 0x1000  # bits of the version
_ROWS = {0: 1, 1: 1, 2: 1, 3: 16, 4: 32, 5: 16, 6: 32, 7: 32, 8: 32, 9: 256}  # of a block, by compression
_LONGEST = 255  # bytes of a name
_MOST_ATTRIBUTES = 4096
_BITS = 16  # per sample, at least


def size(data: bytes) -> tuple[int, int]:
  """(height, width) that is shown. Raises DecodeError."""
  attributes, _ = _header(data)
  left, top, right, bottom = _window(attributes, "displayWindow")
  check_size(bottom - top + 1, right - left + 1, kind="OpenEXR")
  return bottom - top + 1, right - left + 1


def read(data: bytes) -> tuple[np.ndarray, np.ndarray | None]:
  """(samples float32 [H, W, 1 or 3], alpha float32 [H, W] or None). Raises DecodeError."""
  height, width = size(data)
  attributes, end = _header(data)
  left, top, right, bottom = _window(attributes, "dataWindow")
  check_size(bottom - top + 1, right - left + 1, kind="OpenEXR")
  _check_blocks(data, attributes, end, bottom - top + 1)
  found = _channels(data)
  colours, others = ("R", "G", "B"), tuple(found.keys() - {"A"})
  names = colours if set(colours) <= found.keys() else ("Y",) if "Y" in found else others
  rest = found.keys() - {*names, "A"}
  if len(names) not in (1, 3) or rest:
    raise DecodeError(f"expected an OpenEXR file of R, G and B, of Y, or of one channel, with or without A, found "
                      f"{', '.join(sorted(found))}; save it with only these")  # fmt: skip
  planes = [np.asarray(found[name], np.float32) for name in (*names, *("A" * ("A" in found)))]
  if any(plane.shape != (bottom - top + 1, right - left + 1) for plane in planes):
    raise damaged("OpenEXR", "channels of other sizes than its window, or damaged ones")
  samples, alpha = np.stack(planes[: len(names)], axis=-1), planes[-1] if "A" in found else None
  if alpha is not None:
    partly = (alpha > 0) & (alpha < 1)
    samples = np.where(partly[..., None], samples / np.where(partly, alpha, 1)[..., None], samples)
    samples[alpha <= 0] = 0
  shown = _window(attributes, "displayWindow")
  if (left, top, right, bottom) == shown:
    return samples, alpha
  return _placed(samples, alpha, (top - shown[1], left - shown[0]), (height, width))


def _placed(samples, alpha, corner, size):
  """In the window that is shown, transparent outside of what is stored."""
  frame, opaque = np.zeros((*size, samples.shape[-1]), np.float32), np.zeros(size, np.float32)
  (top, left), (height, width) = corner, samples.shape[:2]
  rows, columns = slice(max(top, 0), min(top + height, size[0])), slice(max(left, 0), min(left + width, size[1]))
  if rows.start < rows.stop and columns.start < columns.stop:
    own = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
    frame[rows, columns] = samples[own]
    opaque[rows, columns] = 1 if alpha is None else alpha[own]
  return frame, opaque


def _channels(data):
  """{name: plane}. The library prints what it meets in damaged blocks, and goes on without."""
  try:
    import OpenEXR
  except ImportError:
    raise needs("OpenEXR", "exr") from None
  printed = io.StringIO()
  with contextlib.redirect_stdout(printed):
    found = OpenEXR.File(io.BytesIO(data), separate_channels=True).channels()
  if text := printed.getvalue().strip():
    raise damaged("OpenEXR", text.rpartition(" - ")[2])
  return {name: channel.pixels for name, channel in found.items()}


def _header(data: bytes) -> tuple[dict[str, bytes], int]:
  """({name: value}, where the header ends). Raises DecodeError."""
  (version,) = struct.unpack_from("<I", data, 4) if len(data) >= 8 else (0,)
  if version & _MULTIPART:
    raise several(2)
  if version & _DEEP:
    raise DecodeError("expected a flat OpenEXR file, found one of deep samples; flatten it")
  attributes, at = {"tiled": b"1"} if version & _TILED else {}, 8
  for _ in range(_MOST_ATTRIBUTES):
    name, at = _text(data, at)
    if not name:
      break
    _, at = _text(data, at)
    if at + 4 > len(data):
      break
    (length,) = struct.unpack_from("<I", data, at)
    attributes[name], at = data[at + 4 : at + 4 + length], at + 4 + length
  if {"channels", "compression", "dataWindow", "displayWindow"} - attributes.keys() or at > len(data):
    raise damaged("OpenEXR", "its header lacks what an image has")
  return attributes, at


def _text(data, at):
  end = data.find(b"\0", at, at + _LONGEST + 1)
  if end < 0:
    raise damaged("OpenEXR", "its header ends early")
  return data[at:end].decode("latin-1"), end + 1


def _window(attributes, name):
  if len(attributes[name]) != 16:
    raise damaged("OpenEXR", f"{name} of {len(attributes[name])} bytes")
  return struct.unpack("<4i", attributes[name])


def _check_blocks(data, attributes, at, height):
  """Raises DecodeError unless every block of rows lies in the file. Missing tiles are left to the library."""
  if "tiled" in attributes:
    return
  rows = _ROWS.get(attributes["compression"][0] if attributes["compression"] else -1, 256)
  count = -(-height // rows)
  if at + 8 * count > len(data):
    raise damaged("OpenEXR", "it ends within its table of blocks")
  for start in struct.unpack_from(f"<{count}Q", data, at):
    if start + 8 > len(data) or start + 8 + struct.unpack_from("<I", data, start + 4)[0] > len(data):
      raise damaged("OpenEXR", "rows lie outside of the file")
