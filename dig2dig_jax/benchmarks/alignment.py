"""How often is a warped pair brought back, and how often is it believed what should not be?

Every pair of a folder is warped by a seeded transform (`warps`) and aligned; and it is aligned with the warped image of
another pair, which should be refused. The error is the mean distance of the reference's four corners. Registered pairs
are registered as well as their publishers could: where a pair lies off its own registration as it is published, by how
much is part of every error. Errors are therefore also counted from what the same program finds for the pair before it
is warped, which is how well it repeats itself.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from dig2dig_jax.alignment.estimate import ACCEPTED, estimate
from dig2dig_jax.alignment.transforms import corner_error
from dig2dig_jax.benchmarks import warps
from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.errors import UserError
from dig2dig_jax.escape import table
from dig2dig_jax.ops import color
from dig2dig_jax.record import environment, make_folder, write_text

NEAR, FAR = 3.0, 5.0  # pixels
_OTHER = 3  # pairs further on is the other scene
_STEPS, _LEAST = 100, 1e-5  # of ECC

# (reference, source, its mask) -> (matrix, confidence)
Aligns = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, float]]


class Row(NamedTuple):
  """One pair, one method. repeat: the error from the pair's own alignment. other: the confidence in a pair of two
  scenes. None where it was not asked."""

  pair: str
  cameras: str
  method: str
  error: float
  repeat: float | None
  confidence: float
  other: float | None
  seconds: float


def run(
  pairs: Sequence[Pair], out: Path, *, ranges: Sequence[str] = (), limit: int = 0, seed: int = 0, peers: bool = True
) -> str:
  """Writes alignment.json and .md into `out`; returns the Markdown table.

  Args:
    pairs: registered pairs, of which the second source is warped.
    ranges: keys of `warps.RANGES`; all by default.
    limit: so many pairs, spread evenly; 0 takes all.
    seed: of the warps.
    peers: phase correlation and OpenCV's ECC as rows too.
  """
  if unknown := [name for name in ranges if name not in warps.RANGES]:
    raise UserError(f"--cases={unknown[0]}: expected among {', '.join(warps.RANGES)}")
  if len(pairs) < 2:
    raise UserError(f"expected two or more pairs, to distinguish scenes, found {len(pairs)}; see --data")
  make_folder(out)
  chosen = np.linspace(0, len(pairs) - 1, min(limit or len(pairs), len(pairs))).round().astype(int)
  images = {int(k): _images(pairs[k]) for k in chosen}
  own = {k: _ours(*found, np.ones(found[1].shape, bool))[0] for k, found in images.items()}
  away = _OTHER % len(chosen) or 1
  rows = []
  for cameras in ranges or warps.RANGES:
    for place, k in enumerate(tqdm(chosen, unit="pair", disable=None)):
      reference, source = images[int(k)]
      other = images[int(chosen[(place + away) % len(chosen)])][0]
      warped = warps.warp(source, np.random.default_rng([seed, int(k)]), warps.RANGES[cameras])
      for method, align in (METHODS if peers else {OURS: METHODS[OURS]}).items():
        rows.append(_row(pairs[k].name, cameras, method, align, reference, own[int(k)], other, warped))
  text = markdown(rows)
  record = {"rows": [row._asdict() for row in rows], "environment": environment()}
  write_text(out / "alignment.json", json.dumps(record, indent=1) + "\n")
  write_text(out / "alignment.md", text)
  return text


def _row(name, cameras, method, align: Aligns, reference, own, other, warped: warps.Warped) -> Row:
  size, ours = reference.shape[:2], method == OURS
  start = time.monotonic()
  matrix, confidence = align(reference, warped.image, warped.mask)
  seconds = time.monotonic() - start
  error, repeat, of_other = corner_error(matrix, warped.matrix, *size), None, None
  scale = _pixels_of_reference(warped, size)
  if ours:
    repeat = scale * corner_error(matrix, warped.matrix @ own, *size)
    _, of_other = align(other, warped.image, warped.mask)
  return Row(name, cameras, method, scale * error, repeat, confidence, of_other, seconds)


def _pixels_of_reference(warped: warps.Warped, size) -> float:
  """Errors are counted in pixels of the reference: a source of a quarter of its resolution has larger ones."""
  return max(size) / max(warped.image.shape[:2])


def _images(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
  """Luminance, uint8 [H, W], of the first source and of the second."""
  found = [image.pixels for image in pair.read().values()]
  gray = [np.uint8(np.clip(np.rint(127.5 * (pixels @ color.LUMA)[..., 0] + 127.5), 0, 255)) for pixels in found[:2]]
  return gray[0], gray[1]


def _ours(reference, source, mask):
  found = estimate(reference, source, source_mask=mask)
  return found.matrix, found.confidence


def _phase(reference, source, mask):
  """A shift, by the peak of the phase correlation; believed where OpenCV's response is a half or more."""
  same = _of_size(reference, source)
  (x, y), response = cv2.phaseCorrelate(np.float32(reference), np.float32(same), cv2.createHanningWindow(
    reference.shape[::-1], cv2.CV_32F))  # fmt: skip
  return _back(reference, source) @ np.array([[1, 0, x], [0, 1, y], [0, 0, 1]]), float(response)


