"""How much may be dropped on the page? Bytes, pixels and files, refused before memory or disk is spent on them."""

from collections.abc import Sequence
from pathlib import Path

from dig2dig_jax.data import decode
from dig2dig_jax.data.faults import TooLarge
from dig2dig_jax.data.images import read_samples
from dig2dig_jax.errors import UserError

FILES = 50  # of a scene: a focus stack, a bracket
FILE_BYTES = 256 << 20
SCENE_BYTES = 1 << 30
PIXELS = 64_000_000  # of all files of a scene together: 0.8 GB as floats
JSON_BYTES = 64 << 10  # of a request that is no file
TABS = 8  # scenes that are kept at a time; the one that was longest unused goes
FOLDERS = 4  # folders of scenes that are kept at a time
FOLDER_FILES, FOLDER_BYTES, FOLDER_DEPTH = 2000, 4 << 30, 6  # unpacked
UPLOADS = 8  # files that are received at a time
NAME = 120  # characters of a file's name that are kept
SMALL = 320  # pixels, longer side of the picture that comes first; a square of it holds any, so that one program does
SMALLER = 192  # likewise, of pictures by methods that take many steps


def check_count(count: int, at_least: int = 2) -> None:
  if not at_least <= count <= FILES:
    raise UserError(f"expected two to {FILES} images of one scene, found {count}; drop them together")


def check_bytes(name: str, size: int, before: int) -> None:
  """size: of the file so far. before: of the other files of its scene."""
  if size > FILE_BYTES:
    raise UserError(f"{name}: expected a file of at most {FILE_BYTES >> 20} MB, found more; crop it, or use "
                    "dig2dig fuse")
  if size + before > SCENE_BYTES:
    raise UserError(f"{name}: expected files of at most {SCENE_BYTES >> 20} MB together, found more; drop fewer, or "
                    "use dig2dig fuse")


def check_pixels(files: Sequence[Path], names: Sequence[str]) -> None:
  """By the headers: nothing is decoded, but for a file whose header tells no size, which the reader refuses."""
  total = 0
  for path, name in zip(files, names, strict=True):
    total += _pixels(path)
    if total > PIXELS:
      raise UserError(f"{name}: expected at most {PIXELS // 10**6} megapixels in all files together, found more; drop "
                      "fewer or smaller ones, or use dig2dig fuse, which takes images in tiles")


def _pixels(path: Path) -> int:
  """Of one file. Where the reader refuses it as too large, more than a scene may have: the page names its own limit."""
  if (size := decode.read_size(path)) is not None:
    return size[0] * size[1]
  try:
    height, width = read_samples(path).shape[:2]
  except UserError as error:
    if isinstance(error.__cause__, TooLarge):
      return PIXELS + 1
    raise
  return height * width
