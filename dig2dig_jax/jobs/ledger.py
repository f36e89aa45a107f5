"""Which pairs are done, and with what? One JSON line per finished pair, in a file per process, that reruns read back.

A line is written after its image stands, so that whoever is killed between the two does the pair again, to the same
pixels, and no pair stands twice. Every process appends to a file of its own and reads those of all.
"""

import contextlib
import datetime
import fcntl
import hashlib
import importlib.metadata
import json
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.errors import UserError
from dig2dig_jax.files import is_free
from dig2dig_jax.jobs.record import explained, make_folder

FOLDER = "log"
_FIELDS = {"id", "bytes", "sha256", "sources", "fingerprint", "flags", "weights"}  # of a line, what is read back


class Ledger:
  """The log of one process, `folder/log/INDEX-of-COUNT.jsonl`. Use as a context; `append` may be called by threads.

  Raises UserError where the file cannot be written, or another process writes it.
  """

  def __init__(self, folder: Path, *, process: int = 0, processes: int = 1):
    self.path = folder / FOLDER / f"{process}-of-{processes}.jsonl"
    self._lock = threading.Lock()

  def __enter__(self):
    make_folder(self.path.parent)
    with explained(self.path):
      self._file = open(self.path, "ab+")
    try:
      _only_writer(self._file, self.path)
      _cut_torn_line(self._file)
    except BaseException:
      self._file.close()
      raise
    return self

  def __exit__(self, *exception):
    self._file.close()

  def touched(self) -> float:
    """The present time, by the clock of the file system that the log is on."""
    with explained(self.path):
      os.utime(self.path)
      return self.path.stat().st_mtime

  def append(self, entry: dict[str, Any]) -> None:
    """One line, by one write, handed to the operating system before it returns."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    line = json.dumps({**entry, "finished": now}) + "\n"
    with self._lock, explained(self.path):
      self._file.write(line.encode())
      self._file.flush()


def _only_writer(file, path: Path) -> None:
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    raise UserError(f"{path}: expected to be its only writer, found another run at work; wait for it, change --out, or "
                    "give each process its own --process_id") from None
  except OSError:
    pass  # some network file systems know no locks; the images are then still written whole


def _cut_torn_line(file) -> None:
  """Takes away what follows the last line end: a process was killed while it wrote."""
  file.seek(0)
  whole = file.read().rfind(b"\n") + 1
  file.truncate(whole)
  file.seek(0, os.SEEK_END)


Entries = dict[str, list[dict[str, Any]]]  # by the pair's name


def read(folder: Path) -> Entries:
  """The lines of all processes that ever wrote into `folder`, by pair. Lines that are torn are passed over."""
  entries: dict[str, list[dict[str, Any]]] = {}
  for path in sorted((folder / FOLDER).glob("*.jsonl")):
    with explained(path):
      lines = path.read_bytes().splitlines()
    for line in lines:
      try:
        entry = json.loads(line)
        if _FIELDS <= entry.keys():
          entries.setdefault(entry["id"], []).append(entry)
      except (ValueError, AttributeError):
        continue  # the last line of a process at work, or of one that was killed
  return entries


class Identity(NamedTuple):
  """Everything that decides pixels but the images: flags (JSON-able), SHA-256 of the weights, and 16 hex digits of both
  together."""

  flags: dict[str, Any]
  weights: str
  fingerprint: str


def identity(flags: dict[str, Any], params) -> Identity:
  """The Identity of a run with these flags and parameters."""
  flags, weights = json.loads(json.dumps(flags, default=str)), weights_hash(params)
  text = json.dumps({"flags": flags, "weights": weights}, sort_keys=True)
  return Identity(flags, weights, hashlib.sha256(text.encode()).hexdigest()[:16])


def finished(
  pairs: Iterable[Pair], entries: Entries, run: Identity, folder: Path, *, overwrite: bool
) -> set[str]:
  """Names of the pairs whose image in `folder` this very run would make, from sources of the present sizes in bytes.

  UserError for the first pair that has an image of other flags, weights or sources, unless `overwrite`: that pair is
  then to be done. Images without a line are no results of this job, and to be done.
  """
  done = set()
  for pair in pairs:
    image = folder / f"{pair.name}.png"
    lines = [entry for entry in entries.get(pair.name, ()) if entry["bytes"] == _bytes(image)]
    if len({entry["fingerprint"] for entry in lines}) > 1:  # several settings in turn: which one does the image show?
      sha256 = file_hash(image)
      lines = [entry for entry in lines if entry["sha256"] == sha256]
    if not lines:
      continue
    last = lines[-1]
    same_sources = last["sources"] == source_bytes(pair)
    if last["fingerprint"] == run.fingerprint and same_sources:
      done.add(pair.name)
    elif not overwrite:
      what = _difference(last, run) if last["fingerprint"] != run.fingerprint else "other source images"
      raise UserError(f"{image}: expected a result of this run or none, found one of {what}; add --overwrite or "
                      "change --out")
  return done


def is_own(image: Path, entries: Iterable[dict[str, Any]]) -> bool:
  """Whether nothing is lost where `image` is written: it is missing, bears this program's mark (its writer was killed
  before the line), or is what one of the lines tells of."""
  return is_free(image) or not image.is_symlink() and any(
    entry["bytes"] == _bytes(image) and entry["sha256"] == file_hash(image) for entry in entries
  )


def _difference(entry: dict[str, Any], run: Identity) -> str:
  if entry["weights"] != run.weights:
    return "other weights"
  old = entry["flags"]
  names = [name for name in {**old, **run.flags} if old.get(name) != run.flags.get(name)]
  return "other flags (" + ", ".join(f"{name}: {old.get(name)} then, {run.flags.get(name)} now" for name in names) + ")"


def versions() -> dict[str, str]:
  """Of what makes the pixels."""
  found = {}
  for name in ("dig2dig_jax", "jax", "jaxlib", "flax", "optax"):
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # run from a checkout that is not installed
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
  """Sizes of a pair's files: changed sources are told from those that were fused by them."""
  return {source: _bytes(path) for source, path in pair.files.items()}


def _bytes(path: Path) -> int:
  try:
    return path.stat().st_size
  except OSError:
    return -1
