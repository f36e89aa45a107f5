"""What of a video is done? Segments of its frames in a folder beside it, and the weights that the next begins with.

A segment counts once its line stands in the log; what was under way when a run ended is done again, to the same bytes.
"""

import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from dig2dig_jax.errors import UserError
from dig2dig_jax.files import NAMES, replacing, sweep
from dig2dig_jax.fusing import ledger
from dig2dig_jax.line_file import LineFile
from dig2dig_jax.record import explained
from dig2dig_jax.video import steady

SUFFIX = ".parts"
_LOG = "segments.jsonl"


class Part(NamedTuple):
  """A finished segment. pts: time stamps of its frames. cuts: numbers of the frames that a scene begins with. sha256:
  of its file; empty where frames are files of their own. files: of these, names and SHA-256."""

  number: int
  pts: list[int]
  cuts: list[int]
  sha256: str
  files: Mapping[str, str] = {}


class Parts:
  """The segments of `out`, in a folder of that name and `.parts`. A context, held by one process.

  identity: what decides pixels; segments of another one are refused, or, with `overwrite`, removed. check: called
  before anything of this identity is begun, and may raise. After an earlier run whose segments are no longer as they
  were written all is done again, which `notes` say.
  """

  def __init__(
    self, out: Path, identity: Mapping[str, Any], *, overwrite: bool, check: Callable[[], None] = lambda: None
  ):
    self.folder = out.with_name(out.name + SUFFIX)
    self._out, self._check = out, check
    self.notes: list[str] = []
    self._identity, self._overwrite = json.loads(json.dumps(identity, default=str)), overwrite
    self._log = LineFile(self.folder / _LOG, remedy="wait for it, or choose another -o")
    self.done: list[Part] = []

  def __enter__(self) -> Self:
    self._log.__enter__()
    try:
      sweep(self.folder, now=self._log.touched(), age=0)  # nobody else writes here
      with explained(self._log.path):
        lines = self._log.path.read_text(encoding="utf-8").splitlines()
      self._read(lines)
    except BaseException:
      self._log.__exit__()
      raise
    return self

  def __exit__(self, *exception) -> None:
    self._log.__exit__(*exception)

  def _read(self, lines: list[str]) -> None:
    try:
      found = [json.loads(line) for line in lines]
      first = found[0] if found else None
      self.done = [Part(**one) for one in found[1:]]
    except (ValueError, TypeError, RecursionError):
      first = "unreadable"
    if first is not None and first != self._identity:
      if not self._overwrite:
        what = "unreadable lines" if first == "unreadable" else f"those of other {_difference(first, self._identity)}"
        raise UserError(f"{self.folder}: expected segments of this run or none, found {what}; add --overwrite, or "
                        "choose another -o")  # fmt: skip
      first = None
    if first is None:
      try:
        self._check()
      except UserError:
        self.remove()  # nothing was begun
        raise
    elif not self._whole():
      self.notes.append(f"{self.folder}: finished frames are missing or changed: all are made again")
      first = None
    if first is None:
      self._clear()
      self._log.write_line(json.dumps(self._identity))

  def _whole(self) -> bool:
    """Whether every segment is as it was written, and the last one's state there."""
    sound = all(self._is_sound(part, number) for number, part in enumerate(self.done))
    return sound and (not self.done or self.state() is not None)

  def _is_sound(self, part: Part, number: int) -> bool:
    path = self.path(number)
    known = {path: part.sha256} if part.sha256 else {self._out / name: sha256 for name, sha256 in part.files.items()}
    return part.number == number and all(file.is_file() and ledger.file_hash(file) == known[file] for file in known)

  def path(self, number: int) -> Path:
    """Of a segment's video."""
    return self.folder / f"{number:06d}.mp4"

  def state(self) -> steady.State | None:
    """After the last finished segment; None where there is none, or it cannot be read."""
    try:
      with np.load(self.folder / f"{len(self.done) - 1:06d}.npz", allow_pickle=False) as arrays:
        return steady.of_arrays({name: arrays[name] for name in arrays.files})
    except Exception:  # damaged bytes surface as almost any type: then all is done again
      return None

  def finish(self, pts: list[int], cuts: list[int], state: steady.State, files: Mapping[str, str]) -> None:
    """The next segment is done; its video, if it has one, and its files, see `Part`, stand."""
    number = len(self.done)
    path = self.path(number)
    arrays: dict[str, Any] = {name: np.asarray(one) for name, one in steady.as_arrays(state).items()}
    with explained(self.folder), replacing(self.folder / f"{number:06d}.npz") as temporary:
      with temporary.open("wb") as file:
        np.savez(file, **arrays)
    part = Part(number, pts, cuts, ledger.file_hash(path) if path.is_file() else "", files)
    self._log.write_line(json.dumps(part._asdict()))
    self.done.append(part)
    if number:
      (self.folder / f"{number - 1:06d}.npz").unlink(missing_ok=True)

  def remove(self) -> None:
    """All of it: the video stands."""
    self._clear()
    with contextlib.suppress(OSError):
      for name in (_LOG, NAMES):
        (self.folder / name).unlink(missing_ok=True)
      self.folder.rmdir()

  def _clear(self) -> None:
    self.done = []
    self._log.clear()
    for pattern in ("[0-9]" * 6 + ".mp4", "[0-9]" * 6 + ".npz"):
      for path in self.folder.glob(pattern):
        path.unlink(missing_ok=True)


def _difference(old: Any, new: Mapping[str, Any]) -> str:
  if not isinstance(old, dict):
    return "settings"
  return ", ".join(name for name in {**old, **new} if old.get(name) != new.get(name))
