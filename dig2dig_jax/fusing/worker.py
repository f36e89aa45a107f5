"""What does a worker of an engine do? Compiles once per shape, and fuses the pairs of one task after the other."""

import dataclasses
import os
import socket
from collections.abc import Sequence
from typing import Any

from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.fusing import compile_cache, sharded, streaming
from dig2dig_jax.fusing.config import FuseReport
from dig2dig_jax.fusing.engines import Done, Work
from dig2dig_jax.fusing.facts import Facts


class Worker:
  """`Work` on the devices of this process. Call with the pairs of a task."""

  def __init__(self, work: Work):
    self._work, self._fuser, self._looked = work, None, False
    notes = []
    if work.config.program_cache is not None and (told := compile_cache.use(work.config.program_cache)):
      notes.append(told)
    self._notes = notes
    self.name = f"{socket.gethostname()}:{os.getpid()}"

  def __call__(self, pairs: Sequence[Pair]) -> Done:
    work, config = self._work, self._work.config
    lines = _Lines()
    name = sharded.task_name([pair.name for pair in pairs], work.identity.fingerprint)
    out = sharded.place_of(config.out, config.results, len(pairs), name=name)
    config = dataclasses.replace(config, out=out, looks=config.looks and not self._looked)
    if isinstance(out, sharded.ShardFolder):  # a worker that was lost may have put this task's shard before
      lines.lines += out.standing_lines(work.identity.fingerprint)
      there = {line["id"] for line in lines.lines}
      pairs = [pair for pair in pairs if pair.name not in there]
      if not pairs:
        return Done(lines.lines, FuseReport(), Facts(), self.name)
    log = sharded.ShardLog(out, lines, []) if isinstance(out, sharded.ShardFolder) else lines
    report = FuseReport(notes=self._notes)
    self._notes = []
    kept = streaming.programs(config, work.identity)
    with log:
      run = streaming.Run(config, work.method, work.params, report, log, kept, work.identity, None, (),
                          fuser=self._fuser, tells=False)  # fmt: skip
      compiled, seconds = run.fuser.programs, run.fuser.compile_seconds
      run.fuse(list(pairs), ahead=work.ahead)
    self._fuser, self._looked = run.fuser, self._looked or bool(run.facts.looks)
    report.programs -= compiled
    report.compile_seconds -= seconds
    self._fuser.notes.clear()
    return Done(lines.lines, report, run.facts, self.name)


class _Lines:
  """A log in memory, for who writes the real one."""

  def __init__(self):
    self.lines: list[dict[str, Any]] = []

  def __enter__(self):
    return self

  def __exit__(self, *exception) -> None:
    pass

  def append(self, entry: dict[str, Any]) -> None:
    self.lines.append(entry)

  def fail(self, name: str, fingerprint: str, kind: str, why: str) -> None:
    """The report tells of it, too."""
