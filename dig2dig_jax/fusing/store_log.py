"""How is a log kept where nothing can be appended to? In parts, each an object that appears by one put.

A part is put once it has so many lines, or the first of them is so old, and at the end. Whoever is killed leaves images
without lines, which the next run makes again, to the same pixels: no pair stands twice.
"""

import datetime
import json
import threading
import time
import uuid
from pathlib import Path
from typing import Any, Self

from dig2dig_jax.fusing import ledger
from dig2dig_jax.record import explained

MOST_LINES, OLDEST = 256, 5.0  # of a part; seconds


class StoreLog:
  """The log of one process in `folder/log/INDEX-of-COUNT-RUN-PART.jsonl` of a store (`stores.path`). Use as a context;
  `append` may be called by threads. Each run writes parts of its own, so that several never meet in one."""

  def __init__(self, folder, *, process: int = 0, processes: int = 1):
    self._folder = folder / ledger.FOLDER
    self._name = f"{process}-of-{processes}-{time.time_ns():020d}-{uuid.uuid4().hex[:8]}"
    self._lock = threading.Lock()
    self._lines: list[str] = []
    self._since, self._parts = 0.0, 0

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exception) -> None:
    with self._lock:
      self._put()

  def append(self, entry: dict[str, Any]) -> None:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    with self._lock:
      self._since = self._since if self._lines else time.monotonic()
      self._lines.append(json.dumps({**entry, "finished": now}) + "\n")
      if len(self._lines) >= MOST_LINES or time.monotonic() - self._since >= OLDEST:
        self._put()

  def touched(self) -> float:
    """The present time."""
    return time.time()

  def _put(self) -> None:
    if not self._lines:
      return
    path = self._folder / f"{self._name}-{self._parts:06d}.jsonl"
    with explained(path):
      path.write_bytes("".join(self._lines).encode())
    self._lines, self._parts = [], self._parts + 1


def opened(folder, *, process: int, processes: int):
  """The log of a folder of results, wherever that is."""
  kind = ledger.Ledger if isinstance(folder, Path) else StoreLog
  return kind(folder, process=process, processes=processes)
