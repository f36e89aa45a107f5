"""What is in a dropped folder, and what becomes of it? Files under names that stay inside it, scenes, results."""

import asyncio
import secrets
import shutil
import threading
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

from dig2dig_jax.app import archive, limits
from dig2dig_jax.app.jobs import Ticket
from dig2dig_jax.app.scene import Opened, Scene
from dig2dig_jax.app.session import usable
from dig2dig_jax.data import guess, layouts, readers
from dig2dig_jax.errors import UserError


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
    self._closed = False
    self._lock = threading.Lock()  # archives are unpacked in threads

  def newest(self) -> Ticket:
    """A ticket for a new run; the one before ends."""
    self._ticket.cancel()
    self._ticket = Ticket()
    return self._ticket

  async def receive(self, name: str, chunks: AsyncIterator[bytes]) -> None:
    """Takes a file, or an archive (.zip) whose files are put in its place. UserError, and nothing is left of it, where
    it is too large, or there are too many."""
    path, size, is_packed = self._place(name), 0, name.lower().endswith(".zip")
    try:
      with path.open("xb") as file:
        async for chunk in chunks:
          size += len(chunk)
          self._take(name, len(chunk), size, limits.FOLDER_BYTES if is_packed else limits.FILE_BYTES)
          file.write(chunk)
    except BaseException:
      self._drop(path, size)
      raise
    if is_packed:
      await asyncio.to_thread(self._unpack, path, name, size)

  def _unpack(self, path: Path, name: str, size: int) -> None:
    """All of its files, or none."""
    made: list[tuple[Path, int]] = []
    try:
      with archive.opened(path) as (packed, entries):
        above = [*archive.parts_of(name)[:-1], path.stem][-2:]
        for entry in entries:
          to = self._place("/".join([*above, *entry.parts[len(above) - limits.FOLDER_DEPTH :]]))
          made.append((to, 0))
          with packed.open(entry.entry) as source, to.open("xb") as file:
            taken = 0
            for chunk in archive.chunks(source):
              taken += len(chunk)
              made[-1] = to, taken
              self._take(entry.name, len(chunk), taken, limits.FILE_BYTES)
              file.write(chunk)
    except BaseException:
      for one, taken in made:
        self._drop(one, taken)
      raise
    finally:
      self._drop(path, size)
      if self._closed:
        shutil.rmtree(self.place, ignore_errors=True)  # what has come since

  def _place(self, name: str) -> Path:
    if self._closed:
      raise UserError(f"{usable(name)}: expected a folder that is still open, found it closed; drop it again")
    *folders, last = archive.parts_of(name) or ["image"]
    path = self.tree.joinpath(*folders, last)
    if path.exists():
      raise UserError(f"{last}: expected each file once, found a second of that name; drop them again")
    path.parent.mkdir(parents=True, exist_ok=True)
    with self._lock:
      if self.count >= limits.FOLDER_FILES:
        raise UserError(f"{usable(name)}: expected at most {limits.FOLDER_FILES} files, found more; drop fewer, or use "
                        "dig2dig fuse")
      self.count += 1
    return path

  def _take(self, name: str, more: int, size: int, most: int) -> None:
    with self._lock:
      self.bytes += more
    if size > most or self.bytes > limits.FOLDER_BYTES:
      raise UserError(f"{usable(name)}: expected files of at most {limits.FILE_BYTES >> 20} MB, "
                      f"{limits.FOLDER_BYTES >> 20} MB together, found more; drop fewer, or use dig2dig fuse")

  def _drop(self, path: Path, size: int) -> None:
    path.unlink(missing_ok=True)
    with self._lock:
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
    self.found = Found(task, why, scenes, tuple(map(self.said, (*layout.left_out, *left_out))))
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

  def packed(self) -> Path:
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
    self._closed = True
    self._ticket.cancel()
    shutil.rmtree(self.place, ignore_errors=True)


def described(found: Found) -> dict[str, Any]:
  """JSON-able, for the page. Files of one name are told apart by their folders."""
  scenes = []
  for name, files in found.scenes:
    several = len({path.name for path in files}) < len(files)
    scenes.append({"name": name, "files": ["/".join(path.parts[-2 if several else -1 :]) for path in files]})
  return {"task": found.task, "why": found.why, "scenes": scenes, "left_out": list(found.left_out),
          "two": all(len(files) == 2 for _, files in found.scenes)}  # fmt: skip


def known_task(word: Any) -> str:
  if not isinstance(word, str) or word not in guess.TASKS:
    raise UserError(f"task: expected one of {', '.join(guess.TASKS)}, found {str(word)[:40]!r}")
  return word
