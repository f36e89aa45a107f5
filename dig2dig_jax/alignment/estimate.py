"""Which transform brings one image onto another, whatever the cameras, and is it to be believed?

Starts on a coarse grid (`starts`), the best of which are refined on surfaces of block matches (`surfaces`, `fit`) at
rising resolutions, as long as a finer one says where the source lies more sharply. What is believed may then be taken
from point features, where they agree (`features`), or a richer model, where that is supported (`evidence`, `flow`).
Images come in as arrays on the host, every program is
jitted for a padded square, whose side is one of a few: any images share them.
"""

from typing import NamedTuple

import cv2
import jax
import numpy as np

from dig2dig_jax.alignment import confidence, descriptor, evidence, features, flow, starts, transforms
from dig2dig_jax.alignment.fit import Fit, fit
from dig2dig_jax.alignment.levels import Level, are_scans, level, luminance, of_side
from dig2dig_jax.alignment.surfaces import Surfaces, measure

SEARCH, START, SIDE, FINER = 96, 224, 320, (640, 1280)  # longer sides of the images as they are compared
TRIED = 2  # starts of the grid that are refined

_FREE, _FIXED = np.inf, 0.0
# What is known beforehand of the parameters of `transforms`: two cameras that look the same way differ by a similarity,
# and little else, unless the images support more.
ALIKE = (*[_FREE] * 4, 0.002, 0.002, 0.0015, 0.0015)
_KNOWN = {
  "auto": ALIKE,
  "flow": ALIKE,
  "translation": (*[_FREE] * 2, *[_FIXED] * 6),
  "similarity": (*[_FREE] * 4, *[_FIXED] * 4),
  "affine": (*[_FREE] * 4, 0.02, 0.02, *[_FIXED] * 2),
  "homography": (*[_FREE] * 4, 0.02, 0.02, 0.015, 0.015),
}
_RICHER = np.float32((*[_FREE] * 4, 0.008, 0.008, 0.006, 0.006))
MODELS = tuple(_KNOWN)
WIDE = np.float32([6, 6, 5, 5, 4, 4, 3, 3, 2.5, 2, 2, 1.5, 1.5, 1.5])  # of the fit's windows, in pixels
_NARROW = np.float32([4, 3, 3, 2.5, 2, 2, 1.5, 1.5, 1.5])
REACH = 16  # pixels
_PLAIN = 1.5  # nats per block, of a start that needs no others beside it
_SQUEEZED = 0.03  # natural logarithm of two aspects' ratio, from which one may be squeezed
_FEW = 16  # pixels that an image has to show at least
_WORTH = 0.75  # of a side that an image has at least to be compared at it


class Alignment(NamedTuple):
  """matrix: [3, 3] float64, pixels (x, y) of the reference -> pixels of the source, centres of pixels being whole
  numbers. confidence: 0 to 1. gain: what it was found by, in nats per block. model: a word of `MODELS`. flow: [R, K, 2]
  float64, displacements of the reference's points, in its pixels, before the matrix is applied, see `spline`; None for
  none. bounded: what the flow was multiplied by to keep it from tearing; 1 for as it was found. features: how many
  point features the matrix was taken from; 0 where it is that of the blocks."""

  matrix: np.ndarray
  confidence: float
  gain: float
  model: str
  flow: np.ndarray | None = None
  bounded: float = 1.0
  features: int = 0

  @property
  def accepted(self) -> bool:
    """Whether it is to be believed."""
    return self.confidence >= confidence.ACCEPTED


