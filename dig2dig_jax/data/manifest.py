"""Which pairs does a manifest name? A JSON line for each, read where they stand, however many there are.

  {"id": "0001", "files": {"ir": "ir/0001.png", "vi": "vi/0001.jpg"}, "size": [480, 640]}

Paths are relative to the manifest. "size" (height, width of the pair's largest image) may be left out; where all lines
have it, a run plans its work without opening a file.
"""

import json
import os
import re
import shutil
import tempfile
import weakref
from array import array
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, overload

import numpy as np

from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.errors import UserError

_LONGEST = 2**20  # bytes of a line
_LARGEST = 2**31  # of a side
_NAME = re.compile(r"[^/\\\0]+")


class Manifest(Sequence[Pair]):
  """The pairs of a manifest in its order. In memory are 28 bytes a pair: where its line stands, a hash of its name, its
  size. `sizes` [N, 2] is None where a line tells none. Pairs with files of other names than `sources` are refused.

  UserError for a line that names no pair, an id that stands twice or can be no file's name, and a file without lines.
  """

  def __init__(self, path: Path, sources: Sequence[str]):
    self.path, self._sources = path, tuple(sources)
    self._folder = str(path.parent)
    starts, hashes, sides = array("Q"), array("Q"), array("I")
    try:
      self._file = _opened(path)
    except OSError as error:
      raise UserError(f"{path}: expected a manifest, found {error.strerror}; check --manifest") from error
    weakref.finalize(self, self._file.close)
    try:
      at = 0
      for number, line in enumerate(self._file, 1):
        if not line.isspace():
          entry = self._entry(line, number)
          starts.append(at)
          hashes.append(_hash(self._name(entry, number)))
          sides.extend(_size(entry))
        at += len(line)
    except (OSError, UnicodeDecodeError) as error:
      raise UserError(f"{path}: expected a manifest, found {getattr(error, 'strerror', None) or 'no text'}; check "
                      "--manifest") from error
    if not starts:
      raise UserError(f"{path}: expected a line per pair, found none; see --list")
    self._ends = at
    self._starts = np.frombuffer(starts, np.uint64)
    self.hashes = np.frombuffer(hashes, np.uint64)
    sizes = np.frombuffer(sides, np.uint32).reshape(-1, 2)
    self.sizes = sizes if sizes.all() else None
    self._refuse_twice()

  def _refuse_twice(self) -> None:
    order = np.argsort(self.hashes, kind="stable")
    ordered = self.hashes[order]
    for first in np.flatnonzero(ordered[1:] == ordered[:-1]):
      one, other = (int(order[place]) for place in (first, first + 1))
      if (name := self.name(one)) == self.name(other):
        raise UserError(f"{self.path}, line {self._line(other)}: expected each id once, found '{name}' again")

  def _line(self, index: int) -> int:
    """The number of a pair's line, from 1."""
    self._file.seek(0)
    end, number = int(self._starts[index]), 1
    while end > 0 and (block := self._file.read(min(end, 2**20))):
      number, end = number + block.count(b"\n"), end - len(block)
    return number

  def __len__(self) -> int:
    return len(self._starts)

  @overload
  def __getitem__(self, index: int) -> Pair: ...
  @overload
  def __getitem__(self, index: slice) -> list[Pair]: ...
  def __getitem__(self, index):
    if isinstance(index, slice):
      return [self[one] for one in range(*index.indices(len(self)))]
    name, files = self.entry(range(len(self))[index])
    return Pair(name, {source: Path(file) for source, file in zip(self._sources, files, strict=True)})

  def __iter__(self) -> Iterator[Pair]:
    return (self[index] for index in range(len(self)))

  def name(self, index: int) -> str:
    return self.entry(index)[0]

  def entry(self, index: int) -> tuple[str, list[str]]:
    """(a pair's name, its files in the order of the sources), without a Path for each."""
    start = int(self._starts[index])
    end = int(self._starts[index + 1]) if index + 1 < len(self._starts) else self._ends
    try:
      line = os.pread(self._file.fileno(), end - start, start)
    except OSError as error:
      raise UserError(f"{self.path}: expected a manifest, found {error.strerror}; check --manifest") from error
    entry = self._entry(line, None)
    name = entry["id"]
    if not isinstance(name, str) or _hash(name) != int(self.hashes[index]):
      raise UserError(f"{self.path}: expected the manifest that the run began with, found it changed; run again")
    return name, [os.path.join(self._folder, entry["files"][source]) for source in self._sources]

  def _entry(self, line: bytes, number: int | None) -> dict[str, Any]:
    try:
      if len(line) > _LONGEST:
        raise ValueError(f"a line of {len(line)} bytes")
      entry = json.loads(line.decode("utf-8"))
      for source in self._sources:
        os.fspath(entry["files"][source])
      if "id" not in entry:
        raise KeyError("id")
      return entry
    except UnicodeDecodeError:
      raise
    except (ValueError, KeyError, TypeError, RecursionError) as error:
      where = f"{self.path}, line {number}" if number else str(self.path)
      raise UserError(f'{where}: expected {{"id": ..., "files": {{"{self._sources[0]}": ..., ...}}}}, found '
                      f"{type(error).__name__}: {error}; see --list and --sources") from error

  def _name(self, entry: dict[str, Any], number: int) -> str:
    name = entry["id"]
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name.startswith("."):
      raise UserError(f"{self.path}, line {number}: expected an id that can be a file's name, found {name!r}")
    return name


def _opened(path: Path) -> BinaryIO:
  """To be read in any order: what comes through a pipe is kept in a file that goes away by itself."""
  file = path.open("rb")
  if file.seekable():
    return file
  kept = tempfile.TemporaryFile()
  with file:
    shutil.copyfileobj(file, kept)
  kept.seek(0)
  return kept


def _hash(name: str) -> int:
  return int.from_bytes(blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _size(entry: dict[str, Any]) -> tuple[int, int]:
  """0, 0 where a line tells none that can be."""
  size = entry.get("size")
  if isinstance(size, list) and len(size) == 2 and all(type(side) is int and 0 < side < _LARGEST for side in size):
    return size[0], size[1]
  return 0, 0
