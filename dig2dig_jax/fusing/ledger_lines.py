"""What does a line of the log contain? Typed entries; anything else in the file is skipped and counted.

A log has three kinds of lines. What the pairs of a run have in common is written at each start, with its
fingerprint; a finished pair takes one short line that names the fingerprint; so does a pair that failed:

  {"run": "9f0c...", "flags": {...}, "weights": "...", "sources": ["ir", "vi"], "pairs": 4000, ...}
  {"id": "0001", "run": "9f0c...", "sha256": "...", "bytes": 51234, "sources": [9876, 30211], "size": [480, 640], ...}
  {"failed": "0002", "run": "9f0c...", "kind": "unreadable", "why": "...", "at": 1780000000}

Logs of earlier versions have everything in each line, and are read as well.
"""

import base64
import binascii
import datetime
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from stat import S_ISREG
from typing import Any

import numpy as np

Entry = dict[str, Any]
_ENCODER = json.JSONEncoder(separators=(",", ":"))
_WHOLE = {"id", "bytes", "sha256", "sources", "fingerprint", "flags", "weights"}  # of a complete entry
_SHORT = {"id", "bytes", "sha256", "sources", "run"}
_COMMON = ("flags", "weights", "versions", "device", "seed")  # in the line of a run, for all its pairs
_OWN = ("device", "versions")  # of these, what may differ from pair to pair
_SHORTER = {"seconds": "took", "contradiction": "odds"}  # names in a short line, of which there may be 10^7
_LONGER = {short: name for name, short in _SHORTER.items()}
_LONGEST = 2**24  # bytes of a line; the curves of a thousand steps take a hundredth
_DEEPEST = 32  # of flags within flags
_LARGEST = 2**63  # of numbers of bytes
_WHY = 400  # characters of a failure's reason that are kept


def head(entry: Mapping[str, Any], **more) -> str:
  """The line of the run of a complete entry. more: figures of this start."""
  common = {name: entry[name] for name in _COMMON if name in entry}
  return _text({"run": entry["fingerprint"], "sources": list(entry["sources"]), **more, **common})


def short(entry: Mapping[str, Any], run: Mapping[str, Any], now: datetime.datetime) -> str:
  """The line of a finished pair: what the line of its `run` does not have of a complete entry. It includes device and
  versions if they differ from the run's, as those of an engine's workers may."""
  told = {*_COMMON, "id", "fingerprint", "sha256"} - {name for name in _OWN if entry.get(name) != run.get(name)}
  own = {name: value for name, value in entry.items() if name not in told}
  own["sources"] = list(entry["sources"].values())
  own = {_SHORTER.get(name, name): value for name, value in own.items() if (name, value) != ("tile", 0)}
  digest = base64.urlsafe_b64encode(bytes.fromhex(entry["sha256"])).decode().rstrip("=")
  return _text({"id": entry["id"], "run": entry["fingerprint"], "sha256": digest, **own, "at": int(now.timestamp())})


def failure(name: str, fingerprint: str, kind: str, why: str, now: datetime.datetime) -> str:
  """The line of a pair that failed."""
  return _text({"failed": name, "run": fingerprint, "kind": kind, "why": why[:_WHY], "at": int(now.timestamp())})


def _text(entry: Mapping[str, Any]) -> str:
  return _ENCODER.encode(entry)


def whole(entry: Entry, run: Mapping[str, Any] | None) -> Entry | None:
  """A finished pair's complete entry. run: the line of its run. None without one."""
  if "run" not in entry:
    return entry
  if run is None or len(run["sources"]) != len(entry["sources"]):
    return None
  at = entry.get("at")
  finished = datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat() if _is_time(at) else ""
  own = {_LONGER.get(name, name): value for name, value in entry.items()
         if name not in ("run", "at", *_COMMON) or name in _OWN}  # fmt: skip
  common = {name: run[name] for name in _COMMON if name in run}
  return {
    "tile": 0, **common, **own,
    "fingerprint": entry["run"],
    "sha256": sha256(entry),
    "sources": dict(zip(run["sources"], entry["sources"], strict=True)),
    "finished": finished,
  }  # fmt: skip


def sha256(entry: Entry) -> str:
  """Of a finished pair's image, in hexadecimal digits, which take half as much again as they do in a short line."""
  text = entry["sha256"]
  if "run" not in entry or len(text) != 43:
    return text
  try:
    return base64.urlsafe_b64decode(text + "=").hex()
  except (binascii.Error, ValueError):
    return text


