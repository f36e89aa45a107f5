"""Which crops does the prior learn from? A deterministic Grain pipeline over a folder of natural images.

Batches are float32 [N, size, size, 3] in [-1, 1]. Batch number i of a run depends on (folder, seed, i) only, so a run
resumed at step i sees what the uninterrupted run would have seen.
"""

import dataclasses
from pathlib import Path

import cv2
import grain
import numpy as np

from dig2dig_jax.data.images import list_images, read_image
from dig2dig_jax.errors import UserError
from dig2dig_jax.ops import color

_CACHE_BYTES = 2 * 2**30  # decoded images kept in memory; later ones are decoded at every use


@dataclasses.dataclass(frozen=True)
class CropConfig:
  """size: side of a crop in pixels. gray_share: share of luminance-only crops, since fusion of gray sources feeds the
  prior images of three equal channels. max_scale: half of the crops are area-averaged from windows up to this many
  times larger."""

  size: int = 64
  gray_share: float = 0.3
  max_scale: float = 2.0


class _Decoded:
  """Grain source of uint8 [H, W, 3] arrays, decoded once while they fit in memory."""

  def __init__(self, paths: list[Path]):
    self._paths = paths
    self._cache: dict[int, np.ndarray] = {}
    self._free = _CACHE_BYTES

  def __len__(self) -> int:
    return len(self._paths)

  def __getitem__(self, index: int) -> np.ndarray:
    if index in self._cache:
      return self._cache[index]
    pixels = np.round((read_image(self._paths[index]).pixels + 1) * 127.5).astype(np.uint8)
    if self._free >= pixels.nbytes:
      self._free -= pixels.nbytes
      self._cache[index] = pixels
    return pixels


class _RandomCrop(grain.transforms.RandomMap):
  def __init__(self, config: CropConfig):
    self._config = config

  def random_map(self, element: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    config = self._config
    height, width = element.shape[:2]
    largest = min(config.max_scale, min(height, width) / config.size)
    # Half of the crops keep the pixels as they are: resampling removes the camera's noise and sharpness.
    scale = rng.uniform(1.0, largest) if rng.random() < 0.5 else 1.0
    side = int(round(config.size * scale))
    top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
    crop = element[top : top + side, left : left + side]
    if side != config.size:
      crop = cv2.resize(crop, (config.size, config.size), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.5:
      crop = crop[:, ::-1]
    crop = np.rot90(crop, rng.choice((0, 0, 1, 3)))  # mostly upright, as photographs are
    crop = crop.astype(np.float32) / 127.5 - 1
    if rng.random() < config.gray_share:
      crop = np.repeat(crop @ color.LUMA, 3, axis=-1)
    return np.ascontiguousarray(crop)


def crop_batches(
  folder: Path,
  *,
  config: CropConfig,
  batch_size: int,
  seed: int,
  first_batch: int = 0,
  process: int = 0,
  processes: int = 1,
):
  """Endless iterator over the rows that `process` of `processes` has of every batch, from batch number `first_batch`.

  A batch is the same images whatever the number of processes, which share it in equal parts, in order.
  Decodes every image once before it returns. UserError for a folder without images, with an unreadable one, or with
  one that is smaller than a crop.
  """
  paths = list_images(folder)
  if not paths:
    raise UserError(f"{folder}: expected training images, found none; check --data")
  source = _Decoded(paths)
  small = [path.name for i, path in enumerate(paths) if min(source[i].shape[:2]) < config.size]
  if small:
    raise UserError(
      f"{folder}: expected images of at least {config.size} pixels a side, found {len(small)} smaller ones"
      f" ({', '.join(small[:3])}); remove them or lower --crop_size"
    )
  if batch_size % processes:
    raise ValueError(f"batch_size: expected a multiple of the {processes} processes, found {batch_size}")
  crops = grain.MapDataset.source(source).seed(seed).shuffle().repeat().random_map(_RandomCrop(config))
  parts = crops.batch(batch_size // processes, drop_remainder=True)  # endless: there is none
  options = grain.ReadOptions(num_threads=2, prefetch_buffer_size=8)
  return iter(parts[first_batch * processes + process :: processes].to_iter_dataset(options))
