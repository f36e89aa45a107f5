"""How does code that reads and writes `pathlib.Path`s work on a store? By a path of the same names and methods.

It has what this package asks of a path, and no more; it is no `os.PathLike`, so that nothing opens it as a local file.
Errors are the OSErrors that a local path would raise.
"""

import contextlib
import errno
import fnmatch
import io
import os
import tempfile
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Self

from dig2dig_jax.errors import UserError
from dig2dig_jax.stores import address
from dig2dig_jax.stores.named import Named
from dig2dig_jax.stores.store import Ranged, Store, mode

_BLOCK = 1 << 18  # bytes that are read at once, at least
_NAMES = ".dig2dig_jax"  # folder of empty objects, named as what this program wrote beside it
_stores: dict[tuple, Store] = {}  # one per bucket and options, since they keep connections and listings
_opening = threading.Lock()


class Stat(NamedTuple):
  """The fields of `os.stat_result` that are used. st_dev and st_ino are the same for one address."""

  st_mode: int
  st_size: int
  st_dev: int
  st_ino: int
  st_nlink: int = 1


class StorePath(Named):
  """A key in a `Store`. Two are equal where their addresses are."""

  def __init__(self, url: str, options: dict[str, Any], key: str | None = None):
    self._url, self._options = url, options
    self._store = _store(url, options)
    root, rest = _split(self._store.key_of(url) if key is None else key)
    self._root, self._path = root, PurePosixPath(rest)
    self._content: bytes | None = None  # what was put through this very object

  def __reduce__(self):
    return StorePath, (self._url, self._options, self.key)

  @property
  def key(self) -> str:
    """As the file system of fsspec has it."""
    path = str(self._path)
    return self._root + ("" if path == "." else path)

  def _with(self, path: PurePosixPath) -> Self:
    return type(self)(self._url, self._options, self._root + ("" if str(path) == "." else str(path)))

  def __str__(self) -> str:
    return self._store.shown(self.key)

  def __truediv__(self, name: str | os.PathLike) -> Self:
    if address.is_address(name):
      return address.typed_place(name)
    return self._with(self._path / os.fspath(name))

  @property
  def name(self) -> str:
    return self._path.name or self.key.rstrip("/").rpartition("/")[2]

  @property
  def parts(self) -> tuple[str, ...]:
    return self._path.parts

  @property
  def parent(self) -> Self:
    return self._with(self._path.parent)

  def with_name(self, name: str) -> Self:
    return self._with(self._path.with_name(name))

  def relative_to(self, other: "StorePath") -> PurePosixPath:
    return self._path.relative_to(other._path)

  def stat(self) -> Stat:
    if self._content is not None:
      return Stat(0o100644, len(self._content), -1, zlib.crc32(str(self).encode()))
    own = self._path.name
    found = self._store.found(self.parent.key if own else self.key, own)
    return Stat(mode(found), found.size, -1, zlib.crc32(str(self).encode()))

  def _is(self, folder: bool) -> bool:
    try:
      own = self._path.name
      return self._store.found(self.parent.key if own else self.key, own).is_folder is folder
    except (FileNotFoundError, NotADirectoryError):
      return False

  def is_file(self) -> bool:
    return self._content is not None or self._is(False)

  def is_dir(self) -> bool:
    return self._is(True)

  def exists(self) -> bool:
    return self.is_file() or self.is_dir()

  def iterdir(self) -> Iterator[Self]:
    for name in self._store.listed(self.key):
      yield self / name

  def names(self) -> Iterator[tuple[str, bool]]:
    """(name, whether it is a folder) of what lies directly in this folder, without a path for each."""
    return ((name, found.is_folder) for name, found in self._store.listed(self.key).items())

  def glob(self, pattern: str) -> list[Self]:
    """Of names directly in this folder; nothing where there is none."""
    try:
      return [self / name for name in self._store.listed(self.key) if fnmatch.fnmatchcase(name, pattern)]
    except FileNotFoundError:
      return []

  def read_bytes(self) -> bytes:
    return self._store.read(self.key) if self._content is None else self._content

  def read_range(self, start: int, end: int) -> bytes:
    """The bytes from `start` to before `end`."""
    return self._store.read(self.key, start, end) if self._content is None else self._content[start:end]

  def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
    return self.read_bytes().decode(encoding, errors)

  def open(self, how: str = "rb"):
    """For reading, in blocks."""
    if how != "rb":
      raise ValueError(f"{self}: expected to be opened for reading bytes, found {how}")
    if self._content is not None:
      return io.BytesIO(self._content)
    found = self.stat()
    if found.st_mode & 0o040000:
      raise IsADirectoryError(errno.EISDIR, "a folder")
    return io.BufferedReader(Ranged(self._store, self.key, found.st_size), _BLOCK)

  def write_bytes(self, data: bytes) -> None:
    """The whole object, or the old one stays."""
    self._store.put(self.parent.key, self.name, data)
    self._content = data

  def write_text(self, text: str, encoding: str = "utf-8") -> None:
    self.write_bytes(text.encode(encoding))

  def mkdir(self, parents: bool = False, exist_ok: bool = False) -> None:
    """Nothing: folders are names here."""

  def prepare(self) -> None:
    """To be called before results are made: UserError where none can be put here."""
    try:
      self._store.check(self.key)
    except OSError as error:
      raise UserError(f"{self}: expected a place to write to, found {error.strerror}; change --out") from None

  @contextlib.contextmanager
  def replacing(self) -> Iterator[Path]:
    """Yields a local file that becomes this object, by one put, on a clean exit."""
    with tempfile.TemporaryDirectory(prefix="dig2dig-") as folder:
      temporary = Path(folder) / self.name
      yield temporary
      self.write_bytes(temporary.read_bytes())

  def claim(self, known: bool) -> bool:
    """Notes that this program writes this object; whether it may: nothing lies there that it did not write."""
    mark = self.parent / _NAMES / self.name
    if mark.is_file():
      return True
    if not known and self.exists():
      return False
    mark.write_bytes(b"")
    return True


def opened(url: str, options: dict[str, Any]) -> StorePath:
  """The path of an address. UserError, in one line, where its store cannot be reached at all."""
  try:
    return StorePath(url, options)
  except UserError:
    raise
  except OSError as error:
    raise UserError(f"{address.redacted(url)}: expected a store that can be reached, found {error.strerror or error}; "
                    "check the address") from None
  except Exception as error:  # of a damaged archive, an option that is none: almost any type
    raise UserError(f"{address.redacted(url)}: expected the address of a store, found {type(error).__name__}; check "
                    "it") from None


def _split(key: str) -> tuple[str, str]:
  """(what is no name of a folder, the rest) of a key: `https://host/`, `/` or nothing."""
  scheme, there, rest = key.partition("://")
  if there:
    host, _, path = rest.partition("/")
    return f"{scheme}://{host}/", path
  return ("/", key.lstrip("/")) if key.startswith("/") else ("", key)


def _store(url: str, options: dict[str, Any]) -> Store:
  first, *rest = url.split("::")
  scheme, _, place = first.partition("://")
  root = f"{scheme}://{place.split('/')[0]}" if not rest else url
  key = root, repr(sorted(options.items()))
  with _opening:
    if key not in _stores:
      _stores[key] = Store(url, options)
    found = _stores[key]
  return found


def told() -> list[str]:
  """A line for each store of which requests had to be tried again."""
  with _opening:
    return [line for store in _stores.values() for line in store.told()]


def forget() -> None:
  """Drops connections and listings: in a process that another made, and in tests."""
  with _opening:
    _stores.clear()
