"""Which pairs does DRFusion learn from? Crops of clean pairs, degraded on the fly: a deterministic Grain pipeline.

Batches are float32 [N, 4, size, size, 1] in [0, 1]: both sources degraded, then both clean. Batch number i depends on
(folders, seed, i) only. Every fifth pair by name is held out, for validation and benchmarks: `split` says which.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import cv2
import grain
import numpy as np

from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.data.pairs import Pair, load_pair
from dig2dig_jax.errors import UserError
from dig2dig_jax.ops import color

HELD_OUT_EVERY = 5
FAMILIES = ("clean", "noise", "blur", "low_resolution", "composite")


@dataclasses.dataclass(frozen=True)
class DegradedConfig:
  """size: side of a crop in pixels. families: of FAMILIES, drawn alike for every source by itself. Ranges, drawn
  uniformly: sigma of noise, of 8-bit values; blur in pixels; composite is blur, halving and noise together.
  slight_sigma: noise of blurred and low-resolution images: no camera is without, and a sharpening amplifies it."""

  size: int = 64
  families: tuple[str, ...] = FAMILIES
  sigma: tuple[float, float] = (5.0, 50.0)
  blur: tuple[float, float] = (0.8, 2.5)
  scales: tuple[int, ...] = (2, 4)
  composite_sigma: tuple[float, float] = (5.0, 25.0)
  slight_sigma: tuple[float, float] = (0.0, 3.0)


def split(pairs: Sequence[Pair]) -> tuple[list[Pair], list[Pair]]:
  """(to learn from, held out): of the pairs sorted by name, numbers 0, 5, 10, ... are held out. By image, so that no
  crop of a held-out scene is learned from."""
  ordered = sorted(pairs, key=lambda pair: pair.name)
  return [p for i, p in enumerate(ordered) if i % HELD_OUT_EVERY], ordered[::HELD_OUT_EVERY]


def degrade(clean: np.ndarray, family: str, config: DegradedConfig, rng: np.random.Generator) -> np.ndarray:
  """One source [H, W] in [0, 1] of a family, with its parameters drawn; not clipped, as noise is not.

  Low resolution is the mean of scale x scale pixels, brought back to size bicubically: the network takes one size.
  """
  image = clean
  if family in ("blur", "composite"):
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(*config.blur), borderType=cv2.BORDER_REFLECT)
  scale = {"low_resolution": rng.choice(config.scales), "composite": 2}.get(family, 1)
  slight = dict.fromkeys(("blur", "low_resolution"), config.slight_sigma)
  sigma = {"noise": config.sigma, "composite": config.composite_sigma, **slight}.get(family)
  size = image.shape[::-1]
  if scale > 1:
    image = cv2.resize(image, (-(-size[0] // scale), -(-size[1] // scale)), interpolation=cv2.INTER_AREA)
  if sigma:
    image = image + np.float32(rng.uniform(*sigma) / 255) * rng.normal(size=image.shape).astype(np.float32)
  return cv2.resize(image, size, interpolation=cv2.INTER_CUBIC) if scale > 1 else image


class _Degrade(grain.transforms.RandomMap):
  def __init__(self, config: DegradedConfig):
    self._config = config

  def random_map(self, element: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size = self._config.size
    top, left = (rng.integers(side - size + 1) for side in element.shape[1:])
    clean = element[:, top : top + size, left : left + size]
    if rng.random() < 0.5:
      clean = clean[:, :, ::-1]
    clean = np.ascontiguousarray(clean, np.float32) / 255
    degraded = [degrade(source, str(rng.choice(self._config.families)), self._config, rng) for source in clean]
    return np.concatenate([np.stack(degraded), clean])[..., None].astype(np.float32)


def degraded_batches(
  folders: Sequence[Path],
  sources: Sequence[str],
  *,
  config: DegradedConfig,
  batch_size: int,
  seed: int,
  first_batch: int = 0,
  process: int = 0,
  processes: int = 1,
  held_out: bool = False,
):
  """Endless iterator over batches of the pairs to learn from (or the held-out ones) of `folders`, from `first_batch`.

  UserError for other than two sources, an unknown family, a folder without pairs, an unreadable pair, or one that is
  smaller than a crop.
  """
  if len(sources) != 2:
    raise UserError(f"--sources={','.join(sources)}: expected two for DRFusion")
  if unknown := [name for name in config.families if name not in FAMILIES]:
    raise UserError(f"--families={unknown[0]}: expected names among {', '.join(FAMILIES)}")
  elements = []
  for folder in folders:
    for pair in split(DataConfig(Path(folder), tuple(sources), valid="off").find()[0])[held_out]:
      luma = (load_pair(pair).sources @ color.LUMA)[..., 0]
      if min(luma.shape[1:]) < config.size:
        raise UserError(
          f"{next(iter(pair.files.values()))}: expected at least {config.size} pixels a side, found {luma.shape[1:]}; "
          "remove the pair or lower --crop_size"
        )
      elements.append(np.round((luma + 1) * 127.5).astype(np.uint8))
  if not elements:
    raise UserError(f"{folders[0]}: expected at least two pairs, one of which is held out")
  if batch_size % processes:
    raise ValueError(f"batch_size: expected a multiple of the {processes} processes, found {batch_size}")
  crops = grain.MapDataset.source(elements).seed(seed).shuffle().repeat().random_map(_Degrade(config))
  parts = crops.batch(batch_size // processes, drop_remainder=True)
  options = grain.ReadOptions(num_threads=2, prefetch_buffer_size=8)
  return iter(parts[first_batch * processes + process :: processes].to_iter_dataset(options))
