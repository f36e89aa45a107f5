"""How does a job run on machines that an engine hands out? In tasks of pairs of one size, whose lines it collects.

An engine takes `Work`, once per worker, and tasks, each for any worker; it gives back what each task did, in any order
and once, and does again what a lost worker had not given back. Workers write the images, the job alone writes the log:
whatever is done twice, its images are the same and its line is one.
"""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.fusing import faults, ledger
from dig2dig_jax.fusing.agenda import Agenda
from dig2dig_jax.fusing.config import FuseConfig, FuseReport
from dig2dig_jax.fusing.facts import Facts
from dig2dig_jax.fusing.processes import stopped_by_signal
from dig2dig_jax.fusing.progress import Progress
from dig2dig_jax.methods.base import Method

LEAST, BATCHES = 8, 4  # pairs of a task: so many batches, but not fewer than that


class Work(NamedTuple):
  """What a worker needs to know, beside its pairs. ahead: pairs that it reads in advance."""

  config: FuseConfig
  method: Method
  params: Any
  identity: ledger.Identity
  ahead: int


class Done(NamedTuple):
  """What became of a task: lines for the log, an outcome, what its pairs told; worker: who did it, for the record."""

  lines: list[dict[str, Any]]
  report: FuseReport
  facts: Facts
  worker: str


# (work, tasks) -> what each task did.
Engine = Callable[[Work, Iterable[Sequence[Pair]]], Iterator[Done]]


def tasks(todo: Iterable[tuple[Pair, object]], size: int) -> Iterator[list[Pair]]:
  """Pairs, each with its padded size, in groups of at most `size` whose padded sizes are equal, in the same order. They
  are made as they are asked for: all pairs may be more than memory holds."""
  for _, alike in itertools.groupby(todo, key=lambda one: one[1]):
    while task := [pair for pair, _ in itertools.islice(alike, size)]:
      yield task


def size_of(config: FuseConfig) -> int:
  """Pairs of a task: a shard where results go into such, which a worker then writes by itself."""
  return config.shard if config.results != "files" else max(LEAST, BATCHES * config.batch_size)


def collect(engine: Engine, work: Work, todo: Agenda, report: FuseReport, log) -> None:
  """Has the pairs fused by an engine; `report` and `log` grow as it gives back."""
  start, facts, logged, failed = time.monotonic(), Facts(), set[str](), set[str]()
  workers: dict[str, int] = {}
  before, of_fuser = len(report.failed), []
  with Progress(len(todo)) as progress, stopped_by_signal() as stopped:
    given = engine(work, tasks(todo.by_size(), size_of(work.config)))
    try:
      for done in given:
        for line in done.lines:
          if line["id"] not in logged:
            logged.add(line["id"])
            log.append(line)
        for failure in done.report.failed:
          if isinstance(failure, faults.Failure) and failure.pair not in failed | logged:
            failed.add(failure.pair)
            report.failed.append(failure)
            log.fail(failure.pair, work.identity.fingerprint, failure.kind, failure)
        of_fuser += [note for note in done.report.notes if note not in of_fuser]
        report.done = len(logged)
        report.compile_seconds += done.report.compile_seconds
        report.programs += done.report.programs
        facts.merge(done.facts)
        workers[done.worker] = workers.get(done.worker, 0) + len(done.lines)
        progress.at(report.done + len(report.failed) - before)
        if stopped.is_set():
          break
    finally:
      given.close()
  report.stopped_by = stopped.by
  report.left = len(todo) - report.done - (len(report.failed) - before)
  report.notes += facts.lines(work.config, of_fuser)
  report.notes.append(f"{len(workers)} worker{'' if len(workers) == 1 else 's'} fused {report.done} pairs: "
                      f"{', '.join(f'{name} {count}' for name, count in sorted(workers.items()))}")
  report.seconds = time.monotonic() - start
