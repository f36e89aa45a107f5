"""Where does a frame show something else than its reference? Things that moved between two exposures or focal planes.

Frames of a scene in which nothing moved are tied by one curve per channel: to every value of the reference belongs a
value of the other frame, brighter with the exposure. The curve and its spread are read from the frames themselves, so
that exposure, gain and the camera's response need not be known; to a value of the reference that is clipped belongs any
that is brighter still. What lies off the curve has moved, with whatever the reference has beside a pixel taken into
account, for edges that are blurred or a pixel off. An area is left to the reference as a whole where some of its pixels
are far off.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from dig2dig_jax.data.images import Image

KINDS = ("exposure", "focus")
_LEAST_BLUR = 0.7  # pixels: of noise
_FOCUS_BLUR = 0.02  # of the shorter side: what is out of focus in one frame is so in both
_EXPOSURE_REACH = 2  # pixels around a place whose values the other frame may have there
_BINS = 64  # of the curve, over the span of 8-bit values
_FEWEST = 32  # pixels in a bin that say something about it
_CLIPPED = 10, 245  # levels beyond which the other frame may have any darker, or any brighter, value
_SPREAD = 3.0  # standard deviations about the curve that count as on it, and at least
_LEAST = 12.0  # levels of 255: the tolerance
_NEAR, _FAR = 0.5, 2.5  # tolerances that an area, and its core, lie off
_CORE, _AREA = 0.0004, 0.0015  # of the image: of the core, and of the area around it, at least
_GROWN = 0.015  # of the shorter side by which gaps of an area are closed, and it is grown
_SIDE = 1024  # pixels: larger images are looked at reduced to it
_MOST = 0.4  # of the image that may have moved, or the frames are not of one scene, or not aligned
_WELL = 0.4  # of [-1, 1]: standard deviation about the middle of what counts as well exposed


class Moved(NamedTuple):
  """area: bool [H, W], where something moved. reference: name of the source that stands there. used: False where too
  much moved to be believed, and the source is taken as it is."""

  area: np.ndarray
  reference: str
  used: bool

  def record(self) -> dict[str, Any]:
    """For the log, JSON-able."""
    return {"moved": round(float(self.area.mean()), 4), "reference": self.reference, "used": self.used}


class Deghoster(NamedTuple):
  """Leaves to the reference what moved: the others are not valid there.

  kind: a word of `KINDS`, what the frames differ in otherwise. reference: name of the source whose things stay; empty
  for the best exposed, or, of focal planes, the sharpest."""

  kind: str = "exposure"
  reference: str = ""

  def decisive(self) -> dict[str, Any]:
    """What decides pixels but the images, JSON-able."""
    return self._asdict()

  def __call__(self, images: Mapping[str, Image]) -> tuple[dict[str, Image], dict[str, Moved]]:
    """(the images, not valid where they show what the reference does not; what moved in which). Images of other sizes
    than the reference's are left as they are."""
    reference = self.reference if self.reference in images else max(images, key=lambda name: self._rank(images[name]))
    frame, found, told = images[reference], dict(images), {}
    for source, image in images.items():
      if source == reference or image.pixels.shape != frame.pixels.shape:
        continue
      area = moved(frame.pixels, image.pixels, kind=self.kind)
      for mask in (frame.valid, image.valid):
        area &= True if mask is None else mask
      if not area.any():
        continue
      told[source] = Moved(area, reference, used=bool(area.mean() <= _MOST))
      if told[source].used:
        valid = ~area if image.valid is None else image.valid & ~area
        found[source] = image._replace(valid=valid)
    return found, told

  def _rank(self, image: Image) -> float:
    if self.kind == "exposure":
      return float(np.exp(-0.5 * (image.pixels / _WELL) ** 2).mean())  # well-exposedness, Mertens et al. 2007
    gray = image.pixels.mean(axis=-1)
    return float(np.abs(np.diff(gray, axis=0)).mean() + np.abs(np.diff(gray, axis=1)).mean())


def lines(told: Sequence[tuple[str, Mapping[str, Moved]]]) -> list[str]:
  """For the user, of (name of a pair, what `Deghoster` says of it)."""
  found = []
  for source in dict.fromkeys(source for _, one in told for source in one):
    mine = [(name, one[source]) for name, one in told if source in one]
    used = [one for _, one in mine if one.used]
    if used:
      images = "1 image" if len(told) == 1 else f"{len(told)} images"
      most = 100 * max(one.area.mean() for one in used)
      found.append(f"{source}: something moved, or is in one frame only, in {len(used)} of {images} (at most "
                   f"{most:.1f} % of it); {used[0].reference} stands there; --deghost=off takes both")
    found += [f"{name}: {source} shows another scene than {one.reference} in {100 * one.area.mean():.0f} % of it, or "
              "is not aligned with it; fused as it is" for name, one in mine if not one.used]  # fmt: skip
  return found


