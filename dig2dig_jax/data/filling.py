"""What does a source hold where it saw nothing? What the others saw there, so that no method can prefer it.

A method compares sources place by place. Where one saw nothing, it gets the mean of the others plus the smooth
continuation of what sets it apart from them inside, which fades away: to every method the sources then agree on what
is there, and neither a seam nor the outline of the missing part appears. The details are the others' alone.
"""

from collections.abc import Sequence

import cv2
import numpy as np

_FEATHER = 3  # pixels inside of the border: warps interpolate there between the image and what they fill up with
_TRUST = 0.08  # of the shorter side over which a source comes to count in the mean of several others
_SMOOTH = 2  # finest levels of the pyramid that are left out: a difference in detail is no difference in brightness
_REACH = 0.25  # of the shorter side, outside of the border, over which the difference fades away


def fill(sources: np.ndarray, masks: Sequence[np.ndarray | None]) -> np.ndarray:
  """Sources that can be compared everywhere: float32 [K, H, W, 3] in [-1, 1], as they came in.

  masks: bool per source, where it is valid, [H, W] or that of a smaller image which the source was restored from; None
  or nowhere for everywhere. Where no other source is valid a source stays
  as it is, and so do the pixels that are valid, except a few at the border. Not changed in place.
  """
  masks = [mask if mask is not None and mask.any() else None for mask in masks]
  if all(mask is None for mask in masks):
    return sources
  masks = [_of_size(mask, sources.shape[1:3]) for mask in masks]
  depths = [None if mask is None else _distance(mask) for mask in masks]
  side = min(sources.shape[1:3])
  trust = [np.float32(1) if depth is None else np.clip(depth / max(1, _TRUST * side), 0, 1) for depth in depths]
  filled = sources.copy()
  for k, (mask, depth) in enumerate(zip(masks, depths, strict=True)):
    if mask is None:
      continue
    others, weight = np.zeros_like(sources[k]), np.zeros(mask.shape, np.float32)
    for j in range(len(sources)):
      if j != k:
        others += trust[j] * sources[j] if masks[j] is None else trust[j][..., None] * sources[j]
        weight += trust[j]
    known = weight > 0
    others /= np.where(known, weight, 1)[..., None]
    own = np.clip((depth - 1) / _FEATHER, 0, 1)
    fade = 0.5 + 0.5 * np.cos(np.pi * np.clip(_distance(~mask) / max(1, _REACH * side), 0, 1))
    difference = _continued(sources[k] - others, own * known) * fade[..., None]
    share = np.where(known, own, 1)[..., None]
    filled[k] = np.clip(share * sources[k] + (1 - share) * (others + difference), -1, 1)
  return filled


def _of_size(mask: np.ndarray | None, size: tuple[int, int]) -> np.ndarray | None:
  if mask is None or mask.shape == size:
    return mask
  return cv2.resize(mask.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR) > 0.5


def _distance(mask: np.ndarray) -> np.ndarray:
  """To the nearest pixel that is not in it, in pixels; the frame's edge is none."""
  if mask.all():
    return np.full(mask.shape, np.float32(np.hypot(*mask.shape)))
  return cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)


def _continued(values: np.ndarray, weight: np.ndarray, level: int = 0) -> np.ndarray:
  """[H, W, C] where `weight` [H, W] is 1, smoothed, and continued to where it is 0: down a pyramid of weighted means,
  and up again, at each place from the finest level that knows it. 0 where nothing is known at all."""
  if min(weight.shape) < 2:
    total = weight.sum()
    mean = (values * weight[..., None]).sum(axis=(0, 1)) / total if total > 0 else 0
    return np.broadcast_to(np.float32(mean), values.shape)
  below = cv2.pyrDown(np.ascontiguousarray(weight, np.float32))
  sums = cv2.pyrDown(np.ascontiguousarray(values * weight[..., None], np.float32))
  means = sums / np.maximum(below, 1e-6)[..., None]
  coarse = _continued(means, np.clip(2 * below, 0, 1), level + 1)
  height, width = weight.shape
  up = cv2.pyrUp(np.ascontiguousarray(coarse, np.float32), dstsize=(width, height))
  return up if level < _SMOOTH else weight[..., None] * values + (1 - weight[..., None]) * up