def estimate(
  reference: np.ndarray,
  source: np.ndarray,
  *,
  model: str = "auto",
  reference_mask: np.ndarray | None = None,
  source_mask: np.ndarray | None = None,
) -> Alignment:
  """The transform from the reference's pixels to the source's.

  Args:
    reference, source: [H, W] or [H, W, 3], of any real values and any two sizes; what one of them calls black does not
      matter.
    model: a word of `MODELS`. `auto` lets a similarity vary freely and the rest of a homography a little, or more where
      that predicts parts of the image better that it was not fitted to; `flow` adds a smooth displacement, under the
      same condition.
    reference_mask, source_mask: bool [H, W], where each is valid; None for everywhere.

  Where the aspects differ and no such transform is plainly right, the source may be a whole frame that was squeezed: it
  is tried at the reference's aspect too.

  Returns an alignment, which may be one not to be believed: see `Alignment.accepted`.
  """
  if model not in MODELS:
    raise ValueError(f"model: expected one of {', '.join(MODELS)}, found {model!r}")
  found = _estimate(reference, source, model, reference_mask, source_mask)
  (height, width), (own_height, own_width) = reference.shape[:2], source.shape[:2]
  if found.gain >= _PLAIN or abs(np.log(own_width / own_height * height / width)) < _SQUEEZED:
    return found
  tall = max(1, round(np.sqrt(own_height * own_width * height / width)))
  size = max(1, round(own_height * own_width / tall)), tall  # as many pixels; width first, as OpenCV has it
  as_wide = cv2.resize(np.asarray(source, np.float32), size, interpolation=cv2.INTER_AREA)
  mask = None if source_mask is None else cv2.resize(np.uint8(source_mask), size, interpolation=cv2.INTER_NEAREST) > 0
  other = _estimate(reference, as_wide, model, reference_mask, mask)
  if other.gain <= found.gain:
    return found
  return other._replace(matrix=transforms.scaling(own_width / size[0], own_height / size[1]) @ other.matrix)


def _estimate(reference, source, model, reference_mask, source_mask) -> Alignment:
  images, masks = seen(reference, source, reference_mask, source_mask)
  if nothing_to_see(images, masks):
    return Alignment(_in_pixels(None, images), 0.0, 0.0, model)
  known, scans = np.float32(_KNOWN[model]), are_scans(images, masks)
  params = descriptor.embedded(scans)
  parameters = _found(images, masks, params, known, turns=model != "translation")
  parameters, _ = _refined(_look(images, masks, params, SIDE, parameters), known, WIDE)
  view = _look(images, masks, params, SIDE, parameters)
  parameters, gain = _refined(view, known, _NARROW)
  believed = confidence.of_gain(gain, scans=scans)
  if believed < confidence.ACCEPTED:
    return Alignment(_in_pixels(parameters, images), believed, gain, model)
  view, parameters = _finer(images, masks, params, view, parameters, gain, known)
  halves = evidence.halves(lambda half: _fitted(view, known, _NARROW, half))
  believed = min(believed, confidence.of_halves(halves, images[0].shape))
  if believed < confidence.ACCEPTED:
    return Alignment(_in_pixels(parameters, images), believed, gain, model)
  prior = _RICHER if model in ("auto", "flow") else known
  parameters, count = _closer(images, masks, view, parameters, prior, evidence.predicted(halves))
  found = Alignment(_in_pixels(parameters, images), believed, gain, model, features=count)
  if model == "flow":
    shape = images[0].shape
    bent = flow.find(params, *view.levels, parameters, of_side(shape, view.side), REACH)
    if bent is not None:
      found = found._replace(flow=bent.grid * transforms.frame(*shape)[0, 0], bounded=bent.bounded)
  return found


def seen(reference, source, reference_mask, source_mask) -> tuple[list[np.ndarray], list[np.ndarray]]:
  """(luminance, bool masks) of both, each [H, W], of the arguments of `estimate`."""
  images = [luminance(reference), luminance(source)]
  masks = [np.ones(image.shape, bool) if mask is None else np.asarray(mask, bool)
           for image, mask in zip(images, (reference_mask, source_mask), strict=True)]  # fmt: skip
  return images, masks


def nothing_to_see(images, masks) -> bool:
  """Whether one of them is hidden, or of one value."""
  few = min(mask.sum() for mask in masks) < _FEW
  return few or any(np.ptp(image[mask]) == 0 for image, mask in zip(images, masks, strict=True))


