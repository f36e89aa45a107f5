"""What is open on the page, and how many files arrive at a time? One registry, and one count, of scenes and folders."""

import contextlib
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from starlette.exceptions import HTTPException

from dig2dig_jax.app import limits


class _Closable(Protocol):
  def close(self) -> None: ...


_Kept = TypeVar("_Kept", bound=_Closable)


class Registry(Generic[_Kept]):
  """Those that are open, by names that cannot be guessed; where there are too many, the one that was longest unused
  goes.

  make: of a path that is not there yet, which becomes its private folder. place: folder of all, private, of this
  process. most: that are kept."""

  def __init__(self, make: Callable[[Path], _Kept], place: Path, *, most: int, prefix: str = ""):
    self._make, self.place, self._most, self._prefix = make, place, most, prefix
    self._open: dict[str, _Kept] = {}

  def names(self) -> set[str]:
    return set(self._open)

  def open(self) -> str:
    """A new one's name."""
    while len(self._open) >= self._most:
      self.close(next(iter(self._open)))
    name = f"{self._prefix}{secrets.token_hex(8)}"
    self._open[name] = self._make(self.place / name)
    return name

  def get(self, name: str) -> _Kept:
    """The latest to be used, from here on. KeyError where there is none."""
    found = self._open.pop(name)
    self._open[name] = found
    return found

  def close(self, name: str) -> None:
    """No error where there is none."""
    with contextlib.suppress(KeyError):
      self._open.pop(name).close()


class Uploads:
  """Files that are being received. running: how many, of all scenes and folders together."""

  def __init__(self) -> None:
    self.running = 0

  @contextlib.contextmanager
  def one(self) -> Iterator[None]:
    """HTTPException, status 429, where there are too many already."""
    if self.running >= limits.UPLOADS:
      raise HTTPException(429, f"expected at most {limits.UPLOADS} files at a time, found more; try again")
    self.running += 1
    try:
      yield
    finally:
      self.running -= 1
