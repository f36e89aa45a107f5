"""Which files are in a ZIP archive, and which are too large? By the unpacked bytes, not by the archive's figures."""

import contextlib
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from dig2dig_jax.app import limits
from dig2dig_jax.app.session import usable
from dig2dig_jax.errors import UserError, one_line

CHUNK = 1 << 20
_ENTRIES, _DIRECTORY = 3 * limits.FOLDER_FILES, 4 << 20  # with what is no image; bytes of its list
_BYTES = 240  # of a name; file systems have 255
_END = b"PK\5\6"
_DAMAGED = (OSError, zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, ValueError)


class Packed(NamedTuple):
  """A file of an archive. name: as it stands there. parts: of its path, without a folder that holds all others."""

  name: str
  parts: tuple[str, ...]
  entry: zipfile.ZipInfo


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[zipfile.ZipFile, list[Packed]]]:
  """The archive, and its files without hidden ones and what a Mac adds. A link is a file, of what it points to.
  UserError where its list alone is too long, and where it cannot be read, there and in the context."""
  try:
    _check_directory(path)
    with zipfile.ZipFile(path) as archive:
      if len(archive.infolist()) > _ENTRIES:
        raise _too_many(path)
      shown = [entry for entry in archive.infolist() if not entry.is_dir() and not _is_hidden(entry.filename)]
      found = [(entry, tuple(inner)) for entry in shown if (inner := parts_of(entry.filename))]
      above = {inner[0] for _, inner in found} if all(len(inner) > 1 for _, inner in found) else set()
      start = int(len(above) == 1)  # one folder that holds all of it says nothing
      yield archive, [Packed(entry.filename, inner[start:], entry) for entry, inner in found]
  except _DAMAGED as error:
    raise UserError(f"{path.name}: expected a ZIP archive of images without a password, found {one_line(error)[:80]}; "
                    "pack it again") from None  # fmt: skip


def chunks(file: IO[bytes]) -> Iterator[bytes]:
  while chunk := file.read(CHUNK):
    yield chunk


def parts_of(name: str) -> list[str]:
  """Of a relative path, each as it may be used on a disk: none leads up, to another drive, is hidden or too long."""
  usable_parts = [usable(part).lstrip(".").replace(":", "_") for part in _split(name) if part.strip(". ")]
  return [_short(part) for part in usable_parts][-limits.FOLDER_DEPTH :]


def _split(name: str) -> list[str]:
  return name.replace("\\", "/").split("/")


def _short(part: str) -> str:
  """At most `_BYTES` in UTF-8, its ending kept."""
  stem, dot, ending = part.rpartition(".") if "." in part[-10:] else (part, "", "")
  room = _BYTES - len((dot + ending).encode("utf-8", "replace"))
  return stem.encode("utf-8", "replace")[:room].decode("utf-8", "ignore") + dot + ending


def _is_hidden(name: str) -> bool:
  return any(part[:1] == "." and part.strip(".") or part == "__MACOSX" for part in _split(name))


def _check_directory(path: Path) -> None:
  """Refuses an archive whose list of files would itself take much memory: it is read whole before any file of it."""
  with path.open("rb") as file:
    file.seek(max(path.stat().st_size - (1 << 16) - 42, 0))
    tail = file.read()
  # The position of the list follows these bytes near the end; if they occur several times, any may be it.
  at = tail.find(_END)
  while at >= 0:
    large = tail[max(at - 20, 0) : at].startswith(b"PK\6\7")  # has another list, for more than 65535 files
    if len(tail) >= at + 16:
      count, size = struct.unpack_from("<HI", tail, at + 10)
      large |= count > _ENTRIES or size > _DIRECTORY
    if large:
      raise _too_many(path)
    at = tail.find(_END, at + 1)


def _too_many(path: Path) -> UserError:
  return UserError(f"{path.name}: expected at most {limits.FOLDER_FILES} files in an archive, found more; pack fewer, "
                   "or use dig2dig fuse")
