"""What do a key in a store and an image in a shard have in common with a path? A name, and equality by it."""

from pathlib import PurePosixPath


class Named:
  """Two of one kind are equal, and in order, by what `str` says of them. `_path`: with the names of folders."""

  _path: PurePosixPath

  @property
  def stem(self) -> str:
    return self._path.stem

  @property
  def suffix(self) -> str:
    return self._path.suffix

  def __repr__(self) -> str:
    return str(self)

  def __eq__(self, other) -> bool:
    return type(other) is type(self) and str(self) == str(other)

  def __hash__(self) -> int:
    return hash(str(self))

  def __lt__(self, other) -> bool:
    return str(self) < str(other)

  def absolute(self):
    return self

  def is_symlink(self) -> bool:
    return False
