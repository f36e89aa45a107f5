"""Transforms that are kept: cameras are mounted once. A JSON file says how each source lies on the reference."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dig2dig_jax import strict_json
from dig2dig_jax.alignment import spline
from dig2dig_jax.errors import UserError
from dig2dig_jax.files import replacing

FORMAT, WITH_FLOW = "dig2dig transforms 1", "dig2dig transforms 2"
_MOST = 2**20  # bytes


class Placed(NamedTuple):
  """How a source lies on the reference. matrix: [3, 3], pixels of the reference -> pixels of the source. size: height
  and width of the source. confidence: 0 to 1, as it was found. flow: [R, K, 2], displacements of the reference's points
  in its pixels before the matrix, see `spline`; None for none."""

  matrix: np.ndarray
  size: tuple[int, int]
  confidence: float
  flow: np.ndarray | None = None


class Transforms(NamedTuple):
  """Of every source but the reference. size: height and width of the reference."""

  reference: str
  size: tuple[int, int]
  sources: Mapping[str, Placed]

  def record(self) -> dict:
    """JSON-able, what `read` reads."""
    kind = FORMAT if all(placed.flow is None for placed in self.sources.values()) else WITH_FLOW
    sources = {name: _record(placed) for name, placed in self.sources.items()}
    return {"format": kind, "reference": self.reference, "size": list(self.size), "sources": sources}


def _record(placed: Placed) -> dict:
  flow = {} if placed.flow is None else {"flow": rounded_flow(placed.flow)}
  confidence = round(placed.confidence, 4)
  return {"matrix": rounded(placed.matrix), "size": list(placed.size), "confidence": confidence, **flow}


def rounded(matrix: np.ndarray) -> list[list[float]]:
  """To ten significant digits: a thousandth of a pixel of the largest images, and the same on every machine."""
  return [[float(f"{value:.10g}") for value in row] for row in np.asarray(matrix, np.float64)]


def rounded_flow(flow: np.ndarray) -> list[list[list[float]]]:
  """To a thousandth of a pixel."""
  return np.round(np.asarray(flow, np.float64), 3).tolist()


def write(path: Path, transforms: Transforms) -> None:
  """UserError where it cannot be written."""
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
      temporary.write_text(json.dumps(transforms.record(), indent=1) + "\n", encoding="utf-8")
  except OSError as error:
    raise UserError(f"{path}: expected a place to write, found {error.strerror}; choose another output") from error


def read(path: Path) -> Transforms:
  """UserError, one line, for what is no such file."""
  try:
    found = strict_json.parse(path.read_bytes(), most=_MOST)
    if found["format"] not in (FORMAT, WITH_FLOW):
      raise ValueError(f"format {found['format']!r}")
    size = _size(found["size"])
    sources = {name: Placed(_matrix(one["matrix"]), _size(one["size"]), float(one["confidence"]),
                            _flow(one["flow"], size) if "flow" in one else None)
               for name, one in found["sources"].items()}  # fmt: skip
    for name, placed in sources.items():
      _check_horizon(name, placed.matrix, size)
    return Transforms(str(found["reference"]), size, sources)
  except OSError as error:
    raise UserError(f"{path}: expected a file of transforms, found {error.strerror}; check --transforms") from error
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    kind = "" if type(error) is ValueError else f"{type(error).__name__}: "  # whose text is a sentence by itself
    raise UserError(f"{path}: expected transforms as dig2dig align writes them, found {kind}{error}; "
                    "write it again with dig2dig align") from error


def _numbers(values, what: str) -> np.ndarray:
  try:
    return np.array(values, np.float64)
  except (ValueError, TypeError):
    raise ValueError(f"rows of different lengths, or entries that are not numbers, in {what}") from None


def _matrix(values) -> np.ndarray:
  matrix = _numbers(values, "a matrix, which has 3 x 3 numbers")
  if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-12:
    raise ValueError("a matrix that is not 3 x 3, or has no inverse")
  return matrix


def _flow(values, size: tuple[int, int]) -> np.ndarray:
  grid = f"a grid of at least {spline.LEAST} x {spline.LEAST} pairs of finite numbers"
  flow = _numbers(values, f"a displacement (flow), which is {grid}")
  if flow.ndim != 3 or min(flow.shape[:2]) < spline.LEAST or flow.shape[2] != 2 or not np.isfinite(flow).all():
    raise ValueError(f"a displacement (flow) of shape {list(flow.shape)} that is not {grid}")
  if (steepest := spline.steepest(flow, size)) > 1.01 * spline.STEEPEST:
    raise ValueError(f"a flow with a gradient of {steepest:.2g}, above {spline.STEEPEST}")
  return flow


def _check_horizon(name: str, matrix: np.ndarray, size: tuple[int, int]) -> None:
  """A view of the whole reference has all its corners on one side of the horizon."""
  corners = np.array([[x, y, 1] for x in (0, size[1] - 1) for y in (0, size[0] - 1)], np.float64)
  depths = corners @ matrix[2]
  if depths.min() * depths.max() <= 0:
    raise ValueError(f"a matrix of {name} whose horizon crosses the reference")


def _size(values) -> tuple[int, int]:
  height, width = values
  if not (isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0):
    raise ValueError(f"size {values!r}")
  return height, width
