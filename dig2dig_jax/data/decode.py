"""Which samples does an image file hold? Bytes in; upright, unscaled samples out: [H, W, 1] or [H, W, 3].

The format is read from the bytes, never from the file name: PNG, JPEG, TIFF, BMP or WebP. Samples are uint8, uint16 or
float, as stored. Alpha is dropped and the stored colour kept as it is ("straight"): compositing over some background
would invent edges that no sensor saw. EXIF orientation is applied. ICC profiles and gamma chunks are ignored.

Two libraries are needed: Pillow reads every 8-bit kind and is strict about damage, but opens 48-bit PNG as 8-bit
without a word. Deeper samples therefore come from OpenCV (PNG) and tifffile (TIFF).
"""

import io
import os

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
import tifffile

_ORIENTATION = 0x0112  # the EXIF and TIFF tag
_TURNED = (5, 6, 7, 8)  # its values that exchange height and width
_SIGNATURES = {
  b"\x89PNG\r\n\x1a\n": "PNG",
  b"\xff\xd8\xff": "JPEG",
  b"II*\0": "TIFF",
  b"MM\0*": "TIFF",
  b"II+\0": "TIFF",  # the 64-bit TIFF
  b"MM\0+": "TIFF",
  b"BM": "BMP",
}


class DecodeError(ValueError):
  """Bytes that are no image this package reads. One line: what was expected, what was found, what to do."""


def sniff(head: bytes) -> str | None:
  """Name of the image format that these first bytes (12 are enough) announce, or None."""
  if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
    return "WEBP"
  return next((name for signature, name in _SIGNATURES.items() if head.startswith(signature)), None)


def decode(data: bytes) -> np.ndarray:
  """A file's bytes -> uint8, uint16 or float samples, [H, W, 1] (gray) or [H, W, 3] (RGB). Raises DecodeError."""
  if not data:
    raise DecodeError("expected an image, found an empty file; copy or export it again")
  kind = sniff(data[:12])
  if kind is None:
    raise DecodeError(
      f"expected PNG, JPEG, TIFF, BMP or WebP, found other data (it starts with {data[:8]!r}); convert it to PNG"
    )
  try:
    samples = _decode_tiff(data) if kind == "TIFF" else _decode_pillow(data, kind)
  except DecodeError:
    raise
  except PIL.Image.DecompressionBombError as error:
    raise DecodeError(f"expected fewer than {2 * PIL.Image.MAX_IMAGE_PIXELS} pixels, found more; crop it") from error
  except Exception as error:  # damaged bytes surface from these libraries as almost any type
    reason = (str(error).strip().splitlines() or [""])[0]
    raise DecodeError(
      f"expected a whole {kind} file, found a damaged or truncated one ({type(error).__name__}: {reason}); "
      "copy or export it again"
    ) from error
  if samples.ndim != 3 or 0 in samples.shape:
    raise DecodeError(f"expected at least one pixel, found shape {samples.shape}; export the image again")
  return samples


def read_size(path: str | os.PathLike) -> tuple[int, int] | None:
  """(height, width) that `decode` would find in a file, from its header alone; None where the header does not tell.
  A hint, for planning: the file may still turn out damaged."""
  try:
    with open(path, "rb") as file:
      kind = sniff(file.read(12))
    if kind == "TIFF":
      with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        tag = page.tags.get(_ORIENTATION)
        height, width, turned = page.imagelength, page.imagewidth, tag is not None and tag.value in _TURNED
    elif kind is not None:
      with PIL.Image.open(path, formats=[kind]) as image:
        (width, height), known = image.size, kind != "PNG" or "exif" in image.info  # else Pillow reads all of a PNG
        turned = known and image.getexif().get(_ORIENTATION, 1) in _TURNED
    else:
      return None
  except Exception:  # as in decode: damaged bytes surface as almost any type, and `decode` will say which
    return None
  return (width, height) if turned else (height, width)


def _decode_pillow(data: bytes, kind: str) -> np.ndarray:
  with PIL.Image.open(io.BytesIO(data), formats=[kind]) as image:
    # A JPEG's further frames are a phone's previews and gain maps: the first is the photograph.
    if kind != "JPEG" and getattr(image, "n_frames", 1) > 1:
      raise _several(image.n_frames)
    image.load()  # also for 16-bit PNG: this refuses a truncated file, which OpenCV may return half decoded
    if kind == "PNG" and data[24] == 16:  # bit depth in the IHDR chunk
      return _upright(_decode_opencv(data), image.getexif().get(_ORIENTATION, 1))
    image = PIL.ImageOps.exif_transpose(image)
  if image.mode in ("1", "L", "LA"):
    return np.asarray(image.convert("L") if image.mode == "1" else image.getchannel(0))[..., None]
  if image.mode in ("P", "PA"):
    image = image.convert("RGBA")  # straight to RGB, Pillow warns about transparent palettes
  elif image.mode == "YCbCr":
    image = image.convert("RGB")
  if image.mode not in ("RGB", "RGBA", "RGBX"):
    raise DecodeError(f"expected gray, RGB or palette colour, found Pillow mode {image.mode}; convert it to RGB")
  return np.asarray(image)[..., :3]


