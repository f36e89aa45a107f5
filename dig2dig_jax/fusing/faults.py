"""What does a fault mean to the user? One line with the advice that fits, and one word for counting."""

import re

_MEMORY = re.compile("RESOURCE_EXHAUSTED|out of memory|OUT_OF_MEMORY|failed to allocate", re.IGNORECASE)


class Failure(str):
  """The line about a pair that failed, with the pair's name and the kind of the failure: `unreadable` (a source),
  `refused` (no program for its size), `memory` and `device` (while it was computed), `unwritten` (its results), `taken`
  (a foreign file has its place)."""

  pair: str
  kind: str

  def __new__(cls, pair: str, kind: str, line: str):
    found = super().__new__(cls, line)
    found.pair, found.kind = pair, kind
    return found

  def __getnewargs__(self) -> tuple[str, str, str]:  # for copies
    return self.pair, self.kind, str(self)


def failure(name: str, error: Exception, **figures: float | None) -> Failure:
  """Of the device, see `line`."""
  return Failure(name, "memory" if of_memory(error) else "device", line(name, error, **figures))


def reason(error: Exception) -> str:
  """The first line of what it says."""
  return (str(error).splitlines() or [type(error).__name__])[0]


def of_memory(error: Exception) -> bool:
  return bool(_MEMORY.search(str(error)))


def line(name: str, error: Exception, *, needed: float | None = None, available: float | None = None) -> str:
  """About the pair of this name. needed, available: bytes of its batch's program and of the device, where known."""
  if not of_memory(error):
    return (f"{name}: expected a result, the device failed: {reason(error)}; run the same command again, finished "
            "pairs are kept")
  figures = ""
  if needed is not None and available is not None:
    figures = f"; its batch needs {needed / 1e9:.2f} GB, {available / 1e9:.2f} GB are free"
  return f"{name}: expected a result, the device gave {reason(error)}; lower --batch_size or --tile{figures}"
