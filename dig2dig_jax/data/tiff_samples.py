"""What are the samples of a TIFF page of gray or RGB? By OpenCV where the compression is not a simple one.

Pages of up to 8 bits are read here too, where their compression is NumPy's affair; the rest of those is left to Pillow,
which knows palettes and many compressions but neither planes of alpha nor big-endian 64-bit TIFF.
"""

import math
import zlib

import cv2
import numpy as np
import tifffile

from dig2dig_jax.data import tiff
from dig2dig_jax.data.faults import DecodeError, damaged

# Its doubts about a file would land on the user's terminal; a file that it cannot read becomes a DecodeError.
if hasattr(cv2, "utils") and hasattr(cv2.utils, "logging"):
  cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

_COLOURS = {"RGB": 3, "MINISBLACK": 1, "MINISWHITE": 1}


def reads(page: tifffile.TiffPage) -> bool:
  """Whether `read` is the one to decode this page, not Pillow."""
  return not tiff.is_shallow(page) or (
    page.dtype == np.uint8 and page.bitspersample == 8 and _name(tifffile.PHOTOMETRIC, page.photometric) in _COLOURS
    and page.compression in (tiff.NONE, *tiff.DEFLATE) and _is_simple(page))


def read(data: bytes, page: tifffile.TiffPage) -> tuple[np.ndarray, np.ndarray | None]:
  """Samples [H, W, 1 or 3] of a page that passed `tiff.check_segments`, and its alpha [H, W] or None: a further sample
  that is not said to be alpha is none. Not yet turned upright. Raises DecodeError."""
  dtype = page.dtype  # None where NumPy has no such type
  if dtype is None or dtype.itemsize * 8 != page.bitspersample or (
    dtype.kind != "f" and dtype not in (np.uint8, np.uint16, np.int16, np.uint32, np.int32)):
    raise DecodeError(
      f"expected 8-, 16- or 32-bit whole or float samples, found {page.bitspersample}-bit {dtype}; "
      "save it as 16-bit unsigned"
    )
  photometric = _name(tifffile.PHOTOMETRIC, page.photometric)
  colours = _COLOURS.get(photometric, 0)
  if colours == 0 or page.samplesperpixel - colours not in (0, 1) or tifffile.EXTRASAMPLE.ASSOCALPHA in (
    page.extrasamples
  ):
    raise DecodeError(
      f"expected gray or RGB with or without straight alpha, found {page.samplesperpixel} samples per pixel "
      f"({photometric}); save it as plain gray or RGB"
    )
  decode = _decode if page.compression in tiff.SIMPLE and _is_simple(page) else _decode_opencv
  stored = decode(data, page)
  has_alpha = tifffile.EXTRASAMPLE.UNASSALPHA in page.extrasamples and stored.shape[-1] > colours
  samples, alpha = stored[..., :colours], stored[..., colours] if has_alpha else None
  if photometric == "MINISWHITE":
    samples = 1 - samples if dtype.kind == "f" else ~samples  # of whole numbers, the complement
  return samples, alpha


def _is_simple(page):
  return page.predictor in (1, 2) and page.fillorder == 1


def _decode(data, page):
  height, width, tile, channels, planes = tiff.layout(page)
  stored = page.dtype.newbyteorder(page.parent.byteorder)
  across = math.ceil(width / tile[1])
  per_plane = math.ceil(height / tile[0]) * across
  result = np.empty((planes, height, width, channels), page.dtype)
  for i in range(per_plane * planes):
    plane, at = divmod(i, per_plane)
    row, column, rows = at // across * tile[0], at % across * tile[1], tiff.rows(page, i)
    length = rows * tile[1] * channels * stored.itemsize
    start, n = page.dataoffsets[i], page.databytecounts[i]
    block = _expand(memoryview(data)[start:start + n], page.compression, length)
    if len(block) < length:
      raise damaged("TIFF", f"strip or tile {i} holds {len(block)} of {length} bytes")
    block = np.frombuffer(block, stored, rows * tile[1] * channels).reshape(rows, tile[1], channels)
    if page.predictor == 2:  # each sample is stored as the difference to the one on its left; floats by their bits
      bits = np.dtype(f"u{stored.itemsize}")
      differences = block.view(bits.newbyteorder(page.parent.byteorder)).astype(bits)
      block = np.cumsum(differences, axis=1, dtype=bits).view(page.dtype)
    target = result[plane, row:row + rows, column:column + tile[1]]
    target[:] = block[:target.shape[0], :target.shape[1]]
  return result[0] if planes == 1 else np.moveaxis(result[..., 0], 0, -1)


def _expand(stored, compression, length):
  if compression in tiff.DEFLATE:
    return zlib.decompressobj().decompress(stored, length + 1)  # one more, so that the checksum behind is read
  return tifffile.TIFF.DECOMPRESSORS[tiff.PACKBITS](bytes(stored)) if compression == tiff.PACKBITS else stored


def _decode_opencv(data, page):
  if page.samplesperpixel == 2 or page.axes == "SYX":
    raise DecodeError("expected interleaved gray or RGB under this compression, found another layout; "
                      "save it without compression")
  samples = cv2.imdecode(np.frombuffer(tiff.plain(data, page), np.uint8), cv2.IMREAD_UNCHANGED)
  compression = _name(tifffile.COMPRESSION, page.compression)
  if samples is None:
    raise DecodeError(f"expected whole samples in a compression that OpenCV can decode, found {compression}, damaged "
                      "or of another kind; save it again as PNG or uncompressed TIFF")
  if samples.ndim == 2:
    samples = samples[..., None]
  else:
    samples = samples[..., [2, 1, 0, 3][: samples.shape[-1]]]  # OpenCV's order is BGR
  if samples.dtype != page.dtype or samples.shape[:2] != (page.imagelength, page.imagewidth):
    raise DecodeError(f"expected {page.dtype} samples, OpenCV gave {samples.dtype} of shape {samples.shape}; "
                      "save it without compression")
  return samples


def _name(kind, value):
  try:
    return kind(value).name
  except ValueError:
    return f"unknown, {value!r:.40}"