def _closer(images, masks, view: "_View", parameters, prior, plain: np.ndarray) -> tuple[np.ndarray, int]:
  """(parameters, how many features they are of): where features agree and the blocks do not object, theirs; else those
  of the richer model, where blocks support it. plain: gains that are predicted without it."""
  agreed = features.agreement(images, masks, parameters, prior)
  if agreed is not None and agreed.settled:
    there, held = np.float32(agreed.parameters), np.zeros_like(prior)
    gain = fit(view.surfaces, view.levels[0].frame, there, view.around, held, _NARROW, evidence.ALL).gain
    if not evidence.is_better(plain, np.asarray(gain)):
      return there, agreed.count
  if prior is _RICHER:
    rich = evidence.predicted(evidence.halves(lambda half: _fitted(view, prior, _NARROW, half)))
    if evidence.is_better(rich, plain):
      return _refined(view, prior, _NARROW)[0], 0
  return parameters, 0


def _finer(images, masks, params, view: "_View", parameters, gain: float, known) -> tuple["_View", np.ndarray]:
  """The view and the fit at the largest side that says more sharply where the source lies: by the mean likelihood per
  area of the reference, since as many displacements cover a quarter of the area at twice the side."""
  for side in FINER:
    if max(images[0].shape) <= _WORTH * side:
      break
    closer = _look(images, masks, params, side, parameters)
    refined, found = _refined(closer, known, _NARROW)
    found += 2 * np.log(side / SIDE)
    if found < gain:
      break
    view, parameters, gain = closer, refined, found
  return view, parameters


def _found(images, masks, params, known, *, turns: bool) -> np.ndarray:
  """Parameters to refine: from the frames laid on each other where that is plainly right, else the best start."""
  tried = [_refined(_look(images, masks, params, START, np.zeros(transforms.PARAMETERS, np.float32)), known, WIDE)]
  if tried[0][1] < _PLAIN:
    levels = [level(image, mask, SEARCH) for image, mask in zip(images, masks, strict=True)]
    found, correlations = starts.search(*levels, starts.grid(turns=turns), SEARCH // 4)
    best = np.argsort(-np.asarray(correlations))[:TRIED]
    tried += [_refined(_look(images, masks, params, START, start), known, WIDE) for start in np.asarray(found)[best]]
  return max(tried, key=lambda one: one[1])[0]


class _View(NamedTuple):
  """What there is to be seen around a transform of parameters [8] at a longer side of so many pixels."""

  side: int
  levels: tuple[Level, Level]
  around: np.ndarray
  surfaces: Surfaces


def _look(images, masks, params, side: int, around: np.ndarray) -> _View:
  reference, source = (level(image, mask, side) for image, mask in zip(images, masks, strict=True))
  size = np.float32(of_side(images[0].shape, side))
  return _View(side, (reference, source), around, measure(params, reference, source, around, flow.NONE, size, REACH))


def _fitted(view: _View, known, widths, among=evidence.ALL) -> Fit:
  return fit(view.surfaces, view.levels[0].frame, view.around, view.around, known, widths, among)


def _refined(view: _View, known, widths) -> tuple[np.ndarray, float]:
  """(parameters [8], mean gain) of a fit to all blocks."""
  found = _fitted(view, known, widths)
  return np.asarray(found.parameters), float(np.mean(found.gain))


def _in_pixels(parameters: np.ndarray | None, images) -> np.ndarray:
  """[3, 3], float64; None lays the frames on each other."""
  own = np.eye(3) if parameters is None else np.asarray(_homography(np.float32(parameters)), np.float64)
  matrix = transforms.frame(*images[1].shape) @ own @ np.linalg.inv(transforms.frame(*images[0].shape))
  return matrix / matrix[2, 2]


_homography = jax.jit(transforms.homography)
