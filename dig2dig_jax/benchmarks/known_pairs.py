"""Which pairs have a registration that is known? As published, as SIFT registers them, or made of one image.

Of a published pair nobody knows by how much it is off; where features are few, or lie in one part of the image, the
corners are uncertain by pixels under SIFT's registration too. Images that are made of one image lie on each other to
the pixel: another sensor's (`warps.other_kind`), two focal planes, or two exposures.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from dig2dig_jax.alignment import warp as resampling
from dig2dig_jax.benchmarks import other_aligners, warps
from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.ops import color

# Which second source is warped: the one that is published; that, brought onto the first by SIFT, where both are of one
# modality; or one made of the first source, by which the first is replaced too where two planes or exposures are made.
KINDS = ("", "registered_", "made_", "focused_", "exposed_")
_BUMPS = 4  # of the smooth random field that says what is in focus, along each side
_EDGE = 12.0  # how sharply focus changes along it
_DEFOCUS = 0.004, 0.012  # radius of the disc, a share of the longer side
_STOPS = 1.0, 2.5  # an exposure is longer or shorter by
_GAMMA, _NOISE = 2.2, 0.002  # of the sensor, noise as a share of its range


class Known(NamedTuple):
  """Luminance of a pair. valid: where the second source shows anything. own: what the program finds for it, None where
  its registration is known."""

  reference: np.ndarray
  source: np.ndarray
  valid: np.ndarray
  own: np.ndarray | None


Finds = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, float]]


def known(pair: Pair, kind: str, seed: Sequence[int], find: Finds) -> Known | None:
  """None where the pair cannot be registered as `kind` asks. find: (reference, source, its mask) -> (matrix,
  confidence), of published pairs."""
  reference, source = _images(pair)
  everywhere = np.ones(reference.shape, bool)
  rng = np.random.default_rng(seed)
  if kind == "made_":
    return Known(reference, warps.other_kind(reference, rng), everywhere, None)
  if kind in ("focused_", "exposed_"):
    return Known(*(focal_planes if kind == "focused_" else exposures)(reference, rng), everywhere, None)
  if kind == "registered_":
    matrix = other_aligners.by_features(reference, source)
    if matrix is None:
      return None
    source, seen = resampling.onto(source, matrix, reference.shape)
    return Known(reference, source, everywhere if seen is None else seen, None)
  valid = np.ones(source.shape, bool)
  return Known(reference, source, valid, find(reference, source, valid)[0])


def focal_planes(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
  """uint8 [H, W] twice: what is in focus in one is blurred by a disc in the other, as a smooth random field says."""
  field = cv2.resize(rng.normal(size=(_BUMPS, _BUMPS)).astype(np.float32), image.shape[::-1],
                     interpolation=cv2.INTER_CUBIC)  # fmt: skip
  share, radius = 1 / (1 + np.exp(-_EDGE * field)), rng.uniform(*_DEFOCUS) * max(image.shape)
  reach = np.arange(-np.ceil(radius), np.ceil(radius) + 1)
  disc = np.clip(radius + 0.5 - np.hypot(reach, reach[:, None]), 0, 1)
  blurred = cv2.filter2D(np.float32(image), -1, disc / disc.sum(), borderType=cv2.BORDER_REFLECT)
  first, second = (_digital(part * image + (1 - part) * blurred + rng.normal(size=image.shape))
                   for part in (share, 1 - share))  # fmt: skip
  return first, second


def exposures(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
  """uint8 [H, W] twice: as many stops above the image's own exposure and below, clipped, with the noise of each."""
  light, factor = (image / 255.0) ** _GAMMA, 2 ** rng.uniform(*_STOPS)
  noisy = (np.clip(gain * light + rng.normal(scale=_NOISE, size=image.shape), 0, 1) for gain in (factor, 1 / factor))
  longer, shorter = (_digital(255 * one ** (1 / _GAMMA)) for one in noisy)
  return longer, shorter


def _digital(image: np.ndarray) -> np.ndarray:
  return np.uint8(np.clip(np.rint(image), 0, 255))


def _images(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
  """Luminance, uint8 [H, W], of the first source and of the second."""
  found = [image.pixels for image in pair.read().values()]
  gray = [_digital(127.5 * (pixels @ color.LUMA)[..., 0] + 127.5) for pixels in found[:2]]
  return gray[0], gray[1]
