"""Which faults of a network are transient? They are retried with growing pauses; others are raised at once, as OSError.

The libraries behind fsspec raise errors of their own. Here each becomes what `open` would have raised for a file:
FileNotFoundError, PermissionError, or, where nothing helped, OSError with EIO.
"""

import errno
import os
import random
import time
from collections.abc import Callable
from typing import TypeVar

TRIES = 7  # pauses of 0.25, 0.5, 1, 2, 4 and 8 s in between, each drawn from half of it up
FIRST, LONGEST = 0.25, 20.0  # seconds

_Result = TypeVar("_Result")
# What another try will not mend.
_FINAL = (
  FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, NotImplementedError, PermissionError,
)  # fmt: skip
_WITHOUT_CREDENTIALS = ("Credential", "TokenRetrieval", "RefreshError", "ProfileNotFound", "UnauthorizedSSO")
_OF_A_NETWORK = {"aiohttp", "botocore", "aiobotocore", "gcsfs", "google", "azure", "adlfs", "urllib3", "requests",
                 "http", "paramiko", "s3fs", "ssl", "asyncio"}  # fmt: skip
_REFUSED = {401, 403}
_MISSING = {404, 410}
_PASSING = {408, 425, 429, 500, 502, 503, 504, 509}


class Tries:
  """Counts what was tried again in a store, for one line at the end."""

  def __init__(self):
    self.count, self.last = 0, ""

  def lines(self, name: str) -> list[str]:
    if not self.count:
      return []
    requests = "1 request was" if self.count == 1 else f"{self.count} requests were"
    return [f"{name}: {requests} tried again ({self.last})"]


def persistent(call: Callable[[], _Result], *, tries: Tries, pause: Callable[[float], None] = time.sleep) -> _Result:
  """What `call` returns, tried up to `TRIES` times while it meets faults that pass. It has to be safe to repeat.

  Raises FileNotFoundError, PermissionError or another OSError whose `strerror` says what was found.
  """
  for number in range(TRIES):
    try:
      return call()
    except _FINAL as error:
      raise _as_of_a_file(error) from None
    except Exception as error:
      if type(error).__module__.split(".")[0] not in _OF_A_NETWORK and not isinstance(error, OSError | TimeoutError):
        raise
      if (final := _final(error)) is not None:
        raise final from None
      tries.count, tries.last = tries.count + 1, _reason(error)
      if number + 1 == TRIES:
        raise OSError(errno.EIO, f"no answer in {TRIES} tries ({_reason(error)})") from None
      pause(random.uniform(0.5, 1) * min(FIRST * 2**number, LONGEST))
  raise AssertionError  # the last try has raised


def _as_of_a_file(error: Exception) -> OSError:
  """Without what a server says at length: it may quote a request, and a request is signed."""
  if isinstance(error, PermissionError):
    return PermissionError(errno.EACCES, "no permission (check the credentials that its library finds)")
  if isinstance(error, FileNotFoundError):
    said = str(error)
    return FileNotFoundError(errno.ENOENT, "no such bucket" if "bucket" in said.lower() else "nothing there")
  if isinstance(error, NotImplementedError):
    return OSError(errno.EROFS, "a place that can only be read")
  return error if isinstance(error, OSError) else OSError(errno.EINVAL, _reason(error))


def _final(error: Exception) -> OSError | None:
  """The fault as an OSError where no other try can help."""
  if any(word in type(error).__name__ for word in _WITHOUT_CREDENTIALS):
    return PermissionError(errno.EACCES, "no credentials (its library looks in the environment, profiles and the "
                                         "machine's own service)")  # fmt: skip
  status = _status(error)
  if status in _REFUSED:
    return _as_of_a_file(PermissionError())
  if status in _MISSING:
    return _as_of_a_file(FileNotFoundError())
  if status is not None and 400 <= status < 500 and status not in _PASSING:
    return OSError(errno.EINVAL, f"a refusal (status {status})")
  if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EINVAL):
    return error
  return None


def _status(error: Exception) -> int | None:
  """The HTTP status behind it, if there is one."""
  response = getattr(error, "response", None)
  if isinstance(response, dict):  # of botocore
    found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return found if isinstance(found, int) else None
  for name in ("status", "code", "status_code"):
    if isinstance(found := getattr(error, name, None), int):
      return found
    if isinstance(found, str) and found.isdecimal():
      return int(found)
  return None


def _reason(error: Exception) -> str:
  """A kind and a status, never the words: they may quote an address with its signature."""
  status = _status(error)
  if status is not None:
    return f"status {status}"
  number = getattr(error, "errno", None)
  return os.strerror(number) if isinstance(number, int) else type(error).__name__
