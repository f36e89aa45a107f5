"""Which values does a DICOM file store? Its pixels, decoded, and where they are padding."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dig2dig_jax.errors import UserError
from dig2dig_jax.volumes import headers, libraries

# What pydicom can use beside itself, by what it is needed for.
_DECODERS = "pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg"


def read(path: Path, count: int, shape: Sequence[int]) -> np.ndarray:
  """[frames, *shape] as they are stored: [H, W] whole numbers or floats, or uint8 [H, W, 3] in RGB.

  count: frames of it that are needed. UserError, naming the file, for pixels that cannot be decoded, and for others
  than its header announced."""
  pydicom = libraries.pydicom(path)
  header = headers.data_set(path, pixels=True)
  with libraries.reading(path, "DICOM"):
    _check_decoder(pydicom, header, path)
    _check_length(header, path, shape)
    found = pydicom.pixels.pixel_array(header)  # of colours in RGB
    if str(header.get("PhotometricInterpretation")) == "PALETTE COLOR":
      found = pydicom.pixels.apply_color_lut(found, header)[..., :3]
      found = found if found.dtype == np.uint8 else (found >> 8).astype(np.uint8)
  if found.ndim == len(shape):
    found = found[None]
  if found.shape[1:] != tuple(shape) or len(found) < count or len(shape) == 3 and found.dtype != np.uint8:
    raise UserError(f"{path}: expected {'colours of 8 bits' if len(shape) == 3 else 'gray'}, {list(shape)}, in {count} "
                    f"frame{'' if count == 1 else 's'} as in its series, found {found.dtype} {list(found.shape)}; move "
                    "it away")  # fmt: skip
  return found


def padding(header: Any, stored: np.ndarray) -> np.ndarray | None:
  """bool [H, W]: which pixels are said to be filled up; None for none. One value, or a range."""
  first, last = header.get("PixelPaddingValue"), header.get("PixelPaddingRangeLimit")
  if not isinstance(first, int | float):
    return None
  low, high = sorted((first, last if isinstance(last, int | float) else first))
  found = (stored >= low) & (stored <= high)
  return found if found.any() and not found.all() else None


def _check_decoder(pydicom, header: Any, path: Path) -> None:
  """Refuses encodings that cannot be decoded here, before the pixels are read."""
  syntax = header.file_meta.TransferSyntaxUID
  try:
    decoder = pydicom.pixels.get_decoder(syntax)
  except NotImplementedError:
    raise UserError(f"{path}: expected pixels that pydicom decodes, found {syntax.name}; save it "
                    "uncompressed") from None  # fmt: skip
  if not decoder.is_available:
    raise UserError(f"{path}: expected pixels that can be decoded here, found {syntax.name}; {_DECODERS}, or save it "
                    "uncompressed")  # fmt: skip


def _check_length(header: Any, path: Path, shape: Sequence[int]) -> None:
  """Refuses files with fewer pixels than announced, before memory is allocated."""
  samples = next((name for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData") if name in header), None)
  if samples is None:
    raise UserError(f"{path}: expected pixels, found none in it; copy it again")
  if header.file_meta.TransferSyntaxUID.is_encapsulated:
    return
  bits = {"PixelData": int(header.get("BitsAllocated") or 8), "FloatPixelData": 32}.get(samples, 64)
  wanted = math.prod(shape) * max(int(header.get("NumberOfFrames") or 1), 1) * bits // 8
  if str(header.get("PhotometricInterpretation")) in ("PALETTE COLOR", "YBR_FULL_422"):
    wanted = wanted // 3  # at least
  if len(header[samples].value or b"") < wanted:
    raise UserError(f"{path}: expected {wanted} bytes of pixels, found {len(header[samples].value or b'')}: it is "
                    "truncated; copy it again")  # fmt: skip
