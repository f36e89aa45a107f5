"""What lies in a dropped folder, and what comes of it? Files under names that lead nowhere else, scenes, results."""

import asyncio
import contextlib
import secrets
import shutil
import struct
import zipfile
import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from dig2dig_jax.app import limits
from dig2dig_jax.app.jobs import Ticket
from dig2dig_jax.app.scene import Opened, Scene
from dig2dig_jax.app.session import usable
from dig2dig_jax.data import guess, layouts, readers
from dig2dig_jax.errors import UserError, one_line

_CHUNK = 1 << 20
_ENTRIES, _DIRECTORY = 3 * limits.FOLDER_FILES, 16 << 20  # of an archive, with what is no image; bytes of its list


class Found(NamedTuple):
  """What the files are. scenes: (name, files in the task's order). why: what told it. left_out: a line per file."""

  task: str
  why: str
  scenes: tuple[tuple[str, tuple[Path, ...]], ...]
  left_out: tuple[str, ...]


class Folder:
  """Files as they lie in their user's folder, for the layouts that `dig2dig fuse FOLDER` knows; the names of files and
  folders say what belongs together, so they are kept, without what could lead out of the folder.

  place: private, made here. results: {name of a scene: its PNG}. failed: {name: a line}."""

  def __init__(self, place: Path):
    place.mkdir(mode=0o700)
    self.place, self.tree, self.out = place, place / "files", place / "fused"
    self.tree.mkdir()
    self.out.mkdir()
    self.bytes = self.count = 0
    self.found: Found | None = None
    self.results: dict[str, Path] = {}
    self.failed: dict[str, str] = {}
    self.settings = ""  # a flag file
    self._ticket = Ticket()

  def newest(self) -> Ticket:
    """A ticket for a new run; the one before ends."""
    self._ticket.cancel()
    self._ticket = Ticket()
    return self._ticket

  async def receive(self, name: str, chunks: AsyncIterator[bytes]) -> None:
    """Takes a file, or an archive (.zip) whose files are put in its place. UserError, and nothing is left of it, where
    it is too large, or there are too many."""
    path, archive = self._place(name), name.lower().endswith(".zip")
    size = 0
    try:
      with path.open("xb") as file:
        async for chunk in chunks:
          size += len(chunk)
          self._take(name, len(chunk), size, limits.FOLDER_BYTES if archive else limits.FILE_BYTES)
          file.write(chunk)
    except BaseException:
      self._drop(path, size)
      raise
    if archive:
      await asyncio.to_thread(self._unpack, path, name, size)

  def _unpack(self, path: Path, name: str, size: int) -> None:
    """By the bytes that come out, whatever the archive says of itself."""
    made: list[tuple[Path, int]] = []
    try:
      _check_directory(path)
      with zipfile.ZipFile(path) as archive:
        parts = [(entry, _parts(entry.filename)) for entry in archive.infolist() if not entry.is_dir()]
        parts = [(entry, inner) for entry, inner in parts if inner and not any(p[0] in "._" for p in inner)]
        above = {inner[0] for _, inner in parts} if all(len(inner) > 1 for _, inner in parts) else set()
        for entry, inner in parts:  # one folder that holds all of it says nothing
          to = self._place("/".join([*_parts(name)[:-1], path.stem, *(inner[1:] if len(above) == 1 else inner)]))
          made.append((to, 0))
          with archive.open(entry) as source, to.open("xb") as file:
            taken = 0
            while chunk := source.read(_CHUNK):
              taken += len(chunk)
              made[-1] = to, taken
              self._take(entry.filename, len(chunk), taken, limits.FILE_BYTES)
              file.write(chunk)
    except (UserError, OSError, zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, ValueError) as error:
      for one, taken in made:
        self._drop(one, taken)
      if isinstance(error, UserError):
        raise
      raise UserError(f"{path.name}: expected a ZIP archive of images without a password, found "
                      f"{one_line(error)[:80]}; pack it again") from None  # fmt: skip
    finally:
      self._drop(path, size)

  def _place(self, name: str) -> Path:
    if self.count >= limits.FOLDER_FILES:
      raise UserError(f"{usable(name)}: expected at most {limits.FOLDER_FILES} files, found more; drop fewer, or use "
                      "dig2dig fuse")
    *folders, last = _parts(name) or ["image"]
    path = self.tree.joinpath(*folders, last)
    if path.exists():
      raise UserError(f"{last}: expected each file once, found a second of that name; drop them again")
    path.parent.mkdir(parents=True, exist_ok=True)
    self.count += 1
    return path

  def _take(self, name: str, more: int, size: int, most: int) -> None:
    self.bytes += more
    if size > most or self.bytes > limits.FOLDER_BYTES:
      raise UserError(f"{usable(name)}: expected files of at most {limits.FILE_BYTES >> 20} MB, "
                      f"{limits.FOLDER_BYTES >> 20} MB together, found more; drop fewer, or use dig2dig fuse")

  def _drop(self, path: Path, size: int) -> None:
    path.unlink(missing_ok=True)
    self.bytes -= size
    self.count -= 1

  def look(self) -> Found:
    """Reads what belongs together, as `dig2dig fuse FOLDER` does. UserError where names and images do not show it."""
    layout = layouts.look(self.tree)
    pairs, left_out = readers.READERS[layout.dataset][0](layout.root, layout.sources, None)
    task, order, why = layout.task, tuple(range(len(layout.sources))), layout.why
    if task is None:
      scene = Scene(layout.first, [path.name for path in layout.first])
      task, order, why, _ = scene.opened()
    scenes = tuple((pair.name, tuple(list(pair.files.values())[k] for k in order)) for pair in pairs)
    self.found = Found(task, why, scenes, tuple(map(self.said, left_out)))
    return self.found

  def scene(self, number: int, task: str) -> tuple[Scene, Opened]:
    """One of `found`, to be fused as this task."""
    assert self.found is not None
    _, files = self.found.scenes[number]
    limits.check_count(len(files))
    scene = Scene(list(files), [path.name for path in files])
    opened = scene.opened()
    return scene, opened._replace(task=task, order=tuple(range(len(files))))

  def said(self, line: str) -> str:
    """A line with the user's own names in place of where the files lie."""
    return line.replace(f"{self.tree}/", "").replace(str(self.tree), "the folder")

  def archive(self) -> Path:
    """The results as a ZIP archive, with their settings, and a line per scene that failed."""
    path = self.place / f"results-{secrets.token_hex(4)}.zip"
    with zipfile.ZipFile(path, "w") as file:  # PNG is compressed already
      for name, picture in self.results.items():
        file.write(picture, f"{usable(name)}.png")
      file.writestr("settings.flags", self.settings)
      if self.failed:
        file.writestr("failed.txt", "".join(f"{name}: {line}\n" for name, line in self.failed.items()))
    return path

  def close(self) -> None:
    self._ticket.cancel()
    shutil.rmtree(self.place, ignore_errors=True)


