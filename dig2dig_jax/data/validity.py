"""Where does a source hold a scene? A warped image is filled up outside of its field of view, or says so by its alpha.

Two signs are read. Alpha: what is opaque is valid. Without it, areas of one exact value at the frame's edge, taken only
where they look like a warp's: straight sides, at most four of them, around one convex area. A night sky behind a
skyline, a head on black and a sky that is clipped are content, and left alone: what is missed costs a picture, what is
taken wrongly costs what a sensor saw.
"""

from collections.abc import Iterator, Mapping, Sequence

import cv2
import numpy as np

WORDS = ("auto", "alpha", "off")

_CANDIDATES = 2  # values of the frame's edge that are tried
_RUN = 0.05  # of the shorter side that an area has along the frame's edge, or it is a dark thing there
_LEAST = 0.005  # of the image that the areas cover, and
_DEPTH = 5  # pixels of each side that they have somewhere: a sensor's dead lines at the edge are thinner
_WHOLE = 0.95  # of a whole side: such an area may have a short side of its own
_REMAINS = 0.02  # of the image that is valid, and
_IN_ONE = 0.99  # of what is valid that hangs together: specks outside (hot pixels, a logo) do not count
_CONVEX = 0.95  # of its convex hull that is valid: content of the same value may bite into it
_BITES = 1 / 3  # of the areas, at most, that are such bites
_STRAIGHT = 1.5  # pixels that the hull is off a polygon of
_CORNERS, _SIDES = 8, 4  # at most: sides, and sides that are not the frame's, which cuts off up to four corners
_SIDE = 0.04  # of the way around, or it is no side but a corner that pixels round off
_LONG, _PIXELS = 0.3, 16  # of the shorter side, and pixels, that the longest side has, or a corner is dark
_RING = 1.5, 3.5  # pixels inside of those sides, of which
_FOLLOWED = 0.85  # are valid: a hull touches a skyline here and there, a warp's edge all along
_CLIPPED = 0.005  # of what is valid that is as bright: the scene itself is clipped, and so is its sky
_SAME = 1 / 3  # of what is valid that has the same value, of darker ones
_NEAR = 12 / 255  # of the type's span: what compression left of a constant beside an edge,
_BLOCK = 8  # as many pixels from it
_MIXED = 0.8  # as far from the constant as its neighbours inside, what resampling mixed with it
_ROWS = 2  # of pixels, at most, that are so
_GRAZES = 32  # pixels along the frame's edge, over which a side that leaves it may be close to it


def find(samples: np.ndarray, alpha: np.ndarray | None = None, *, how: str = "auto") -> np.ndarray | None:
  """Where an image holds a scene: bool [H, W]; None for everywhere, or where that cannot be told. False everywhere for
  an alpha that is transparent everywhere, as programs leave it behind: such an image counts as content, and that is
  said.

  Args:
    samples: as they are stored, [H, W, C] of any real type.
    alpha: [H, W] of any real type, straight; opaque is the largest value of its type, 1 of floats. One that is
      opaque everywhere says nothing.
    how: a word of `WORDS`. `alpha` reads alpha alone, `off` finds nothing.
  """
  if how == "off":
    return None
  if alpha is not None:
    opaque = alpha > (0.5 if alpha.dtype.kind == "f" else np.iinfo(alpha.dtype).max // 2)
    if not opaque.all():
      return opaque
  if how == "alpha":
    return None
  for value in _candidates(samples):
    if (found := _around(samples, value)) is not None:
      return found
  return None


def shares(masks: Sequence[np.ndarray | None]) -> tuple[float | None, ...]:
  """Of each image that is valid, 0 for one that is transparent everywhere; None for what is valid everywhere."""
  return tuple(None if mask is None else float(mask.mean()) for mask in masks)


def box(mask: np.ndarray) -> tuple[slice, slice]:
  """The rows and columns that a mask, of one pixel at least, reaches over."""
  return tuple(slice(int(found[0]), int(found[-1]) + 1)
               for found in (np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))))  # fmt: skip


