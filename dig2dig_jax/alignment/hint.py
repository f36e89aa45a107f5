"""Do two images of one size, taken as they are, plainly lie apart? A quick look, and where that doubts, the alignment.

The quick look matches blocks once, around the frames laid on each other (`surfaces`), and fits a transform that starts
there (`fit`). What tells most is by how much the blocks prefer that fit to the frames as they are: published pairs that
are off by a percent of their sides, as many are, prefer it by little. Where blocks prefer it by more, the alignment
decides that `--align=auto` would make (`estimate`), so that what is told is of pairs that it can help.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.alignment import confidence, descriptor, evidence, flow, transforms
from dig2dig_jax.alignment.estimate import ALIKE, REACH, START, WIDE, estimate, nothing_to_see, seen
from dig2dig_jax.alignment.fit import fit
from dig2dig_jax.alignment.levels import Level, are_scans, level, of_side
from dig2dig_jax.alignment.surfaces import measure
from dig2dig_jax.ops.arrays import Array

LEAST = 64  # pixels of the shorter side: of smaller images, what counts as apart is about a pixel
# Shares of the longer side, means of the corners, from which two images lie apart: where the alignment's confidence is
# so high, or where the blocks prefer the quick look's by so many nats. `docs/alignment.md` has the pairs by which these
# were chosen.
_APART, _SURE = 0.02, 0.9
_SLIGHTLY_APART, _PREFERRED = 0.01, 1.0
_AGREED = 0.02  # by how much the quick look and the alignment may differ: not both are right that differ by more
_LAID = np.eye(3)  # the frames on each other
_DOUBTED = 0.25  # nats per block, by which the quick look has to prefer its fit to be followed by the alignment

# Arguments of `compare` -> parameters [8] of the fit, its mean gain, and that of the frames laid on each other.
Compare = Callable[..., tuple[Array, Array, Array]]


class Doubt(NamedTuple):
  """matrix: [3, 3] float64, from the reference's pixels to the source's, as a quick look has it. preferred: in nats per
  block, by how much blocks prefer that to the frames laid on each other."""

  matrix: np.ndarray
  preferred: float


def compare(
  params: descriptor.Params,
  reference: Array, reference_mask: Array, reference_frame: Array,
  source: Array, source_mask: Array, source_frame: Array, size: Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:  # fmt: skip
  """One program for images of all sizes; see `Compare`.

  Args:
    params: of the descriptor.
    reference, source, and their masks and frames: of their `Level` at `START`.
    size: [2], height and width of the reference within its padded square.
  """
  here = jnp.zeros(transforms.PARAMETERS, jnp.float32)
  levels = Level(reference, reference_mask, reference_frame), Level(source, source_mask, source_frame)
  surfaces = measure(params, *levels, here, flow.NONE, size, REACH)
  free_and_held = jnp.stack([jnp.asarray(ALIKE, jnp.float32), here])
  fits = jax.lax.map(lambda known: fit(surfaces, reference_frame, here, here, known, WIDE, evidence.ALL), free_and_held)
  gains = fits.gain.mean(-1)
  return fits.parameters[0], gains[0], gains[1]


compiled = jax.jit(compare)


def doubt(
  reference: np.ndarray,
  source: np.ndarray,
  reference_mask: np.ndarray | None = None,
  source_mask: np.ndarray | None = None,
  *,
  compare: Compare = compiled,
) -> Doubt | None:
  """What a quick look says against two images of one size lying on each other; None for nothing.

  Args:
    reference, source, and their masks: as in `estimate`, of one size.
    compare: `compiled`, or the same program from elsewhere.
  """
  if min(reference.shape[:2]) < LEAST:
    return None
  images, masks = seen(reference, source, reference_mask, source_mask)
  if nothing_to_see(images, masks):
    return None
  scans = are_scans(images, masks)
  params = descriptor.embedded(scans)
  levels = [level(image, mask, START) for image, mask in zip(images, masks, strict=True)]
  parameters, gain, as_they_lie = compare(params, *levels[0], *levels[1], np.float32(of_side(images[0].shape, START)))
  found = Doubt(_in_pixels(parameters, images[0].shape), float(gain) - float(as_they_lie))
  if _share(found.matrix, _LAID, images[0].shape) < _SLIGHTLY_APART or found.preferred < _DOUBTED:
    return None
  return found if confidence.of_gain(float(gain), scans=scans) >= confidence.ACCEPTED else None


def apart(
  doubted: Doubt,
  reference: np.ndarray,
  source: np.ndarray,
  reference_mask: np.ndarray | None = None,
  source_mask: np.ndarray | None = None,
) -> float | None:
  """By how many pixels the farthest corner of a source lies from where the reference has it, if they plainly lie apart.
  doubted: of the same images."""
  found, size = estimate(reference, source, reference_mask=reference_mask, source_mask=source_mask), reference.shape[:2]
  share = _share(found.matrix, _LAID, size)
  surely = share >= _APART and found.confidence >= _SURE
  if not surely and (share < _SLIGHTLY_APART or doubted.preferred < _PREFERRED):
    return None
  if not found.accepted or _share(found.matrix, doubted.matrix, size) > _AGREED:
    return None
  return float(_distances(found.matrix, _LAID, size).max())


def _in_pixels(parameters: Array, size: tuple[int, int]) -> np.ndarray:
  frame = transforms.frame(*size)
  return frame @ transforms.homography(np.asarray(parameters, np.float64), np) @ np.linalg.inv(frame)


def _distances(one: np.ndarray, other: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """[4] pixels, between the corners under two transforms."""
  ends = transforms.corners(*size)
  return np.linalg.norm(transforms.mapped(one, ends) - transforms.mapped(other, ends), axis=-1)


def _share(one: np.ndarray, other: np.ndarray, size: tuple[int, int]) -> float:
  return transforms.corner_error(one, other, *size) / max(size)
