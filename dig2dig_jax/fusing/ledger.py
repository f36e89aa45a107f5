"""Which pairs are done, and with what? One JSON line per finished pair, in a file per process, that reruns read back.

A line is written after its image stands, so that whoever is killed between the two does the pair again, to the same
pixels, and no pair stands twice. Every process appends to a file of its own and reads those of all.
"""

import contextlib
import datetime
import hashlib
import importlib.metadata
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.errors import UserError
from dig2dig_jax.files import is_free
from dig2dig_jax.fusing.ledger_lines import lines
from dig2dig_jax.line_file import LineFile
from dig2dig_jax.record import explained

FOLDER = "log"


class Ledger(LineFile):
  """The log of one process, `folder/log/INDEX-of-COUNT.jsonl`. Use as a context; `append` may be called by threads.

  Raises UserError where the file cannot be written, or another process writes it.
  """

  def __init__(self, folder: Path, *, process: int = 0, processes: int = 1):
    super().__init__(folder / FOLDER / f"{process}-of-{processes}.jsonl",
                     remedy="wait for it, change --out, or give each process its own --process_id")

  def __enter__(self):
    _refuse_link(self.path.parent)
    return super().__enter__()

  def _is_own(self) -> bool:
    """It is empty, or holds a line of this job: a run of before names were noted."""
    path = self.path
    return path.is_symlink() or path.is_file() and (  # of links whoever opens it tells
      path.stat().st_size == 0 or next(lines(path, []), None) is not None)

  def append(self, entry: dict[str, Any]) -> None:
    """One line, by one write, handed to the operating system before it returns; the whole of it, or nothing."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    self.write_line(json.dumps({**entry, "finished": now}))


def _refuse_link(folder: Path) -> None:
  if folder.is_symlink():
    raise UserError(f"{folder}: expected a folder of this run's logs, found a link to another place; remove it or "
                    "change --out")


Entries = dict[str, list[dict[str, Any]]]  # by the pair's name


def read(folder: Path, notes: list[str] | None = None) -> dict[str, list[dict[str, Any]]]:
  """The lines of all processes that ever wrote into `folder`, by pair. What is no line of this job is set aside, with a
  note per file."""
  entries: dict[str, list[dict[str, Any]]] = {}
  _refuse_link(folder / FOLDER)
  for path in sorted((folder / FOLDER).glob("*.jsonl")):
    with explained(path):
      for entry in lines(path, [] if notes is None else notes):
        entries.setdefault(entry["id"], []).append(entry)
  return entries


def size(folder: Path) -> int:
  """Of all logs together, in bytes: what grew holds more lines than were read."""
  return sum(max(_bytes(path), 0) for path in (folder / FOLDER).glob("*.jsonl"))


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
) -> dict[str, dict[str, Any]]:
  """{name: line of the log} of the pairs whose image in `folder` this very run would make, from sources of the present
  sizes in bytes.

  UserError for the first pair that has an image of other flags, weights or sources, unless `overwrite`: that pair is
  then to be done. Images without a line are no results of this job, and to be done.
  """
  done = {}
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
      done[pair.name] = last
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
  old, new = _flat(entry["flags"]), _flat(run.flags)
  names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
  told = [f"{_shown(name)}: {_shown(old.get(name))} then, {_shown(new.get(name))} now" for name in names[:20]]
  return f"other flags ({', '.join(told)})"


def _flat(flags: dict[str, Any]) -> dict[str, Any]:
  """The method's options as flags of their own, so that a difference shows."""
  options = flags.get("options")
  rest = {name: value for name, value in flags.items() if name != "options"}
  return rest | (options if isinstance(options, dict) else {"options": options} if options is not None else {})


def _shown(value) -> str:
  """Of a flag, in one line whatever somebody wrote into the log."""
  text = str(value)
  text = text if text.isprintable() else ascii(text)
  return text if len(text) <= 200 else text[:200] + "..."


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
