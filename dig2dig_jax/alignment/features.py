"""Do point features settle how two images of one kind of camera lie on each other?

Exposures and focal planes show the same corners and blobs, which SIFT (Lowe, "Distinctive Image Features from
Scale-Invariant Keypoints", 2004) locates to a fraction of a pixel: closer than blocks do. They are looked for on ranks
around the places where a transform puts them, and fitted robustly with a prior on the parameters. Two features in one
part of the image share what no plane explains, parallax above all: the variance among cells of a grid is estimated
beside that among the features of a cell, and a cell with many features weighs little more than one with a few. Between
infrared and visible images, and where scenes are not flat, features do not agree, and nothing is said.
"""

from typing import NamedTuple

import cv2
import numpy as np

from dig2dig_jax.alignment import levels, transforms

_LONGEST = 1280  # pixels of the longer side, at most, of an image that features are looked for in
_MOST, _CONTRAST, _RATIO = 2000, 0.01, 0.8  # features of an image, SIFT's least contrast, best to second distance
_REACH = 0.05  # of the reference's longer side: distance from where the transform puts a feature
_SUPPORT = 2.0  # of a feature's size: distance from what is not valid
_CELLS = 7, 9  # down and across
# What makes features an answer: so many of them in so many cells, apart by so many pixels within cells, and between.
_LEAST, _SPREAD, _WITHIN, _BETWEEN = 40, 12, 1.0, 0.5
_STEPS = 20
_SURELY = 0.2, 0.15  # pixels below which neither of these is taken to lie


class Agreement(NamedTuple):
  """parameters: [8] float64, see `transforms`. count, cells: features that agree, and the cells they lie in. within,
  between: standard deviations of features about their cell's mean, and of these about the transform, in pixels of the
  reference as it is compared."""

  parameters: np.ndarray
  count: int
  cells: int
  within: float
  between: float

  @property
  def settled(self) -> bool:
    """Whether enough features agree on one plane, closely enough."""
    many = self.count >= _LEAST and self.cells >= _SPREAD
    return many and self.within <= _WITHIN and self.between <= _BETWEEN


def agreement(
  images: list[np.ndarray], masks: list[np.ndarray], parameters: np.ndarray, deviations: np.ndarray
) -> Agreement | None:
  """What features say near a transform; None where too few match to fit anything.

  Args:
    images, masks: of the reference and of the source, float32 [H, W] and bool [H, W].
    parameters: [8], of a transform that is right within `_REACH`.
    deviations: [8], see `fit.fit`.
  """
  (points, one, frame), (moved, two, _) = (_detected(*both) for both in zip(images, masks, strict=True))
  if min(len(points), len(moved)) < 2:
    return None
  pairs = _matched(points, one, moved, two, np.float64(parameters), _REACH * max(_compared(images[0])) / frame[0, 0])
  if len(pairs) < _LEAST:
    return None
  here, there = points[pairs[:, 0]], moved[pairs[:, 1]]
  half = np.array(_compared(images[0]))[::-1] / (2 * frame[0, 0])
  across, down = np.clip((here / half + 1) / 2, 0, 0.999).T
  cells = (down * _CELLS[0]).astype(int) * _CELLS[1] + (across * _CELLS[1]).astype(int)
  return _fitted(here, there, cells, np.float64(parameters), np.float64(deviations), frame[0, 0])


def _compared(image: np.ndarray) -> tuple[int, int]:
  """Height and width at which features are looked for."""
  return levels.of_side(image.shape, min(_LONGEST, max(image.shape)))