class Tally:
  """How many images of each source are valid in a part only. Add as they are read, from one thread."""

  def __init__(self, sources: Sequence[str]):
    self._sources, self._pairs = tuple(sources), 0
    self._parts, self._hidden = dict.fromkeys(sources, 0), dict.fromkeys(sources, 0)

  def add(self, valid: Sequence[float | None]) -> None:
    """valid: `shares` of a pair's images; none were looked at where it is empty."""
    self._pairs += 1
    for source, share in zip(self._sources, valid or [None] * len(self._sources), strict=True):
      self._parts[source] += share is not None and share > 0
      self._hidden[source] += share == 0

  def lines(self) -> list[str]:
    """For the user: one per source that has such images, and one that has images which are transparent everywhere."""
    others = "the other source stands" if len(self._sources) == 2 else "the other sources stand"
    images = f"{self._pairs} image{'' if self._pairs == 1 else 's'}"
    hidden = [
      f"{source}: {count} of {images} {'is' if count == 1 else 'are'} transparent everywhere, and taken as if opaque"
      for source, count in self._hidden.items() if count
    ]  # fmt: skip
    return hidden + [
      f"{source}: {count} of {images} {'shows' if count == 1 else 'show'} a part of the frame only (elsewhere "
      f"transparent, of one value such as black, or beyond an aligned source's edge); {others} alone there; "
      "--valid=off counts it as content"
      for source, count in self._parts.items() if count
    ]  # fmt: skip


def decisive(how: str) -> Mapping[str, str]:
  """What of it decides pixels, JSON-able: nothing where images are taken as they are stored."""
  return {} if how == "off" else {"valid": how}


def _candidates(samples: np.ndarray) -> list:
  """Values, the same in all channels, that much of the frame's edge has; most often the more."""
  edge = np.concatenate([samples[0], samples[-1], samples[1:-1, 0], samples[1:-1, -1]])
  gray = edge[(edge == edge[:, :1]).all(axis=-1), 0]
  values, counts = np.unique(gray, return_counts=True)
  often = [index for index in np.argsort(-counts, kind="stable") if counts[index] >= _run(samples.shape)]
  return [values[index] for index in often[:_CANDIDATES]]


def _run(shape: Sequence[int]) -> float:
  return max(3, _RUN * min(shape[:2]))


def _around(samples: np.ndarray, value) -> np.ndarray | None:
  """What lies within areas of this value, if these are a warp's."""
  same = (samples == value).all(axis=-1)
  outside = _at_edge(same)
  if not outside.any():
    return None
  square = np.ones((_DEPTH, _DEPTH), np.uint8)
  if outside.mean() < _LEAST or not cv2.erode(outside.astype(np.uint8), square, borderValue=0).any():
    return None
  for tried in (*_grown(samples, value, outside), outside):
    found = _within(tried)
    if found is not None and not _is_of_the_scene(samples, value, same, found):
      return _unmixed(samples, value, found)
  return None


def _has_whole_side(outside: np.ndarray) -> bool:
  return max(side.mean() for side in (outside[0], outside[-1], outside[:, 0], outside[:, -1])) >= _WHOLE


def _at_edge(same: np.ndarray) -> np.ndarray:
  """The areas of `same` that are long enough along the frame's edge."""
  count, labels = cv2.connectedComponents(same.astype(np.uint8), connectivity=4)
  edge = np.concatenate([labels[0], labels[-1], labels[1:-1, 0], labels[1:-1, -1]])
  kept = np.bincount(edge, minlength=count) >= _run(same.shape)
  kept[0] = False  # what is not the same
  return kept[labels]


