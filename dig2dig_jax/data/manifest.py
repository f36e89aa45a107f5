"""Which pairs does a manifest name? A JSON line for each, read where they stand, however many there are.

  {"id": "0001", "files": {"ir": "ir/0001.png", "vi": "vi/0001.jpg"}, "size": [480, 640]}

Paths are relative to the manifest, or addresses of stores. "size" (height, width of the pair's largest image) may be
left out; where all lines have it, a run plans its work without opening a file.
"""

import itertools
import json
import os
import re
import shutil
import tempfile
import weakref
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, overload
from zlib import crc32

import numpy as np

from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.errors import UserError
from dig2dig_jax.files import as_path
from dig2dig_jax.stores.address import is_address, typed_place

_LONGEST = 2**20  # bytes of a line
_LARGEST = 2**31  # of a side
_SCAN = json.JSONDecoder().scan_once
_NAME = re.compile(r"[^/\\\0]+")


class Manifest(Sequence[Pair]):
  """The pairs of a manifest in its order. In memory are 20 bytes a pair: where its line stands, a hash of its name, its
  size. `sizes` [N, 2] is None where a line tells none. Pairs with files of other names than `sources` are refused.

  UserError for a line that names no pair, an id that stands twice or can be no file's name, and a file without lines.
  """

  def __init__(self, path: Path, sources: Sequence[str]):
    self.path, self._sources = path, tuple(sources)
    self._folder = os.path.join(path.parent, "") if isinstance(path, Path) else path.parent
    starts, hashes, sides = array("Q"), array("I"), array("I")
    try:
      self._file = _opened(path)
    except OSError as error:
      raise UserError(f"{path}: expected a manifest, found {error.strerror}; check --manifest") from error
    weakref.finalize(self, self._file.close)
    self._stamp = self._changed()
    try:
      at = 0
      for number, line in enumerate(self._file, 1):
        if not line.isspace():
          entry = self._entry(line, number)
          starts.append(at)
          hashes.append(crc32(self._name(entry, number).encode("utf-8", "surrogatepass")))
          sides.extend(_size(entry.get("size")))
        at += len(line)
    except (OSError, UnicodeDecodeError) as error:
      raise UserError(f"{path}: expected a manifest, found {getattr(error, 'strerror', None) or 'no text'}; check "
                      "--manifest") from error
    if not starts:
      raise UserError(f"{path}: expected a line per pair, found none; see --list")
    starts.append(at)
    self._starts = np.frombuffer(starts, np.uint64)
    self.hashes = np.frombuffer(hashes, np.uint32)
    sizes = np.frombuffer(sides, np.uint32).reshape(-1, 2)
    self.sizes = sizes if sizes.all() else None
    self._refuse_twice()

  def _changed(self) -> tuple[int, int]:
    found = os.fstat(self._file.fileno())
    return found.st_size, found.st_mtime_ns

  def _refuse_twice(self) -> None:
    order = np.argsort(self.hashes, kind="stable")
    ordered = self.hashes[order]
    seen: dict[str, int] = {}
    for place in np.flatnonzero(ordered[1:] == ordered[:-1]).tolist():  # as many as chance has, or the same names
      for index in order[place : place + 2].tolist():
        name = self.name(index)
        if seen.setdefault(name, index) != index:
          raise UserError(f"{self.path}, line {self._line(index)}: expected each id once, found '{name}' again")

  def _line(self, index: int) -> int:
    """The number of a pair's line, from 1."""
    self._file.seek(0)
    end, number = int(self._starts[index]), 1
    while end > 0 and (block := self._file.read(min(end, 2**20))):
      number, end = number + block.count(b"\n"), end - len(block)
    return number

  def __len__(self) -> int:
    return len(self.hashes)

  @overload
  def __getitem__(self, index: int) -> Pair: ...
  @overload
  def __getitem__(self, index: slice) -> list[Pair]: ...
  def __getitem__(self, index):
    if isinstance(index, slice):
      return [self[one] for one in range(*index.indices(len(self)))]
    name, files = self.entry(range(len(self))[index])
    return Pair(name, {source: as_path(file) for source, file in zip(self._sources, files, strict=True)})

  def __iter__(self) -> Iterator[Pair]:
    return (self[index] for index in range(len(self)))

  def name(self, index: int) -> str:
    return self.entry(index)[0]

  def entry(self, index: int) -> tuple[str, list]:
    """(a pair's name, its files in the order of the sources), without a Path for each: texts, and paths in stores."""
    (found,) = self.entries(np.array([index]))
    return found

  def entries(self, indices: np.ndarray) -> list[tuple[str, list]]:
    """The same of several, which costs least where they follow each other in the file."""
    if self._changed() != self._stamp:
      raise UserError(f"{self.path}: expected the manifest that the run began with, found it changed; run again")
    found = []
    breaks = np.flatnonzero(np.diff(indices) != 1) + 1
    for group in np.split(indices, breaks):
      first, last = int(group[0]), int(group[-1])
      edges = self._starts[first : last + 2].tolist()
      block = os.pread(self._file.fileno(), edges[-1] - edges[0], edges[0])
      for begin, end in itertools.pairwise(edges):
        entry = self._entry(block[begin - edges[0] : end - edges[0]], None)
        files = entry["files"]
        found.append((entry["id"], [_under(self._folder, files[source]) for source in self._sources]))
    return found

  def _entry(self, line: bytes, number: int | None) -> dict[str, Any]:
    """Of a line, with an id of any type and a path for every source."""
    try:
      if len(line) > _LONGEST:
        raise ValueError(f"a line of {len(line)} bytes")
      entry = _parsed(line.decode("utf-8"))
      files = entry["files"]
      for source in self._sources:
        if type(files[source]) is not str:
          raise TypeError(f"a path of type {type(files[source]).__name__}")
      entry["id"]
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
  """To be read in any order: what comes from a store or through a pipe is kept in a file that goes away by itself."""
  file = path.open("rb")
  if isinstance(path, Path) and file.seekable():
    return file
  kept = tempfile.TemporaryFile()
  with file:
    shutil.copyfileobj(file, kept)
  kept.seek(0)
  return kept


def _parsed(text: str):
  """As json.loads does, in half the time for what is in order."""
  try:
    found, end = _SCAN(text, 0)
  except StopIteration:
    return json.loads(text)
  return found if text[end:].isspace() or end == len(text) else json.loads(text)


def _under(folder, file: str):
  """A text; the path in a store of an address, and of what a manifest in a store tells."""
  if "://" in file and is_address(file):
    return typed_place(file)
  if not isinstance(folder, str):
    return folder / file
  return file if file.startswith("/") else folder + file


def _size(size) -> tuple[int, int]:
  """0, 0 where a line tells none that can be."""
  if type(size) is list and len(size) == 2 and type(size[0]) is int and type(size[1]) is int and (
    0 < size[0] < _LARGEST and 0 < size[1] < _LARGEST
  ):
    return size[0], size[1]
  return 0, 0
