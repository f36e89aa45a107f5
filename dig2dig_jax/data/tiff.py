"""Which page of a TIFF file is the image, is it all there, and what are its deep samples?

A TIFF file is a container: pages in a chain, and further ones below them (SubIFDs). Thumbnails and pyramid levels are
flagged as reduced and passed over; camera raw files, most of which are TIFF with a small preview in front, are refused.
tifffile reads the tags. Its guesses about incomplete files are not wanted, so strips and tiles are counted and decoded
here, or by OpenCV and Pillow (libtiff). Their length is checked in each case; what cannot be told is a fax-compressed
(1-bit) strip with too few rows, which libtiff completes.
"""

import io
import logging
import math
import zlib

import cv2
import numpy as np
import tifffile

from dig2dig_jax.data import jpeg
from dig2dig_jax.data.faults import DecodeError, camera_raw, check_size, damaged, several

# tifffile logs what it doubts, which without a handler is printed; all that matters here becomes a DecodeError.
logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)

ORIENTATION = 0x0112
_PROFILE = 34675
_RAW_TAGS = (50706, 33421, 33422)  # DNGVersion; the colour filter array's pattern
_RAW_COLOURS = (32803, 34892)  # colour filter array; linear raw
_RAW_COMPRESSIONS = (32767, 32769, 32770, 34713, 65000, 65535)  # Sony, Samsung, Nikon, Kodak, Pentax
_NONE, _JPEG, _PACKBITS = 1, 7, 32773
_DEFLATE = (8, 32946)
_SIMPLE = (_NONE, _PACKBITS, *_DEFLATE)  # compressions decoded here
_YCBCR = 6
_MOST_PAGES = 64  # looked at; a file of more is no single image
_LARGEST_TILE = 1 << 26  # pixels


def find_page(tiff: tifffile.TiffFile) -> tifffile.TiffPage:
  """The one image of full resolution, with a size that an image can have. Raises DecodeError."""
  chain = [tiff.pages[i] for i in range(min(len(tiff.pages), _MOST_PAGES))]
  below = [page for parent in chain for page in _subpages(parent)]
  for page in (*chain, *below):
    if (
      any(tag in page.tags for tag in _RAW_TAGS) or page.photometric in _RAW_COLOURS
      or page.compression in _RAW_COMPRESSIONS
    ):
      raise camera_raw(_maker(chain[0]) or "DNG or of its kind")
  whole = [page for page in chain if _is_whole(page)] or [page for page in below if _is_whole(page)] or chain
  if len(whole) > 1:
    raise several(max(len(whole), len(tiff.pages) - len(chain) + len(whole)))
  page = whole[0]
  if tiff.is_imagej or tiff.is_shaped:  # these put many images behind one page
    count = tiff.series[0].size // max(page.size, 1)
    if count > 1:
      raise several(count)
  check_size(page.imagelength, page.imagewidth, kind="TIFF")
  return page


def orientation(page: tifffile.TiffPage) -> int:
  value = page.tags.valueof(ORIENTATION)
  return value if isinstance(value, int) else 1


def profile(page: tifffile.TiffPage) -> object:
  """The ICC profile: bytes, or anything else where there is none."""
  return page.tags.valueof(_PROFILE)


def is_shallow(page: tifffile.TiffPage) -> bool:
  """Whether the samples are of 8 bits or fewer, and so Pillow's to decode."""
  return page.dtype is not None and page.dtype.kind in "bu" and isinstance(page.bitspersample, int) and (
    page.bitspersample <= 8)


def with_page_first(data: bytes, page: tifffile.TiffPage) -> bytes:
  """The file with this page as its first, for readers that know no other."""
  tiff = page.parent
  if tiff.pages[0].offset == page.offset:
    return data
  order, start, length = _order(page), *((8, 8) if tiff.is_bigtiff else (4, 4))
  return data[:start] + page.offset.to_bytes(length, order) + data[start + length:]


def check_segments(data: bytes, page: tifffile.TiffPage) -> None:
  """Raises DecodeError unless the tables name every strip or tile, and all lie in the file and are long enough."""
  height, width, tile, channels, planes = _layout(page)
  bits = page.bitspersample if isinstance(page.bitspersample, int) else 8
  simple = page.compression in _SIMPLE
  check_size(height, width, kind="TIFF", bits=bits * channels * planes, stored=len(data) if simple else None)
  if min(tile) < 1 or math.prod(tile) > _LARGEST_TILE:
    raise damaged("TIFF", f"tiles of {tile[0]} x {tile[1]} pixels")
  needed = math.ceil(height / tile[0]) * math.ceil(width / tile[1]) * planes
  starts, lengths = page.dataoffsets[:needed], page.databytecounts[:needed]
  if min(len(starts), len(lengths)) < needed:
    raise damaged("TIFF", f"{needed} strips or tiles make the image, its tables name {min(len(starts), len(lengths))}")
  if any(n == 0 or start + n > len(data) for start, n in zip(starts, lengths, strict=True)):
    raise damaged("TIFF", "strips or tiles are empty or lie outside the file")
  plain = page.compression == _NONE and page.photometric != _YCBCR and isinstance(page.bitspersample, int)
  for i, (start, n) in enumerate(zip(starts, lengths, strict=True)):
    rows = _rows(page, i)
    if plain and n < rows * math.ceil(tile[1] * channels * bits / 8):
      raise damaged("TIFF", f"strip or tile {i} is too short")
    if page.compression == _JPEG and ((frame := jpeg.frame_size(data[start:start + n])) is None or frame[0] < rows):
      raise damaged("TIFF", f"strip or tile {i} holds too few rows")


