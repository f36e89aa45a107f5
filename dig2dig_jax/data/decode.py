"""Which samples does an image file hold? Bytes in; upright, unscaled samples out: [H, W, 1] or [H, W, 3], and alpha.

The format is read from the bytes, never from the file name: PNG, JPEG, TIFF, BMP or WebP. Samples are as stored:
uint8, uint16, int16, uint32, int32 or float. Alpha stands apart and the stored colour is kept as it is ("straight"):
compositing over some background would invent edges that no sensor saw; what alpha means tells `validity`. EXIF
orientation is applied. Colours under an ICC profile become sRGB (`icc`); gamma chunks are ignored. Camera raw files are
refused by name.

Two libraries are needed: Pillow reads every 8-bit kind and is strict about most damage, but opens 48-bit PNG as 8-bit
without a word. Deeper samples therefore come from OpenCV (PNG) and `tiff_samples`. What Pillow lets pass as whole is
looked for in `png`, `jpeg` and `tiff`; what nobody can tell is said there.
"""

import io
import os
import stat
import warnings
from typing import NamedTuple

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
import tifffile

from dig2dig_jax.data import icc, jpeg, png, tiff, tiff_samples
from dig2dig_jax.data.faults import DecodeError, camera_raw, check_size, damaged, is_size, several, too_large

__all__ = ["LARGEST_FILE", "DecodeError", "decode", "read_bytes", "read_size", "sniff"]

# Pillow's doubts (a strange EXIF block, more than half the allowed pixels) would land on the user's terminal. What
# matters of them is refused here. A filter set once: `warnings.catch_warnings` does not work in several threads.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
warnings.filterwarnings("ignore", category=PIL.Image.DecompressionBombWarning)

LARGEST_FILE = 4 << 30  # bytes; an image of the most pixels allowed, uncompressed, is smaller
_HEAD = 32  # bytes that tell the format
_TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange height and width
_SIGNATURES = {
  b"\x89PNG\r\n\x1a\n": "PNG",
  b"\xff\xd8\xff": "JPEG",
  b"II*\0": "TIFF",
  b"MM\0*": "TIFF",
  b"II+\0": "TIFF",  # the 64-bit TIFF
  b"MM\0+": "TIFF",
  b"BM": "BMP",
}
_RAW = {  # camera raw files: where their signature lies, and whose it is
  (0, b"FUJIFILMCCD-RAW"): "Fujifilm RAF", (0, b"IIU\0"): "Panasonic RW2", (0, b"IIRO"): "Olympus ORF",
  (0, b"IIRS"): "Olympus ORF", (0, b"MMOR"): "Olympus ORF", (4, b"ftypcrx"): "Canon CR3", (6, b"HEAPCCDR"): "Canon CRW",
  (8, b"CR\x02"): "Canon CR2", (8, b"IIII"): "Phase One IIQ", (0, b"FOVb"): "Sigma X3F", (0, b"\0MRM"): "Minolta MRW",
}  # fmt: skip


class Decoded(NamedTuple):
  """`samples` [H, W, 1] (gray) or [H, W, 3] (RGB); `alpha` [H, W] of uint8, uint16 or float, None where there is none:
  a channel of that name, a transparent palette entry, or a colour that stands for transparent."""

  samples: np.ndarray
  alpha: np.ndarray | None = None


def sniff(head: bytes) -> str | None:
  """Name of the image format that these first bytes (12 are enough) announce, or None."""
  if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
    return "WEBP"
  return next((name for signature, name in _SIGNATURES.items() if head.startswith(signature)), None)


def read_bytes(path: str | os.PathLike) -> bytes:
  """All bytes of an image file, to be decoded. DecodeError if it is no file that `decode` would take, as far as its
  kind, its size and its first bytes tell; OSError if it cannot be read. Pipes and devices are not even opened."""
  found = os.stat(path)
  if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
    raise DecodeError("expected an image file, found a pipe, socket or device; copy the image into a file")
  if found.st_size > LARGEST_FILE:
    raise DecodeError(f"expected a file of at most {_in_words(LARGEST_FILE)}, found a file of "
                      f"{_in_words(found.st_size)}; crop the image or check what the file is")
  try:
    with open(path, "rb") as file:
      head = file.read(_HEAD)
      _kind(head)
      return head + file.read()
  except MemoryError:
    raise _no_memory() from None


def decode(data: bytes) -> Decoded:
  """What a file's bytes hold. Raises DecodeError."""
  kind = _kind(data[:_HEAD])
  try:
    decoded = _decode_tiff(data) if kind == "TIFF" else _decode_pillow(data, kind)
  except DecodeError:
    raise
  except MemoryError:
    raise _no_memory() from None
  except PIL.Image.DecompressionBombError as error:
    raise too_large() from error
  except PIL.UnidentifiedImageError as error:  # its own message is an address in memory
    raise damaged(kind, "Pillow cannot make sense of its header") from error
  except Exception as error:  # damaged bytes surface from these libraries as almost any type
    raise damaged(kind, f"{type(error).__name__}: {str(error).strip()}") from error
  shape = decoded.samples.shape
  if len(shape) != 3 or 0 in shape or shape[-1] not in (1, 3):
    raise DecodeError(f"expected at least one pixel of gray or RGB, found shape {shape}; "
                      "export the image again")
  return decoded


