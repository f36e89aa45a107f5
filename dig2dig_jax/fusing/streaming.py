"""How do pairs become images? Read ahead, fused batch by batch, written by threads while the next batch is computed."""

import collections
import contextlib
import errno
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import jax

from dig2dig_jax.data.pairs import Pair, load_pair
from dig2dig_jax.errors import UserError, one_line
from dig2dig_jax.fusing import faults, files, ledger
from dig2dig_jax.fusing.agenda import Agenda
from dig2dig_jax.fusing.batches import Batch, batches
from dig2dig_jax.fusing.config import FuseConfig
from dig2dig_jax.fusing.facts import Facts
from dig2dig_jax.fusing.fuser import Fuser
from dig2dig_jax.fusing.look import look
from dig2dig_jax.fusing.processes import stopped_by_signal
from dig2dig_jax.fusing.programs import Programs
from dig2dig_jax.fusing.progress import Progress
from dig2dig_jax.fusing.results import Results
from dig2dig_jax.guidance.weighting import contradiction
from dig2dig_jax.methods.fuse import FusionTrace

_IN_FLIGHT = 2  # batches that are computed or written while the next one is prepared
_WRITERS = 4
# Errors of a disk after which the next image would fail too.
_HOPELESS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.EIO}


def programs(config: FuseConfig, identity: ledger.Identity) -> Programs:
  """The stored programs, keyed by everything that determines pixels except how sources are read."""
  of_reading = ("ranges", "valid", "align", "deghost", "palettes", "colormap")
  compiled_in = {name: value for name, value in identity.flags.items() if name not in of_reading}
  program = {name: config.machine.get(name) for name in ("network", "dig_chunk")}
  return Programs(config.program_cache, f"{compiled_in} {identity.weights} {program} {keeps_steps(config)}")


def keeps_steps(config: FuseConfig) -> bool:
  return bool(config.maps and config.conditions)


def log_failures(failed: Sequence[str], log, identity: ledger.Identity) -> None:
  for failure in failed:
    if isinstance(failure, faults.Failure):
      log.fail(failure.pair, identity.fingerprint, failure.kind, failure)


def say(line: str) -> None:
  with contextlib.suppress(OSError):  # a line that cannot be written ends no run
    print(line, file=sys.stderr, flush=True)


def _say_compiling(shape: tuple[int, ...]) -> None:
  say(f"compiling for {shape[3]} x {shape[2]} pixels (first time for this size, about 20 s)")


