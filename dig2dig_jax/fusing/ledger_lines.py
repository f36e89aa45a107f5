"""What does a line of the log tell? Typed entries; whatever else stands in the file is set aside and counted."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISREG
from typing import Any

import numpy as np

_FIELDS = {"id", "bytes", "sha256", "sources", "fingerprint", "flags", "weights"}
_LONGEST = 2**24  # bytes of a line; the curves of a thousand steps take a hundredth
_DEEPEST = 32  # of flags within flags
_LARGEST = 2**63  # of numbers of bytes


def lines(path: Path, notes: list[str]) -> Iterator[dict[str, Any]]:
  """The entries of a file, with at least id, bytes, sha256, sources, fingerprint, flags and weights. A last line
  without an end is passed over: its process is at work, or was killed. Raises OSError."""
  bad, first, damaged_curves = 0, 0, 0
  if not isinstance(path, Path):  # of a store, which knows no links
    number = path.open("rb")
  elif (number := _descriptor(path)) is None:
    notes.append(f"{path}: expected a log, found a link or no plain file; passed over")
    return
  with os.fdopen(number, "rb") if isinstance(number, int) else number as file:
    for count, line in enumerate(_whole_lines(file), 1):
      entry = None if line is None else _entry(line)
      if entry is None:
        bad, first = bad + 1, first or count
        continue
      if "curves" in entry and not _is_curves(entry["curves"]):
        damaged_curves += 1
        del entry["curves"]
      yield entry
  if bad:
    notes.append(f"{path}: expected a finished image in every line, found {bad} without (the first is line {first}); "
                 "set aside, as if those pairs had not been done")
  if damaged_curves:
    notes.append(f"{path}: expected curves of equal steps, found {damaged_curves} others; passed over")


def _descriptor(path: Path) -> int | None:
  """None for what would be read through a link, or is no file."""
  if path.is_symlink():
    return None
  number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # a pipe would wait for its writer
  if S_ISREG(os.fstat(number).st_mode):
    return number
  os.close(number)
  return None


def _whole_lines(file) -> Iterator[bytes | None]:
  """Lines that have an end; None for one that is too long."""
  while line := file.readline(_LONGEST):
    if line.endswith(b"\n"):
      yield line
      continue
    if len(line) < _LONGEST:
      return
    while (rest := file.readline(_LONGEST)) and not rest.endswith(b"\n"):
      pass
    yield None


def _entry(line: bytes) -> dict[str, Any] | None:
  try:
    entry = json.loads(line)
  except (ValueError, RecursionError):
    return None
  if not isinstance(entry, dict) or not _FIELDS <= entry.keys():
    return None
  hashes, sources = (entry[name] for name in ("sha256", "fingerprint", "weights")), entry["sources"]
  sound = (
    all(map(_is_hash, hashes)) and isinstance(entry["id"], str) and _is_size(entry["bytes"])
    and isinstance(sources, dict) and all(_is_size(size) for size in sources.values())
    and isinstance(entry["flags"], dict) and _shallow(entry["flags"])
  )  # fmt: skip
  return entry if sound else None


def _is_size(value) -> bool:
  return type(value) is int and -1 <= value < _LARGEST


def _is_hash(value) -> bool:
  return isinstance(value, str) and len(value) <= 64


def _shallow(value) -> bool:
  level = [value]
  for _ in range(_DEEPEST):
    level = [
      inner
      for outer in level if isinstance(outer, dict | list)
      for inner in (outer.values() if isinstance(outer, dict) else outer)
    ]  # fmt: skip
    if not level:
      return True
  return False


def _is_curves(value) -> bool:
  """t [S], weight [S, K] and residual [S, K], as a report plots them."""
  if not isinstance(value, dict) or not {"t", "weight", "residual"} <= value.keys() or not _shallow(value):
    return False
  try:
    t, weight, residual = (np.asarray(value[name], np.float64) for name in ("t", "weight", "residual"))
  except (ValueError, TypeError, OverflowError):
    return False
  return t.ndim == 1 and weight.ndim == 2 and weight.shape == residual.shape and len(t) == len(weight)