def _decode_opencv(data: bytes) -> np.ndarray:
  """Every sample as stored, RGB order, alpha dropped. From bytes, because cv2.imread fails on non-ASCII paths."""
  samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
  if samples is None:
    raise DecodeError("expected samples that OpenCV can decode, found none; save it again as PNG or uncompressed TIFF")
  return samples[..., None] if samples.ndim == 2 else samples[..., 2::-1]


def _decode_tiff(data: bytes) -> np.ndarray:
  with tifffile.TiffFile(io.BytesIO(data)) as tiff:
    page = tiff.pages[0]
    count = max(len(tiff.pages), tiff.series[0].size // max(page.size, 1))
    if count > 1:
      raise _several(count)
    if any(n == 0 or start + n > len(data) for start, n in zip(page.dataoffsets, page.databytecounts, strict=True)):
      raise DecodeError("expected a whole TIFF file, found a truncated one; copy or export it again")
    dtype = page.dtype  # None where NumPy has no such type
    if dtype is not None and dtype.kind in "bu" and page.bitspersample <= 8:
      return _decode_pillow(data, "TIFF")
    if dtype is None or dtype.kind != "f" and (dtype != np.uint16 or page.bitspersample != 16):
      raise DecodeError(
        f"expected 8- or 16-bit unsigned or float samples, found {page.bitspersample}-bit {dtype}; "
        "save it as 16-bit unsigned"
      )
    photometric = tifffile.PHOTOMETRIC(page.photometric).name
    colours = {"RGB": 3, "MINISBLACK": 1, "MINISWHITE": 1}.get(photometric, 0)
    if colours == 0 or page.samplesperpixel - colours not in (0, 1) or tifffile.EXTRASAMPLE.ASSOCALPHA in (
      page.extrasamples
    ):
      raise DecodeError(
        f"expected gray or RGB with or without straight alpha, found {page.samplesperpixel} samples per pixel "
        f"({photometric}); save it as plain gray or RGB"
      )
    samples = _tiff_samples(data, page)[..., :colours]
    if photometric == "MINISWHITE":
      samples = (1 if dtype.kind == "f" else 65535) - samples
    orientation = page.tags.get(_ORIENTATION)
    return _upright(samples, orientation.value if orientation else 1)


def _tiff_samples(data: bytes, page: tifffile.TiffPage) -> np.ndarray:
  """[H, W, samples] of a 16-bit or float page."""
  simple = ("NONE", "ADOBE_DEFLATE", "DEFLATE", "PACKBITS")  # the rest, tifffile leaves to a package of 20 MB
  if tifffile.COMPRESSION(page.compression).name in simple and page.predictor in (1, 2):
    samples = page.asarray()
    return {"YX": lambda: samples[..., None], "YXS": lambda: samples, "SYX": lambda: np.moveaxis(samples, 0, -1)}[
      page.axes
    ]()
  if page.samplesperpixel == 2 or page.axes == "SYX":
    raise DecodeError("expected interleaved gray or RGB under this compression, found another layout; "
                      "save it without compression")
  plain = bytearray(data)
  if _ORIENTATION in page.tags:  # OpenCV releases differ in whether they apply it: take it out, we do it ourselves
    at = page.tags[_ORIENTATION].valueoffset
    plain[at:at + 2] = (1).to_bytes(2, "little" if page.parent.byteorder == "<" else "big")
  samples = _decode_opencv(bytes(plain))
  if samples.dtype != page.dtype:
    raise DecodeError(f"expected {page.dtype} samples, OpenCV gave {samples.dtype}; save it without compression")
  return samples


def _upright(samples: np.ndarray, orientation: int) -> np.ndarray:
  """Undo a camera's EXIF orientation (1..8; anything else counts as 1, upright)."""
  flipped = samples[:, ::-1] if orientation in (2, 4, 5, 7) else samples
  return np.rot90(flipped, {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0))


def _several(count: int) -> DecodeError:
  return DecodeError(f"expected one image, found {count} pages or frames; save the wanted one alone")
