"""Hundreds of workers by a simulated clock: what do the real planner and log make of preemption and a bad store?

Real: manifest, order, shares, agenda, index, logs (with what a kill leaves of their last line), retries of requests,
`--only=failed`, status. Stand-ins: devices that take equally long for each pair, a store whose requests fail and are
throttled, the clock. A worker is preempted at moments of chance and comes back `AWAY` seconds later, under the same
number.
"""

import collections
import datetime
import heapq
import json
import os
import pathlib
import random
import time

import fleet
import numpy as np

from dig2dig_jax.stores.retrying import Tries, persistent

BATCH = 16  # pairs
STARTING = 30.0  # seconds from a worker's start to its first batch: imports, weights, programs from the cache
AWAY = 90.0  # seconds until a preempted worker's place is taken; its device is somebody else's meanwhile
PREEMPTED = 0.05  # of workers in an hour
BAD = 1000  # every so manieth pair has a file that cannot be read
FAILS = 0.01  # of the store's requests
LATENCY, READERS = 0.03, 4  # seconds a request, requests at once
THROTTLED = 1.5  # times the requests a second that all workers make on the average
IN_STEP = 16.0  # seconds, in whose first half all batches begin and ask twice as much as on the average
HOURS = 5.4  # that it takes at best: so long has a pair of 1 s among 10^7 and 512 workers
SIZES = [[480, 640], [512, 640], [768, 1024], [1024, 1280], [375, 500]]
IMAGE, SOURCE = 200_000, 100_000  # bytes


class Busy(OSError):
  status = 503


class World:
  """The store and the clock. Of each pair: whether its image is written, and how often it was computed."""

  def __init__(self, pairs, workers, seed=0):
    self.now, self.rng = 0.0, random.Random(seed)
    self.written, self.computed = np.zeros(pairs, bool), np.zeros(pairs, np.uint8)
    self.seconds = HOURS * 3600 * workers / pairs
    self.requests = self.refused = self.throttled = self.given_up = 0
    self.tries = Tries()
    self._limit = max(THROTTLED * 3 * workers / self.seconds, 3 * BATCH)  # in a second; a batch at least
    self._answered = collections.Counter()  # by second

  def request(self):
    """(seconds that one takes with its retries, whether it was answered), by the real retries."""
    self._took = 0.0
    try:
      persistent(self._answer, tries=self.tries, pause=self._pause)
    except OSError:
      self.given_up += 1
      return self._took, False
    return self._took, True

  def _answer(self):
    self.requests += 1
    self._took += LATENCY
    second = int(self.now + self._took)
    if self._answered[second] >= self._limit:
      self.throttled += 1
      raise Busy
    self._answered[second] += 1
    if self.rng.random() < FAILS:
      self.refused += 1
      raise Busy

  def _pause(self, seconds):
    self._took += seconds

  def file_bytes(self, path):
    path = os.fspath(path)
    if not path.endswith(".png"):
      return SOURCE
    return IMAGE if self.written[int(path[-12:-4])] else -1

  def date(self):
    return datetime.datetime.fromtimestamp(1.8e9 + self.now, datetime.UTC)


