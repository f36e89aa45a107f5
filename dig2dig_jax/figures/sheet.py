"""What does a run look like? A contact sheet: a row per pair with its sources, the fused image and the weight maps.

Pictures for show have bounds whatever the images' shapes: of a tile, of a row, and of all pixels together.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from dig2dig_jax.data.images import to_uint8, write_levels
from dig2dig_jax.errors import one_line
from dig2dig_jax.escape import ascii_label

_HEIGHT = 220  # pixels of a row
_LABEL = 18
_GAP = 4
_TILE_WIDTH = 6 * _HEIGHT
_ROW_WIDTH = 2**14
_PIXELS = 2**24  # of a sheet


@contextlib.contextmanager
def for_show(what: Path | str, notes: list[str]) -> Iterator[None]:
  """Any fault in drawing becomes one line in `notes`: a picture must not end a run."""
  try:
    yield
  except Exception as error:  # of memory, of a disk, of OpenCV, of Matplotlib: all alike here
    notes.append(f"{what}: expected a picture for display, found {one_line(error)[:300]}; the run continues without it")


def heat(weight: np.ndarray) -> np.ndarray:
  """[H, W, 1] in [0, 1] -> RGB [H, W, 3] in [-1, 1]: blue is 0, white 1/2, red 1."""
  low, high = np.array([0.13, 0.29, 0.69]), np.array([0.72, 0.12, 0.13])
  toward = np.where(weight < 0.5, low, high)
  share = np.abs(2 * weight - 1)
  return ((1 - share) + share * toward).astype(np.float32) * 2 - 1


def _tile(pixels: np.ndarray, label: str) -> np.ndarray:
  """At the row's height; wide panoramas at a tile's largest width, white below."""
  height, width = pixels.shape[:2]
  scale = min(_HEIGHT / height, _TILE_WIDTH / width)
  size = max(1, round(width * scale)), max(1, round(height * scale))
  # Before the levels: a copy of a long strip's pixels in three channels is what the bounds are there to avoid.
  resized = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
  rgb = np.repeat(to_uint8(resized.reshape(*size[::-1], -1)), 3 // pixels.shape[-1], axis=-1)
  picture = np.full((_LABEL + _HEIGHT, size[0], 3), 255, np.uint8)
  picture[_LABEL : _LABEL + size[1]] = rgb
  header = np.ascontiguousarray(picture[:_LABEL])
  # OpenCV's fonts are ASCII, and it ends the process over text that is no UTF-8.
  cv2.putText(header, ascii_label(label), (3, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
  picture[:_LABEL] = header
  return picture


def row(tiles: list[tuple[str, np.ndarray]]) -> np.ndarray:
  """One row from (label, pixels [H, W, 1 or 3] in [-1, 1]) tiles: uint8 [h, w, 3]; shrunk where it is very wide."""
  whole = np.concatenate([_tile(pixels, label) for label, pixels in tiles], axis=1)
  height, width = whole.shape[:2]
  if width <= _ROW_WIDTH:
    return whole
  return cv2.resize(whole, (_ROW_WIDTH, max(1, round(height * _ROW_WIDTH / width))), interpolation=cv2.INTER_AREA)


def try_row(tiles: list[tuple[str, np.ndarray]], notes: list[str]) -> np.ndarray | None:
  """`row`; None with a note where that cannot be made."""
  with for_show(f"contact sheet, {tiles[0][0] if tiles else 'no tiles'}", notes):
    return row(tiles)


def write_sheet(path: Path, rows: list[np.ndarray]) -> list[str]:
  """Stacks rows of different widths on white and writes one PNG. Notes: one line where rows are small or left out."""
  notes = []
  kept, width, height = [], 0, 0
  for part in rows:
    wider, taller = max(width, part.shape[1]), height + part.shape[0] + _GAP
    if kept and wider * taller > _PIXELS:
      notes.append(f"{path}: a sheet of all {len(rows)} rows would be too large; it has the first {len(kept)}")
      break
    kept, width, height = [*kept, part], wider, taller
  if any(part.shape[0] < _LABEL + _HEIGHT for part in kept if part.shape[1] == _ROW_WIDTH):
    notes.append(f"{path}: rows wider than {_ROW_WIDTH} pixels are shrunk to that")
  padded = [np.pad(part, ((0, _GAP), (0, width - part.shape[1]), (0, 0)), constant_values=255) for part in kept]
  write_levels(path, np.concatenate(padded))
  return notes


def try_write(path: Path, rows: list[np.ndarray], notes: list[str]) -> None:
  """`write_sheet`, of which no fault goes further than `notes`; nothing for no rows."""
  if rows:
    with for_show(path, notes):
      notes += write_sheet(path, rows)
