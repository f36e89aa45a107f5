"""Which pairs have a registration that is known? As published, as SIFT registers them, or made of one image.

Of a published pair nobody knows by how much it is off; where features are few, or lie in one part of the image, the
corners are uncertain by pixels under SIFT's registration too. Images that are made of one image lie on each other to
the pixel: another sensor's, two focal planes, or two exposures (`data.other_kinds`).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from dig2dig_jax.alignment import warp as resampling
from dig2dig_jax.benchmarks import other_aligners
from dig2dig_jax.benchmarks.placements import Placement
from dig2dig_jax.data import other_kinds
from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.ops import color

# Which second source is warped: the one that is published; that, brought onto the first by SIFT, where both are of one
# modality; or one made of the first source, by which the first is replaced too where two planes or exposures are made.
KINDS = ("", "registered_", "made_", "focused_", "exposed_")


class Known(NamedTuple):
  """Luminance of a pair. valid: where the second source shows anything. own: what the program finds for it; None where
  its registration is known."""

  reference: np.ndarray
  source: np.ndarray
  valid: np.ndarray
  own: Placement | None


Finds = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, float]]


def known(pair: Pair, kind: str, seed: Sequence[int], find: Finds) -> Known | None:
  """None where the pair cannot be registered as `kind` asks. find: (reference, source, its mask) -> (matrix,
  confidence), of published pairs."""
  reference, source = _images(pair)
  everywhere = np.ones(reference.shape, bool)
  rng = np.random.default_rng(seed)
  if kind == "made_":
    return Known(reference, other_kinds.sensor(reference, rng), everywhere, None)
  if kind in ("focused_", "exposed_"):
    make = other_kinds.focal_planes if kind == "focused_" else other_kinds.exposures
    return Known(*make(reference, rng), everywhere, None)
  if kind == "registered_":
    matrix = other_aligners.by_features(reference, source)
    if matrix is None:
      return None
    source, seen = resampling.onto(source, matrix, reference.shape)
    return Known(reference, source, everywhere if seen is None else seen, None)
  valid = np.ones(source.shape, bool)
  return Known(reference, source, valid, Placement(*find(reference, source, valid)))


def _images(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
  """Luminance, uint8 [H, W], of the first source and of the second."""
  found = [image.pixels for image in pair.read().values()]
  gray = [other_kinds.digital(127.5 * (pixels @ color.LUMA)[..., 0] + 127.5) for pixels in found[:2]]
  return gray[0], gray[1]
