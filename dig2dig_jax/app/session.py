"""What does the server hold for a tab? A private folder with its files, their scene, its latest pictures."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from dig2dig_jax.app import limits
from dig2dig_jax.app.jobs import Ticket
from dig2dig_jax.app.picture import Picture
from dig2dig_jax.app.scene import Opened, Placed, Scene, mended
from dig2dig_jax.errors import UserError


class Tab:
  """One scene. files: by their number on the page, (where it lies, its name). pictures: by kind, with their version."""

  def __init__(self, folder: Path):
    folder.mkdir(mode=0o700)
    self.folder = folder
    self.files: dict[int, tuple[Path, str]] = {}
    self.receiving: set[int] = set()
    self.bytes = 0
    self.scene: Scene | None = None
    self.opened: Opened | None = None
    self.pictures: dict[str, tuple[int, Picture]] = {}
    self.version = 0
    self._made_of: dict[str, Placed] = {}
    self._ticket = Ticket()

  def newest(self) -> Ticket:
    """A ticket for a new request; the work of the one before ends."""
    self._ticket.cancel()
    self._ticket = Ticket()
    return self._ticket

  async def receive(self, number: int, name: str, chunks: AsyncIterator[bytes]) -> None:
    """Takes a file, chunk by chunk. UserError where it is too large, its number is no number of a file, or is taken;
    what arrived of it is removed then, and where the sender stops."""
    if not 0 <= number < limits.FILES:
      raise UserError(f"{name}: expected two to {limits.FILES} images of one scene, found more; drop fewer")
    if number in self.files or number in self.receiving or self.scene is not None:
      raise UserError(f"{name}: expected a file that is not there yet, found number {number} twice; drop them again")
    # Nothing of the name becomes part of a path.
    path, size = self.folder / f"{number:03d}", 0
    self.receiving.add(number)
    try:
      with path.open("xb") as file:
        async for chunk in chunks:
          size += len(chunk)
          self.bytes += len(chunk)
          limits.check_bytes(name, size, self.bytes - size)
          file.write(chunk)
      self.files[number] = path, name
    except BaseException:
      self.bytes -= size
      path.unlink(missing_ok=True)
      raise
    finally:
      self.receiving.discard(number)

  def gather(self) -> Scene:
    """The scene of all files that have arrived, in the order of their numbers."""
    if self.scene is None:
      numbers = sorted(self.files)
      limits.check_count(len(numbers))
      self.scene = Scene([self.files[k][0] for k in numbers], apart([self.files[k][1] for k in numbers]))
    return self.scene

  def keep(self, kind: str, picture: Picture, whole: Placed | None = None) -> int:
    """The version that the picture goes by. whole: of another method's, what it was made of."""
    self.version += 1
    self.pictures[kind] = self.version, picture
    if whole is not None:
      self._made_of[kind] = whole
    return self.version

  def rivals(self, whole: Placed) -> dict[str, int]:
    """Versions of other methods' pictures of this; those of others are dropped."""
    for name in [name for name, own in self._made_of.items() if own is not whole]:
      del self._made_of[name], self.pictures[name]
    return {name: self.pictures[name][0] for name in self._made_of}

  def mended(self, error: UserError) -> str:
    """What an error says, without a place on the machine."""
    return mended(error, self.scene) if self.scene else str(error)

  def close(self) -> None:
    self._ticket.cancel()
    shutil.rmtree(self.folder, ignore_errors=True)


def usable(name: Any) -> str:
  """A file's name as it may be shown and put into a command: its last part, printable, not too long."""
  last = str(name).replace("\\", "/").rsplit("/", 1)[-1]
  text = "".join(sign for sign in last if sign.isprintable()).strip()
  stem, dot, ending = text.rpartition(".")
  if len(text) > limits.NAME:
    text = f"{stem[: limits.NAME - 10]}{dot}{ending[:9]}" if dot else text[: limits.NAME]
  return text if text.strip(".") else "image"


def apart(names: list[str]) -> list[str]:
  """Files of one name, from several folders, told apart by a number before it, as by a folder."""
  return [f"{k}/{name}" if names.count(name) > 1 else name for k, name in enumerate(names, start=1)]
