"""How far is a run? A bar on a terminal, a plain line every ten seconds elsewhere."""

import contextlib
import sys
import time
from types import TracebackType
from typing import Self

from tqdm import tqdm

_EVERY = 10.0  # seconds between lines where there is no terminal


class Progress:
  """Of `total` pairs, or what `unit` calls them; a context. `say` prints a line between."""

  def __init__(self, total: int, unit: str = "pair"):
    self._total, self._done, self._unit = total, 0, unit
    self._bar = tqdm(total=total, unit=unit, disable=None)
    self._start = self._last = time.monotonic()

  def __enter__(self) -> Self:
    return self

  def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
    self._bar.close()

  def at(self, done: int, *, compiling: float = 0.0) -> None:
    """So many are done. compiling: seconds that programs took so far, which the pairs to come will not take again."""
    self._done, self._bar.n = done, done
    self._bar.refresh()
    now = time.monotonic()
    if self._bar.disable and 0 < done < self._total and now - self._last >= _EVERY:
      self._last = now
      left = (now - self._start - compiling) / done * (self._total - done)
      self.say(f"{done} of {self._total} {self._unit}s done, about {left:.0f} s left")

  def say(self, line: str) -> None:
    with contextlib.suppress(OSError), tqdm.external_write_mode(file=sys.stderr):
      print(line, file=sys.stderr, flush=True)