class Worker:
  """A process: of its life only what the log and the planner see."""

  def __init__(self, fleet, number):
    self.fleet, self.number, self.log = fleet, number, None

  def start(self, only=""):
    """Seconds of this machine that the planner took."""
    from dig2dig_jax.fusing import ledger
    from dig2dig_jax.fusing.agenda import Agenda
    from dig2dig_jax.fusing.ledger_index import Index
    from dig2dig_jax.fusing.processes import Place

    one, begun = self.fleet, time.perf_counter()
    place, config = Place(self.number, one.workers), one.config if not only else one.only_failed
    with Index(config.out) as index:
      agenda = Agenda(config, one.manifest, place, lambda pair: pair, index, one.identity, order=one.order)
      opened = time.perf_counter() - begun
      index.publish()
      one.publishing = max(one.publishing, time.perf_counter() - begun - opened)
    self.log = ledger.Ledger(config.out, process=self.number, processes=one.workers)
    self.log.__enter__()
    self.log.begin(one.common, process=self.number, processes=one.workers, devices=1, pairs=len(one.manifest),
                   share=agenda.share, skipped=agenda.skipped)  # fmt: skip
    self.due = iter(agenda)
    return opened

  def batch(self):
    """(numbers of the next pairs that could be read, seconds that reading took)."""
    found, took = [], 0.0
    for pair in self.due:
      number = int(pair.name)
      answers = [self.fleet.world.request() for _ in pair.files]
      took += sum(seconds for seconds, _ in answers) / READERS
      if not all(answered for _, answered in answers):
        self.fail(pair.name, "unreadable", "the store did not answer")
      elif number % BAD == 7:
        self.fail(pair.name, "unreadable", f"data/ir/{pair.name}.png: expected an image, found a torn file")
      else:
        found.append(number)
        if len(found) == BATCH:
          break
    return found, took

  def fail(self, name, kind, why):
    self.log.fail(name, self.fleet.identity.fingerprint, kind, why)

  def finish(self, numbers):
    world = self.fleet.world
    world.computed[numbers] += 1
    for number in numbers:
      if not world.request()[1]:
        self.fail(f"{number:08d}", "unwritten", "the store did not take it")
        continue
      world.written[number] = True
      self.log.append({"id": f"{number:08d}", **self.fleet.entry, "seconds": round(world.seconds, 3)})

  def kill(self, numbers):
    """As -9 does: an image may stand without its line, and the last line be torn."""
    world = self.fleet.world
    world.computed[numbers] += 1
    if numbers and world.rng.random() < 0.5:
      world.written[numbers[0]] = True
      os.write(self.log._file.fileno(), b'{"id":"000')
    self.log.__exit__()


class Fleet:
  def __init__(self, root, pairs, workers):
    from dig2dig_jax.data.manifest import Manifest
    from dig2dig_jax.fusing import ledger, shares

    self.workers, self.world, self.publishing = workers, World(pairs, workers), 0.0
    path = root / "pairs.jsonl"
    with path.open("w") as lines:
      for number in range(pairs):
        name, size = f"{number:08d}", SIZES[number % len(SIZES)]
        files = {"ir": f"ir/{name}.tif", "vi": f"vi/{name}.tif"}
        lines.write(json.dumps({"id": name, "files": files, "size": size}) + "\n")
    self.config = fleet.settings(path, root / "out")
    self.only_failed = fleet.settings(path, root / "out", only="failed")
    (root / "out").mkdir()
    begun = time.perf_counter()
    self.manifest = Manifest(path, self.config.sources)
    self.order = shares.order(self.manifest, bucket=64)
    self.reading = time.perf_counter() - begun
    self.identity = ledger.identity(self.config.decisive(), {"w": np.zeros(3, np.float32)})
    self.common = {**self.identity._asdict(), "sources": self.config.sources, "seed": 0, "device": "stand-in",
                   "versions": ledger.versions()}  # fmt: skip
    self.entry = {**self.common, "sha256": 64 * "a", "bytes": IMAGE, "size": [480, 640], "tile": 0,
                  "contradiction": 0.123, "sources": {"ir": SOURCE, "vi": SOURCE}}  # fmt: skip

  def run(self):
    """Until all workers are through; what it took."""
    world, rng = self.world, self.world.rng
    times = [rng.uniform(0, BATCH * world.seconds) for _ in range(self.workers)]
    events = [(at - at % IN_STEP / 2, number, "start", []) for number, at in enumerate(times)]
    heapq.heapify(events)
    workers = [Worker(self, number) for number in range(self.workers)]
    told = {"held": 0.0, "starts": 0, "preempted": 0, "in_flight": 0, "slowest": 0.0}
    preempted_at = {}
    while events:
      world.now, number, what, numbers = heapq.heappop(events)
      worker, held = workers[number], 0.0
      if what == "start":
        planning = worker.start()
        told["starts"] += 1
        told["slowest"] = max(told["slowest"], planning)
        preempted_at[number] = world.now + rng.expovariate(PREEMPTED / 3600)
        numbers, reading = worker.batch()
        held = STARTING + planning + reading + len(numbers) * world.seconds
      elif what == "finish":
        worker.finish(numbers)
        before = len(numbers) * world.seconds
        numbers, reading = worker.batch()
        held = len(numbers) * world.seconds + max(0.0, reading - before)  # it was read while the last one was computed
      elif what == "preempt":
        worker.kill(numbers)
        told["preempted"] += 1
        told["in_flight"] += len(numbers)
        heapq.heappush(events, (world.now + AWAY, number, "start", []))
        continue
      if not numbers:
        worker.log.__exit__()
        told["held"] += held
      elif world.now + held > preempted_at[number]:
        told["held"] += preempted_at[number] - world.now
        heapq.heappush(events, (preempted_at[number], number, "preempt", numbers))
      else:
        told["held"] += held
        heapq.heappush(events, (world.now + held, number, "finish", numbers))
    return told

  def again(self):
    """The pairs that failed, by one more run."""
    for number in range(self.workers):
      worker = Worker(self, number)
      worker.start(only="failed")
      while (found := worker.batch())[0]:
        self.world.now += found[1] + len(found[0]) * self.world.seconds
        worker.finish(found[0])
      worker.log.__exit__()


