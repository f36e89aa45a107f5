"""What does each method make of sources that do not lie on each other? The second one is moved; how much is lost?

Scores are against the sources as they lay: what a fusion of the moved pair still shows of both. Beside them PSNR to the
same method's own fusion of the pair as it lay, which has no opinion on what a good fusion is.
"""

from collections.abc import Callable, Mapping

import cv2
import numpy as np

from dig2dig_jax import metrics
from dig2dig_jax.benchmarks.degraded import similarity
from dig2dig_jax.benchmarks.degraded_rows import Rule
from dig2dig_jax.data.images import to_uint8
from dig2dig_jax.data.pairs import LoadedPair

MEASURES = ("MEF_MS_SSIM", "Qabf_petrovic", "VIFF")


def _shift(pixels: float) -> Callable[[np.ndarray], np.ndarray]:
  return lambda image: _warped(image, np.array([[1, 0, pixels], [0, 1, 0]], np.float64))


def _rotation(degrees: float) -> Callable[[np.ndarray], np.ndarray]:
  def turn(image):
    middle = (image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2
    return _warped(image, cv2.getRotationMatrix2D(middle, degrees, 1))

  return turn


def _parallax(pixels: float) -> Callable[[np.ndarray], np.ndarray]:
  """Rows shift the farther the nearer they are: not at the top, by `pixels` at the bottom, as a road does."""

  def move(image):
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    return cv2.remap(image, columns + pixels * rows / image.shape[0], rows, cv2.INTER_CUBIC, borderMode=_BORDER)

  return move


_BORDER = cv2.BORDER_REFLECT_101


def _warped(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
  return cv2.warpAffine(image, matrix, image.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=_BORDER)


MOVES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
  "none": lambda image: image,
  **{f"shift {pixels} px": _shift(pixels) for pixels in (1, 2, 4, 8)},
  **{f"rotation {degrees} degrees": _rotation(degrees) for degrees in (1, 3)},
  **{f"parallax to {pixels} px": _parallax(pixels) for pixels in (4, 8)},
}


def rows(pairs: list[LoadedPair], rules: Mapping[str, Rule]) -> list[list[str]]:
  """A line per move and rule, means over the pairs: [move, rule, *MEASURES, PSNR to its own]."""
  lines = []
  own = {(name, pair.name): rule(pair.sources, pair.name) for name, rule in rules.items() for pair in pairs}
  for move, moved_by in MOVES.items():
    for name, rule in rules.items():
      scores = []
      for pair in pairs:
        moved = np.stack([*pair.sources[:-1], np.clip(moved_by(pair.sources[-1]), -1, 1)])
        fused, alone = (metrics.to_gray(to_uint8(image)) for image in (rule(moved, pair.name), own[name, pair.name]))
        found = metrics.score([metrics.to_gray(to_uint8(source)) for source in pair.sources], fused, MEASURES)
        scores.append([*(found[measure] for measure in MEASURES), similarity(alone, fused)[0]])
      *mean, psnr = np.mean(scores, axis=0)
      lines.append([move, name, *(f"{value:.4f}" for value in mean), "same" if np.isinf(psnr) else f"{psnr:.1f}"])
  return lines


HEADER = ("second source moved by", "method", *(f"{name} ↑" for name in MEASURES), "PSNR to its own, dB")
