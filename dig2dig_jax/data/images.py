"""One image file in, one image file out.

Inside the package an image is float32 [H, W, 3] in [-1, 1]: -1 is black, 1 is the largest value of the file's type
(255, 65535 or, for float TIFF, 1.0), unless it is read in a range of its own (`ranges`). Gray is replicated to three
channels, and `is_colour` remembers it.
What formats are read, and what becomes of orientation: see `decode`. What alpha and empty borders say: see `validity`.
"""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from dig2dig_jax.data import decode, icc, kinds, png, validity
from dig2dig_jax.data.decoded import Decoded
from dig2dig_jax.data.kept import NOTHING, Kept
from dig2dig_jax.data.palette import to_values
from dig2dig_jax.data.scaling import Range, to_pixels
from dig2dig_jax.errors import UserError
from dig2dig_jax.files import MARK, as_path, is_free, replacing, taken, what_lies_at

EXTENSIONS = {
  ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".heic", ".heif", ".hif", ".avif", ".jp2", ".j2k", ".exr",
  ".dng", ".nef", ".cr2", ".cr3", ".arw", ".raf", ".rw2", ".orf", ".pef",
}  # fmt: skip
_BGR = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}  # OpenCV's order of channels, by their number
OTHERS = {".gif", ".jxl", ".hdr", ".pgm", ".ppm"}  # that are not read


class Image(NamedTuple):
  """`pixels` float32 [H, W, 3] in [-1, 1]. `is_colour`: some pixel's channels differ (gray saved as RGB is not colour).
  `bit_depth`: 8 or 16, the PNG depth that keeps the file's precision (1-, 2- and 4-bit count as 8, float as 16).
  `range`: the stored values that are -1 and 1, None for the ends of the file's type. `valid`: bool [H, W], where the
  image shows the scene; None for everywhere, or if not requested. `told`: how the file was read, a clause for the user
  where that was decided here. `kept`: what of its description another image may bear. `celsius`: float32 [H, W] of a
  radiometric file, NaN where it has no temperature."""

  pixels: np.ndarray
  is_colour: bool
  bit_depth: int
  range: Range | None = None
  valid: np.ndarray | None = None
  told: str = ""
  kept: Kept = NOTHING
  celsius: np.ndarray | None = None


def read_samples(path: str | os.PathLike, palette: str = "off") -> np.ndarray:
  """The samples of the one image in a file as they are stored (`decode`), [H, W, 1] or [H, W, 3], or the values behind
  its palette.
  UserError names the file, the fault and the remedy."""
  return to_values(read_decoded(path).samples, palette)[0]


def read_decoded(path: str | os.PathLike) -> Decoded:
  """The same with alpha."""
  path = as_path(path)
  try:
    return decode.decode(decode.read_bytes(path))
  except FileNotFoundError:
    raise UserError(f"{path}: expected an image file, found {what_lies_at(path)}; check the name") from None
  except OSError as error:  # a folder, no permission, a lost network drive
    raise UserError(f"{path}: expected a readable image file, found {error.strerror}; check the path") from error
  except decode.DecodeError as error:
    raise UserError(f"{path}: {error}") from error


def read_image(
  path: str | os.PathLike, ranges: Sequence[Range] = (), valid: str = "off", palette: str = "off"
) -> Image:
  """The one image in a file; 16-bit samples are exact.

  Args:
    path: of the file, of any format that docs/formats.md lists.
    ranges: that its values may be in, of which the one is taken that fits its type and its values; none for the whole
      type.
    valid: how its valid area is found, see `validity`.
    palette: `auto`, `off` or the palette that its colours are of, see `data.palette`.

  Returns:
    An `Image`, pixels float32 [H, W, 3] in [-1, 1].

  Raises:
    UserError: naming the file, the fault and the remedy.
  """
  decoded = read_decoded(path)
  samples, coloured = to_values(decoded.samples, palette)
  try:
    pixels, taken = to_pixels(samples, ranges)
  except ValueError as error:
    raise UserError(f"{path}: {error}") from error
  is_colour = bool(np.any(pixels != pixels[..., :1]))
  bit_depth = 8 if samples.dtype == np.uint8 else 16
  area = validity.find(samples, decoded.alpha, how=valid)
  pixels = np.repeat(pixels, 3 // pixels.shape[-1], axis=-1)
  celsius = None
  if decoded.celsius:
    celsius = samples[..., 0] if decoded.alpha is None else np.where(decoded.alpha > 0, samples[..., 0], np.nan)
  return Image(pixels, is_colour, bit_depth, taken, area, "; ".join(filter(None, (decoded.told, coloured))),
               decoded.kept, celsius)  # fmt: skip


def is_image_file(path: Path) -> bool:
  """Whether a file's first bytes or, failing that, its extension say image. The second keeps a damaged photograph among
  the images, to be reported by name when it is read. Never raises: a file that cannot be opened goes by its name."""
  if path.suffix.lower() in EXTENSIONS:
    return True
  try:
    if not path.is_file():  # opening a pipe would wait for its other end
      return False
    with path.open("rb") as file:
      return kinds.sniff(file.read(kinds.HEAD)) is not None
  except OSError:
    return False


def list_images(folder: str | os.PathLike, left_out: list[str] | None = None) -> list[Path]:
  """Image files directly in a folder, in natural order. Hidden files are passed over; UserError if it is no folder.
  left_out: see `list_files`."""
  return [path for path in list_files(folder, left_out) if is_image_file(path)]


def list_files(folder: str | os.PathLike, left_out: list[str] | None = None) -> list[Path]:
  """Files directly in a folder, hidden ones excepted, in natural order. left_out: grows by a line for each link that
  points to nothing, pipe, socket and device, and for each folder that goes by an image's name. UserError if it is no
  readable folder."""
  folder = as_path(folder)
  files: list[Path] = []
  others: list[Path] = []
  try:
    for path in natural_sort(path for path in folder.iterdir() if not path.name.startswith(".")):
      (files if path.is_file() else others).append(path)
  except OSError as error:
    raise UserError(f"{folder}: expected a folder of images, found {error.strerror}; check the path") from error
  if left_out is not None:
    left_out += [f"{path}: expected a file, found {what_lies_at(path)}; left out"
                 for path in others if path.suffix.lower() in EXTENSIONS or not path.is_dir()]  # fmt: skip
  return files


def natural_sort(paths: Iterable[Path]) -> list[Path]:
  """By name, case-blind, digits as numbers: 2.png before 10.png. Ties are broken by the exact name."""
  def key(path: Path):
    # Splitting at a group alternates text and digits, so equal positions hold equal types.
    parts = re.split(r"([0-9]+)", path.name.casefold())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], path.name
  return sorted(paths, key=key)


