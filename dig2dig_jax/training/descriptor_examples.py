"""What is the descriptor taught by? Blocks of a reference whose place in the source is known.

Pairs are registered pairs of two cameras, or one photograph and what another sensor, focal plane or exposure would have
shown of it (`data.other_kinds`). Both images are scaled, turned, shifted and mirrored together, and the source is then
displaced against the reference by an affine field. Example number i depends on the pairs, the seed and i alone.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from dig2dig_jax.alignment import surfaces, transforms
from dig2dig_jax.alignment.levels import Level, level, of_side
from dig2dig_jax.data import other_kinds

SIDES = 224, 320  # longer sides of the images as they are compared
_REAL = 0.6  # share of the examples that are of registered pairs
_MADE = 0.4, 0.3, 0.3  # of the others: another sensor, focal planes, exposures
_TURN, _SCALE, _SHIFT = np.deg2rad(8), (-0.25, 0.1), 10.0  # of both images: radians, logarithm, pixels
_APART, _GRADIENT = 7.0, 0.02  # of the source: largest shift in pixels, standard deviation of the gradient


class Pair(NamedTuple):
  """reference, source: float32 [H, W] and [h, w], 0 to 255. matrix: [3, 3], pixels of the reference -> pixels of the
  source."""

  reference: np.ndarray
  source: np.ndarray
  matrix: np.ndarray


class Example(NamedTuple):
  """corners: int32 [N, 2], the upper left corners (x, y) of blocks of the reference. displacements: float32 [N, 2],
  where the source shows what they show."""

  reference: Level
  source: Level
  corners: np.ndarray
  displacements: np.ndarray


def draw(pairs: Sequence[Pair], photographs: Sequence[np.ndarray], blocks: int, seed: int, index: int) -> Example:
  """Example number `index`. photographs: uint8 [H, W]. blocks: of every example, at random."""
  rng = np.random.default_rng((seed, index))
  real = rng.random() < _REAL
  pair = pairs[rng.integers(len(pairs))] if real else _made(photographs[rng.integers(len(photographs))], rng)
  return example(pair, int(rng.choice(SIDES)), blocks, rng)


def example(pair: Pair, side: int, blocks: int, rng: np.random.Generator) -> Example:
  """A pair at a longer side of so many pixels, both images moved and then the source alone."""
  size = of_side(pair.reference.shape, side)
  centre = np.array([size[1], size[0]]) / 2
  view = _similarity(rng, centre)
  shift, gradient = rng.uniform(-_APART, _APART, 2), rng.normal(scale=_GRADIENT, size=(2, 2))
  points = np.stack(np.meshgrid(np.arange(size[1]), np.arange(size[0])), -1).astype(np.float64)
  apart = points + shift + (points - centre) @ gradient.T
  ratio = max(pair.reference.shape) / side
  to_pixels = transforms.scaling(ratio) @ view
  images = [_seen(pair.reference, transforms.mapped(to_pixels, points), ratio),
            _seen(pair.source, transforms.mapped(pair.matrix @ to_pixels, apart), ratio)]  # fmt: skip
  down, across = (np.round(np.linspace(0, 1, count) * max(length - surfaces.WINDOW, 0))
                  for count, length in zip(surfaces.BLOCKS, size, strict=True))  # fmt: skip
  corners = np.stack(np.meshgrid(across, down), -1).reshape(-1, 2)
  middles = corners + surfaces.WINDOW // 2
  mirrored = rng.random() < 0.5
  if mirrored:
    images = [(image[:, ::-1], mask[:, ::-1]) for image, mask in images]
    middles = np.stack([size[1] - 1 - middles[:, 0], middles[:, 1]], -1)
  # The source shows at p what the reference shows at p + shift + gradient (p - centre).
  places = centre + np.linalg.solve(np.eye(2) + gradient, (middles - centre - shift).T).T
  displacements = (places - middles) * ([-1, 1] if mirrored else [1, 1])
  chosen = rng.permutation(len(corners))[:blocks]
  reference, source = (level(image, mask, side) for image, mask in images)
  return Example(reference, source, np.int32(corners[chosen]), np.float32(displacements[chosen]))


def _made(photograph: np.ndarray, rng: np.random.Generator) -> Pair:
  kind = rng.choice(len(_MADE), p=_MADE)
  if kind == 0:
    one, other = photograph, other_kinds.sensor(photograph, rng)
  else:
    one, other = (other_kinds.focal_planes if kind == 1 else other_kinds.exposures)(photograph, rng)
  if rng.random() < 0.5:
    one, other = other, one
  return Pair(np.float32(one), np.float32(other), np.eye(3))


def _similarity(rng: np.random.Generator, centre: np.ndarray) -> np.ndarray:
  angle, scale = rng.uniform(-_TURN, _TURN), np.exp(rng.uniform(*_SCALE))
  found = np.eye(3)
  found[:2, :2] = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
  found[:2, 2] = centre - found[:2, :2] @ centre + rng.uniform(-_SHIFT, _SHIFT, 2)
  return found


def _seen(image: np.ndarray, points: np.ndarray, ratio: float) -> tuple[np.ndarray, np.ndarray]:
  """(an image at points (x, y), where it is known). ratio: of its pixels to those of the points."""
  smooth = cv2.GaussianBlur(image, (0, 0), 0.5 * np.sqrt(ratio**2 - 1)) if ratio > 1.05 else image
  found = cv2.remap(smooth, *np.moveaxis(np.float32(points), -1, 0), cv2.INTER_LINEAR)
  height, width = image.shape
  return found, ((points >= 0) & (points <= [width - 1, height - 1])).all(-1)
