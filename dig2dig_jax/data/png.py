"""Which parts of a PNG file count, and are its samples all there? Chunks, as the other libraries do not show them.

A PNG whose compressed stream ends early but properly, checksum and all, passes for whole in Pillow, which leaves the
missing rows 0.
"""

import itertools
import struct
import zlib

import numpy as np
import PIL.Image

from dig2dig_jax.data.faults import damaged

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_END_OF_HEADER = 33  # the signature and the IHDR chunk, which is the first and of 13 bytes
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))  # Adam7
_PIECE = 1 << 20


def size(data: bytes) -> tuple[int, int]:
  """(height, width) in the header."""
  width, height = struct.unpack_from(">II", data, 16)
  return height, width


def bit_depth(data: bytes) -> int:
  return data[24]


def bits_per_pixel(data: bytes) -> int:
  return data[24] * _CHANNELS.get(data[25], 4)


def core(data: bytes) -> bytes:
  """The same samples without the chunks that only describe them. libpng, as OpenCV uses it, writes its doubts about
  those to standard error."""
  kept = (chunk for name, chunk in _chunks(data) if name in (b"IHDR", b"IDAT", b"IEND"))
  return SIGNATURE + b"".join(kept)


def check_rows(data: bytes, image: PIL.Image.Image) -> None:
  """Raises DecodeError if the stream holds fewer rows than the header announces; `image` is what Pillow made of it.

  Rows are missing from the end, and Pillow leaves them 0: a last row that is not 0 needs no second decompression.
  """
  width, height = image.size
  interlaced = data[28] == 1
  if not interlaced and np.asarray(image.crop((0, height - 1, width, height))).any():
    return
  bits = bits_per_pixel(data)
  passes = _PASSES if interlaced else ((0, 0, 1, 1),)
  expected = sum(_bytes_of_pass(width, height, bits, *each) for each in passes)
  found = _length_of_stream(data, expected)
  if found < expected:
    raise damaged("PNG", f"the header announces {expected} bytes of samples, the stream holds {found}")


def say_srgb(data: bytes) -> bytes:
  """The PNG file with the statement that its colours are sRGB, perceptual intent."""
  return with_chunk(data, b"sRGB\0")


def with_profile(data: bytes, profile: bytes) -> bytes:
  """The PNG file with an ICC profile, which takes the place of other statements about its colours."""
  return with_chunk(data, b"iCCP" + b"ICC profile\0\0" + zlib.compress(profile, 9))


def with_chunk(data: bytes, chunk: bytes) -> bytes:
  """The PNG file with one more chunk, its name and content, behind the header."""
  framed = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
  return data[:_END_OF_HEADER] + framed + data[_END_OF_HEADER:]


def _bytes_of_pass(width, height, bits, top, left, down, right):
  rows, columns = -(-(height - top) // down), -(-(width - left) // right)
  return rows * (1 + -(-columns * bits // 8)) if rows > 0 and columns > 0 else 0  # a row begins with its filter


def _length_of_stream(data, enough):
  """Bytes that the compressed stream holds, counted up to `enough`, never all in memory."""
  inflate, found = zlib.decompressobj(), 0
  for body in (chunk[8:-4] for name, chunk in _chunks(data) if name == b"IDAT"):
    while body and found < enough and not inflate.eof:
      found += len(inflate.decompress(body, _PIECE))
      body = inflate.unconsumed_tail
  while found < enough and not inflate.eof and (piece := inflate.decompress(inflate.unconsumed_tail, _PIECE)):
    found += len(piece)
  return found


def _chunks(data):
  """(name, all bytes) of every chunk up to IEND."""
  at = len(SIGNATURE)
  for _ in itertools.count():
    if at + 12 > len(data):
      raise damaged("PNG", "it ends without an IEND chunk")
    (length,) = struct.unpack_from(">I", data, at)
    name, end = data[at + 4:at + 8], at + 12 + length
    yield name, data[at:end]
    if name == b"IEND":
      return
    at = end
