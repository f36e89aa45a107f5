"""Access to PyAV, which reads and writes video files and is an optional dependency."""

import contextlib
from collections.abc import Iterator
from types import ModuleType

from dig2dig_jax.errors import UserError


def pyav(path) -> ModuleType:
  """The library, needed for this file. UserError if it is not installed."""
  try:
    import av
  except ImportError:
    raise UserError(f"{path}: expected PyAV to read or write video, found it not installed; in the same environment, "
                    "python -m pip install 'dig2dig_jax[video]'") from None
  # FFmpeg's own log lines stay off, PyAV's default: receiving them makes FFmpeg's threads wait for Python.
  return av


@contextlib.contextmanager
def reading(path, remedy: str = "copy or export it again") -> Iterator[None]:
  """Whatever FFmpeg makes of damaged bytes becomes one line that names the file."""
  av = pyav(path)
  try:
    yield
  except UserError:
    raise
  except FileNotFoundError:
    raise UserError(f"{path}: expected a video, found nothing there; check the name") from None
  except av.error.InvalidDataError:
    raise UserError(f"{path}: expected a whole video, found a damaged file or another kind of file; {remedy}") from None
  except (OSError, av.error.FFmpegError) as error:
    raise UserError(f"{path}: expected a readable video, found {error.strerror or type(error).__name__}; "
                    f"{remedy}") from error
  except MemoryError:
    raise UserError(f"{path}: expected frames that fit into memory, found larger ones; reduce them") from None
  except (ValueError, TypeError, IndexError) as error:  # of frames that cannot be: sizes, formats
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    raise UserError(f"{path}: expected frames that can be decoded, found {reason}; {remedy}") from error


@contextlib.contextmanager
def writing(path) -> Iterator[None]:
  """The same of a file that is written: a full disk, a stream that a container does not take."""
  av = pyav(path)
  try:
    yield
  except (OSError, av.error.FFmpegError) as error:
    raise UserError(f"{path}: expected a place to write a video, found {error.strerror or type(error).__name__}; free "
                    "space or choose another -o, and run the same command again") from error
