"""Which transform brings one image onto another, whatever the cameras, and is it to be believed?

Starts on a coarse grid (`starts`), the best of which are refined on surfaces of block matches (`surfaces`, `fit`) at
rising resolutions. Images come in as arrays on the host, every program is jitted for a padded square, whose side is one
of a few: any images share them.
"""

from typing import NamedTuple

import cv2
import jax
import numpy as np

from dig2dig_jax.alignment import starts, transforms
from dig2dig_jax.alignment.fit import fit
from dig2dig_jax.alignment.starts import Level
from dig2dig_jax.alignment.surfaces import measure
from dig2dig_jax.ops import color

SEARCH, START, SIDE, FINER = 96, 224, 320, (640, 1280)  # longer sides of the images as they are compared
TRIED = 2  # starts of the grid that are refined
ACCEPTED = 0.5  # least confidence

_FREE, _FIXED = np.inf, 0.0
# What is known beforehand of the parameters of `transforms`: two cameras that look the same way differ by a similarity,
# and little else.
_KNOWN = {
  "auto": (*[_FREE] * 4, 0.002, 0.002, 0.0015, 0.0015),
  "translation": (*[_FREE] * 2, *[_FIXED] * 6),
  "similarity": (*[_FREE] * 4, *[_FIXED] * 4),
  "affine": (*[_FREE] * 4, 0.02, 0.02, *[_FIXED] * 2),
  "homography": (*[_FREE] * 4, 0.02, 0.02, 0.015, 0.015),
}
MODELS = tuple(_KNOWN)
_WIDE = np.float32([6, 6, 5, 5, 4, 4, 3, 3, 2.5, 2, 2, 1.5, 1.5, 1.5])  # of the fit's windows, in pixels
_NARROW = np.float32([4, 3, 3, 2.5, 2, 2, 1.5, 1.5, 1.5])
_REACH = 16  # pixels
_PLAIN = 1.5  # nats per block, of a start that needs no others beside it
_SQUEEZED = 0.03  # natural logarithm of two aspects' ratio, from which one may be squeezed
_WORTH = 0.75  # of a side that an image has at least to be compared at it
# Confidence is a logistic function of the mean gain, in nats per block.
_HALF, _SLOPE = 0.4, 0.08
# Heads on black look alike, whoever's they are, and edges of two kinds of scan are of different tissue: more is asked.
_HALF_OF_SCANS = 1.5
_ON_BLACK, _BLACK = 0.35, 0.03  # share of the pixels that are black in every scan, and of the range that counts as it
_TAIL = 1.0  # percent of either end of an image's values that are clipped


class Alignment(NamedTuple):
  """matrix: [3, 3] float64, pixels (x, y) of the reference -> pixels of the source, centres of pixels being whole
  numbers. confidence: 0 to 1. gain: what it was found by, in nats per block. model: a word of `MODELS`."""

  matrix: np.ndarray
  confidence: float
  gain: float
  model: str

  @property
  def accepted(self) -> bool:
    """Whether it is to be believed."""
    return self.confidence >= ACCEPTED


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
    model: a word of `MODELS`. `auto` lets a similarity vary freely and the rest of a homography a little.
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
  images = [_gray(reference), _gray(source)]
  masks = [np.ones(image.shape, bool) if mask is None else np.asarray(mask, bool)
           for image, mask in zip(images, (reference_mask, source_mask), strict=True)]  # fmt: skip
  if min(mask.sum() for mask in masks) < 16 or any(np.ptp(i[m]) == 0 for i, m in zip(images, masks, strict=True)):
    return Alignment(_by_frames(images), 0.0, 0.0, model)  # nothing to see
  known = np.float32(_KNOWN[model])
  parameters = _found(images, masks, known, turns=model != "translation")
  parameters, _ = _refined(images, masks, SIDE, parameters, known, _WIDE)
  parameters, gain = _refined(images, masks, SIDE, parameters, known, _NARROW)
  for side in FINER:
    if max(images[0].shape) > _WORTH * side:
      parameters, _ = _refined(images, masks, side, parameters, known, _NARROW)
  matrix = _frame(images[1].shape) @ _matrix(parameters) @ np.linalg.inv(_frame(images[0].shape))
  scans = all(_on_black(image[mask]) for image, mask in zip(images, masks, strict=True))
  confidence = float(1 / (1 + np.exp(-(gain - (_HALF_OF_SCANS if scans else _HALF)) / _SLOPE)))
  return Alignment(matrix / matrix[2, 2], confidence, gain, model)


