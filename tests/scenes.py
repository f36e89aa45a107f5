"""Small folders of pairs and of photographs, written without the package: the same scene in every source of a pair."""

import cv2
import numpy as np


def scene(seed, height, width, channels=3):
  """uint8 [H, W, channels] with large and small structure, the whole range in use."""
  rng = np.random.default_rng(seed)
  coarse = cv2.resize(rng.uniform(0, 1, (4, 5, channels)), (width, height), interpolation=cv2.INTER_CUBIC)
  fine = rng.uniform(-0.15, 0.15, (height, width, channels))
  return (np.clip(coarse.reshape(height, width, channels) + fine, 0, 1) * 255).astype(np.uint8)


def write(path, pixels):
  path.parent.mkdir(parents=True, exist_ok=True)
  assert cv2.imwrite(str(path), pixels[..., ::-1] if pixels.shape[-1] == 3 else pixels)


def read(path):
  """Samples of a PNG as they are stored: [H, W] when gray, [H, W, 3] RGB when colour."""
  pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
  return pixels if pixels.ndim == 2 else pixels[..., ::-1]


def write_pair(root, name, size, *, channels):
  """root/SOURCE/name.png for {SOURCE: channels, 1 or 3}."""
  for index, (source, count) in enumerate(channels.items()):
    write(root / source / f"{name}.png", scene(sum(name.encode()) + 1000 * index, *size, count))
