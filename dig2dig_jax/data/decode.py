"""Which samples does an image file hold? Bytes in; upright, unscaled samples out: [H, W, 1] or [H, W, 3], and alpha.

The format is read from the bytes, never from the file name (`kinds`). Samples are as stored: uint8, uint16, int16,
uint32, int32 or float. Alpha stands apart and the stored colour is kept as it is ("straight"):
compositing over some background would invent edges that no sensor saw; what alpha means tells `validity`. EXIF
orientation is applied. Colours under an ICC profile become sRGB (`icc`); gamma chunks are ignored. Camera raw files are
developed (`raw`), never their previews read; of radiometric files it is the temperatures that are read (`flir`).

Two libraries are needed: Pillow reads every 8-bit kind and is strict about most damage, but opens 48-bit PNG as 8-bit
without a word. Deeper samples therefore come from OpenCV (PNG, AVIF, JPEG 2000) and `tiff_samples`; HEIF, OpenEXR and
camera raw files from packages of their own, which may be missing. What Pillow lets pass as whole is
looked for in `png`, `jpeg`, `tiff` and `heif`; what nobody can tell is said there.
"""

import io
import os
import re
import stat
import warnings
from pathlib import Path

import PIL.Image
import tifffile

from dig2dig_jax.data import exr, flir, heif, icc, kept, pillow_samples, raw, tiff, tiff_samples
from dig2dig_jax.data.decoded import Decoded, upright
from dig2dig_jax.data.faults import CameraRaw, DecodeError, TooLarge, damaged, is_size
from dig2dig_jax.data.kinds import HEAD, KINDS, raw_maker, sniff
from dig2dig_jax.files import as_path

__all__ = ["LARGEST_FILE", "Decoded", "DecodeError", "decode", "read_bytes", "read_size"]

# Pillow's doubts (a strange EXIF block, more than half the allowed pixels) would land on the user's terminal. What
# matters of them is refused here. A filter set once: `warnings.catch_warnings` does not work in several threads.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
warnings.filterwarnings("ignore", category=PIL.Image.DecompressionBombWarning)

LARGEST_FILE = 4 << 30  # bytes; an image of the most pixels allowed, uncompressed, is smaller
_TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange height and width
_SHORT = 1 << 20  # bytes of a header that are read to tell a size


def read_bytes(path: Path) -> bytes:
  """All bytes of an image file, to be decoded. DecodeError if it is no file that `decode` would take, as far as its
  kind, its size and its first bytes tell; OSError if it cannot be read. Pipes and devices are not even opened."""
  found = path.stat()
  if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
    raise DecodeError("expected an image file, found a pipe, socket or device; copy the image into a file")
  if found.st_size > LARGEST_FILE:
    raise DecodeError(f"expected a file of at most {_in_words(LARGEST_FILE)}, found a file of "
                      f"{_in_words(found.st_size)}; crop the image or check what the file is")
  try:
    with path.open("rb") as file:
      head = file.read(HEAD)
      _kind(head)
      return head + file.read()
  except MemoryError:
    raise _no_memory() from None


def decode(data: bytes) -> Decoded:
  """What a file's bytes hold. Raises DecodeError."""
  kind = _kind(data[:HEAD])
  try:
    decoded = _READERS.get(kind, pillow_samples.read)(data, kind)
  except DecodeError:
    raise
  except MemoryError:
    raise _no_memory() from None
  except PIL.Image.DecompressionBombError as error:
    found = re.search(r"\d+", str(error))  # "Image size (3600000000 pixels) exceeds limit of ..."
    raise TooLarge(found[0] if found else "more") from error
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
  path = as_path(path)
  try:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST_FILE:
      return None
    with path.open("rb") as file:
      head = file.read(HEAD)
      kind = _kind(head)
      if kind == "RAW":
        return _raw_size(path, raw_maker(head))
      if kind in _SIZES:
        height, width = _SIZES[kind](head + file.read(_SHORT if kind == "EXR" else -1))
        return (height, width) if is_size(height, width) else None
    if kind == "TIFF":
      with path.open("rb") as opened, tifffile.TiffFile(opened) as file:
        page = tiff.find_page(file)
        height, width, turned = page.imagelength, page.imagewidth, tiff.orientation(page) in _TURNED
    else:
      with path.open("rb") as file, PIL.Image.open(file, formats=[kind]) as image:
        (width, height), known = image.size, kind != "PNG" or "exif" in image.info  # else Pillow reads all of a PNG
        turned = known and image.getexif().get(tiff.ORIENTATION, 1) in _TURNED
        if kind == "JPEG" and (thermal := flir.block(file)) is not None:
          height, width = flir.size(thermal)
  except CameraRaw as found:  # in the shape of a TIFF
    return _raw_size(path, found.maker)
  except Exception:  # as in decode: damaged bytes surface as almost any type, and `decode` will say which
    return None
  if not is_size(height, width):
    return None
  return (width, height) if turned else (height, width)


def _raw_size(path, maker):
  try:
    height, width = raw.size(path.read_bytes(), maker)
  except Exception:  # as above
    return None
  return (height, width) if is_size(height, width) else None


def _kind(head):
  """The format that a file's first bytes announce; DecodeError if it is none of those read."""
  if not head:
    raise DecodeError("expected an image, found an empty file; copy or export it again")
  kind = sniff(head)
  if kind is None:
    raise DecodeError(f"expected {KINDS}, found other data (it starts with {head[:8]!r}); convert it to PNG")
  return kind


def _decode_jpeg(data, kind):
  thermal = flir.block(io.BytesIO(data))
  if thermal is not None:
    return flir.decode(data, thermal)
  found = pillow_samples.read(data, kind)
  return found._replace(told=flir.UNREAD) if flir.is_mentioned(data) else found


def _decode_tiff(data, kind):
  with tiff.open_bytes(data) as file:
    try:
      page = tiff.find_page(file)
    except CameraRaw as found:
      return _decode_raw(data, kind, found.maker)
    tiff.check_segments(data, page)
    profile, turn = tiff.profile(page), tiff.orientation(page)
    if tiff_samples.reads(page):
      samples, alpha = tiff_samples.read(data, page)
      samples = icc.to_srgb(samples, profile)
    else:
      samples, alpha, *_ = pillow_samples.read(tiff.plain(data, page), "TIFF")
    own = kept.of_tiff(data, profile)
    return Decoded(upright(samples, turn), None if alpha is None else upright(alpha, turn), kept=own)


def _decode_heif(data, kind):
  samples, alpha, profile, exif = heif.read_heif(data)
  return Decoded(icc.to_srgb(samples, profile), alpha, kept=kept.of(exif, profile))


def _decode_exr(data, kind):
  return Decoded(*exr.read(data), told=exr.TOLD)


def _decode_raw(data, kind, maker=None):
  return Decoded(raw.develop(data, maker or raw_maker(data[:HEAD])), told=raw.TOLD)


_READERS = {"JPEG": _decode_jpeg, "TIFF": _decode_tiff, "HEIF": _decode_heif, "EXR": _decode_exr, "RAW": _decode_raw}
_SIZES = {"HEIF": heif.heif_size, "EXR": exr.size}


def _no_memory():
  return DecodeError("expected an image that fits into memory, found a larger one; crop it or free memory")


def _in_words(size):
  for unit in ("bytes", "kB", "MB", "GB"):
    if size < 1000:
      return f"{size:.3g} {unit}"
    size /= 1000
  return f"{size:.1f} TB"
