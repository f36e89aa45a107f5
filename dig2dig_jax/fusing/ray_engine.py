"""How does Ray run the tasks of a job? As a stream of `ray.data`: an actor per worker, which keeps its programs.

Ray starts actors where nodes have room, more of them when nodes join, and reassigns the task of a lost actor. It
holds tasks back while results wait to be collected. Pickles are only sent between machines of one cluster. All
tasks are submitted before the first is done, packed into some tens of bytes per pair.
"""

import contextlib
import inspect
import logging
import os
import pickle
import signal
import sys
import threading
import traceback
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.errors import UserError, one_line
from dig2dig_jax.fusing.engines import Done, Work

# Tries of one task: Ray takes some tens of seconds to notice the loss of a worker. A pair that kills its worker every
# time ends the run after this many; Ray itself would retry without end.
TRIES = 1000
_SETTINGS = ("jax_default_matmul_precision",)  # of JAX, that affect the result


class RayEngine(NamedTuple):
  """An `Engine` on the cluster that this process is in already, else on that of `address` or RAY_ADDRESS, else on one
  of its own that begins and ends with the run, on this machine alone. A line reports which of the two it is.

  least, most: workers; most None: as many as there is room for, whenever there is. resources: of one worker, by Ray's
  names (CPU, GPU, TPU...).
  """

  least: int = 1
  most: int | None = None
  resources: Mapping[str, float] = {"CPU": 1}
  address: str = ""

  def __call__(self, work: Work, tasks: Iterable[Sequence[Pair]]) -> Iterator[Done]:
    ray = _library()
    began = not ray.is_initialized()
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    if began:
      os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # Ray's C++ reports every lost worker
      with _explained(), _own_signals():
        # Without an address Ray would join any cluster that runs on this machine.
        address = self.address or os.environ.get("RAY_ADDRESS") or "local"
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
      own = address == "local"
      _say("--engine=ray: on a cluster of its own on this machine; another is named by --engine_address" if own else
           f"--engine=ray: on the cluster of {address}")
    try:
      packed = [_packed(task) for task in tasks]
      if packed:
        yield from self._streamed(ray, work, packed)
    finally:
      if began:
        ray.shutdown()

  def _streamed(self, ray, work: Work, tasks: Sequence[bytes]) -> Iterator[Done]:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.verbose_stats_logs = False
    of_jax = {name: getattr(jax.config, name) for name in _SETTINGS}
    given = ray.put(pickle_of((work, of_jax)))
    names = {"CPU": "num_cpus", "GPU": "num_gpus"}
    own = {names[name]: count for name, count in self.resources.items() if name in names}
    others = {name: count for name, count in self.resources.items() if name not in names}
    source = ray.data.from_items([{"task": task} for task in tasks], override_num_blocks=len(tasks))
    tries = {}
    if "ray_remote_args_fn" in inspect.signature(source.map_batches).parameters:  # to be removed in Ray 2.64
      tries = {"ray_remote_args_fn": lambda: {"max_task_retries": TRIES}}
      warnings.filterwarnings("ignore", message="`ray_remote_args_fn` is deprecated")
    stream = source.map_batches(
      _Actor,
      fn_constructor_args=(given,),
      batch_size=None,  # a block, which is a task
      zero_copy_batch=True,
      compute=ray.data.ActorPoolStrategy(
        min_size=min(self.least, len(tasks)), max_size=max(self.least, min(self.most or len(tasks), len(tasks))),
        max_tasks_in_flight_per_actor=2,
      ),
      **tries,
      **({"resources": others} if others else {}),
      **own,
    )
    with _explained():
      for batch in stream.iter_batches(batch_size=None, prefetch_batches=0):
        for found in map(pickle.loads, batch["done"]):
          if isinstance(found, UserError):
            raise found
          yield found


