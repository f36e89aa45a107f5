"""How is a log kept where nothing can be appended to? In parts, each an object that appears by one put.

A part is put once it has so many lines, or the first of them is so old, and at the end. Whoever is killed leaves images
without lines, which the next run makes again, to the same pixels: no pair stands twice.
"""

import threading
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from dig2dig_jax.fusing import ledger, ledger_lines
from dig2dig_jax.record import explained

MOST_LINES, OLDEST = 256, 5.0  # of a part; seconds


class StoreLog:
  """The log of one process in `folder/log/INDEX-of-COUNT-RUN-PART.jsonl` of a store (`stores.path`). Use as a context;
  its methods may be called by threads. Each run writes parts of its own, so that several never meet in one. What pairs
  have in common stands in the first; curves, of the first pairs only, in the pairs' own lines."""

  def __init__(self, folder, *, process: int = 0, processes: int = 1):
    self._folder = folder / ledger.FOLDER
    self._name = f"{process}-of-{processes}-{time.time_ns():020d}-{uuid.uuid4().hex[:8]}"
    self._lock = threading.Lock()
    self._lines: list[str] = []
    self._since, self._parts = 0.0, 0
    self._begun: Mapping[str, Any] = {}
    self._curves_left, self._curves_left_out = ledger.share_of_curves(processes), 0

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exception) -> None:
    with self._lock:
      self._put()

  def begin(self, run: Mapping[str, Any], **figures) -> None:
    """As `Ledger.begin`."""
    with self._lock:
      self._begin(run, figures)

  def _begin(self, run: Mapping[str, Any], figures: Mapping[str, Any]) -> None:
    self._take(ledger_lines.head(run, **figures, at=int(ledger.now().timestamp())))
    self._begun = run

  def append(self, entry: Mapping[str, Any]) -> None:
    """As `Ledger.append`, but handed on with its part."""
    with self._lock:
      if self._begun.get("fingerprint") != entry["fingerprint"]:
        self._begin(entry, {})
      line = ledger_lines.short(entry, self._begun, ledger.now())
      if "curves" in entry:
        self._curves_left -= len(line)
        if self._curves_left < 0:
          self._curves_left_out += 1
          rest = {name: value for name, value in entry.items() if name != "curves"}
          line = ledger_lines.short(rest, self._begun, ledger.now())
      self._take(line)
      self._put_if_due()

  def fail(self, name: str, fingerprint: str, kind: str, why: str) -> None:
    """As `Ledger.fail`."""
    with self._lock:
      self._take(ledger_lines.failure(name, fingerprint, kind, why, ledger.now()))
      self._put_if_due()

  def notes(self) -> list[str]:
    """A line where curves were left out."""
    return ledger.curves_note(self._folder / self._name, self._curves_left_out)

  def _take(self, line: str) -> None:
    self._since = self._since if self._lines else time.monotonic()
    self._lines.append(f"{line}\n")

  def _put_if_due(self) -> None:
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