class Folders:
  """Those that are open, by names that cannot be guessed; the oldest goes where there are too many."""

  def __init__(self, place: Path):
    self._place = place
    self._open: dict[str, Folder] = {}

  def open(self) -> str:
    while len(self._open) >= limits.FOLDERS:
      self.close(next(iter(self._open)))
    name = secrets.token_hex(8)
    self._open[name] = Folder(self._place / f"folder-{name}")
    return name

  def get(self, name: str) -> Folder:
    """KeyError where there is none."""
    return self._open[name]

  def close(self, name: str) -> None:
    with contextlib.suppress(KeyError):
      self._open.pop(name).close()


def _check_directory(path: Path) -> None:
  """Refuses an archive whose list of files would itself take much memory: it is read whole before any file of it."""
  with path.open("rb") as file:
    file.seek(max(path.stat().st_size - (1 << 16) - 42, 0))
    tail = file.read()
  at = tail.rfind(b"PK\5\6")
  if at < 0 or len(tail) < at + 16:
    return  # no archive, which its reader says
  count, size = struct.unpack_from("<HI", tail, at + 10)
  large = tail[max(at - 20, 0) : at].startswith(b"PK\6\7")  # has another list, for more than 65535 files
  if large or count > _ENTRIES or size > _DIRECTORY:
    raise UserError(f"{path.name}: expected at most {limits.FOLDER_FILES} files in an archive, found more; pack fewer, "
                    "or use dig2dig fuse")


def described(found: Found) -> dict[str, Any]:
  """JSON-able, for the page. Files of one name are told apart by their folders."""
  scenes = []
  for name, files in found.scenes:
    several = len({path.name for path in files}) < len(files)
    scenes.append({"name": name, "files": ["/".join(path.parts[-2 if several else -1 :]) for path in files]})
  return {"task": found.task, "why": found.why, "scenes": scenes, "left_out": list(found.left_out),
          "two": all(len(files) == 2 for _, files in found.scenes)}  # fmt: skip


def _parts(name: str) -> list[str]:
  """Of a relative path, each as it may be used on a disk: none leads up, none is hidden."""
  return list(_usable_parts(name))[-limits.FOLDER_DEPTH :]


def _usable_parts(name: str) -> Iterator[str]:
  for part in name.replace("\\", "/").split("/"):
    if part.strip(". "):
      yield usable(part).lstrip(".")


def known_task(word: Any) -> str:
  if not isinstance(word, str) or word not in guess.TASKS:
    raise UserError(f"task: expected one of {', '.join(guess.TASKS)}, found {str(word)[:40]!r}")
  return word
