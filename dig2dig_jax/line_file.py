"""How are lines kept that a later run reads back? Appended by one writer, whole or not at all, and through no link."""

import contextlib
import errno
import fcntl
import os
import threading
from pathlib import Path
from stat import S_ISREG
from typing import Self

from dig2dig_jax.errors import UserError
from dig2dig_jax.files import claim
from dig2dig_jax.record import explained, make_folder


class LineFile:
  """A file to append lines to. Use as a context; `write_line` may be called by threads.

  Raises UserError where the file cannot be written, is not this program's, or another process writes it.
  """

  def __init__(self, path: Path, *, remedy: str):
    """remedy: what to do where another run is at work on it."""
    self.path = path
    self._remedy = remedy
    self._lock = threading.RLock()  # several lines of one thread may belong together

  def __enter__(self) -> Self:
    make_folder(self.path.parent)
    with explained(self.path):
      claim(self.path, known=self._is_own())
    self._file = _opened(self.path)
    try:
      self._be_only_writer()
      with explained(self.path):
        _cut_torn_line(self._file)
    except BaseException:
      self._file.close()
      raise
    return self

  def __exit__(self, *exception) -> None:
    self._file.close()

  def _is_own(self) -> bool:
    """Whether a file that is there already is this program's, though its name was not noted."""
    return False

  def _be_only_writer(self) -> None:
    try:
      fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      raise UserError(f"{self.path}: expected to be its only writer, found another run at work; "
                      f"{self._remedy}") from None
    except OSError:
      pass  # some network file systems know no locks; the results are then still written whole

  def write_line(self, line: str) -> None:
    """One line, by one write, handed to the operating system before it returns; the whole of it, or nothing."""
    with self._lock, explained(self.path):
      end = os.fstat(self._file.fileno()).st_size
      try:
        rest = memoryview(f"{line}\n".encode())
        while rest:
          rest = rest[self._file.write(rest):]
      except OSError:
        with contextlib.suppress(OSError):
          self._file.truncate(end)
        raise

  def clear(self) -> None:
    """Takes all lines away."""
    with self._lock, explained(self.path):
      self._file.truncate(0)

  def touched(self) -> float:
    """The present time, by the clock of the file system that the file is on."""
    with explained(self.path):
      os.utime(self._file.fileno())
      return os.fstat(self._file.fileno()).st_mtime


def _opened(path: Path):
  """The file to append to: nothing is written through a link, or into what is no plain file."""
  try:
    number = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    stat = os.fstat(number)
  except OSError as error:
    what = "a link to another place" if error.errno == errno.ELOOP else error.strerror
    raise UserError(f"{path}: expected a log to write to, found {what}; remove it or change --out") from error
  if not S_ISREG(stat.st_mode) or stat.st_nlink > 1:
    os.close(number)
    what = "a file that has another name too" if S_ISREG(stat.st_mode) else "no plain file"
    raise UserError(f"{path}: expected a log to write to, found {what}; remove it or change --out")
  return os.fdopen(number, "ab+", buffering=0)  # what a full disk did not take must not be tried again at the end


def _cut_torn_line(file) -> None:
  """Takes away what follows the last line end: a process was killed while it wrote."""
  end = file.seek(0, os.SEEK_END)
  whole = 0
  while end and not whole:  # from behind: a log may be long, and its last line short
    begin = max(0, end - 2**20)
    file.seek(begin)
    found = file.read(end - begin).rfind(b"\n")
    whole, end = begin + found + 1 if found >= 0 else 0, begin
  file.truncate(whole)
  file.seek(0, os.SEEK_END)
