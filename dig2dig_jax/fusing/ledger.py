"""What has been done, and with what? A line per finished or failed pair, in a file per process, that reruns read.

A line is written after its image, so that a pair whose process is killed between the two is computed again, to the same
pixels, and no pair is logged twice. Every process appends to its own file and reads those of all; the format of lines
is in `ledger_lines`, their index in `ledger_index`.
"""

import contextlib
import datetime
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing import ledger_lines
from dig2dig_jax.line_file import LineFile
from dig2dig_jax.record import explained

FOLDER = "log"
CURVES = "curves"  # a folder in it
_MOST_CURVES = 2**21  # bytes of curves that all processes keep together, and
_LEAST_CURVES = 2**14  # each of them at least


class Ledger(LineFile):
  """The log of one process, `folder/log/INDEX-of-COUNT.jsonl`. Use as a context; its methods may be called by threads.

  What pairs have in common is written with the first of them, and at each `begin`. Curves, which are longer than
  everything else, are kept for the first pairs only, in a file of their own; `curves_left_out` counts the others.
  Raises UserError where the file cannot be written, or another process writes it.
  """

  def __init__(self, folder: Path, *, process: int = 0, processes: int = 1):
    name, remedy = f"{process}-of-{processes}.jsonl", ("wait for it, change --out, or give each process its own "
                                                       "--process_id")  # fmt: skip
    super().__init__(folder / FOLDER / name, remedy=remedy)
    self._begun: Mapping[str, Any] = {}
    self._curves = LineFile(folder / FOLDER / CURVES / name, remedy=remedy)
    self._curves_left = share_of_curves(processes)
    self._open_curves, self._curves_open = contextlib.ExitStack(), False
    self.curves_left_out = 0

  def __enter__(self):
    refuse_link(self.path.parent)
    self._begun = {}
    return super().__enter__()

  def __exit__(self, *exception) -> None:
    self._open_curves.close()
    self._curves_open = False
    super().__exit__(*exception)

  def _is_own(self) -> bool:
    """It is empty, or has a line of this job: a run of an earlier version, which recorded no names."""
    path = self.path
    return path.is_symlink() or path.is_file() and (  # links are reported when the file is opened
      path.stat().st_size == 0 or any(entry is not None for _, _, entry in ledger_lines.lines(path)))

  def begin(self, run: Mapping[str, Any], **figures) -> None:
    """The line of what a run's pairs have in common: `run` has at least fingerprint, flags, weights and sources (their
    names). figures: of this start, such as how many pairs there are."""
    with self._lock:
      self._begin(run, figures)

  def _begin(self, run: Mapping[str, Any], figures: Mapping[str, Any]) -> None:
    self.write_line(ledger_lines.head(run, **figures, at=int(now().timestamp())))
    self._begun = run

  def append(self, entry: Mapping[str, Any]) -> None:
    """A finished pair: at least id, sha256 and bytes of its image, sources {name: bytes}, fingerprint, flags and
    weights; one write, passed to the operating system before it returns; all of it or nothing."""
    with self._lock:
      if self._begun.get("fingerprint") != entry["fingerprint"]:
        self._begin(entry, {})
      if "curves" in entry:
        self._append_curves(entry)
      rest = {name: value for name, value in entry.items() if name != "curves"}
      self.write_line(ledger_lines.short(rest, self._begun, now()))

  def _append_curves(self, entry: Mapping[str, Any]) -> None:
    line = json.dumps({name: entry[name] for name in ("id", "sha256", "curves")}, separators=(",", ":"))
    if self._curves_left > 0:
      path = self._curves.path
      with explained(path):
        there = path.stat().st_size if path.is_file() else 0
      if there + len(line) <= self._curves_left:
        if not self._curves_open:
          refuse_link(path.parent)
          self._open_curves.enter_context(self._curves)
          self._curves_open = True
        self._curves.write_line(line)
        return
      self._curves_left = 0
    self.curves_left_out += 1

  def fail(self, name: str, fingerprint: str, kind: str, why: str) -> None:
    """A pair that failed, in one word and in one line. The next run tries it again."""
    self.write_line(ledger_lines.failure(name, fingerprint, kind, why, now()))

  def notes(self) -> list[str]:
    """A line where curves were left out."""
    return curves_note(self._curves.path, self.curves_left_out)


