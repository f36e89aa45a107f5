"""How is an image compared? At a few sizes, padded to squares so that programs are shared, its values as ranks."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from dig2dig_jax.alignment import transforms
from dig2dig_jax.ops import color
from dig2dig_jax.ops.arrays import Array

_TAIL = 1.0  # percent of either end of an image's values that are clipped
_ON_BLACK, _BLACK = 0.35, 0.03  # share of the pixels that are black in every scan, and of the range that counts as it


class Level(NamedTuple):
  """An image as it is compared: gray [P, P] in [0, 1], mask [P, P] of 0 and 1, in the corner of a padded square, and
  frame [3, 3], normalised coordinates -> pixels. Float32."""

  gray: Array
  mask: Array
  frame: Array


def level(image: np.ndarray, mask: np.ndarray, side: int) -> Level:
  """An image [H, W] whose longer side becomes `side`, its values replaced by their ranks: exposures of one scene become
  alike, and what is dark has edges too."""
  height, width = image.shape
  scale = side / max(height, width)
  rows, columns = of_side(image.shape, side)
  way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
  small = cv2.resize(image, (columns, rows), interpolation=way)
  seen = cv2.resize(mask.astype(np.float32), (columns, rows), interpolation=way) > 0.999
  gray, valid = np.zeros((2, side, side), np.float32)
  valid[:rows, :columns] = seen
  gray[:rows, :columns] = _ranks(small, small[seen]) if seen.any() else 0
  frame = transforms.scaling(columns / width, rows / height) @ transforms.frame(*image.shape)
  return Level(gray, valid, np.float32(frame))


def of_side(shape: tuple[int, int], side: int) -> tuple[int, int]:
  """Height and width of an image of `shape` whose longer side is `side`."""
  scale = side / max(shape)
  return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def luminance(image: np.ndarray) -> np.ndarray:
  """Float32 [H, W] of [H, W], [H, W, 1] or [H, W, 3]."""
  image = np.asarray(image, np.float32)
  if image.ndim == 3 and image.shape[-1] == 3:
    image = image @ color.LUMA
  return np.ascontiguousarray(image.reshape(image.shape[:2]))


def are_scans(images: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> bool:
  """Whether every image [H, W] shows something on a black background, where its mask [H, W] is true: slices of scans
  do, and little else."""
  return all(_on_black(image[mask]) for image, mask in zip(images, masks, strict=True))


def _on_black(values: np.ndarray) -> bool:
  return float(np.mean(values <= values.min() + _BLACK * np.ptp(values))) >= _ON_BLACK


def _ranks(image: np.ndarray, among: np.ndarray) -> np.ndarray:
  """Share of `among` that lies below each value, ties counted half; its ends clipped, 0 to 1."""
  ordered = np.sort(among)
  ranks = 0.5 * (np.searchsorted(ordered, image, "left") + np.searchsorted(ordered, image, "right")) / len(ordered)
  low, high = np.percentile(ranks.ravel(), [_TAIL, 100 - _TAIL])
  return np.clip((ranks - low) / max(high - low, 1e-3), 0, 1)