def moved(reference: np.ndarray, frame: np.ndarray, *, kind: str = "exposure") -> np.ndarray:
  """bool [H, W]: where `frame` shows something else than `reference`.

  Args:
    reference, frame: float [H, W, 3] in [-1, 1], aligned.
    kind: a word of `KINDS`. Focal planes are compared smoothed, and with more of what is beside a place.
  """
  size = reference.shape[1::-1]
  scale = min(1.0, _SIDE / max(size))
  if scale < 1:
    small = tuple(max(1, round(scale * side)) for side in size)
    reference, frame = (cv2.resize(image, small, interpolation=cv2.INTER_AREA) for image in (reference, frame))
  blur = _FOCUS_BLUR * min(reference.shape[:2]) if kind == "focus" else 0.0
  reach = max(_EXPOSURE_REACH, round(blur))
  first, second = (_levels(image, blur) for image in (reference, frame))
  if first.shape != second.shape:  # one is gray
    first, second = (np.broadcast_to(levels, (*levels.shape[:2], 3)) for levels in (first, second))
  channels = zip(np.moveaxis(first, -1, 0), np.moveaxis(second, -1, 0), strict=True)
  off = [_off(a, b, reach) for a, b in channels]
  area = _areas(np.max(off, axis=0))
  return cv2.resize(area.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0 if scale < 1 else area


def _levels(image: np.ndarray, blur: float) -> np.ndarray:
  """float32 [H, W, C] in 0..255, one channel where all are the same."""
  channels = image[..., :1] if (image == image[..., :1]).all() else image
  levels = np.float32(127.5) * (channels.astype(np.float32) + 1)
  return cv2.GaussianBlur(levels, (0, 0), max(blur, _LEAST_BLUR)).reshape(channels.shape)


def _off(first: np.ndarray, second: np.ndarray, reach: int) -> np.ndarray:
  """How far each value of `second` is off the span that those of `first` around it allow, in tolerances."""
  low, high = _band(first, second)
  square = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
  at = np.arange(256)
  floor = np.interp(cv2.erode(np.ascontiguousarray(first), square), at, low)
  ceiling = np.interp(cv2.dilate(np.ascontiguousarray(first), square), at, high)
  return np.maximum(np.maximum(floor - second, second - ceiling), 0) / _LEAST


def _band(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """(lowest, highest) [256] of `second` for each level of `first`, about a curve that never falls."""
  bins = np.clip(first * (_BINS / 256), 0, _BINS - 1).astype(int).ravel()
  order = np.argsort(bins, kind="stable")
  counts = np.bincount(bins, minlength=_BINS)
  parts = np.split(second.ravel()[order], np.cumsum(counts)[:-1])
  known = [b for b in range(_BINS) if counts[b] >= _FEWEST]
  if not known:  # so few pixels that nothing can be said
    return np.zeros(256), np.full(256, 255.0)
  middles = np.array([np.median(parts[b]) for b in known])
  spreads = [np.median(np.abs(parts[b] - middle)) for b, middle in zip(known, middles, strict=True)]
  at, centres = np.arange(256), (np.array(known) + 0.5) * 256 / _BINS
  curve = np.interp(at, centres, _growing(middles, counts[known]))
  spread = np.interp(at, centres, np.maximum(_SPREAD * 1.4826 * np.array(spreads), _LEAST))
  low, high = curve - spread, curve + spread
  low[at < _CLIPPED[0]], high[at > _CLIPPED[1]] = 0, 255
  low[at > _CLIPPED[1]], high[at < _CLIPPED[0]] = low[_CLIPPED[1]], high[_CLIPPED[0]]
  return low, high


def _growing(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
  """Values that never fall and are near the given ones: neighbours out of order take their weighted median, so that few
  pixels, of a thing that moved, do not carry away many."""
  blocks: list[list[int]] = []
  levels: list[float] = []
  for index in range(len(values)):
    blocks.append([index])
    levels.append(float(values[index]))
    while len(blocks) > 1 and levels[-2] > levels[-1]:
      last = blocks.pop()
      levels.pop()
      blocks[-1] += last
      levels[-1] = _weighted_median(values[blocks[-1]], weights[blocks[-1]])
  return np.repeat(levels, [len(block) for block in blocks])


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
  order = np.argsort(values)
  heard = np.cumsum(weights[order])
  return float(values[order][np.searchsorted(heard, heard[-1] / 2)])


def _areas(off: np.ndarray) -> np.ndarray:
  """Areas beyond the tolerance that have a core far beyond it, closed and a little grown."""
  small = np.ones((3, 3), np.uint8)
  out = cv2.morphologyEx((off > _NEAR).astype(np.uint8), cv2.MORPH_OPEN, small)
  size = max(3, round(_GROWN * min(off.shape)) | 1)
  joined = cv2.morphologyEx(out, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
  count, labels = cv2.connectedComponents(joined, connectivity=8)
  areas = np.bincount(labels.ravel(), minlength=count)
  cores = np.bincount(labels.ravel(), weights=(off > _FAR).ravel(), minlength=count)
  kept = (areas >= _AREA * off.size) & (cores >= _CORE * off.size)
  kept[0] = False
  return cv2.dilate(kept[labels].astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))) > 0
