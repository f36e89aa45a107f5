"""Which pairs does a manifest name? A JSON line for each, read where they stand, however many there are.

  {"id": "0001", "files": {"ir": "ir/0001.png", "vi": "vi/0001.jpg"}, "size": [480, 640]}

Paths are relative to the manifest, or addresses of stores, or images in shards (`manifest_files`). "size" (height,
width of the pair's largest image) may be left out; where all lines have it, a run plans its work and opens no file.
"""

import copy
import itertools
import os
import shutil
import tempfile
import weakref
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Self, overload
from zlib import crc32

import numpy as np

from dig2dig_jax.data import manifest_files, manifest_lines
from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.errors import UserError
from dig2dig_jax.files import as_path

_BLOCK, _GAP = 2**20, 2**12  # bytes that are read at once; between two lines that are
_AT_ONCE = 64  # pairs that are made at once when all are read


class Manifest(Sequence[Pair]):
  """The pairs of a manifest in its order. In memory are 20 bytes a pair: where its line stands, a hash of its name, its
  size. `sizes` [N, 2] is None where a line tells none. Pairs with files of other names than `sources` are refused.

  UserError for a line that names no pair, an id that stands twice or can be no file's name, and a file without lines.
  """

  def __init__(
    self,
    path: Path,
    sources: Sequence[str],
    *,
    files: Callable[[Sequence[str]], list] | None = None,
    named_once: bool = True,
  ):
    """files: what the texts for files mean, in place of `manifest_files.beside` the manifest. named_once: False where
    the caller checks for duplicate ids."""
    self.path, self._sources = path, tuple(sources)
    self._files = manifest_files.beside(path.parent) if files is None else files
    self._numbers: np.ndarray | None = None  # of the lines, of a part
    starts, hashes, sides = array("Q"), array("I"), array("I")
    try:
      self._file = _opened(path)
    except OSError as error:
      raise UserError(f"{path}: expected a manifest, found {error.strerror}; check --manifest") from error
    weakref.finalize(self, self._file.close)
    self._stamp = self._changed()
    try:
      at = number = 0
      while lines := self._file.readlines(_BLOCK):
        edges = list(itertools.accumulate(map(len, lines), initial=at))
        found = manifest_lines.columns(lines, self._sources)
        names = None if found is None else manifest_lines.hashes(found[0])
        if found is not None and names is not None:
          starts.extend(edges[:-1])
          hashes.extend(names)
          sides.extend(found[2])
        else:  # which of them is at fault, or empty, is seen one by one
          for i, line in enumerate(lines):
            if not line.isspace():
              where = f"{path}, line {number + i + 1}"
              entry = manifest_lines.entry(line, self._sources, where)
              starts.append(edges[i])
              hashes.append(crc32(manifest_lines.name_of(entry, where).encode("utf-8", "surrogatepass")))
              sides.extend(manifest_lines.size_of(entry.get("size")))
        at, number = edges[-1], number + len(lines)
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
    if named_once:
      self._refuse_twice()

  def part(self, numbers: np.ndarray) -> Self:
    """The pairs of these numbers, in their order. Their lines stay where they are."""
    found = copy.copy(self)
    found._whole = self  # whose end closes the file
    found._numbers = numbers if self._numbers is None else self._numbers[numbers]
    found.hashes = self.hashes[numbers]
    found.sizes = None if self.sizes is None else self.sizes[numbers]
    return found

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
      return self.several(np.arange(*index.indices(len(self))))
    return self.several(np.array([range(len(self))[index]]))[0]

  def __iter__(self) -> Iterator[Pair]:
    for at in range(0, len(self), _AT_ONCE):
      yield from self[at : at + _AT_ONCE]

  def several(self, indices: np.ndarray) -> list[Pair]:
    """The pairs of these numbers."""
    names, files = self.columns(indices)
    return [Pair(name, dict(zip(self._sources, map(as_path, own), strict=True)))
            for name, own in zip(names, zip(*files, strict=True), strict=True)]  # fmt: skip

  def name(self, index: int) -> str:
    return self.entry(index)[0]

  def entry(self, index: int) -> tuple[str, list]:
    """(a pair's name, its files in the order of the sources), without a Path for each: texts, and paths in stores."""
    (found,) = self.entries(np.array([index]))
    return found

  def entries(self, indices: np.ndarray) -> list[tuple[str, list]]:
    """The same of several, which costs least where they stand near each other, in the order of the file."""
    names, files = self.columns(indices)
    return list(zip(names, map(list, zip(*files, strict=True)), strict=True))

  def columns(self, indices: np.ndarray) -> tuple[list[str], list[list]]:
    """(the names of several, their files by source), as `entry` has them."""
    if self._changed() != self._stamp:
      raise UserError(f"{self.path}: expected the manifest that the run began with, found it changed; run again")
    if not len(indices):
      return [], [[] for _ in self._sources]
    lines = self._lines(np.asarray(indices, np.int64))
    found = manifest_lines.columns(lines, self._sources)
    if found is not None:
      names, files, _ = found
    else:
      entries = [manifest_lines.entry(line, self._sources, str(self.path)) for line in lines]
      names, files = [entry["id"] for entry in entries], [[entry["files"][source] for entry in entries]
                                                          for source in self._sources]  # fmt: skip
    return names, [self._files(column) for column in files]

  def _lines(self, indices: np.ndarray) -> list[bytes]:
    indices = indices if self._numbers is None else self._numbers[indices]
    begins, ends = self._starts[indices].astype(np.int64), self._starts[indices + 1].astype(np.int64)
    gaps = begins[1:] - ends[:-1]
    found: list[bytes] = []
    breaks = (np.flatnonzero((gaps < 0) | (gaps > _GAP)) + 1).tolist()
    for first, behind in itertools.pairwise([0, *breaks, len(indices)]):
      start = int(begins[first])
      block = os.pread(self._file.fileno(), int(ends[behind - 1]) - start, start)
      edges = zip((begins[first:behind] - start).tolist(), (ends[first:behind] - start).tolist(), strict=True)
      found += [block[begin:end] for begin, end in edges]
    return found


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
