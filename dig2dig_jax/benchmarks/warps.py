"""Seeded warps of registered pairs: what two cameras do to one scene, known to the pixel."""

from typing import NamedTuple

import cv2
import numpy as np

from dig2dig_jax.alignment import transforms


class Range(NamedTuple):
  """Largest shift and displacement of single corners, as shares of the sides; largest angle in degrees; scales, the
  largest ratio of resolutions (drawn from 1, 2 and 4), and the amplitude of a smooth parallax field, a share of the
  longer side."""

  shift: float
  angle: float
  scale: tuple[float, float]
  corner: float
  ratio: float = 1
  parallax: float = 0


RANGES = {
  "mounted": Range(0.04, 3, (0.9, 1.1), 0.005),
  "unknown": Range(0.10, 8, (0.75, 1.33), 0.01, ratio=4, parallax=0.004),
}
_BUMPS = 4  # of a smooth random field, along each side


class Warped(NamedTuple):
  """image: [h, w(, C)]; mask: bool [h, w], where it shows the scene; 0 elsewhere. matrix: [3, 3], pixels of the
  registered image -> pixels of this one, but for parallax. shows: [h, w, 2], which pixel (x, y) of the registered image
  each pixel of this one shows, parallax included."""

  image: np.ndarray
  mask: np.ndarray
  matrix: np.ndarray
  shows: np.ndarray


def draw(rng: np.random.Generator, kind: Range, size: tuple[int, int]) -> np.ndarray:
  """[3, 3]: pixels of an image of `size` -> where a camera of the same resolution sees them."""
  height, width = size
  sides, ends, centre = np.array([width, height]), transforms.corners(*size), np.array([width - 1, height - 1]) / 2
  shift, angle = rng.uniform(-1, 1, 2) * kind.shift * sides, np.deg2rad(rng.uniform(-1, 1) * kind.angle)
  scale = np.exp(rng.uniform(*np.log(kind.scale)))
  turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
  moved = (ends - centre) @ turn.T + centre + shift + rng.uniform(-1, 1, (4, 2)) * kind.corner * sides
  return cv2.getPerspectiveTransform(np.float32(ends), np.float32(moved)).astype(np.float64)


def warp(image: np.ndarray, rng: np.random.Generator, kind: Range, valid: np.ndarray | None = None) -> Warped:
  """The image as another camera would have taken it. valid: bool [H, W], where it shows the scene; None for everywhere.
  """
  height, width = image.shape[:2]
  matrix = draw(rng, kind, (height, width))
  ratio = float(rng.choice([1, 2, 4])) if kind.ratio > 1 else 1.0
  to_size = transforms.scaling(1 / ratio)
  size = max(16, round(height / ratio)), max(16, round(width / ratio))
  matrix = to_size @ matrix
  points = np.stack(np.meshgrid(np.arange(size[1]), np.arange(size[0])), -1).astype(np.float64)
  back = transforms.mapped(np.linalg.inv(matrix), points)
  if kind.parallax:
    field = rng.normal(size=(_BUMPS, _BUMPS, 2)).astype(np.float32)
    back += kind.parallax * max(height, width) * cv2.resize(field, size[::-1], interpolation=cv2.INTER_CUBIC)
  mask = ((back >= 0) & (back <= [width - 1, height - 1])).all(-1)
  smooth = cv2.GaussianBlur(image, (0, 0), 0.5 * np.sqrt(ratio**2 - 1)) if ratio > 1 else image
  warped = cv2.remap(smooth, *np.moveaxis(np.float32(back), -1, 0), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
  if valid is not None and not valid.all():
    mask &= cv2.remap(np.float32(valid), *np.moveaxis(np.float32(back), -1, 0), cv2.INTER_LINEAR) > 0.999
  warped[~mask] = 0
  return Warped(warped, mask, matrix, back)
