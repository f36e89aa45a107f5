"""Who computes, and when? One thread, one job at a time; a newer request of the same tab ends the older one's work."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


class Superseded(Exception):
  """Nobody wants the result any more."""


class Ticket:
  """Of one request. Work asks `check` between its stages, which raises Superseded once `cancel` was called."""

  def __init__(self) -> None:
    self._cancelled = threading.Event()

  def cancel(self) -> None:
    self._cancelled.set()

  @property
  def cancelled(self) -> bool:
    return self._cancelled.is_set()

  def check(self) -> None:
    if self.cancelled:
      raise Superseded


class Worker:
  """A thread that runs what is submitted, in order. It is no obstacle to the end of the process: what it computes then
  is lost. busy: whether it computes."""

  def __init__(self) -> None:
    self._waiting: queue.SimpleQueue = queue.SimpleQueue()
    self.busy = False
    threading.Thread(target=self._run, name="dig2dig app", daemon=True).start()

  def submit(self, work: Callable[[], Any]) -> Future:
    future: Future = Future()
    self._waiting.put((work, future))
    return future

  def _run(self) -> None:
    while True:
      work, future = self._waiting.get()
      if not future.set_running_or_notify_cancel():
        continue
      self.busy = True
      try:
        future.set_result(work())
      except BaseException as error:  # raised where the result is awaited
        future.set_exception(error)
      finally:
        self.busy = False
