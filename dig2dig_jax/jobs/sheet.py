"""What does a run look like? A contact sheet: a row per pair with its sources, the fused image and the weight maps."""

from pathlib import Path

import cv2
import numpy as np

from dig2dig_jax.data.images import to_uint8, write_png

_HEIGHT = 220  # pixels of a row
_LABEL = 18


def heat(weight: np.ndarray) -> np.ndarray:
  """[H, W, 1] in [0, 1] -> RGB [H, W, 3] in [-1, 1]: blue is 0, white 1/2, red 1."""
  low, high = np.array([0.13, 0.29, 0.69]), np.array([0.72, 0.12, 0.13])
  toward = np.where(weight < 0.5, low, high)
  share = np.abs(2 * weight - 1)
  return ((1 - share) + share * toward).astype(np.float32) * 2 - 1


def _tile(pixels: np.ndarray, label: str) -> np.ndarray:
  height, width = pixels.shape[:2]
  size = (max(1, round(width * _HEIGHT / height)), _HEIGHT)
  shrink = height > _HEIGHT
  rgb = np.repeat(to_uint8(pixels), 3 // pixels.shape[-1], axis=-1)
  picture = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR)
  header = np.full((_LABEL, picture.shape[1], 3), 255, np.uint8)
  cv2.putText(header, label, (3, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
  return np.concatenate([header, picture])


def row(tiles: list[tuple[str, np.ndarray]]) -> np.ndarray:
  """One row from (label, pixels [H, W, 1 or 3] in [-1, 1]) tiles: uint8 [h, w, 3]."""
  return np.concatenate([_tile(pixels, label) for label, pixels in tiles], axis=1)


def write_sheet(path: Path, rows: list[np.ndarray]) -> None:
  """Stacks rows of different widths on white and writes one PNG."""
  width = max(part.shape[1] for part in rows)
  padded = [np.pad(part, ((0, 4), (0, width - part.shape[1]), (0, 0)), constant_values=255) for part in rows]
  write_png(path, np.concatenate(padded).astype(np.float32) / 127.5 - 1)