def _on_black(values: np.ndarray) -> bool:
  return float(np.mean(values <= values.min() + _BLACK * np.ptp(values))) >= _ON_BLACK


def level(image: np.ndarray, mask: np.ndarray, side: int) -> Level:
  """An image [H, W] whose longer side becomes `side`, its values replaced by their ranks: exposures of one scene become
  alike, and what is dark has edges too."""
  height, width = image.shape
  scale = side / max(height, width)
  rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
  way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
  small = cv2.resize(image, (columns, rows), interpolation=way)
  seen = cv2.resize(mask.astype(np.float32), (columns, rows), interpolation=way) > 0.999
  gray, valid = np.zeros((2, side, side), np.float32)
  valid[:rows, :columns] = seen
  gray[:rows, :columns] = _ranks(small, small[seen]) if seen.any() else 0
  frame = transforms.scaling(columns / width, rows / height) @ _frame(image.shape)
  return Level(gray, valid, np.float32(frame))


def _ranks(image: np.ndarray, among: np.ndarray) -> np.ndarray:
  """Share of `among` that lies below each value, ties counted half; its ends clipped, 0 to 1."""
  ordered = np.sort(among)
  ranks = 0.5 * (np.searchsorted(ordered, image, "left") + np.searchsorted(ordered, image, "right")) / len(ordered)
  low, high = np.percentile(ranks.ravel(), [_TAIL, 100 - _TAIL])
  return np.clip((ranks - low) / max(high - low, 1e-3), 0, 1)


def _found(images, masks, known, *, turns: bool) -> np.ndarray:
  """Parameters to refine: from the frames laid on each other where that is plainly right, else the best start."""
  tried = [_refined(images, masks, START, np.zeros(transforms.PARAMETERS, np.float32), known, _WIDE)]
  if tried[0][1] < _PLAIN:
    levels = [level(image, mask, SEARCH) for image, mask in zip(images, masks, strict=True)]
    found, correlations = starts.search(*levels, starts.grid(turns=turns), SEARCH // 4)
    best = np.argsort(-np.asarray(correlations))[:TRIED]
    tried += [_refined(images, masks, START, start, known, _WIDE) for start in np.asarray(found)[best]]
  return max(tried, key=lambda one: one[1])[0]


def _refined(images, masks, side, start, known, widths) -> tuple[np.ndarray, float]:
  """(parameters [8], mean gain) of a fit around a start, at a longer side of so many pixels."""
  reference, source = (level(image, mask, side) for image, mask in zip(images, masks, strict=True))
  scale = side / max(images[0].shape)
  size = np.float32([max(1, round(length * scale)) for length in images[0].shape])
  found = fit(measure(reference, source, start, size, _REACH), reference.frame, start, start, known, widths)
  return np.asarray(found.parameters), float(np.mean(found.gain))


def _gray(image: np.ndarray) -> np.ndarray:
  """Luminance, float32 [H, W]."""
  image = np.asarray(image, np.float32)
  if image.ndim == 3 and image.shape[-1] == 3:
    image = image @ color.LUMA
  return np.ascontiguousarray(image.reshape(image.shape[:2]))


def _frame(shape) -> np.ndarray:
  return transforms.frame(*shape)


def _matrix(parameters: np.ndarray) -> np.ndarray:
  return np.asarray(_homography(np.float32(parameters)), np.float64)


def _by_frames(images) -> np.ndarray:
  return _frame(images[1].shape) @ np.linalg.inv(_frame(images[0].shape))


_homography = jax.jit(transforms.homography)
