"""What lies in a folder of a store? A few names in memory, many in a database on disk that goes away by itself."""

import itertools
import sqlite3
import threading
import weakref
from collections.abc import Iterable, Iterator
from typing import NamedTuple

FEW = 20_000  # names that are held in memory
_AT_ONCE = 1000  # names that are taken from the database at once
_CACHE = 2**13  # kB of the database in memory


class Found(NamedTuple):
  """size: bytes, of a folder 0."""

  size: int
  is_folder: bool


class Listing:
  """Names and what each is, of any number: of many, some MB are in memory. Threads may ask and add at once."""

  def __init__(self, rows: Iterable[tuple[str, Found]]):
    rows = iter(rows)
    self._lock = threading.Lock()
    self._few: dict[str, Found] | None = dict(itertools.islice(rows, FEW))
    if (more := next(rows, None)) is None:
      return
    # No name: a temporary file of SQLite.
    self._names = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    weakref.finalize(self, self._names.close)
    for setting in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{_CACHE}"):
      self._names.execute(f"PRAGMA {setting}")
    self._names.execute("CREATE TABLE names (name BLOB PRIMARY KEY, size INTEGER) WITHOUT ROWID")
    self._names.execute("BEGIN")
    self._put(itertools.chain(self._few.items(), [more], rows))
    self._names.execute("COMMIT")
    self._few = None

  def _put(self, rows: Iterable[tuple[str, Found]]) -> None:
    told = ((_bytes(name), -1 if found.is_folder else found.size) for name, found in rows)
    self._names.executemany("INSERT OR REPLACE INTO names VALUES (?, ?)", told)

  @property
  def is_large(self) -> bool:
    return self._few is None

  def get(self, name: str) -> Found | None:
    with self._lock:
      if self._few is not None:
        return self._few.get(name)
      row = self._names.execute("SELECT size FROM names WHERE name = ?", (_bytes(name),)).fetchone()
    return None if row is None else _found(row[0])

  def add(self, name: str, found: Found) -> None:
    with self._lock:
      if self._few is not None:
        self._few[name] = found
      else:
        self._put([(name, found)])

  def items(self) -> Iterator[tuple[str, Found]]:
    """What was there when it was asked for, and some of what was added since."""
    if self._few is not None:
      with self._lock:
        rows = list(self._few.items())
      yield from rows
      return
    last = b""
    while True:
      with self._lock:
        ordered = self._names.execute("SELECT name, size FROM names WHERE name > ? ORDER BY name LIMIT ?",
                                      (last, _AT_ONCE)).fetchall()  # fmt: skip
      if not ordered:
        return
      yield from ((name.decode("utf-8", "surrogatepass"), _found(size)) for name, size in ordered)
      last = ordered[-1][0]

  def __iter__(self) -> Iterator[str]:
    return (name for name, _ in self.items())


def _bytes(name: str) -> bytes:
  return name.encode("utf-8", "surrogatepass")


def _found(size: int) -> Found:
  return Found(max(size, 0), size < 0)
