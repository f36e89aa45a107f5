"""What are the samples of a PNG, JPEG, BMP, WebP, AVIF or JPEG 2000 file? By Pillow; by OpenCV where they are deep."""

import io

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps

from dig2dig_jax.data import heif, icc, jpeg, kept, png, tiff
from dig2dig_jax.data.decoded import Decoded, upright
from dig2dig_jax.data.faults import DecodeError, check_size, several


def read(data: bytes, kind: str) -> Decoded:
  """Upright, in sRGB. kind: of `kinds.sniff`, or TIFF for a page that is not `tiff_samples`'. Raises DecodeError, and
  what the libraries raise."""
  bits = 8
  if kind == "PNG":
    check_size(*png.size(data), kind=kind, bits=png.bits_per_pixel(data), stored=len(data))
    bits = png.bit_depth(data)
  elif kind == "JPEG2000":
    bits = heif.jpeg2000_bits(data)
  elif kind == "AVIF":
    bits = heif.avif_bits(data)
  with PIL.Image.open(io.BytesIO(data), formats=[kind]) as image:
    # A JPEG's further frames are a phone's previews and gain maps: the first is the photograph. TIFF: seen to before.
    if kind not in ("JPEG", "TIFF") and getattr(image, "n_frames", 1) > 1:
      raise several(image.n_frames)
    check_size(image.height, image.width, kind=kind, bits=8, stored=len(data) if kind == "JPEG" else None)
    image.load()  # also of deep files: this refuses a truncated one, which OpenCV may return half decoded
    if kind == "PNG":
      png.check_rows(data, image)
    elif kind == "JPEG":
      jpeg.check_scans(data, image)
    exif, profile = image.getexif(), image.info.get("icc_profile")
    own = kept.of(exif, profile)
    if bits > 8:
      turn = exif.get(tiff.ORIENTATION, 1)
      deep = _deep_png(data) if kind == "PNG" else heif.read_deep(data, kind, bits)
      samples, alpha = (None if found is None else upright(found, turn) for found in deep)
      return Decoded(icc.to_srgb(samples, profile), alpha, kept=own)
    image = PIL.ImageOps.exif_transpose(image)
  alpha = _alpha(image)
  if image.mode in ("1", "L", "LA"):
    gray = np.asarray(image.convert("L") if image.mode == "1" else image.getchannel(0))
    return Decoded(gray[..., None], alpha, kept=own)
  if image.mode in ("P", "PA"):
    image = image.convert("RGBA")  # straight to RGB, Pillow warns about transparent palettes
  elif image.mode == "YCbCr":
    image = image.convert("RGB")
  if image.mode not in ("RGB", "RGBA", "RGBX"):
    raise DecodeError(f"expected gray, RGB or palette colour, found Pillow mode {image.mode}; convert it to RGB")
  return Decoded(icc.to_srgb(np.asarray(image)[..., :3], profile), alpha, kept=own)


def _alpha(image):
  """[H, W], or None where Pillow knows of none."""
  if image.mode in ("LA", "RGBA", "PA"):
    return np.asarray(image.getchannel(image.mode[-1]))
  return np.asarray(image.convert("RGBA").getchannel("A")) if "transparency" in image.info else None


def _deep_png(data):
  """Every sample as stored, RGB order, and alpha or None. From bytes, because cv2.imread fails on non-ASCII paths."""
  samples = cv2.imdecode(np.frombuffer(png.core(data), np.uint8), cv2.IMREAD_UNCHANGED)
  if samples is None or samples.dtype != np.uint16:
    raise DecodeError("expected samples that OpenCV can decode, found none; save it again as PNG or uncompressed TIFF")
  if samples.ndim == 2:
    return samples[..., None], None
  return samples[..., 2::-1], samples[..., 3] if samples.shape[-1] == 4 else None