def _detected(image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """(features in normalised coordinates [N, 2], descriptors [N, 128], normalised coordinates -> pixels)."""
  size = _compared(image)
  filled = image if mask.all() else np.where(mask, image, np.median(image[mask]))
  seen = levels.level(filled, mask, max(size))
  gray, inside = (np.asarray(one)[: size[0], : size[1]] for one in (seen.gray, seen.mask))
  sift = cv2.SIFT_create(_MOST, contrastThreshold=_CONTRAST, enable_precise_upscale=True)
  found, descriptors = sift.detectAndCompute(np.uint8(np.rint(255 * gray)), np.uint8(255 * inside))
  frame = np.float64(seen.frame)
  if descriptors is None:
    return np.zeros((0, 2)), np.zeros((0, 128), np.float32), frame
  if not mask.all():  # a descriptor sees its surroundings
    away = cv2.distanceTransform(np.uint8(inside), cv2.DIST_L2, 3)
    kept = [k for k, one in enumerate(found) if away[int(one.pt[1]), int(one.pt[0])] >= _SUPPORT * one.size]
    found, descriptors = [found[k] for k in kept], descriptors[kept]
  points = transforms.mapped(np.linalg.inv(frame), np.float64([one.pt for one in found]).reshape(-1, 2))
  # The Hellinger distance of descriptors: Arandjelovic and Zisserman, 2012.
  return points, np.sqrt(descriptors / np.maximum(descriptors.sum(1, keepdims=True), 1e-9)), frame


def _matched(points, one, moved, two, parameters: np.ndarray, reach: float) -> np.ndarray:
  """[M, 2]: which features are each other's best, and clearly so, among those within reach."""
  back = transforms.mapped(np.linalg.inv(transforms.homography(parameters, np)), moved)
  near = np.uint8(sum((points[:, None, axis] - back[None, :, axis]) ** 2 for axis in (0, 1)) < reach**2)
  matcher = cv2.BFMatcher()
  best_of = {match.queryIdx: match.trainIdx for match in matcher.match(two, one, np.ascontiguousarray(near.T))}
  pairs = [(best.queryIdx, best.trainIdx) for best, *others in filter(None, matcher.knnMatch(one, two, 2, near))
           if all(best.distance < _RATIO * other.distance for other in others)
           and best_of.get(best.trainIdx) == best.queryIdx]  # fmt: skip
  return np.array(pairs, int).reshape(-1, 2)


def _fitted(here, there, cells: np.ndarray, start: np.ndarray, deviations: np.ndarray, unit: float) -> Agreement:
  """Gauss-Newton on reweighted features (Geman and McClure's function), variances estimated beside the parameters.
  unit: pixels of a normalised coordinate."""
  free = deviations > 0
  precision = np.where(np.isfinite(deviations) & free, 1 / np.where(free, deviations, 1.0) ** 2, 0.0)
  mapped = lambda parameters: transforms.mapped(transforms.homography(parameters, np), here)  # noqa: E731
  total = lambda values: np.bincount(cells, values, _CELLS[0] * _CELLS[1])  # noqa: E731
  small, parameters = 1e-5 * np.eye(len(start)), start
  for _ in range(_STEPS):
    away = there - mapped(parameters)
    scale = max(np.median(np.linalg.norm(away, axis=1)) / np.sqrt(2 * np.log(2)), 1.5 * _SURELY[0] / unit)
    robust = (1 + (away**2).sum(1) / (2 * scale) ** 2) ** -2
    count = total(robust)
    means = np.stack([total(robust * away[:, axis]) for axis in (0, 1)], -1) / np.maximum(count, 1e-9)[:, None]
    held = count > 0.5
    spread = 0.5 * (robust * ((away - means[cells]) ** 2).sum(1)).sum() / max(count.sum() - held.sum(), 1.0)
    within = max(spread, (_SURELY[0] / unit) ** 2)
    # The median of the squared means is robust too; what a cell's features account for is no variance among cells.
    among = np.median((means[held] ** 2).sum(1)) / (2 * np.log(2)) - within / np.median(count[held])
    between = max(among, (_SURELY[1] / unit) ** 2)
    weights = robust / (within + count[cells] * between)
    jacobian = np.stack([(mapped(parameters + step) - mapped(parameters - step)) / 2e-5 for step in small], -1)
    gradient = np.einsum("n,nik,ni->k", weights, jacobian, away) - precision * parameters
    curvature = np.einsum("n,nik,nil->kl", weights, jacobian, jacobian) + np.diag(precision + 1e-6)
    step = np.zeros(len(start))
    step[free] = np.linalg.solve(curvature[np.ix_(free, free)], gradient[free])
    parameters = parameters + step
  within, between = unit * np.sqrt(within), unit * np.sqrt(between)
  return Agreement(parameters, int((robust > 0.25).sum()), int(held.sum()), within, between)
