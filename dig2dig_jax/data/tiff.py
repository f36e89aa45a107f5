"""Which page of a TIFF file is the image, and is it all there?

A TIFF file is a container: pages in a chain, and further ones below them (SubIFDs). Thumbnails and pyramid levels are
flagged as reduced and passed over; camera raw files, most of which are TIFF with a small preview in front, are told
apart, for `raw` to develop.
tifffile reads the tags. Its guesses about incomplete files are not wanted, so strips and tiles are counted here and
decoded in `tiff_samples` or by Pillow, both of which refuse short ones. What cannot be told is a fax-compressed (1-bit)
strip with too few rows, which libtiff completes.
"""

import io
import logging
import math

import tifffile

from dig2dig_jax.data import jpeg
from dig2dig_jax.data.faults import CameraRaw, check_size, damaged, several

# tifffile logs what it doubts, which without a handler is printed; all that matters here becomes a DecodeError.
logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)

ORIENTATION = 0x0112
_PROFILE = 34675
_RAW_TAGS = (50706, 33421, 33422)  # DNGVersion; the colour filter array's pattern
_RAW_COLOURS = (32803, 34892)  # colour filter array; linear raw
_RAW_COMPRESSIONS = (32767, 32769, 32770, 34713, 65000, 65535)  # Sony, Samsung, Nikon, Kodak, Pentax
NONE, PACKBITS, DEFLATE = 1, 32773, (8, 32946)
SIMPLE = (NONE, PACKBITS, *DEFLATE)  # compressions that say how much their bytes can hold
_JPEG = 7
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
      raise CameraRaw(_maker(chain[0]) or "DNG or of its kind")
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


def plain(data: bytes, page: tifffile.TiffPage) -> bytes:
  """The file with this page as its first and, by its tag, upright: for readers that know no other page. Their releases
  differ in whether they turn an image, and the callers here do it themselves."""
  edits, tiff = [], page.parent
  if tiff.pages[0].offset != page.offset:
    edits.append(((8, 8) if tiff.is_bigtiff else (4, 4), page.offset))
  if orientation(page) != 1:
    tag = page.tags[ORIENTATION]
    edits.append(((tag.valueoffset, {1: 1, 4: 4}.get(tag.dtype, 2)), 1))
  if not edits:
    return data
  edited = bytearray(data)
  for (start, length), value in edits:
    edited[start:start + length] = value.to_bytes(length, "little" if tiff.byteorder == "<" else "big")
  return bytes(edited)


def check_segments(data: bytes, page: tifffile.TiffPage) -> None:
  """Raises DecodeError unless the tables name every strip or tile, and all lie in the file and are long enough."""
  height, width, tile, channels, planes = layout(page)
  bits = page.bitspersample if isinstance(page.bitspersample, int) else 8
  simple = page.compression in SIMPLE
  check_size(height, width, kind="TIFF", bits=bits * channels * planes, stored=len(data) if simple else None)
  if min(tile) < 1 or page.is_tiled and math.prod(tile) > _LARGEST_TILE:
    raise damaged("TIFF", f"tiles of {tile[0]} x {tile[1]} pixels")
  needed = math.ceil(height / tile[0]) * math.ceil(width / tile[1]) * planes
  starts, lengths = page.dataoffsets[:needed], page.databytecounts[:needed]
  if min(len(starts), len(lengths)) < needed:
    raise damaged("TIFF", f"{needed} strips or tiles make the image, its tables name {min(len(starts), len(lengths))}")
  if any(n == 0 or start + n > len(data) for start, n in zip(starts, lengths, strict=True)):
    raise damaged("TIFF", "strips or tiles are empty or lie outside the file")
  plain = page.compression == NONE and page.photometric != _YCBCR and isinstance(page.bitspersample, int)
  for i, (start, n) in enumerate(zip(starts, lengths, strict=True)):
    if plain and n < rows(page, i) * math.ceil(tile[1] * channels * bits / 8):
      raise damaged("TIFF", f"strip or tile {i} is too short")
    if page.compression == _JPEG and jpeg.frame_size(data[start:start + n])[0] < rows(page, i):
      raise damaged("TIFF", f"strip or tile {i} holds too few rows")


def layout(page):
  """(height, width, (rows, columns) of a strip or tile, samples per pixel in it, planes)."""
  height, width = page.imagelength, page.imagewidth
  check_size(height, width, kind="TIFF")
  tile = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, width)
  separate = page.planarconfig == 2 and page.samplesperpixel > 1
  counts = (*tile, page.samplesperpixel, page.imagedepth)
  if not all(isinstance(n, int) for n in counts) or not 0 < page.samplesperpixel < 1 << 16 or page.imagedepth != 1:
    raise damaged("TIFF", f"strips, samples and depth {counts}")
  return (height, width, tile, *((1, page.samplesperpixel) if separate else (page.samplesperpixel, 1)))


def rows(page, i):
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


def open_bytes(data: bytes) -> tifffile.TiffFile:
  return tifffile.TiffFile(io.BytesIO(data))
