"""Does a fused video flicker? Its change from frame to frame along the motion of its sources, beside their own.

Warping error (Lai et al. 2018, Learning Blind Video Temporal Consistency, Eq. 7; arXiv 1808.00449): the mean squared
difference of a frame to the one before, warped along optical flow, over pixels that are not occluded. Flow is found in
each source (dense inverse search, Kroeger et al. 2016, OpenCV's DIS); at every pixel that one is followed which
explains its own source better, for a target may move in one source alone. A pixel is occluded where forward and
backward flow disagree (Sundaram et al. 2010), or where they leave the frame.

Images: gray [H, W], levels 0 to 255. Errors are roots of means, in levels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

_AGREE, _SLACK = 0.01, 0.5  # of forward and backward flow: share of their squares, and squared pixels
_SEEN = 0.3  # least share of the pixels that must be seen in both frames
# At a cut a source does not correlate with its previous frame (squared correlation, of means over cells of this many
# pixels). One source is enough: of clips of two frame rates one cuts later, and neither step shows one scene. A source
# in which hardly anything is to be seen says nothing: what its previous frame does not explain stays below so many
# levels.
_CELL, _ALIKE, _HARDLY = 12, 0.25, 3.0
_LEAST = 16  # pixels of a side, below which there is no flow


class Flickers(NamedTuple):
  """error: the fused video's warping error. sources: those of the sources, along the same flow. excess: the root mean
  square of what the fused video changes more than every source does there: 0 for a video whose every change is in a
  source. pairs: of frames that counted, those across a cut of any source not among them."""

  error: float
  sources: tuple[float, ...]
  excess: float
  pairs: int


class Flicker:
  """Give frames one after the other to `add`, then ask for `found`. ValueError for images of other shapes."""

  def __init__(self):
    self._flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    self._before: np.ndarray | None = None
    self._sums: np.ndarray | None = None
    self._pixels, self._pairs = 0, 0

  def add(self, sources: Sequence[np.ndarray], fused: np.ndarray) -> None:
    """The next frame: sources of [H, W], fused [H, W], levels 0 to 255."""
    images = np.stack([*sources, fused]).astype(np.float32)
    if len(sources) < 1 or images.ndim != 3 or min(images.shape[1:]) < _LEAST:
      raise ValueError(f"expected sources [H, W] and a fused image of that size, of at least {_LEAST} pixels a side, "
                       f"found {[np.shape(image) for image in (*sources, fused)]}")
    if self._before is not None and images.shape != self._before.shape:
      raise ValueError(f"expected images of one size, found {self._before.shape[1:]} and {images.shape[1:]}")
    before, self._before = self._before, images
    if before is not None and not any(map(_is_cut, before[:-1], images[:-1])):
      self._compare(before, images)

  def _compare(self, before: np.ndarray, now: np.ndarray) -> None:
    squares, best, seen = None, None, None
    for k in range(len(now) - 1):
      back, is_seen = self._followed(now[k], before[k])
      changes = np.square(now - _warped(before, back))
      own = cv2.GaussianBlur(changes[k], (0, 0), 2)
      if squares is None:
        squares, best, seen = changes, own, is_seen
        continue
      better = own < best
      squares, best = np.where(better, changes, squares), np.where(better, own, best)
      seen = np.where(better, is_seen, seen)
    if seen.mean() < _SEEN:
      return
    excess = np.maximum(squares[-1] - squares[:-1].max(axis=0), 0)
    sums = np.array([one[seen].sum(dtype=np.float64) for one in (*squares, excess)])
    self._sums = sums if self._sums is None else self._sums + sums
    self._pixels += int(seen.sum())
    self._pairs += 1

  def _followed(self, now: np.ndarray, before: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(flow [H, W, 2] from this frame back to the one before, where it is to be believed)."""
    images = [np.uint8(np.rint(image)) for image in (now, before)]
    back, forth = self._flow.calc(*images, None), self._flow.calc(*images[::-1], None)
    returned = back + cv2.remap(forth, *_places(back), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    apart, size = (returned**2).sum(-1), (back**2).sum(-1) + (forth**2).sum(-1)
    x, y = _places(back)
    height, width = now.shape
    inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
    return back, inside & (apart <= _AGREE * size + _SLACK)

  def found(self) -> Flickers:
    """Over all frames so far; NaN where no two of them showed one scene."""
    if not self._pixels:
      count = 1 if self._before is None else len(self._before) - 1
      return Flickers(np.nan, (np.nan,) * count, np.nan, 0)
    *sources, fused, excess = np.sqrt(self._sums / self._pixels).tolist()
    return Flickers(fused, tuple(sources), excess, self._pairs)


def _is_cut(before: np.ndarray, now: np.ndarray) -> bool:
  size = [max(2, side // _CELL) for side in now.shape[::-1]]
  one, other = (cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in (before, now))
  one, other = one - one.mean(), other - other.mean()
  then, current = np.mean(one**2), np.mean(other**2)
  alike = np.square(np.mean(one * other)) / max(then * current, 1e-6)
  return bool(alike < _ALIKE and (1 - alike) * current > _HARDLY**2)


def _places(flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """x, y [H, W] that a flow leads to."""
  height, width = flow.shape[:2]
  y, x = np.mgrid[:height, :width].astype(np.float32)
  return x + flow[..., 0], y + flow[..., 1]


def _warped(images: np.ndarray, flow: np.ndarray) -> np.ndarray:
  places = _places(flow)
  return np.stack([cv2.remap(image, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for image in images])
