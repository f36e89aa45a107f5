"""Which crops does the swift network learn from? Photographs, and what infrared, night and medical images are like,
made of photographs.

Crops are uint8 [N, size, size, 3]. Crop number i of a run depends on (folder, seed, i) only.

Nothing is made of images of those kinds themselves, of which there are few and all are scored. What such images differ
in as a denoiser sees it is made: a thermal camera's soft edges and one channel; a night's few grey levels above black,
with lamps; a scan's slices, bright and smooth, in front of black.
"""

from pathlib import Path

import cv2
import numpy as np

from dig2dig_jax.data.images import list_images, read_image
from dig2dig_jax.errors import UserError
from dig2dig_jax.ops import color

DOMAINS = ("photograph", "infrared", "night", "medical")
SHARES = (0.4, 0.3, 0.15, 0.15)
_GRAY = 0.5  # of the photographs and night images
_KEPT = 0.6  # of the crops, whose pixels are as they are; the others are averaged from up to twice as many


def domain_of(seed: int, index: int) -> str:
  """Of crop number `index`."""
  return DOMAINS[int(_random(seed, index).choice(len(DOMAINS), p=SHARES))]


class Crops:
  """Crops by their number. UserError for a folder without images, or with images smaller than a crop."""

  def __init__(self, folder: Path, *, size: int, seed: int):
    self._paths, self._size, self._seed = list_images(folder), size, seed
    if not self._paths:
      raise UserError(f"{folder}: expected training images, found none; check --data")

  def __getitem__(self, index: int) -> np.ndarray:
    rng = _random(self._seed, index)
    domain = DOMAINS[int(rng.choice(len(DOMAINS), p=SHARES))]
    return made(_window(self._image(index), self._size, rng), domain, rng)

  def _image(self, index: int) -> np.ndarray:
    """Photographs in an order of their own in every round."""
    turn, place = divmod(index, len(self._paths))
    order = np.random.default_rng((self._seed, turn, 1)).permutation(len(self._paths))
    path = self._paths[order[place]]
    pixels = np.round((read_image(path).pixels + 1) * 127.5).astype(np.uint8)
    if min(pixels.shape[:2]) < self._size:
      raise UserError(f"{path}: expected at least {self._size} pixels a side, found {pixels.shape[0]}x"
                      f"{pixels.shape[1]}; remove it or lower --crop_size")  # fmt: skip
    return pixels


def made(window: np.ndarray, domain: str, rng: np.random.Generator) -> np.ndarray:
  """uint8 [size, size, 3] of a domain, made of a photograph's window; of one channel, three times, where that is so."""
  image = window.astype(np.float32) / 255
  gray = domain in ("infrared", "medical") or rng.random() < _GRAY
  if gray:
    image = np.repeat(image @ color.LUMA, 3, axis=-1)
  image = {"photograph": _photograph, "infrared": _infrared, "night": _night, "medical": _medical}[domain](image, rng)
  return np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)


def _photograph(image, rng):
  return image


def _infrared(image, rng):
  """A photograph does not show what is warm, but infrared has soft edges, smooth grounds and any grey level."""
  image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.6), borderType=cv2.BORDER_REFLECT)
  image = image if rng.random() < 0.5 else 1 - image
  low, high = np.percentile(image, (1, 99))
  image = np.clip((image - low) / max(high - low, 0.05), 0, 1) ** np.exp(rng.uniform(-0.7, 0.7))
  contrast = rng.uniform(0.25, 1.0)
  return contrast * image + rng.uniform(0, 1 - contrast)


def _night(image, rng):
  image = image ** rng.uniform(1.5, 3.0) * rng.uniform(0.2, 0.7)
  size = image.shape[0]
  for _ in range(rng.integers(0, 3)):  # lamps
    spot = np.zeros((size, size), np.float32)
    cv2.circle(spot, tuple(int(x) for x in rng.integers(0, size, 2)), int(rng.integers(1, 5)), 1.0, -1)
    glow = cv2.GaussianBlur(spot, (0, 0), rng.uniform(3, 9))
    image = image + (spot + rng.uniform(1, 5) * glow)[..., None]
  return image


def _medical(image, rng):
  """A slice in front of black, with a bright rim: an ellipse that the crop sees a part of."""
  size = image.shape[0]
  image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.2), borderType=cv2.BORDER_REFLECT)
  centre = tuple(int(x) for x in rng.integers(-size // 4, size + size // 4, 2))
  axes = tuple(int(x) for x in rng.integers(size // 2, size + size // 2, 2))
  angle = float(rng.uniform(0, 180))
  inside = cv2.ellipse(np.zeros((size, size), np.float32), centre, axes, angle, 0, 360, 1.0, -1)
  rim = cv2.ellipse(np.zeros((size, size), np.float32), centre, axes, angle, 0, 360, 1.0, int(rng.integers(1, 7)))
  inside, rim = (cv2.GaussianBlur(x, (0, 0), 0.8)[..., None] for x in (inside, rim))
  body = rng.uniform(0.1, 0.5) + rng.uniform(0.3, 0.7) * (image - image.mean())
  return body * inside * (1 - rim) + rng.uniform(0.5, 1.0) * rim


def _window(image: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
  largest = min(2.0, min(image.shape[:2]) / size)
  scale = 1.0 if rng.random() < _KEPT else rng.uniform(1.0, largest)
  side = int(round(size * scale))
  top, left = (int(rng.integers(extent - side + 1)) for extent in image.shape[:2])
  window = image[top : top + side, left : left + side]
  return window if side == size else cv2.resize(window, (size, size), interpolation=cv2.INTER_AREA)


def _random(seed: int, index: int) -> np.random.Generator:
  return np.random.default_rng((seed, index, 0))
