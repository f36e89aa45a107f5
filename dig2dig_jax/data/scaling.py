"""What grey is a stored value? Samples of any type become float32 in [-1, 1], by their type's ends or by a range."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

TAIL = 0.001  # of all samples at either end: dead pixels, a flame
LARGEST = 1e300  # of samples, either side of 0: what two of them span is a number still
_SMALLEST = 1e-300  # that black and white differ by: what divides by it is a number still


class Range(NamedTuple):
  """Stored values that are black (`low`) and white (`high`). kind: of files of this NumPy type alone; "": of any."""

  low: float
  high: float
  kind: str = ""


def is_usable(low: float, high: float) -> bool:
  """Whether black and white can be these values."""
  return -LARGEST <= low and high <= LARGEST and high - low >= _SMALLEST


def extremes(kind: str) -> tuple[float, float]:
  """Black and white of a whole type: 0 and its largest value, a signed type's smallest, 0 and 1 of floats."""
  dtype = np.dtype(kind)
  if dtype.kind == "f":
    return 0.0, 1.0
  return float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)


def to_pixels(samples: np.ndarray, ranges: Sequence[Range] = ()) -> tuple[np.ndarray, Range | None]:
  """Samples of any real type -> (float32 in [-1, 1], the range that was taken, None for the whole type).

  Of several ranges that fit the type, the one is taken that most resembles the samples' own. Values outside are
  clipped. ValueError, one line, for samples that are not finite, or beyond `LARGEST`, and, without a range, for floats
  outside [0, 1] and for signed and 32-bit samples.
  """
  kind = samples.dtype.name
  if bad := not_finite(samples):
    raise ValueError(f"expected finite float samples, found {bad} NaN or infinite; replace them and save again")
  if not is_bounded(samples):
    raise ValueError(f"expected samples from {-LARGEST:g} to {LARGEST:g}, found {samples.min():g} to "
                     f"{samples.max():g}; rescale them and save again")
  fitting = [found for found in ranges if found.kind in ("", kind)]
  if len(fitting) > 1:
    own = np.quantile(without_filling(np.sort(samples, axis=None)), [TAIL, 1 - TAIL])
    fitting.sort(key=lambda found: (-shared(found, own), abs(found.low + found.high - own.sum())))
  taken = fitting[0] if fitting else None
  if not taken and samples.dtype.kind != "f" and samples.dtype not in (np.uint8, np.uint16):
    raise ValueError(f"expected 8- or 16-bit unsigned or float samples, or a range, found {kind}; give its "
                     "--range=LOW:HIGH or save it as 16-bit unsigned")
  low, high = taken[:2] if taken else extremes(kind)
  if not taken and samples.dtype.kind == "f" and samples.size:
    least, most = float(samples.min()), float(samples.max())
    if least < 0 or most > 1:
      raise ValueError(f"expected float samples in [0, 1], found [{least:g}, {most:g}]; rescale them and save again")
  if samples.dtype in (np.uint8, np.uint16):
    # A table in float64 makes both ends exactly -1 and 1, and every level the nearest float32.
    levels = np.arange(np.iinfo(samples.dtype).max + 1, dtype=np.float64)
    return _scaled(levels, low, high)[samples], taken
  return _scaled(samples.astype(np.float64), low, high), taken


def not_finite(samples: np.ndarray) -> int:
  """How many are NaN or infinite."""
  return int(np.count_nonzero(~np.isfinite(samples))) if samples.dtype.kind == "f" else 0


def is_bounded(samples: np.ndarray) -> bool:
  """Whether all are finite and within `LARGEST`."""
  return samples.dtype.kind != "f" or bool((np.abs(samples) <= np.float64(LARGEST)).all())


def _scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
  with np.errstate(over="ignore"):  # far outside of a narrow range: clipped
    return np.clip((values - low) * (2 / (high - low)) - 1, -1, 1).astype(np.float32)


def shared(one: Sequence[float], other: Sequence[float]) -> float:
  """What two intervals (low, high, ...) have in common, as a share of what they span together."""
  span = max(one[1], other[1]) - min(one[0], other[0])
  common = min(one[1], other[1]) - max(one[0], other[0])
  return float(common / span) if span > 0 else 1.0


def without_filling(values: np.ndarray) -> np.ndarray:
  """Sorted values without a lowest and a highest one that stand farther off than all others span: what a warped image
  is filled up with outside its field of view."""
  floats = values.astype(np.float64)
  for _ in range(2):  # one may hide the other
    above = floats[np.searchsorted(floats, floats[0], side="right"):]
    if above.size and _stands_apart(floats[0], above):
      floats = above
    below = floats[: np.searchsorted(floats, floats[-1], side="left")]
    if below.size and _stands_apart(floats[-1], below):
      floats = below
  return floats


def _stands_apart(value: float, others: np.ndarray) -> bool:
  """Whether a value is farther from the sorted others than these span, dead pixels among them apart."""
  low, high = others[np.round(np.array([TAIL, 1 - TAIL]) * (others.size - 1)).astype(np.int64)]
  return bool(max(low - value, value - high) > high - low > 0)