class _Actor:
  """A worker, in a process of Ray's."""

  def __init__(self, given):
    import ray

    work, of_jax = pickle.loads(ray.get(given))
    for name, value in of_jax.items():
      jax.config.update(name, value)
    from dig2dig_jax.fusing.worker import Worker

    self._worker = Worker(work)
    node = ray.get_runtime_context().get_node_id()  # of which a host may have several
    self._worker.name = f"{self._worker.name}@{node[:8]}"

  def __call__(self, batch: Mapping[str, Any]) -> Mapping[str, Any]:
    import numpy as np

    return {"done": np.array([pickle.dumps(self._done(_unpacked(task))) for task in batch["task"]], object)}

  def _done(self, pairs: Sequence[Pair]) -> Done | UserError:
    """A fault is returned to the job: Ray would wrap the exception, or repeat the task."""
    try:
      return self._worker(pairs)
    except UserError as error:
      return error
    except Exception as error:
      return UserError(f"--engine=ray: expected worker {self._worker.name} to do its task, found {one_line(error)} "
                       f"({_where(error)}); run the same command again, finished pairs are kept")


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
  """Keeps the signal handlers: Ray's C++ treats SIGTERM as a fault, prints a stack trace, and aborts."""
  here = threading.current_thread() is threading.main_thread()
  before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
  try:
    yield
  finally:
    for number, handler in before.items():
      if here and handler is not None:
        signal.signal(number, handler)


def _say(line: str) -> None:
  with contextlib.suppress(OSError):  # a line that cannot be written ends no run
    print(line, file=sys.stderr, flush=True)


def pickle_of(value) -> bytes:
  """With functions that were made while the program ran, such as a method's."""
  from ray import cloudpickle

  return cloudpickle.dumps(value)


def parse_resources(text: str) -> dict[str, float]:
  """{name: how many} of `CPU:1,GPU:0.5`. UserError for anything else."""
  found = {}
  for part in filter(None, text.split(",")):
    name, _, count = part.partition(":")
    try:
      found[name] = float(count)
    except ValueError:
      found[name] = -1.0
    if not name.isidentifier() or not 0 <= found[name] < 1e6:
      raise UserError(f"--engine_resources={text}: expected NAME:COUNT,... of one worker, such as CPU:4,GPU:1 or "
                      "TPU:4, found something else")
  return found or {"CPU": 1}


def parse_workers(text: str) -> tuple[int, int | None]:
  """(least, most) of `4`, `1:8` or `1:` for as many as there is room for. UserError for anything else."""
  least, colon, most = text.partition(":")
  if least.isdecimal() and int(least) > 0 and (most.isdecimal() and int(most) >= int(least) or not most):
    return int(least), int(most) if most else None if colon else int(least)
  raise UserError(f"--engine_workers={text}: expected LEAST:MOST, LEAST: or a number, such as 1:8, found something "
                  "else")


def _packed(task: Sequence[Pair]) -> bytes:
  plain = [pair._replace(ranges=dict(pair.ranges), palettes=dict(pair.palettes)) for pair in task]  # can be pickled
  return zlib.compress(pickle.dumps(plain), 1)


def _unpacked(task: bytes) -> list[Pair]:
  return pickle.loads(zlib.decompress(task))


def _where(error: BaseException) -> str:
  last = traceback.extract_tb(error.__traceback__)[-1]
  return f"{os.path.basename(last.filename)}, line {last.lineno}"


def _library():
  try:
    import ray
    import ray.data
  except ImportError:
    raise UserError("--engine=ray: expected Ray, found it not installed; pip install dig2dig_jax[ray]") from None
  return ray


@contextlib.contextmanager
def _explained() -> Iterator[None]:
  """What Ray raises, in one line."""
  import ray

  try:
    yield
  except (UserError, GeneratorExit):
    raise
  except (ray.exceptions.RayError, ConnectionError, RuntimeError, ValueError) as error:
    raise UserError(f"--engine=ray: expected a running cluster, found {one_line(error)}; run the same command again, "
                    "finished pairs are kept") from error
