"""Is a folder of results sound whatever befalls the runs into it? `python tests/scale.py chaos --rounds=100`.

Each round starts a run of 40 small pairs and does something to it at a random moment; then the folder is looked at. At
the end one run in peace has to make it what a run in peace makes of an empty folder. Runs are forked from a server that
has imported the libraries and nothing else, so that a start takes a second.
"""

import collections
import contextlib
import hashlib
import importlib
import json
import multiprocessing
import os
import pathlib
import pkgutil
import random
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time

import scale

from dig2dig_jax.cli import interrupt, output

PAIRS, SIZES, PAUSE = 40, 2, 0.02
# Ends that are none of the program's: what a signal does before or after its own handlers are there. Ctrl-C is heard
# wherever it comes (`launch.py`), so it ends a run with 130, or with 0 if all was done.
SIGNALS = {"kill": signal.SIGKILL, "terminate": signal.SIGTERM, "hang up": signal.SIGHUP, "Ctrl-C": signal.SIGINT}
ENDS = {"kill": {-9, 0}, "terminate": {0, -15}, "hang up": {0, -1}, "Ctrl-C": {0, 130}, "closed output": {0},
        "full disk": {0, 2, 3}, "read-only output": {0, 2, 3}, "no cache": {0}, "damaged cache": {0},
        "two at once": {0, 2}, "clock": {0, -9}}  # fmt: skip
FOREIGN = {"notes.txt": b"of a person", "mine.png": b"no image of this program", ".hidden": b"secret"}


def _work(data, out, cache, fault, amount, log):
  """The run, in its process."""
  number = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
  os.dup2(number, 1)
  os.dup2(number, 2)
  sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", buffering=1, closefd=False)
  try:
    status = _status(data, out, cache, fault, amount)
    interrupt.over()  # as launch.py has it: what comes now comes after the job
  except KeyboardInterrupt:
    status = 130
  sys.exit(status)


def _status(data, out, cache, fault, amount) -> int:
  try:
    import jax
    from jaxlib.mlir import dialects

    from dig2dig_jax import record
    from dig2dig_jax.errors import UserError
    from dig2dig_jax.fusing import compile_cache, programs

    # The other user, below, need not be able to read where the packages are installed: what JAX imports only when it
    # first lowers a program is imported here, and what is read of this package's source is read.
    record.packages()
    programs._environment()
    for module in pkgutil.iter_modules(dialects.__path__, dialects.__name__ + "."):
      with contextlib.suppress(ImportError):  # of an accelerator that is not here
        importlib.import_module(module.name)

    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    if fault == "closed output":
      reader, writer = os.pipe()
      os.dup2(writer, 1)
      os.close(reader)
    elif fault == "full disk":  # files may grow so far, from some moment on
      limit = (int(amount * 3000), resource.RLIM_INFINITY)
      threading.Timer(amount, resource.setrlimit, (resource.RLIMIT_FSIZE, limit)).start()
    elif fault == "read-only output" and os.geteuid() == 0:  # nothing is read-only to the superuser
      threading.Timer(amount, os.seteuid, (65534,)).start()
    if note := compile_cache.use(cache):
      output.note(f"note: {note}")
    try:
      report = scale.work(data, out, 0, 1, 2, PAUSE, None if note else cache)
    except UserError as error:
      output.note(f"error: {error}")
      return 2
    finally:
      if fault == "read-only output" and os.getuid() == 0:
        os.seteuid(0)  # what Python does at its end is none of the job's
      compile_cache.stop()
    for line in report.notes:
      output.note(f"note: {line}")
    return 130 if report.left and "Ctrl-C" in report.summary() else 3 if report.failed else 0
  except KeyboardInterrupt:
    return 130