def lines(path: Path, start: int = 0) -> Iterator[tuple[int, int, Entry | None]]:
  """(where it begins, where it ends, entry) of every line from byte `start` on, None for a foreign line. A last
  line without an end is skipped: its process is still writing, or was killed. Links and special files yield nothing.
  Raises OSError."""
  for begin, end, line in _texts(path, start):
    yield begin, end, None if line is None else entry(line)


def texts(path: Path) -> Iterator[bytes | None]:
  """The lines of a file as they are, None for one that is too long. Otherwise like `lines`."""
  return (line for _, _, line in _texts(path, 0))


def _texts(path: Path, start: int) -> Iterator[tuple[int, int, bytes | None]]:
  if not isinstance(path, Path):  # in a store, which has no links
    opened = path.open("rb")
  elif (number := descriptor(path)) is None:
    return
  else:
    opened = os.fdopen(number, "rb", buffering=2**16)
  with opened as file:
    file.seek(start)
    for end, line in _whole_lines(file, start):
      yield start, end, line
      start = end


def descriptor(path: Path) -> int | None:
  """The open file; None for a link or a special file."""
  if path.is_symlink():
    return None
  number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # a pipe would block until it has a writer
  if S_ISREG(os.fstat(number).st_mode):
    return number
  os.close(number)
  return None


def _whole_lines(file, at: int) -> Iterator[tuple[int, bytes | None]]:
  """(where it ends, line) of those that have an end; None for one that is too long."""
  while line := file.readline(_LONGEST):
    at += len(line)
    if line.endswith(b"\n"):
      yield at, line
      continue
    if len(line) < _LONGEST:
      return
    while rest := file.readline(_LONGEST):
      at += len(rest)
      if rest.endswith(b"\n"):
        break
    yield at, None


def entry(line: bytes) -> Entry | None:
  """The entry of one line; None if it is none of the three kinds, or values have the wrong type."""
  try:
    found = json.loads(line)
  except (ValueError, RecursionError):
    return None
  if not isinstance(found, dict):
    return None
  if found.keys() >= _SHORT:
    return found if _is_short(found) else None
  if found.keys() >= _WHOLE:
    return found if _is_whole(found) else None
  if "failed" in found:
    words = all(isinstance(found.get(name), str) for name in ("failed", "why"))
    return found if words and _is_hash(found.get("run")) and _is_hash(found.get("kind")) else None
  return found if _is_head(found) else None


def _is_short(found: Entry) -> bool:
  sources = found["sources"]
  return (
    isinstance(found["id"], str) and _is_hash(found["run"]) and _is_hash(found["sha256"]) and _is_size(found["bytes"])
    and isinstance(sources, list) and all(map(_is_size, sources))
  )  # fmt: skip


def _is_whole(found: Entry) -> bool:
  hashes, sources = (found[name] for name in ("sha256", "fingerprint", "weights")), found["sources"]
  return (
    all(map(_is_hash, hashes)) and isinstance(found["id"], str) and _is_size(found["bytes"])
    and isinstance(sources, dict) and all(map(_is_size, sources.values()))
    and isinstance(found["flags"], dict) and _shallow(found["flags"])
  )  # fmt: skip


def _is_head(found: Entry) -> bool:
  sources = found.get("sources")
  return (
    _is_hash(found.get("run")) and _is_hash(found.get("weights")) and isinstance(found.get("flags"), dict)
    and isinstance(sources, list) and all(isinstance(name, str) for name in sources) and _shallow(found["flags"])
  )  # fmt: skip


def _is_size(value) -> bool:
  return type(value) is int and -1 <= value < _LARGEST


def _is_time(value) -> bool:
  return type(value) is int and 0 <= value < 2**37  # until the year 6325


def _is_hash(value) -> bool:
  return isinstance(value, str) and len(value) <= 64 and value.isascii()


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


def is_curves(value) -> bool:
  """t [S], weight [S, K] and residual [S, K], as a report plots them."""
  if not isinstance(value, dict) or not {"t", "weight", "residual"} <= value.keys() or not _shallow(value):
    return False
  try:
    t, weight, residual = (np.asarray(value[name], np.float64) for name in ("t", "weight", "residual"))
  except (ValueError, TypeError, OverflowError):
    return False
  return t.ndim == 1 and weight.ndim == 2 and weight.shape == residual.shape and len(t) == len(weight)