def deep_samples(data: bytes, page: tifffile.TiffPage) -> np.ndarray:
  """[H, W, 1 or 3] of a 16-bit or float page, not yet turned upright."""
  dtype = page.dtype  # None where NumPy has no such type
  if dtype is None or dtype.itemsize * 8 != page.bitspersample or dtype.kind != "f" and dtype != np.uint16:
    raise DecodeError(
      f"expected 8- or 16-bit unsigned or float samples, found {page.bitspersample}-bit {dtype}; "
      "save it as 16-bit unsigned"
    )
  photometric = _name(tifffile.PHOTOMETRIC, page.photometric)
  colours = {"RGB": 3, "MINISBLACK": 1, "MINISWHITE": 1}.get(photometric, 0)
  if colours == 0 or page.samplesperpixel - colours not in (0, 1) or tifffile.EXTRASAMPLE.ASSOCALPHA in (
    page.extrasamples
  ):
    raise DecodeError(
      f"expected gray or RGB with or without straight alpha, found {page.samplesperpixel} samples per pixel "
      f"({photometric}); save it as plain gray or RGB"
    )
  own = page.compression in _SIMPLE and page.predictor in (1, 2) and page.fillorder == 1
  samples = (_decode(data, page) if own else _decode_opencv(data, page))[..., :colours]
  if photometric == "MINISWHITE":
    samples = (1 if dtype.kind == "f" else 65535) - samples
  return samples


def _decode(data, page):
  height, width, tile, channels, planes = _layout(page)
  stored = page.dtype.newbyteorder(page.parent.byteorder)
  across = math.ceil(width / tile[1])
  per_plane = math.ceil(height / tile[0]) * across
  result = np.empty((planes, height, width, channels), page.dtype)
  for i in range(per_plane * planes):
    plane, at = divmod(i, per_plane)
    row, column, rows = at // across * tile[0], at % across * tile[1], _rows(page, i)
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
  if compression in _DEFLATE:
    return zlib.decompressobj().decompress(stored, length + 1)  # one more, so that the checksum behind is read
  return tifffile.TIFF.DECOMPRESSORS[_PACKBITS](bytes(stored)) if compression == _PACKBITS else stored


def _decode_opencv(data, page):
  if page.samplesperpixel == 2 or page.axes == "SYX":
    raise DecodeError("expected interleaved gray or RGB under this compression, found another layout; "
                      "save it without compression")
  plain = bytearray(with_page_first(data, page))
  if ORIENTATION in page.tags:  # OpenCV releases differ in whether they apply it: take it out, we do it ourselves
    at = page.tags[ORIENTATION].valueoffset
    plain[at:at + 2] = (1).to_bytes(2, _order(page))
  samples = cv2.imdecode(np.frombuffer(plain, np.uint8), cv2.IMREAD_UNCHANGED)
  compression = _name(tifffile.COMPRESSION, page.compression)
  if samples is None:
    raise DecodeError(f"expected whole samples in a compression that OpenCV can decode, found {compression}, damaged "
                      "or of another kind; save it again as PNG or uncompressed TIFF")
  samples = samples[..., None] if samples.ndim == 2 else samples[..., 2::-1]
  if samples.dtype != page.dtype or samples.shape[:2] != (page.imagelength, page.imagewidth):
    raise DecodeError(f"expected {page.dtype} samples, OpenCV gave {samples.dtype} of shape {samples.shape}; "
                      "save it without compression")
  return samples


def _layout(page):
  """(height, width, (rows, columns) of a strip or tile, samples per pixel in it, planes)."""
  height, width = page.imagelength, page.imagewidth
  check_size(height, width, kind="TIFF")
  tile = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, width)
  separate = page.planarconfig == 2 and page.samplesperpixel > 1
  counts = (*tile, page.samplesperpixel, page.imagedepth)
  if not all(isinstance(n, int) for n in counts) or not 0 < page.samplesperpixel < 1 << 16 or page.imagedepth != 1:
    raise damaged("TIFF", f"strips, samples and depth {counts}")
  return (height, width, tile, *((1, page.samplesperpixel) if separate else (page.samplesperpixel, 1)))


def _rows(page, i):
  """Rows that strip or tile `i` must hold; the last strip of a plane may hold fewer than the others."""
  if page.is_tiled:
    return page.tilelength
  strips = math.ceil(page.imagelength / page.rowsperstrip)
  return min(page.rowsperstrip, page.imagelength - i % strips * page.rowsperstrip)


def _maker(page):
  name = page.tags.valueof(271)
  return " ".join(name.split())[:40] if isinstance(name, str) else ""


def _subpages(page):
  try:
    return [page.pages[i] for i in range(min(len(page.pages), _MOST_PAGES))] if page.pages else []
  except Exception:  # a damaged branch says nothing of the image in the trunk
    return []


def _is_whole(page):
  """Neither a reduced image (bit 0) nor a mask (bit 2)."""
  return not (isinstance(page.subfiletype, int) and page.subfiletype & 0b101)


def _order(page):
  return "little" if page.parent.byteorder == "<" else "big"


def _name(kind, value):
  try:
    return kind(value).name
  except ValueError:
    return f"unknown, {value}"


def open_bytes(data: bytes) -> tifffile.TiffFile:
  return tifffile.TiffFile(io.BytesIO(data))
