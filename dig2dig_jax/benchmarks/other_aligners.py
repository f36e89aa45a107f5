"""What do other programs make of a warped pair? OpenCV's aligners, and mutual information as SimpleITK has it.

Each takes (reference, source, its mask), luminance uint8 [H, W] and bool, and returns (matrix from pixels of the
reference to pixels of the source, confidence). None of them refuses by itself: what it maximises stands for its
confidence where that is a correlation; the others always believe what they find.
"""

import importlib.util
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np

from dig2dig_jax.alignment import transforms

Aligns = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, float]]
_STEPS, _LEAST = 100, 1e-5  # of ECC
_STARTS = tuple(itertools.product((-6, 0, 6), (0.8, 1.0, 1.25)))  # degrees and scales
_SHORT = 256  # pixels of the longer side that starts are tried at
_INLIERS = 40  # features that a registration by them stands on
_BITS, _SMALLEST = 6, 8  # AlignMTB: levels at most, and pixels of the shorter side at the last
_MUTUAL = {"bins": 32, "share": 0.5, "levels": (4, 2, 1), "sigmas": (2, 1, 0), "steps": 100}


def phase(reference: np.ndarray, source: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, float]:
  """A shift, by the peak of the phase correlation; believed where OpenCV's response is a half or more."""
  same = _of_size(reference, source)
  (x, y), response = cv2.phaseCorrelate(np.float32(reference), np.float32(same), cv2.createHanningWindow(
    reference.shape[::-1], cv2.CV_32F))  # fmt: skip
  return _back(reference, source) @ np.array([[1, 0, x], [0, 1, y], [0, 0, 1]]), float(response)


def ecc(of: Callable[[np.ndarray], np.ndarray]) -> Aligns:
  """OpenCV's ECC with a homography, on what `of` makes of the images; believed from a correlation of a half."""

  def align(reference, source, mask):
    same, seen = _of_size(reference, source), _of_size(reference, np.uint8(mask) * 255)
    found, correlation = _ecc(of(reference), of(same), seen, np.eye(3, dtype=np.float32))
    return _back(reference, source) @ np.float64(found), correlation

  return align


def multi_start_ecc(reference: np.ndarray, source: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, float]:
  """ECC on normalised gradients from nine rotations and scales at a lower resolution, the best of which is refined."""
  same, seen = _of_size(reference, source), _of_size(reference, np.uint8(mask) * 255)
  shrink = min(1.0, _SHORT / max(reference.shape))
  size = [max(16, round(side * shrink)) for side in reference.shape[::-1]]
  small = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in (reference, same)]
  inside = cv2.resize(seen, size, interpolation=cv2.INTER_NEAREST)
  maps, best = [normalised_gradients(image) for image in small], (np.eye(3), -1.0)
  for angle, scale in _STARTS:
    start = np.eye(3, dtype=np.float32)
    start[:2] = cv2.getRotationMatrix2D(((size[0] - 1) / 2, (size[1] - 1) / 2), angle, scale)
    found, correlation = _ecc(*maps, inside, start)
    best = max(best, (found, correlation), key=lambda one: one[1])
  enlarge = transforms.scaling(reference.shape[1] / size[0], reference.shape[0] / size[1])
  start = np.float32(enlarge @ best[0] @ np.linalg.inv(enlarge))
  found, correlation = _ecc(normalised_gradients(reference), normalised_gradients(same), seen, start)
  return _back(reference, source) @ np.float64(found), correlation


def _ecc(reference, source, seen, start: np.ndarray) -> tuple[np.ndarray, float]:
  ends = cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _STEPS, _LEAST
  try:
    correlation, found = cv2.findTransformECC(reference, source, start.copy(), cv2.MOTION_HOMOGRAPHY, ends, seen, 5)
  except cv2.error:  # it does not converge
    return start, 0.0
  return found, float(correlation)


def median_bitmaps(reference: np.ndarray, source: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, float]:
  """A shift, by OpenCV's median threshold bitmaps (AlignMTB), made for brackets; it always believes it."""
  same = np.ascontiguousarray(_of_size(reference, source))
  bits = min(_BITS, int(np.log2(max(min(reference.shape) / _SMALLEST, 2))))
  x, y = cv2.createAlignMTB(max_bits=bits).calculateShift(np.ascontiguousarray(reference), same)
  return _back(reference, source) @ np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1]], np.float64), 1.0


