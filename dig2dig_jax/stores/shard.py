"""What is a file that holds many samples? Named groups of bytes, that are found by an index and read one by one.

Three kinds: tar files as WebDataset has them, Parquet with columns of encoded images, and ArrayRecord of
`tf.train.Example`. A `Member` stands in for the path of one image in such a file.
"""

import io
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from dig2dig_jax.errors import UserError
from dig2dig_jax.files import what_lies_at
from dig2dig_jax.stores.named import Named
from dig2dig_jax.stores.path import Stat, StorePath

AnyPath = Path | StorePath


class Sample(NamedTuple):
  """name: of a scene. members: {what the file calls it: an image or text}."""

  name: str
  members: Mapping[str, "Member"]


class Kind(NamedTuple):
  """suffix: of such files. index: (file) -> its samples, in its order; raises OSError, and ValueError where it is
  damaged. write: [(name, {field: bytes})] -> the bytes of a file. read: (file, *where) -> one image's bytes; `where`
  tells of which types that is. title: for messages."""

  suffix: str
  title: str
  index: Callable[[AnyPath], list[Sample]]
  write: Callable[[Sequence[tuple[str, Mapping[str, bytes]]]], bytes]
  read: Callable[..., bytes]
  where: tuple[Callable[[str], Any], ...]


class Member(Named):
  """One image in a shard, with what this package asks of a path. read: () -> bytes, picklable; size: bytes, None where
  only reading tells."""

  def __init__(self, shard: AnyPath, name: str, read: Callable[..., bytes], where: tuple[Any, ...], size: int | None):
    self.shard, self._path, self._read, self.where, self.size = shard, PurePosixPath(name), read, where, size

  @property
  def name(self) -> str:
    return self._path.name

  @property
  def path_in_shard(self) -> str:
    return str(self._path)

  @property
  def parent(self) -> AnyPath:
    """The folder of the shard."""
    return self.shard.parent

  def __str__(self) -> str:
    return f"{self.shard}#{self._path}"

  def is_file(self) -> bool:
    return True

  def is_dir(self) -> bool:
    return False

  def exists(self) -> bool:
    return True

  def stat(self) -> Stat:
    if self.size is None:
      self.size = len(self.read_bytes())
    return Stat(0o100644, self.size, -2, zlib.crc32(str(self).encode()))

  def read_bytes(self) -> bytes:
    """Raises OSError, also where no such image is in the shard: it may be another since it was listed."""
    try:
      return self._read(self.shard, *self.where)
    except FileNotFoundError as error:
      raise OSError(0, "its shard nowhere") from error
    except (OSError, UserError):
      raise
    except Exception as error:  # of libraries, which raise almost any type
      raise OSError(0, f"none there any more ({type(error).__name__}); list the shards again") from error

  def open(self, how: str = "rb"):
    return io.BytesIO(self.read_bytes())


def samples(path: AnyPath, kind: Kind) -> list[Sample]:
  """The samples of a file. UserError where it cannot be read, or is damaged."""
  try:
    return kind.index(path)
  except UserError:
    raise
  except OSError as error:
    found = error.strerror or (what_lies_at(path) if isinstance(error, FileNotFoundError) else type(error).__name__)
    raise UserError(f"{path}: expected a {kind.title} file, found {found}; check the path") from None
  except Exception as error:  # damaged bytes surface from the libraries as almost any type
    reason = (str(error).strip().splitlines() or [""])[0][:200]
    raise UserError(f"{path}: expected a whole {kind.title} file, found a damaged one ({type(error).__name__}: "
                    f"{reason}); copy or write it again") from None