def read_size(path: str | os.PathLike) -> tuple[int, int] | None:
  """(height, width) that `decode` would find in a file, from its header alone; None where the header does not tell, or
  tells what cannot be. A hint, for planning: the file may still turn out damaged. Never raises."""
  try:
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST_FILE:
      return None
    with open(path, "rb") as file:
      kind = _kind(file.read(_HEAD))
    if kind == "TIFF":
      with tifffile.TiffFile(path) as file:
        page = tiff.find_page(file)
        height, width, turned = page.imagelength, page.imagewidth, tiff.orientation(page) in _TURNED
    else:
      with PIL.Image.open(path, formats=[kind]) as image:
        (width, height), known = image.size, kind != "PNG" or "exif" in image.info  # else Pillow reads all of a PNG
        turned = known and image.getexif().get(tiff.ORIENTATION, 1) in _TURNED
  except Exception:  # as in decode: damaged bytes surface as almost any type, and `decode` will say which
    return None
  if not is_size(height, width):
    return None
  return (width, height) if turned else (height, width)


def _kind(head):
  """The format that a file's first bytes announce; DecodeError if it is none of those read."""
  if not head:
    raise DecodeError("expected an image, found an empty file; copy or export it again")
  for (at, signature), maker in _RAW.items():
    if head[at:].startswith(signature) and (at != 8 or head[:2] in (b"II", b"MM")):
      raise camera_raw(maker)
  kind = sniff(head)
  if kind is None:
    raise DecodeError(
      f"expected PNG, JPEG, TIFF, BMP or WebP, found other data (it starts with {head[:8]!r}); convert it to PNG"
    )
  return kind


def _decode_pillow(data, kind):
  if kind == "PNG":
    check_size(*png.size(data), kind=kind, bits=png.bits_per_pixel(data), stored=len(data))
  with PIL.Image.open(io.BytesIO(data), formats=[kind]) as image:
    # A JPEG's further frames are a phone's previews and gain maps: the first is the photograph. TIFF: seen to before.
    if kind not in ("JPEG", "TIFF") and getattr(image, "n_frames", 1) > 1:
      raise several(image.n_frames)
    check_size(image.height, image.width, kind=kind, bits=8, stored=len(data) if kind == "JPEG" else None)
    image.load()  # also for 16-bit PNG: this refuses a truncated file, which OpenCV may return half decoded
    if kind == "PNG":
      png.check_rows(data, image)
      if png.bit_depth(data) == 16:
        turn = image.getexif().get(tiff.ORIENTATION, 1)
        samples, alpha = (None if found is None else _upright(found, turn) for found in _decode_deep_png(data))
        return Decoded(icc.to_srgb(samples, image.info.get("icc_profile")), alpha)
    elif kind == "JPEG":
      jpeg.check_scans(data, image)
    profile = image.info.get("icc_profile")
    image = PIL.ImageOps.exif_transpose(image)
  alpha = _alpha(image)
  if image.mode in ("1", "L", "LA"):
    return Decoded(np.asarray(image.convert("L") if image.mode == "1" else image.getchannel(0))[..., None], alpha)
  if image.mode in ("P", "PA"):
    image = image.convert("RGBA")  # straight to RGB, Pillow warns about transparent palettes
  elif image.mode == "YCbCr":
    image = image.convert("RGB")
  if image.mode not in ("RGB", "RGBA", "RGBX"):
    raise DecodeError(f"expected gray, RGB or palette colour, found Pillow mode {image.mode}; convert it to RGB")
  return Decoded(icc.to_srgb(np.asarray(image)[..., :3], profile), alpha)


def _alpha(image):
  """[H, W], or None where Pillow knows of none."""
  if image.mode in ("LA", "RGBA", "PA"):
    return np.asarray(image.getchannel(image.mode[-1]))
  return np.asarray(image.convert("RGBA").getchannel("A")) if "transparency" in image.info else None


def _decode_deep_png(data):
  """Every sample as stored, RGB order, and alpha or None. From bytes, because cv2.imread fails on non-ASCII paths."""
  samples = cv2.imdecode(np.frombuffer(png.core(data), np.uint8), cv2.IMREAD_UNCHANGED)
  if samples is None or samples.dtype != np.uint16:
    raise DecodeError("expected samples that OpenCV can decode, found none; save it again as PNG or uncompressed TIFF")
  if samples.ndim == 2:
    return samples[..., None], None
  return samples[..., 2::-1], samples[..., 3] if samples.shape[-1] == 4 else None


def _decode_tiff(data):
  with tiff.open_bytes(data) as file:
    page = tiff.find_page(file)
    tiff.check_segments(data, page)
    if tiff_samples.reads(page):
      samples, alpha = tiff_samples.read(data, page)
      samples = icc.to_srgb(samples, tiff.profile(page))
    else:
      samples, alpha = _decode_pillow(tiff.plain(data, page), "TIFF")
    turn = tiff.orientation(page)
    return Decoded(_upright(samples, turn), None if alpha is None else _upright(alpha, turn))


def _upright(samples: np.ndarray, orientation: int) -> np.ndarray:
  """Undo a camera's EXIF orientation (1..8; anything else counts as 1, upright)."""
  flipped = samples[:, ::-1] if orientation in (2, 4, 5, 7) else samples
  return np.rot90(flipped, {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0))


def _no_memory():
  return DecodeError("expected an image that fits into memory, found a larger one; crop it or free memory")


def _in_words(size):
  for unit in ("bytes", "kB", "MB", "GB"):
    if size < 1000:
      return f"{size:.3g} {unit}"
    size /= 1000
  return f"{size:.1f} TB"