def run(root: pathlib.Path, pairs: int, workers: int) -> dict[str, float]:
  """Prints and returns what became of it; AssertionError where a result is lost or stands twice in the log."""
  from dig2dig_jax.fusing import done, ledger, outputs, status
  from dig2dig_jax.fusing.ledger_index import Index

  begun = time.perf_counter()
  simulated = Fleet(root, pairs, workers)
  world, out = simulated.world, simulated.config.out
  kept = done.file_bytes, outputs.is_free, ledger.now, done.files_bytes
  done.file_bytes, outputs.is_free, ledger.now = world.file_bytes, lambda path: True, world.date
  done.files_bytes = lambda paths: list(map(world.file_bytes, paths))
  try:
    told = simulated.run()
    repeated = int(np.maximum(world.computed.astype(int) - 1, 0).sum())
    hours = world.now / 3600
    simulated.again()
    looked = status.look(out, now=1.8e9 + world.now)
    opening = time.perf_counter()
    with Index(out) as index:
      opening = time.perf_counter() - opening
      lines, finished = sum(start.done for start in index.starts()), index.count()[simulated.identity.fingerprint]
    last = Worker(simulated, 0)
    planning = last.start()
    last.log.__exit__()
  finally:
    done.file_bytes, outputs.is_free, ledger.now, done.files_bytes = kept
  bad = len(range(7, pairs, BAD))
  lost, twice = pairs - bad - finished, lines - finished
  useful = finished * world.seconds
  size = sum(path.stat().st_size for path in (out / "log").rglob("*") if path.is_file())
  found = {
    "lost": lost, "twice": twice, "repeated": repeated, "in_flight": told["in_flight"], "bytes": size / pairs,
    "overhead": told["held"] / useful - 1, "failed": sum(looked.failed.values()),
  }  # fmt: skip
  print(f"{pairs} pairs, {workers} workers, {world.seconds:.1f} s a pair, {hours:.1f} h by the clock: {told['starts']} "
        f"starts, {told['preempted']} preempted; {world.requests} requests, {world.refused} failed, {world.throttled} "
        f"throttled, {world.given_up} given up")  # fmt: skip
  print(f"lost {lost}, twice in the log {twice}, {found['failed']} left as failed of {bad} bad; computed again "
        f"{repeated}, in flight when preempted {told['in_flight']}; overhead {found['overhead']:.2%} of device time")
  print(f"{found['bytes']:.0f} bytes of log a pair; a start: manifest {simulated.reading:.1f} s, index "
        f"{opening:.2f} s, share {planning:.2f} s (slowest on the way {told['slowest']:.2f} s), and "
        f"{simulated.publishing:.1f} s where it made the index anew; simulated in {time.perf_counter() - begun:.0f} s")
  assert lost == 0 and twice == 0 and found["failed"] == bad and repeated <= told["in_flight"] + bad, found
  return found