def _grown(samples: np.ndarray, value, outside: np.ndarray) -> Iterator[np.ndarray]:
  """The areas with what lossy compression left of them in the blocks of pixels that hold their edge, where it did."""
  kind = samples.dtype
  span = 1.0 if kind.kind == "f" else float(np.iinfo(kind).max) - float(np.iinfo(kind).min)
  reach = cv2.dilate(outside.astype(np.uint8), np.ones((2 * _BLOCK + 1, 2 * _BLOCK + 1), np.uint8)) > 0
  near = (np.abs(samples.astype(np.float64) - float(value)) <= _NEAR * span).all(axis=-1) & reach
  beside = (cv2.dilate(outside.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & ~outside
  if not beside.any() or near[beside].mean() < _SAME:
    return
  _, labels = cv2.connectedComponents((near | outside).astype(np.uint8), connectivity=4)
  grown = np.isin(labels, np.unique(labels[outside])) & (near | outside)
  yield cv2.morphologyEx(grown.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)) > 0  # ringing beyond


def _within(outside: np.ndarray) -> np.ndarray | None:
  """The valid area between these areas: None where it is no warp's."""
  height, width = outside.shape
  _, labels, stats, _ = cv2.connectedComponentsWithStats((~outside).astype(np.uint8), connectivity=8)
  if len(stats) < 2:
    return None
  largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
  valid = labels == largest
  area = int(stats[largest, cv2.CC_STAT_AREA])
  if area < _REMAINS * outside.size or area < _IN_ONE * np.count_nonzero(~outside):
    return None
  contours, _ = cv2.findContours(valid.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
  hull = cv2.convexHull(contours[0])
  corners = cv2.approxPolyDP(hull, _STRAIGHT, True)[:, 0]
  last = np.array([width - 1, height - 1])
  on_frame = np.concatenate([corners, last - corners], axis=1) <= _STRAIGHT  # left, top, right, bottom
  lengths = np.hypot(*(np.roll(corners, -1, axis=0) - corners).T)
  sides = lengths >= _SIDE * lengths.sum()
  inner = sides & ~(on_frame & np.roll(on_frame, -1, axis=0)).any(axis=1)
  if len(corners) < 3 or np.count_nonzero(sides) > _CORNERS or np.count_nonzero(inner) > _SIDES:
    return None
  if lengths[inner].max(initial=0) < max(_PIXELS, _LONG * min(height, width)) and not _has_whole_side(outside):
    return None
  filled = cv2.fillConvexPoly(np.zeros(outside.shape, np.uint8), hull, 1)
  depth = cv2.distanceTransform(filled, cv2.DIST_L2, 5)
  ring = (depth > _RING[0]) & (depth <= _RING[1])
  if area < _CONVEX * np.count_nonzero(filled) or not ring.any() or valid[ring].mean() < _FOLLOWED:
    return None
  if (outside & (filled > 0)).sum() > _BITES * outside.sum():
    return None
  return (filled > 0) & ~(outside & (depth <= _RING[1]))


def _unmixed(samples: np.ndarray, value, valid: np.ndarray) -> np.ndarray:
  """Less the pixels at its edge that a warp's interpolation mixed with the constant, where it did."""
  away = np.abs(samples.astype(np.float64) - float(value)).mean(axis=-1)
  for _ in range(_ROWS):
    inner, further = (cv2.erode(valid.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=rows, borderValue=1) > 0
                      for rows in (1, 2))  # fmt: skip
    if not further.any() or away[valid & ~inner].mean() >= _MIXED * away[inner & ~further].mean():
      break
    valid = _less_a_row(valid)
  return valid


def _less_a_row(valid: np.ndarray) -> np.ndarray:
  """Less its outermost pixels, but those at the frame's edge. Where a side of the area leaves the frame at a grazing
  angle, these too: the side goes on beyond the frame, close to them."""
  outside = np.pad(~valid, 1, mode="edge").astype(np.uint8)
  beyond = cv2.dilate(outside, np.ones((1, 2 * _GRAZES + 1), np.uint8))
  beyond[1:-1] = cv2.dilate(outside, np.ones((2 * _GRAZES + 1, 1), np.uint8))[1:-1]
  beyond[1:-1, 1:-1] = outside[1:-1, 1:-1]
  return cv2.dilate(beyond, np.ones((3, 3), np.uint8))[1:-1, 1:-1] == 0


def _is_of_the_scene(samples: np.ndarray, value, same: np.ndarray, valid: np.ndarray) -> bool:
  """Whether the scene itself has that value, so that the areas may be its sky; or there is no scene."""
  inside = samples[valid]
  if inside.min() == inside.max():
    return True
  return bool(same[valid].mean() > (_CLIPPED if value >= inside.max() else _SAME))
