"""How is a file written completely or not at all, and never over a foreign one?"""

import contextlib
import os
import re
import sqlite3
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISDIR, S_ISFIFO, S_ISREG, S_ISSOCK

from dig2dig_jax.errors import UserError

MARK = b"tEXtSoftware\0dig2dig_jax"  # in a PNG's bytes: this program wrote it
TIFF_MARK = b"dig2dig_jax\0"  # the same in a TIFF's
NAMES = ".dig2dig_jax"  # in a folder of results: names of other files there that this program wrote, a line each
_MARKED_WITHIN = 4096  # bytes; a PNG's texts stand before its pixels


def typed_path(text: str | os.PathLike) -> Path:
  """A path as the user types it: `~` is the home folder, also behind `--out=`, where a shell leaves it alone."""
  return Path(os.path.expanduser(text))


def as_path(place) -> Path:
  """The `Path` of a text; what is a path already, of this machine or of a store (`stores.path`), as it is."""
  return Path(place) if isinstance(place, str | os.PathLike) else place


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
  """Yields a temporary path beside `path` that takes its place, by one rename, on a clean exit and is removed on any
  other. Other processes see the old file, or none, or the whole new one. Raises OSError as the file system does."""
  if not isinstance(path, Path):  # of a store (`stores.path`), which has its own way
    with path.replacing() as temporary:
      yield temporary
    return
  temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")  # the same folder, so that the rename crosses no disk
  try:
    yield temporary
    os.replace(temporary, path)
  finally:
    temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def temporary_room(what: str) -> Iterator[None]:
  """UserError where what is written in here does not fit into this machine's temporary folder; `what`: that is."""
  try:
    yield
  except (OSError, sqlite3.Error) as error:
    raise UserError(f"{tempfile.gettempdir()}: expected room for {what}, found "
                    f"{getattr(error, 'strerror', None) or error}; free some, or set TMPDIR") from error


def is_free(path: Path, mark: bytes = MARK) -> bool:
  """Whether an image may be written at `path`: nothing is there, or one of this program, which bears its mark."""
  try:
    if not S_ISREG(path.stat().st_mode):  # opening a pipe would wait for its writer
      return False
    with path.open("rb") as file:
      return mark in file.read(_MARKED_WITHIN)
  except FileNotFoundError:
    return not path.is_symlink()  # a broken link is a foreign file too
  except OSError:
    return False


def what_lies_at(path: Path) -> str:
  """In words, for messages: "a file", "a folder", "a pipe", "a link that points to nothing", "nothing there"..."""
  try:
    mode = path.stat().st_mode
  except OSError as error:
    if isinstance(path, Path) and os.path.islink(path) and not isinstance(error, PermissionError):
      return "a link that points to nothing"
    return "nothing there" if isinstance(error, FileNotFoundError) else error.strerror
  kinds = ((S_ISREG, "a file"), (S_ISDIR, "a folder"), (S_ISFIFO, "a pipe"), (S_ISSOCK, "a socket"))
  return next((words for holds, words in kinds if holds(mode)), "a device")


def claim(path: Path, *, known: bool = False) -> None:
  """To be called before a file other than a PNG is written: its name joins those that this program wrote in its folder.

  UserError where a file of that name lies there already that is not among them, unless it is `known` to be this
  program's by other signs. Raises OSError as the file system does.
  """
  if not isinstance(path, Path):
    if not path.claim(known):
      raise taken(path)
    return
  names = path.with_name(NAMES)
  if names.is_symlink() or names.exists() and not names.is_file():  # foreign, whatever it points to
    raise UserError(f"{names}: expected nothing or this program's list of its files there, found "
                    f"{'a link' if names.is_symlink() else what_lies_at(names)}; move it or change --out")
  listed = names.read_text(encoding="utf-8", errors="surrogateescape").splitlines() if names.is_file() else ()
  if path.name in listed:
    return
  if not known and (path.exists() or path.is_symlink()):
    raise taken(path)
  # A link that took its place since is not followed; one write, as other processes may be adding theirs.
  number = os.open(names, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0), 0o666)
  with open(number, "a", encoding="utf-8", errors="surrogateescape") as file:
    file.write(path.name + "\n")


def temperatures_of(image: Path) -> Path:
  """Where the temperatures of a fused image lie."""
  return image.with_name(f"{image.stem}_celsius.tif")


def taken(path: Path) -> UserError:
  """What to say about a file that must not be written over."""
  return UserError(f"{path}: expected nothing or a result of this program there, found a file that it did not write, "
                   "which is kept; move that file or change --out")


def sweep(folder: Path, *, now: float, age: float = 600) -> None:
  """Removes temporary files in a folder that are `age` seconds older than `now`, by the clock of its file system:
  left by processes that were killed, for no writer takes that long."""
  if not isinstance(folder, Path):
    return  # stores have none
  with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:  # one by one: there may be millions
    for entry in entries:
      if entry.name.startswith(".") and re.fullmatch(r"\.[0-9a-f]{32}\.tmp", entry.name):
        with contextlib.suppress(OSError):  # another process may be sweeping too
          if _is_old_file(Path(entry.path), now - age):
            os.unlink(entry.path)


def _is_old_file(path: Path, before: float) -> bool:
  """Links are no files of any writer's, and not followed."""
  found = path.lstat()
  return S_ISREG(found.st_mode) and found.st_mtime < before