class Chaos:
  def __init__(self, root: pathlib.Path, rng: random.Random):
    os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", JAX_PLATFORMS="cpu")
    self.context = multiprocessing.get_context("forkserver")
    self.context.set_forkserver_preload(["dig2dig_jax.fusing.job", "dig2dig_jax.methods.dig2dig", "toys", "scale",
                                         "chaos", "dig2dig_jax.fusing.compile_cache"])  # fmt: skip
    self.root, self.rng, self.out, self.cache = root, rng, root / "out", root / "home" / "cache"
    self.data = scale.make_pairs(root / "data", PAIRS, SIZES)
    self.before = _hashes(self.data)
    self.done, self.removed, self.faults = collections.Counter(), collections.Counter(), []
    self.out.mkdir()
    for name, content in FOREIGN.items():
      (self.out / name).write_bytes(content)
    begun = time.monotonic()
    self.finish(self.start(root / "plain"), {0})
    self.finish(self.start(root / "plain again"), {0})
    self.seconds = (time.monotonic() - begun) / 2

  def start(self, out, fault="", amount=0.0, cache=None, log="log"):
    process = self.context.Process(target=_work, args=(self.data, out, cache or self.cache, fault, amount,
                                                       self.root / log))  # fmt: skip
    process.start()
    return process

  def finish(self, process, allowed, log="log"):
    process.join(120)
    said = (self.root / log).read_text(errors="replace") if (self.root / log).exists() else ""
    if process.exitcode not in allowed:
      self.faults.append(f"status {process.exitcode}, expected one of {sorted(allowed)}: {said[-1500:]}")
    elif "Traceback" in said:
      self.faults.append(f"a traceback: {said[-1500:]}")
    if process.is_alive():
      process.kill()
    return said

  def round(self, fault):
    amount = self.rng.uniform(0, 1.2 * self.seconds)
    if fault == "clock":  # it was ahead, or is: all that lies there is of another time
      now = time.time() + self.rng.choice([-1, 1]) * 10**8
      for path in [self.out, *self.out.rglob("*")]:
        os.utime(path, (now, now))
    if fault == "damaged cache":
      for path in self.cache.rglob("*"):
        if path.is_file() and self.rng.random() < 0.7:
          content = bytearray(path.read_bytes())
          content[self.rng.randrange(len(content))] ^= 1 << self.rng.randrange(8)
          path.write_bytes(content[: self.rng.choice([len(content), len(content) // 2])])
    cache = None
    if fault == "no cache":
      (self.root / "file").touch()
      cache = self.rng.choice([self.root / "file" / "x", self.root / "file", pathlib.Path("/proc/none"), self.cache])
      if cache == self.cache:
        shutil.rmtree(self.root / "home")
    there = sorted(self.out.glob("0*.png"))
    for path in self.rng.sample(there, k=min(8, len(there))):
      path.unlink()  # so that there is something to do
      self.removed[path.stem] += 1
    process = self.start(self.out, fault, amount, cache)
    if fault in SIGNALS or fault == "clock":
      time.sleep(amount)
      with contextlib.suppress(ProcessLookupError):  # it may be done
        os.kill(process.pid, SIGNALS.get(fault, signal.SIGKILL))
    if fault == "two at once":
      time.sleep(amount / 2)
      self.finish(self.start(self.out, log="second"), ENDS[fault], log="second")
    self.finish(process, ENDS[fault])
    self.done[fault] += 1

  def look(self):
    """What has to hold at any time."""
    from scenes import read

    from dig2dig_jax.fusing import ledger

    if _hashes(self.data) != self.before:
      self.faults.append("an original was changed")
    for name, content in FOREIGN.items():
      if not (self.out / name).is_file() or (self.out / name).read_bytes() != content:
        self.faults.append(f"{name}, which is foreign, was changed")
    notes = []
    lines = ledger.read(self.out, notes)
    self.faults += notes
    for path in self.out.glob("0*.png"):
      if read(path) is None:
        self.faults.append(f"{path.name} is torn")
      hashes = {entry["sha256"] for entry in lines.get(path.stem, ())}
      if hashes and hashlib.sha256(path.read_bytes()).hexdigest() not in hashes:
        self.faults.append(f"{path.name} is not what was logged")

  def end(self):
    """A run in peace, and what it has to leave."""
    for path in self.out.rglob(".*.tmp"):
      os.utime(path, (1000, 1000))
    for path in self.out.glob("log/*.jsonl"):
      os.utime(path)
    self.finish(self.start(self.out), {0})
    self.look()
    if left := [path.name for path in self.out.rglob(".*.tmp")]:
      self.faults.append(f"temporary files are left: {left}")
    for path in (self.root / "plain").glob("0*.png"):
      if not (self.out / path.name).exists() or _pixels(self.out / path.name) != _pixels(path):
        self.faults.append(f"{path.name} is not what a run in peace makes")
    found = collections.Counter(json.loads(line)["id"] for line in scale.log_lines(self.out))
    for path in (self.data / "ir").iterdir():
      lines, most = found.pop(path.stem, 0), 1 + self.removed[path.stem]
      if not 1 <= lines <= most:
        self.faults.append(f"{path.stem} is {lines} times in the log, expected 1 to {most}, as often as it was made")
    if found:
      self.faults.append(f"the log has {sorted(found)}")


def _pixels(path):
  from scenes import read

  return read(path).tobytes()


def _hashes(folder):
  return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def run(rounds: int, *, seed: int = 0) -> list[str]:
  """Prints what was done, and every fault. Returns the faults."""
  root = pathlib.Path(tempfile.mkdtemp(prefix="chaos-"))
  root.chmod(0o755)  # for the run that is another user's
  try:
    chaos = Chaos(root, random.Random(seed))
    kinds = list(ENDS)
    for number in range(rounds):
      # Every kind in turn, in an order of its own each time.
      if number % len(ENDS) == 0:
        chaos.rng.shuffle(kinds)
      fault, before = kinds[number % len(kinds)], len(chaos.faults)
      chaos.round(fault)
      chaos.look()
      for line in chaos.faults[before:]:
        print(f"round {number}, {fault}: {line}")
    before = len(chaos.faults)
    chaos.end()
    for line in chaos.faults[before:]:
      print(f"at the end: {line}")
    told = ", ".join(f"{count} {fault}" for fault, count in sorted(chaos.done.items()))
    print(f"{rounds} rounds: {told}; {len(chaos.faults)} failures")
    return chaos.faults
  finally:
    shutil.rmtree(root, ignore_errors=True)
