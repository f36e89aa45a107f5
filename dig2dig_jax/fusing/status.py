"""How far is a run, how fast, and what failed? From the index of its logs alone; no image is looked at."""

import dataclasses
import json
import time
from typing import Any

from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing.index_tables import Start
from dig2dig_jax.fusing.ledger import FOLDER
from dig2dig_jax.fusing.ledger_index import Index

_LISTED = 20  # failures that are listed in words
_IDLE = 600  # seconds without a pair after which a worker counts as gone


@dataclasses.dataclass(frozen=True)
class Worker:
  """A process by its log's name. done, failed: pairs since its last start; rate: pairs a second since then; idle:
  seconds since its last pair."""

  name: str
  done: int
  failed: int
  rate: float
  idle: float
  device: str

  @property
  def active(self) -> bool:
    return self.idle < _IDLE


@dataclasses.dataclass(frozen=True)
class Status:
  """Of the run that was started last. pairs: in all, None where no log tells; failed: {kind: pairs that failed and were
  not done since}; failures: [name, kind, why] of the first; seconds_left: None where nobody is at work; device_hours:
  of all runs into the folder, other_runs: pairs that other flags or weights made."""

  run: str
  pairs: int | None
  done: int
  failed: dict[str, int]
  failures: list[tuple[str, str, str]]
  workers: list[Worker]
  seconds_left: float | None
  device_hours: float
  other_runs: int
  notes: list[str]


def look(out, *, now: float | None = None, most: int = _LISTED) -> Status:
  """The Status of a folder of results, here or in a store. now: seconds since 1970. most: failures to list.

  UserError where the folder has no log of a run."""
  if not (out / FOLDER).is_dir():
    raise UserError(f"{out}: expected a folder of results with a log of runs, found none; name the --out of a run")
  now = time.time() if now is None else now
  with Index(out) as index:
    if index.empty:
      raise UserError(f"{out / FOLDER}: expected a log with a run in it, found none; name the --out of a run")
    starts = list(index.starts())
    index.publish()
    last = max(starts, key=lambda start: (start.at, start.last))
    counts = index.count()
    kinds: dict[str, int] = {}
    failures = []
    for failed in index.failed(last.run):
      kinds[failed.kind] = kinds.get(failed.kind, 0) + 1
      if len(failures) < most:
        failures.append((failed.name, failed.kind, (index.entry(failed) or {}).get("why", "")))
    notes = index.notes
  pairs = last.told.get("pairs")
  workers = [_worker(start, now) for start in _latest(starts, last.run)]
  rate = sum(worker.rate for worker in workers if worker.active)
  done = counts.get(last.run, 0)
  left = None if pairs is None else max(0, pairs - done - sum(kinds.values()))
  return Status(
    run=last.run,
    pairs=pairs,
    done=done,
    failed=dict(sorted(kinds.items())),
    failures=failures,
    workers=workers,
    seconds_left=0.0 if left == 0 else left / rate if left is not None and rate else None,
    device_hours=sum(start.seconds * start.told.get("devices", 1) for start in starts) / 3600,
    other_runs=sum(counts.values()) - done,
    notes=notes,
  )


def _latest(starts: list[Start], run: str) -> list[Start]:
  """The last start of each process that had a part in a run."""
  return list({start.log: start for start in starts if start.run == run}.values())


def _worker(start: Start, now: float) -> Worker:
  took = max(1, start.last - start.at)
  name, device = start.log.removesuffix(".jsonl"), str(start.told.get("device", ""))
  return Worker(name, start.done, start.failed, start.done / took, max(0.0, now - start.last), device)


def words(found: Status, out) -> str:
  """For people, with a line end."""
  failed = sum(found.failed.values())
  of = f" of {found.pairs}" if found.pairs is not None else ""
  kinds = f" ({', '.join(f'{count} {kind}' for kind, count in found.failed.items())})" if failed else ""
  rate = sum(worker.rate for worker in found.workers if worker.active)
  active = sum(worker.active for worker in found.workers)
  left = "unknown, nobody is at work" if found.seconds_left is None else _duration(found.seconds_left)
  lines = [
    f"{out}: {found.done}{of} pairs done, {failed} failed{kinds}",
    f"finished; {len(found.workers)} worker{'s' * (len(found.workers) > 1)} took part" if found.seconds_left == 0 else
    f"{active} of {len(found.workers)} workers finished a pair within {_duration(_IDLE)}, {rate:.2f} pairs a second, "
    f"time left: {left}",
    f"{found.device_hours:.2f} device hours so far",
  ]
  if found.other_runs:
    lines.append(f"{found.other_runs} lines are of other flags or weights")
  for worker in found.workers if len(found.workers) <= _LISTED else ():
    gone = "" if worker.active or found.seconds_left == 0 else f", nothing for {_duration(worker.idle)}"
    lines.append(f"  {worker.name}: {worker.done} done, {worker.failed} failed, {worker.rate:.2f} pairs a second{gone}")
  lines += [f"failed: {name}: {kind}: {why}" for name, kind, why in found.failures]
  if failed > len(found.failures):
    lines.append(f"... and {failed - len(found.failures)} more; --json lists all")
  if failed:
    lines.append("the same command with --only=failed tries them again")
  return "".join(f"{line}\n" for line in lines)


def _duration(seconds: float) -> str:
  if seconds < 120:
    return f"{seconds:.0f} s"
  return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def as_json(found: Status) -> str:
  """One object, with a line end."""
  told: dict[str, Any] = dataclasses.asdict(found)
  for own, worker in zip(told["workers"], found.workers, strict=True):
    own["active"] = worker.active
  told["failures"] = [{"id": name, "kind": kind, "why": why} for name, kind, why in found.failures]
  return json.dumps(told, indent=1) + "\n"


def as_prometheus(found: Status) -> str:
  """Text of Prometheus' exposition format 0.0.4, as its node exporter's textfile collector takes it."""
  lines: list[str] = []

  def metric(name: str, kind: str, what: str, values: list[tuple[dict[str, str], float]]) -> None:
    lines.append(f"# HELP dig2dig_{name} {what}")
    lines.append(f"# TYPE dig2dig_{name} {kind}")
    for labels, value in values:
      inner = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
      lines.append(f"dig2dig_{name}{{{inner}}} {value:.10g}" if inner else f"dig2dig_{name} {value:.10g}")

  if found.pairs is not None:
    metric("pairs", "gauge", "Pairs of the run.", [({}, found.pairs)])
  metric("done", "gauge", "Pairs that are finished.", [({}, found.done)])
  metric("failed", "gauge", "Pairs that failed and were not done since.",
         [({"kind": kind}, count) for kind, count in found.failed.items()])  # fmt: skip
  metric("pairs_per_second", "gauge", "Since the worker's last start, 0 for one that is gone.",
         [({"worker": worker.name}, worker.rate * worker.active) for worker in found.workers])  # fmt: skip
  if found.seconds_left is not None:
    metric("left_seconds", "gauge", "Until all pairs are done at the present rate.", [({}, found.seconds_left)])
  metric("device_hours", "counter", "Device hours that finished pairs took.", [({}, found.device_hours)])
  return "".join(f"{line}\n" for line in lines)


def _escaped(text: str) -> str:
  return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
