"""A scene of shapes, and what a camera of another kind sees of it; written without the package."""

import cv2
import numpy as np


def scene(seed, height=150, width=200):
  """Gray uint8 [H, W]: polygons and discs on a gradient, slightly smoothed, with noise."""
  rng = np.random.default_rng(seed)
  image = np.tile(np.linspace(60, 120, width, dtype=np.float32), (height, 1))
  for _ in range(28):
    centre = rng.uniform(0, 1, 2) * [width, height]
    if rng.random() < 0.4:
      cv2.circle(image, tuple(int(c) for c in centre), int(rng.integers(5, 20)), float(rng.uniform(0, 255)), -1)
    else:
      points = centre + rng.uniform(-28, 28, (int(rng.integers(3, 6)), 2))
      cv2.fillPoly(image, [np.int32(points)], float(rng.uniform(0, 255)))
  return np.uint8(np.clip(cv2.GaussianBlur(image, (0, 0), 0.8) + rng.normal(0, 2, image.shape), 0, 255))


def other_kind(image):
  """The same scene with its values turned round and bent: neither sign nor order of the brightnesses is kept."""
  values = image.astype(np.float32) / 255
  bent = 1 - np.abs(2 * ((1.37 * values + 0.21) % 1.0) - 1)
  return np.uint8(255 * cv2.GaussianBlur(0.7 * bent + 0.3 * (1 - values), (0, 0), 0.7))


def spots(seed, height=150, width=200):
  """Gray uint8 [H, W]: fine texture, of which every part is unlike every other."""
  noise = np.random.default_rng(seed).uniform(0, 255, (height, width)).astype(np.float32)
  return np.uint8(cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX))


def darker(image):
  """A shorter exposure."""
  return np.uint8(np.clip(255 * (image / 255.0) ** 2.2 * 0.6, 0, 255))


def moved(image, matrix, size=None):
  """(image as a camera sees it that has the pixel x of this one at matrix @ x, where it shows the scene)."""
  size = image.shape[:2] if size is None else size
  turned = cv2.warpPerspective(image, np.asarray(matrix, np.float64), size[::-1], flags=cv2.INTER_CUBIC)
  seen = cv2.warpPerspective(np.full(image.shape[:2], 255, np.uint8), np.asarray(matrix, np.float64), size[::-1])
  return turned, seen == 255


def similarity(shift=(0.0, 0.0), scale=1.0, degrees=0.0, size=(150, 200)):
  """[3, 3]: about the centre of an image of `size`."""
  found = np.eye(3)
  found[:2] = cv2.getRotationMatrix2D(((size[1] - 1) / 2, (size[0] - 1) / 2), degrees, scale)
  found[:2, 2] += shift
  return found