def mutual_information(reference: np.ndarray, source: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, float]:
  """A similarity by Mattes' mutual information, SimpleITK's, over three resolutions; it always believes it."""
  import SimpleITK as itk

  itk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
  same, seen = _of_size(reference, source), _of_size(reference, np.uint8(mask))
  fixed, moving = (itk.GetImageFromArray(np.float32(image)) for image in (reference, same))
  method = itk.ImageRegistrationMethod()
  method.SetMetricAsMattesMutualInformation(_MUTUAL["bins"])
  method.SetMetricSamplingStrategy(method.REGULAR)
  method.SetMetricSamplingPercentage(_MUTUAL["share"])
  method.SetMetricMovingMask(itk.GetImageFromArray(seen))
  method.SetInterpolator(itk.sitkLinear)
  method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, _MUTUAL["steps"])
  method.SetOptimizerScalesFromPhysicalShift()
  method.SetShrinkFactorsPerLevel(_MUTUAL["levels"])
  method.SetSmoothingSigmasPerLevel(_MUTUAL["sigmas"])
  start = itk.Similarity2DTransform()
  start.SetCenter([(side - 1) / 2 for side in reference.shape[::-1]])
  method.SetInitialTransform(start, inPlace=True)
  try:
    method.Execute(fixed, moving)
  except RuntimeError:  # nothing of one lies on the other
    return _back(reference, source), 0.0
  ends = transforms.corners(*reference.shape)
  moved = np.float32([start.TransformPoint([float(x), float(y)]) for x, y in ends])
  return _back(reference, source) @ cv2.getPerspectiveTransform(np.float32(ends), moved), 1.0


def by_features(reference: np.ndarray, source: np.ndarray) -> np.ndarray | None:
  """The homography of OpenCV's SIFT and RANSAC, pixels of the reference -> pixels of the source, between images of one
  modality; None where fewer than `_INLIERS` features agree to a pixel and a half."""
  sift = cv2.SIFT_create(contrastThreshold=0.01)
  (points, one), (moved, two) = (sift.detectAndCompute(image, None) for image in (reference, source))
  if one is None or two is None or min(len(one), len(two)) < _INLIERS:
    return None
  pairs = [best for best, second in cv2.BFMatcher().knnMatch(one, two, k=2) if best.distance < 0.75 * second.distance]
  if len(pairs) < _INLIERS:
    return None
  here, there = np.float32([points[m.queryIdx].pt for m in pairs]), np.float32([moved[m.trainIdx].pt for m in pairs])
  matrix, kept = cv2.findHomography(here, there, cv2.RANSAC, 1.5, maxIters=5000)
  return None if matrix is None or kept.sum() < _INLIERS else matrix


def gradients(image: np.ndarray) -> np.ndarray:
  """Their strength, float32 [H, W]."""
  x, y = _slopes(image)
  return cv2.magnitude(x, y)


def normalised_gradients(image: np.ndarray) -> np.ndarray:
  """Their strength over its mean around."""
  strength = gradients(image)
  usual = cv2.GaussianBlur(strength, (0, 0), 8.0)
  return strength / (usual + 0.1 * float(strength.mean()) + 1e-6)


def _slopes(image: np.ndarray) -> tuple[Any, Any]:
  smooth = cv2.GaussianBlur(np.float32(image), (0, 0), 1.5)
  return cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)


def _of_size(reference, source):
  return source if source.shape == reference.shape else cv2.resize(source, reference.shape[::-1])


def _back(reference, source) -> np.ndarray:
  """Pixels of the resized source -> its own."""
  return transforms.scaling(source.shape[1] / reference.shape[1], source.shape[0] / reference.shape[0])


def others() -> Mapping[str, Aligns]:
  """By the names of their rows. SimpleITK's is there where that is installed."""
  found: dict[str, Aligns] = {
    "phase correlation": phase,
    "ECC": ecc(np.float32),
    "ECC of gradients": ecc(gradients),
    "ECC, nine starts": multi_start_ecc,
    "AlignMTB": median_bitmaps,
  }
  if importlib.util.find_spec("SimpleITK") is not None:
    found["mutual information"] = mutual_information
  return found