class Run:
  """One run: what its threads share."""

  def __init__(self, config, method, params, report, log, kept, identity, index, rows, *, fuser=None, tells=True):
    """index: None if no other process has written here. fuser: of an earlier run. tells: whether the report describes
    what its pairs have in common, by `facts`."""
    keep_steps = keeps_steps(config)

    def keep(trace: FusionTrace):  # the last update's weights: what the final image was blended with
      curves = None if trace.steps is None else files.curves(trace.steps)
      found = {"noise": trace.noise} if trace.noise is not None else {}
      if trace.weights.shape[0] > 2:
        found["contradiction"] = contradiction(trace.weights)
      return trace.weights[-1], trace.steps if keep_steps else None, curves, found

    self.config, self.report, self.log, self.identity = config, report, log, identity
    self.tells = tells
    self.fuser = fuser or Fuser(
      method,
      params,
      seed=config.seed,
      devices=jax.local_devices(),
      keep=keep,
      tile=config.tile,
      overlap=config.overlap,
      programs=kept,
      compiling=_say_compiling,
      shard_image=config.shard_image,
    )
    self.ready = time.monotonic()  # when the devices had last finished a batch
    self.pairs: dict[str, Pair] = {}  # that are read, computed or written
    self.logged = 0  # of the report's failures
    self.under_way: collections.deque[Future] = collections.deque()
    self.facts = Facts()
    self.results = Results(config, log, identity, index, self.facts, rows, report.notes)

  def fuse(self, todo: Agenda | Sequence[Pair], *, ahead: int) -> None:
    config, report, fuser = self.config, self.report, self.fuser
    start, before, compiling = time.monotonic(), len(report.failed), fuser.compile_seconds
    first: Pair | None = None  # that could be read
    self._tell_failures()
    stream = batches(
      self._due(todo),
      batch_size=self._batch_size,
      bucket=config.bucket,
      failed=report.failed,
      ahead=ahead,
      in_order=True,
      load=load_pair if config.restorer is None else config.restorer.load,
    )
    with (
      Progress(len(todo)) as progress,
      ThreadPoolExecutor(_WRITERS) as writers,
      contextlib.closing(stream),
      stopped_by_signal() as stopped,
    ):
      try:
        for batch in stream:
          first = first or self.pairs[batch.pairs[0].name]
          for pair in batch.pairs:
            self.facts.add(pair)
          self.under_way.append(
            writers.submit(self._finish, batch, fuser.begin(batch.images, batch.ids), time.monotonic())
          )
          self._count(leave=0 if stopped.is_set() else _IN_FLIGHT)
          self._tell_failures()
          progress.at(report.done + len(report.failed) - before, compiling=fuser.compile_seconds)
          if stopped.is_set():
            break
      finally:
        self._count(leave=0)  # also after a fault in reading: computed results are written
        self._tell_failures()
        progress.at(report.done + len(report.failed) - before)
      report.seconds = time.monotonic() - start - (fuser.compile_seconds - compiling)
      if config.looks and first is not None and not stopped.is_set():
        self.facts.looks.append(look(first, config, say))
    report.stopped_by = stopped.by
    report.left = len(todo) - report.done - (len(report.failed) - before)
    report.notes += self.facts.lines(config, fuser.notes) if self.tells else fuser.notes
    report.compile_seconds, report.programs = fuser.compile_seconds, fuser.programs
    self.results.try_sheet(again=not report.skipped)

  def _due(self, todo: Agenda | Sequence[Pair]) -> Iterator[Pair]:
    for pair in todo:
      self.pairs[pair.name] = pair
      yield pair

  def _tell_failures(self) -> None:
    new = self.report.failed[self.logged :]
    for failure in new:
      if isinstance(failure, faults.Failure):
        self.pairs.pop(failure.pair, None)
    log_failures(new, self.log, self.identity)
    self.logged += len(new)

  def _batch_size(self, shape: tuple[int, int, int]) -> int:
    # Nothing else runs while a program is compiled, so that free memory and compile time are measured correctly.
    self._count(leave=0)
    return self.fuser.plan(shape, batch_size=self.config.batch_size).batch

  def _count(self, *, leave: int) -> None:
    """Registers written batches, waiting until at most `leave` are unfinished."""
    while self.under_way and (len(self.under_way) > leave or self.under_way[0].done()):
      done, failed = self.under_way.popleft().result()
      self.report.done += done
      self.report.failed += failed

  def _finish(self, batch: Batch, result, begun: float) -> tuple[int, list[str]]:
    """Waits for a batch and writes it. Returns the number of finished pairs, and a line for each other one."""
    try:
      fused, (weights, steps, curves, found) = self.fuser.finish(batch.images, batch.ids, result)
    except jax.errors.JaxRuntimeError as error:
      figures = self.fuser.figures(batch.images.shape)
      return 0, [faults.failure(pair.name, error, **figures) for pair in batch.pairs]
    now = time.monotonic()
    seconds = (now - max(begun, self.ready)) / len(batch.pairs)
    self.ready = now
    tile = self.fuser.tile(batch.images.shape)
    shown = any(self.results.shown(pair.name) for pair in batch.pairs)
    kept, curves, found = jax.device_get(((weights, steps) if shown else None, curves, found))
    done, failed = 0, []
    for i, pair in enumerate(batch.pairs):
      try:
        own = jax.tree.map(lambda leaf, i=i: leaf[i], (kept, curves))
        if "noise" in found:
          self.facts.noise[pair.name] = found["noise"][i]
        if "contradiction" in found:
          self.facts.contradictions[pair.name] = float(found["contradiction"][i])
        self.results.write(pair, fused[i], *own, files_of=self.pairs.pop(pair.name), seconds=seconds, tile=tile,
                           device=self.fuser.devices[0].device_kind)  # fmt: skip
        done += 1
      except Exception as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in _HOPELESS:
          raise
        why = str(error) if isinstance(error, UserError) else (
          f"{pair.name}: expected to write its results, found {one_line(error)}; run the same command again")
        failed.append(faults.Failure(pair.name, "unwritten", why))
    return done, failed