def share_of_curves(processes: int) -> int:
  """Bytes of curves that each of this many processes keeps."""
  return max(_LEAST_CURVES, _MOST_CURVES // processes)


def curves_note(path: Path, left_out: int) -> list[str]:
  """A line where curves were left out."""
  return [f"{path}: curves of the first pairs are kept, those of {left_out} more are not"] if left_out else []


def now() -> datetime.datetime:
  return datetime.datetime.now(datetime.UTC)


def refuse_link(folder: Path) -> None:
  """UserError where the folder of logs is a link."""
  if folder.is_symlink():
    raise UserError(f"{folder}: expected a folder of this run's logs, found a link to another place; remove it or "
                    "change --out")


Entries = dict[str, list[dict[str, Any]]]  # by the pair's name


def read(folder: Path, notes: list[str] | None = None) -> Entries:
  """All that the logs of all processes that ever wrote into `folder` have about finished pairs, by pair: for reports,
  not to find out what is done. Foreign lines are skipped, with a note per file."""
  notes = [] if notes is None else notes
  refuse_link(folder / FOLDER)
  heads: dict[str, dict[str, Any]] = {}
  found: list[tuple[Path, int, dict[str, Any]]] = []
  bad: dict[Path, list[int]] = {}
  for path in sorted((folder / FOLDER).glob("*.jsonl")):
    with explained(path):
      if path.is_symlink() or not path.is_file():
        notes.append(f"{path}: expected a log, found a link or no plain file; ignored")
        continue
      for number, (_, _, entry) in enumerate(ledger_lines.lines(path), 1):
        if entry is None:
          bad.setdefault(path, []).append(number)
        elif "id" in entry:
          found.append((path, number, entry))
        elif "failed" not in entry:
          heads[entry["run"]] = entry
  entries: Entries = {}
  for path, number, entry in found:
    whole = ledger_lines.whole(entry, heads.get(entry.get("run", "")))
    if whole is None:  # the line of its run is missing
      bad.setdefault(path, []).append(number)
    else:
      entries.setdefault(whole["id"], []).append(whole)
  for path, numbers in sorted(bad.items()):
    notes.append(f"{path}: expected a finished image in every line, found {len(numbers)} without (the first is line "
                 f"{min(numbers)}); ignored, and those pairs count as not done")
  _add_curves(folder, entries, notes)
  return entries


def shards(folder: Path) -> Iterator[dict[str, Any]]:
  """The lines of finished pairs that lie in shards, one by one in the order of the logs."""
  refuse_link(folder / FOLDER)
  for path in sorted((folder / FOLDER).glob("*.jsonl")):
    with explained(path):
      for _, _, entry in ledger_lines.lines(path):
        if entry is not None and "id" in entry and isinstance(entry.get("shard"), str):
          yield entry


def _add_curves(folder: Path, entries: Entries, notes: list[str]) -> None:
  """Adds curves to the entries of their images; those inside lines of earlier versions are checked in place."""
  damaged: dict[Path, int] = {}
  for several in entries.values():
    for entry in several:
      if "curves" in entry and not ledger_lines.is_curves(entry["curves"]):
        del entry["curves"]
        damaged[folder / FOLDER] = damaged.get(folder / FOLDER, 0) + 1
  for path in sorted((folder / FOLDER / CURVES).glob("*.jsonl")):
    with explained(path):
      for line in ledger_lines.texts(path):
        try:
          found = json.loads(line or b"")
          several, curves = entries.get(found["id"], ()), found["curves"]
          if not ledger_lines.is_curves(curves):
            raise ValueError
          for entry in several:
            if entry["sha256"] == found["sha256"]:
              entry["curves"] = curves
        except (ValueError, TypeError, KeyError, RecursionError):
          damaged[path] = damaged.get(path, 0) + 1
  for path, count in damaged.items():
    notes.append(f"{path}: expected curves of equal steps, found {count} others; ignored")


class Identity(NamedTuple):
  """Everything that determines the result but the images: flags (JSON-able), SHA-256 of the weights, and 16 hex digits
  of both together."""

  flags: dict[str, Any]
  weights: str
  fingerprint: str


def identity(flags: dict[str, Any], params) -> Identity:
  """The Identity of a run with these flags and parameters."""
  flags, weights = json.loads(json.dumps(flags, default=str)), weights_hash(params)
  text = json.dumps({"flags": flags, "weights": weights}, sort_keys=True)
  return Identity(flags, weights, hashlib.sha256(text.encode()).hexdigest()[:16])


def versions() -> dict[str, str]:
  """Versions of the libraries that compute the pixels."""
  found = {}
  for name in ("dig2dig_jax", "jax", "jaxlib", "flax", "optax"):
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # a checkout that is not installed
      found[name] = importlib.metadata.version(name)
  return found


def weights_hash(params) -> str:
  """SHA-256 of a tree of parameters: names, dtypes, shapes and values."""
  digest = hashlib.sha256()
  for path, leaf in jax.tree_util.tree_leaves_with_path(params):
    array = np.ascontiguousarray(jax.device_get(leaf))
    digest.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}\n".encode())
    digest.update(array.reshape(-1).view(np.uint8).data)
  return digest.hexdigest()


def file_hash(path: Path) -> str:
  """SHA-256 of a file. UserError where it cannot be read."""
  with explained(path), path.open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()


def source_bytes(pair: Pair) -> dict[str, int]:
  """Sizes of a pair's files, by which changed sources are detected."""
  return {source: file_bytes(path) for source, path in pair.files.items()}


def files_bytes(paths: Sequence) -> list[int]:
  """`file_bytes` of many."""
  if set(map(type, paths)) != {str}:
    return list(map(file_bytes, paths))
  found, stat = list[int](), os.stat
  for path in paths:
    try:
      found.append(stat(path).st_size)
    except OSError:
      found.append(-1)
  return found


def file_bytes(path) -> int:
  """Of a file, by its path in any form; -1 where there is none."""
  try:
    return os.stat(path).st_size if isinstance(path, str | os.PathLike) else path.stat().st_size
  except OSError:
    return -1