def _ecc(of: Callable[[np.ndarray], np.ndarray]) -> Aligns:
  """OpenCV's ECC with a homography, on what `of` makes of the images; believed from a correlation of a half."""

  def align(reference, source, mask):
    same, seen = _of_size(reference, source), _of_size(reference, np.uint8(mask) * 255)
    ends = cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _STEPS, _LEAST
    start = np.eye(3, dtype=np.float32)
    try:
      correlation, found = cv2.findTransformECC(of(reference), of(same), start, cv2.MOTION_HOMOGRAPHY, ends, seen, 5)
    except cv2.error:  # it does not converge
      return _back(reference, source), 0.0
    return _back(reference, source) @ np.float64(found), float(correlation)

  return align


def _gradients(image: np.ndarray) -> np.ndarray:
  smooth = cv2.GaussianBlur(np.float32(image), (0, 0), 1.5)
  return cv2.magnitude(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))


def _of_size(reference, source):
  return source if source.shape == reference.shape else cv2.resize(source, reference.shape[::-1])


def _back(reference, source) -> np.ndarray:
  """Pixels of the resized source -> its own."""
  scale = np.array(source.shape, float) / reference.shape
  return np.array([[scale[1], 0, (scale[1] - 1) / 2], [0, scale[0], (scale[0] - 1) / 2], [0, 0, 1]])


OURS = "dig2dig"
METHODS: Mapping[str, Aligns] = {
  OURS: _ours,
  "phase correlation": _phase,
  "ECC": _ecc(np.float32),
  "ECC of gradients": _ecc(_gradients),
}


def markdown(rows: Sequence[Row]) -> str:
  """A row per method and range of cameras; ours for even and odd pairs too: thresholds are of the even."""
  head = ["cameras", "method", "pairs", "accepted", f"accepted, within {NEAR:g} px", "median of accepted, px",
          f"accepted, beyond {FAR:g} px", f"accepted, repeats within {NEAR:g} px", "other scenes refused",
          "s per pair"]  # fmt: skip
  lines = []
  for cameras in dict.fromkeys(row.cameras for row in rows):
    for method in dict.fromkeys(row.method for row in rows):
      mine = [row for row in rows if (row.cameras, row.method) == (cameras, method)]
      parts = {method: mine}
      if method == OURS:
        parts |= {f"{method}, even pairs": mine[::2], f"{method}, odd pairs": mine[1::2]}
      lines += [[cameras, name, *_figures(part)] for name, part in parts.items() if part]
  return table(head, lines, text=2)


def _figures(rows: Sequence[Row]) -> list[str]:
  accepted = [row for row in rows if row.confidence >= ACCEPTED]
  errors = np.array([row.error for row in accepted])
  others = [row.other for row in rows if row.other is not None]
  repeats = [row for row in accepted if row.repeat is not None and row.repeat <= NEAR]
  return [
    str(len(rows)),
    f"{100 * len(accepted) / len(rows):.0f} %",
    f"{100 * np.sum(errors <= NEAR) / len(rows):.0f} %",
    f"{np.median(errors):.2f}" if len(errors) else "",
    f"{100 * np.mean(errors > FAR):.0f} %" if len(errors) else "",
    f"{100 * len(repeats) / len(rows):.0f} %" if others else "",
    f"{100 * np.mean(np.array(others) < ACCEPTED):.0f} %" if others else "",
    f"{np.median([row.seconds for row in rows]):.2f}",
  ]
