"""Does anything but an allowed outcome come of mutated input? The harness; `python -m tests.fuzz --help` runs it.

A suite is a module of this package with a function

    check(rng: numpy.random.Generator, folder: pathlib.Path) -> str

that makes one mutated input from `rng`, tries it (files go into `folder`, which is emptied now and then) and returns
the name of what came of it, such as "image" or "refused". "png chunk -> refused" counts by kind of mutation as well.
Anything raised is a failure; AssertionError says best what went wrong. So is a case that takes longer than `SECONDS` or
more memory than `MEMORY` bytes (10 s and 1 GB, unless the suite has these names), one that ends its process, and one
that prints a traceback or a warning. Case `i` depends on (seed, suite, i) only and can be run again alone.
"""

import collections
import contextlib
import dataclasses
import importlib
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections.abc import Iterable

import numpy as np

SECONDS, MEMORY = 10, 1 << 30
_HERE = pathlib.Path(__file__).parent
_STARTING = 120  # seconds that a worker may take to import what it tests


@dataclasses.dataclass
class Result:
  """What the cases came to. `outcomes`: how many of each; `failures`: (case, what went wrong)."""

  outcomes: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  failures: list[tuple[int, str]] = dataclasses.field(default_factory=list)
  slowest: list[tuple[float, int]] = dataclasses.field(default_factory=list)
  largest: list[tuple[int, int]] = dataclasses.field(default_factory=list)
  printed: dict[int, str] = dataclasses.field(default_factory=dict)

  def add(self, case, outcome, failure, seconds, grown, printed):
    self.outcomes[outcome] += 1
    if failure:
      self.failures.append((case, failure))
    self.slowest = sorted([*self.slowest, (seconds, case)], reverse=True)[:3]
    self.largest = sorted([*self.largest, (grown, case)], reverse=True)[:3]
    if printed:
      self.printed[case] = printed


def suites() -> list[str]:
  """Names of the modules here that are suites."""
  return sorted(p.stem for p in _HERE.glob("*.py") if not p.stem.startswith(("_", "test_")))


def run_case(suite: str, seed: int, case: int, folder: pathlib.Path) -> str:
  """One case, in this process."""
  rng = np.random.default_rng([seed, zlib.crc32(suite.encode()), case])
  return importlib.import_module(f"{__name__}.{suite}").check(rng, folder)


def run(suite: str, cases: Iterable[int], *, seed: int = 0, processes: int = 1, progress=None) -> Result:
  """All cases, each in one of `processes` workers. A worker that dies or hangs is a failure and is replaced."""
  module = importlib.import_module(f"{__name__}.{suite}")
  seconds, memory = getattr(module, "SECONDS", SECONDS), getattr(module, "MEMORY", MEMORY)
  result, todo = Result(), iter(cases)
  workers = {}  # connection -> (process, case or None, deadline)

  def start():
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(suite, seed, memory, theirs), daemon=True)
    process.start()
    theirs.close()
    workers[ours] = (process, None, time.monotonic() + _STARTING)

  def stop(connection):
    process, *_ = workers.pop(connection)
    process.kill()
    process.join()
    connection.close()
    return process.exitcode

  context = multiprocessing.get_context("spawn")
  try:
    for _ in range(processes):
      start()
    while workers:
      for connection in multiprocessing.connection.wait(list(workers), timeout=0.2):
        process, case, _ = workers[connection]
        try:
          answer = connection.recv()
        except (EOFError, ConnectionError):
          process.join()  # it is ending by itself: its own status is wanted
          code = stop(connection)
          if case is None:
            raise RuntimeError(f"a worker of suite {suite} did not start, exit code {code}") from None
          result.add(case, "failed", f"the process ended with exit code {code}", 0, 0, "")
          start()
          continue
        if answer is not None:
          result.add(case, *answer)
          if progress:
            progress(result)
        following = next(todo, None)
        if following is None:
          stop(connection)
        else:
          connection.send(following)
          workers[connection] = (process, following, time.monotonic() + seconds)
      for connection, (_, case, deadline) in list(workers.items()):
        if time.monotonic() > deadline:
          stop(connection)
          if case is None:
            raise RuntimeError(f"a worker of suite {suite} did not start within {_STARTING} s")
          result.add(case, "failed", f"it took over {seconds} s", seconds, 0, "")
          start()
  finally:
    for connection in list(workers):
      stop(connection)
  return result


def _work(suite, seed, memory, connection):
  """The worker: answers each case number with (outcome, failure or "", seconds, peak above the start, printed)."""
  importlib.import_module(f"{__name__}.{suite}")
  warnings.filterwarnings("error", append=True)  # behind the filters of Python and of what is tested
  with tempfile.TemporaryDirectory() as top, open(os.path.join(top, "stderr"), "w+b") as log:
    os.dup2(log.fileno(), 2)
    sys.stderr = open(2, "w", buffering=1, closefd=False)
    folder = pathlib.Path(top) / "cases"
    folder.mkdir()
    baseline = _peak()
    resource.setrlimit(resource.RLIMIT_AS, (_virtual() + 6 * memory,) * 2)  # the machine is shared
    connection.send(None)
    while True:
      case = connection.recv()
      _forget_peak()
      began = time.perf_counter()
      if case % 100 == 0:
        shutil.rmtree(folder)
        folder.mkdir()
      try:
        outcome, failure = run_case(suite, seed, case, folder), ""
      except AssertionError as error:
        outcome, failure = "failed", str(error) or traceback.format_exc()
      except BaseException:
        outcome, failure = "failed", traceback.format_exc()
      seconds, peak = time.perf_counter() - began, _peak()
      log.seek(0)
      printed = log.read().decode(errors="replace")
      log.seek(0)
      log.truncate()
      if not failure and ("Traceback (most recent" in printed or "Warning:" in printed):
        outcome, failure = "failed", f"it printed {printed}"
      if not failure and peak - baseline > memory:
        outcome, failure = "failed", f"it took {(peak - baseline) >> 20} MB"
      with contextlib.suppress(BrokenPipeError):
        connection.send((outcome, failure, seconds, max(0, peak - baseline), printed))


def _peak():
  """Most memory held since the last `_forget_peak`. (ru_maxrss would count what the parent held before it forked.)"""
  status = pathlib.Path("/proc/self/status").read_text()
  return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def _forget_peak():
  with contextlib.suppress(OSError):  # where it is not allowed, the peak is that of all cases so far
    pathlib.Path("/proc/self/clear_refs").write_text("5")


def _virtual():
  return int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
