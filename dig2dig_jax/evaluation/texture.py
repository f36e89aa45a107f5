"""What do the finest structures of an image say of what was done to it? JPEG's blocks, repeated pixels, lost detail.

Images: gray [H, W], levels 0..255. Shares and energies; what they mean is `evaluation.signs`' to say.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

_STEPS = np.arange(8)
_COSINES = np.cos(np.pi * (_STEPS + 0.5) * _STEPS[:, None] / 8) * np.where(_STEPS[:, None] == 0, np.sqrt(1 / 8), 0.5)
_FINE, _MIDDLE = 0.35, 0.2  # cycles per pixel that bands begin at


class Fine(NamedTuple):
  """Energy [levels^2] of all that is finer than 0.35 cycles per pixel in either direction, and its density (energy per
  frequency) as a share of that between 0.2 and 0.35: 1 for white noise, less for structure."""

  energy: float
  whiteness: float


def blocks_of_eight(image: np.ndarray) -> float:
  """How many more fine coefficients of the cosine transform vanish in blocks of 8 x 8 from the corner on than in blocks
  4 pixels off: a share, about 0 where no JPEG was, 0.3 and more where one was. 0 below 64 blocks."""
  return _vanishing(image) - _vanishing(image[4:, 4:]) if min(image.shape) >= 68 else 0.0


def _vanishing(image: np.ndarray) -> float:
  rows, columns = (side // 8 for side in image.shape)
  blocks = image[: rows * 8, : columns * 8].reshape(rows, 8, columns, 8).transpose(0, 2, 1, 3)
  fine = _STEPS[:, None] + _STEPS >= 8
  # Rounding to levels spreads a coefficient that was 0 by 0.29.
  return float(np.mean(np.abs((_COSINES @ blocks @ _COSINES.T)[..., fine]) < 0.7))


def repeats(image: np.ndarray) -> int:
  """The largest of 4, 3, 2 whose blocks, from the corner on, have one level each, 99 % of them; else 1, and for
  flat images."""
  if image.std() < 2:
    return 1
  for times in (4, 3, 2):
    rows, columns = (side // times for side in image.shape)
    blocks = image[: rows * times, : columns * times].reshape(rows, times, columns, times)
    # Where structure is: the flat ground of a scan repeats itself.
    spread = np.ptp(blocks, axis=(1, 3))
    coarse = blocks[:, 0, :, 0]
    if np.mean(spread == 0) >= 0.99 and np.mean(coarse[:, 1:] != coarse[:, :-1]) >= 0.05:
      return times
  return 1


def fine(image: np.ndarray) -> Fine:
  height, width = image.shape
  window = np.hanning(height)[:, None] * np.hanning(width)
  scale = max(np.sum(window**2) * image.size, 1e-12)
  power = np.abs(np.fft.fft2((image - image.mean()) * window)) ** 2 / scale
  frequency = np.maximum(np.abs(np.fft.fftfreq(height))[:, None], np.abs(np.fft.fftfreq(width)))
  high, middle = power[frequency > _FINE], power[(frequency > _MIDDLE) & (frequency <= _FINE)]
  if not high.size or not middle.size:
    return Fine(0.0, 1.0)
  return Fine(float(high.sum()), float(high.mean() / max(middle.mean(), 1e-12)))


def is_soft(fused: Fine, sources: Sequence[Fine]) -> bool:
  """Whether it lacks fine detail that a source has and not as noise, which a fusion may well remove.

  The average of two sources has a quarter of the energy that is in one alone. Here there is less than a quarter of what
  the softest source has, and a tenth of what the finest one has that is no noise, and that is more than rounding."""
  structure = max((source.energy for source in sources if source.whiteness < 0.6), default=0.0)
  softest = min(source.energy for source in sources)
  return min(structure, softest) > 1 and fused.energy < min(0.25 * softest, 0.1 * structure)


def neighbours(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Smallest and largest level among each pixel and the eight around it."""
  box = np.ones((3, 3), np.uint8)
  return cv2.erode(image, box), cv2.dilate(image, box)
