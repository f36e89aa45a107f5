"""What do HEIF, AVIF and JPEG 2000 files hold? Photographs of telephones and scans, of 8 to 16 bits.

HEIF (HEIC) needs the package pillow-heif. AVIF and JPEG 2000 of 8 bits are Pillow's; deeper ones, which Pillow brings
down to 8, are OpenCV's. Samples of 9 to 15 bits are spread over the whole of 16, so that white is white.
"""

import io
import struct

import cv2
import numpy as np

from dig2dig_jax.data.faults import DecodeError, check_size, damaged, needs, several

_MOST_PARTS = 1 << 16  # boxes or segments that are looked through
_SIZE, _END = b"\xff\x51", b"\xff\xd9"  # markers of a JPEG 2000 code stream


def read_heif(data: bytes) -> tuple[np.ndarray, np.ndarray | None, bytes | None, bytes | None]:
  """(samples [H, W, 1 or 3] of uint8 or uint16, alpha [H, W] or None, ICC profile, EXIF) of a HEIF file, turned as it
  says. Raises DecodeError, and what the library raises."""
  file = _open_heif(data)
  if len(file) != 1:
    raise several(len(file))
  width, height = file.size
  check_size(height, width, kind="HEIF")
  image = file[0]
  samples = np.asarray(image)
  bits = image.info.get("bit_depth", 8)
  if samples.dtype == np.uint16:
    samples = spread(samples >> (16 - bits), bits)
  samples = samples[..., None] if samples.ndim == 2 else samples
  colours = 3 if samples.shape[-1] > 2 else 1
  alpha = samples[..., colours] if samples.shape[-1] > colours else None
  return samples[..., :colours], alpha, image.info.get("icc_profile"), image.info.get("exif")


def heif_size(data: bytes) -> tuple[int, int]:
  """(height, width), from the header alone."""
  width, height = _open_heif(data).size
  return height, width


def _open_heif(data):
  try:
    import pillow_heif
  except ImportError:
    raise needs("HEIC/HEIF", "heif") from None
  return pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)


def avif_bits(data: bytes) -> int:
  """Of the deepest of its images, by the third byte of their `av1C` boxes: 8, 10 or 12."""
  bits, at = 8, data.find(b"av1C")
  for _ in range(_MOST_PARTS):
    if at < 0 or at + 7 > len(data):
      break
    if data[at + 4] == 0x81 and data[at + 6] & 0x40:
      bits = max(bits, 12 if data[at + 6] & 0x20 else 10)
    at = data.find(b"av1C", at + 1)
  return bits


def jpeg2000_bits(data: bytes) -> int:
  """Of its deepest component. Raises DecodeError for a code stream that is not all there, or of a size that cannot be:
  OpenJPEG decodes as much as it finds."""
  stream = _code_stream(data)
  if stream[2:4] != _SIZE or len(stream) < 42:
    raise damaged("JPEG 2000", "its code stream has no header")
  right, bottom, left, top = struct.unpack_from(">4I", stream, 8)
  (count,) = struct.unpack_from(">H", stream, 40)
  check_size(bottom - top, right - left, kind="JPEG 2000")
  parts = stream[42 : 42 + 3 * count : 3]
  if not 1 <= count <= 16384 or len(parts) < count:
    raise damaged("JPEG 2000", f"it announces {count} components")
  if stream.rstrip(b"\0")[-2:] != _END:
    raise damaged("JPEG 2000", "its code stream has no end")
  if any(part & 0x80 for part in parts):
    raise DecodeError("expected unsigned samples, found signed ones in a JPEG 2000 file; save it as 16-bit unsigned")
  return max(part & 0x7F for part in parts) + 1


def _code_stream(data: bytes) -> bytes:
  if data.startswith(b"\xff\x4f"):
    return data
  at = 0
  for _ in range(_MOST_PARTS):
    if at + 8 > len(data):
      break
    length, kind, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
    if length == 1:
      length, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
    length = length or len(data) - at
    if kind == b"jp2c":
      if at + length > len(data):
        raise damaged("JPEG 2000", "its code stream is cut off")
      return data[at + head : at + length]
    if length < head:
      break
    at += length
  raise damaged("JPEG 2000", "it has no code stream")


def read_deep(data: bytes, kind: str, bits: int) -> tuple[np.ndarray, np.ndarray | None]:
  """(samples [H, W, 1 or 3] of uint16, alpha or None) of an AVIF or JPEG 2000 file of 9 to 16 bits, not yet turned."""
  samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
  if samples is None or samples.dtype != np.uint16:
    raise DecodeError(f"expected {kind} samples of {bits} bits that OpenCV can decode, found others; save it as 16-bit "
                      "PNG or TIFF")
  samples = spread(samples[..., None] if samples.ndim == 2 else samples, bits)
  if samples.shape[-1] < 3:
    return samples[..., :1], samples[..., 1] if samples.shape[-1] == 2 else None
  return samples[..., 2::-1], samples[..., 3] if samples.shape[-1] == 4 else None


def spread(samples: np.ndarray, bits: int) -> np.ndarray:
  """uint16 samples of this many bits over all 16: 0 stays 0, the largest value becomes 65535."""
  if bits >= 16:
    return samples
  top = (1 << bits) - 1
  return ((np.minimum(samples, top).astype(np.uint32) * 65535 + top // 2) // top).astype(np.uint16)