def to_uint8(pixels: np.ndarray) -> np.ndarray:
  """[-1, 1] -> 0..255, rounded to nearest and clipped. Exact inverse of reading an 8-bit file."""
  return _quantize(pixels, np.uint8)


def to_uint16(pixels: np.ndarray) -> np.ndarray:
  """[-1, 1] -> 0..65535, rounded to nearest and clipped. Exact inverse of reading a 16-bit file."""
  return _quantize(pixels, np.uint16)


def _quantize(pixels: np.ndarray, dtype: type) -> np.ndarray:
  top = np.iinfo(dtype).max
  return np.clip(np.rint((np.asarray(pixels, np.float64) + 1) * (top / 2)), 0, top).astype(dtype)


def write_png(
  path: str | os.PathLike, pixels: np.ndarray, *, bit_depth: int = 8, known: bool = False, kept: Kept = NOTHING
) -> None:
  """Writes pixels as PNG of 8 or 16 bits, and creates parent folders. Colours are tagged as sRGB, to which
  files are converted when read.

  Atomic: other processes see the old file, or none, or the whole new one. A file that is there already is replaced only
  if it bears this program's mark, or is `known` to be its own.

  Args:
    path: of the file.
    pixels: [H, W, 1] (gray) or [H, W, 3] (RGB) in [-1, 1].
    bit_depth: 8 or 16.
    known: a file that is there is this program's own.
    kept: of another image's description, what this one is to bear.

  Raises:
    ValueError: for pixels of another shape, and for another bit depth.
    UserError: naming the path, for a file of another program, for pixels that are not finite and for a place that
      cannot be written.
  """
  path, pixels = as_path(path), np.asarray(pixels)
  if pixels.ndim != 3 or pixels.shape[-1] not in (1, 3) or pixels.size == 0:
    raise ValueError(f"{path}: expected pixels [H, W, 1] or [H, W, 3], found {pixels.shape}")
  if bit_depth not in (8, 16):
    raise ValueError(f"{path}: expected bit_depth 8 or 16, found {bit_depth}")
  if bad := int(np.count_nonzero(~np.isfinite(pixels))):
    raise UserError(f"{path}: expected finite pixels, found {bad} NaN or infinite values; nothing was written, "
                    "check the source images and the method's step sizes")
  write_levels(path, (to_uint8 if bit_depth == 8 else to_uint16)(pixels), known=known, kept=kept)


def write_levels(path: Path, levels: np.ndarray, *, known: bool = False, kept: Kept = NOTHING) -> None:
  """`write_png` of levels uint8 or uint16 [H, W, 1, 3 or 4] as they are stored, the fourth channel alpha."""
  options = [cv2.IMWRITE_PNG_COMPRESSION, 6, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_FILTERED]
  ok, encoded = cv2.imencode(".png", levels[..., _BGR[levels.shape[-1]]], options)
  if not ok:
    raise UserError(f"{path}: expected an image that PNG can hold, found {levels.shape}; crop it")
  encoded = encoded.tobytes()
  if levels.shape[-1] > 1:
    encoded = png.with_profile(encoded, icc.srgb()) if kept.profile else png.say_srgb(encoded)
  if kept.exif:
    encoded = png.with_chunk(encoded, b"eXIf" + kept.exif)
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not (known or is_free(path)):
      raise taken(path)
    with replacing(path) as temporary:
      temporary.write_bytes(png.with_chunk(encoded, MARK))  # in front, where it is looked for
  except OSError as error:
    raise UserError(f"{path}: expected a place to write, found {error.strerror}; choose another output") from error
