"""Which of how many processes is this, and how is it told to stop?

Processes of the fuse job need nothing of each other: a pair is fused by one of them, and whoever is lost leaves its
pairs to the next run while the others go on. JAX's own way of joining processes ends all of them soon after one is
lost. So where the flags or the cluster's environment say who is who, no connection is made; elsewhere
`jax.distributed.initialize` is asked, and left again at once.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from typing import NamedTuple

import jax

from dig2dig_jax.errors import UserError

# Clusters that tell every process its number and how many there are: (number, count).
_CLUSTERS = {
  "Slurm": ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),  # the second is there only under srun
  "Open MPI": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
  "MPICH, Intel MPI": ("PMI_RANK", "PMI_SIZE"),
}
_KUBERNETES = "JOB_COMPLETION_INDEX"  # of an indexed job, which does not tell how many there are


CTRL_C = "Ctrl-C"
INTERRUPTED = 130  # exit status, as shells have it


class Place(NamedTuple):
  """This process's number, from 0, and how many there are."""

  process: int
  processes: int


ALONE = Place(0, 1)


def place(
  distributed: bool, *, coordinator: str | None = None, processes: int | None = None, process: int | None = None
) -> Place:
  """Where this process stands. To be asked before anything asks for devices.

  distributed: join the others as the cluster tells. coordinator: HOST:PORT of process 0, to ask for it. processes,
  process: say it outright; they need no `distributed` unless there is a coordinator.
  Raises UserError if the environment does not define it.
  """
  if coordinator is None and processes is not None and process is None and _KUBERNETES in os.environ:
    process = int(os.environ[_KUBERNETES])
  if coordinator is None and processes is not None and process is not None:
    return _checked(process, processes)
  if not distributed:
    if processes is None and process is None and coordinator is None:
      return ALONE
    raise UserError("--num_processes, --process_id: expected both, or --distributed; found one without")
  if coordinator is None:
    for number, count in _CLUSTERS.values():
      if number in os.environ and count in os.environ:
        return _checked(int(os.environ[number]), int(os.environ[count]))
    if _KUBERNETES in os.environ:
      raise UserError("--distributed: a Kubernetes job does not state the number of processes; add --num_processes")
  return _joined(coordinator, processes, process)


def _checked(process: int, processes: int) -> Place:
  if not 0 <= process < processes:
    raise UserError(f"--process_id={process}: expected 0 to {processes - 1}, below --num_processes={processes}")
  return Place(process, processes)


def _joined(coordinator: str | None, processes: int | None, process: int | None) -> Place:
  join(coordinator, processes, process)
  found = Place(jax.process_index(), jax.process_count())
  jax.distributed.shutdown()  # waits until all have got here; from now on each is on its own
  return found


def join(coordinator: str | None, processes: int | None, process: int | None) -> None:
  """Connects this process to the others, as JAX does. UserError if the environment does not define their numbers."""
  try:
    jax.distributed.initialize(coordinator, processes, process)
  except (ValueError, RuntimeError) as error:
    reason = (str(error).splitlines() or [""])[0]
    raise UserError(f"--distributed: expected a cluster that identifies its processes, found none ({reason}); give "
                    "--num_processes and --process_id") from error


class Stopped(threading.Event):
  """Set once a signal asks to stop; `by`: its name, as a user knows it."""

  by: str | None = None


@contextlib.contextmanager
def stopped_by_signal() -> Iterator[Stopped]:
  """Yields an event that SIGTERM, SIGHUP and SIGINT (Ctrl-C) set, once: a second one ends the process, the first two as
  ever, Ctrl-C with status 130. Signals that are ignored (nohup, `&` in a script) stay so. Outside of the main thread,
  which alone may ask for signals, it is never set."""
  stopped = Stopped()
  if threading.current_thread() is not threading.main_thread():
    yield stopped
    return
  names = {signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP", signal.SIGINT: CTRL_C}
  before = {number: signal.getsignal(number) for number in names}
  heard = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]

  def stop(number, frame):
    stopped.by = names[number]
    stopped.set()
    for each in heard:
      signal.signal(each, _at_once if each == signal.SIGINT else before[each])
    if number == signal.SIGINT:
      print("stopping: what is under way is finished and written; Ctrl-C again ends at once", file=sys.stderr)

  for number in heard:
    signal.signal(number, stop)
  try:
    with _second_ctrl_c():
      yield stopped
  finally:
    for number in heard:
      signal.signal(number, before[number])


def _at_once(number, frame):
  os._exit(INTERRUPTED)  # no thread is waited for; files appear whole or not at all


@contextlib.contextmanager
def _second_ctrl_c() -> Iterator[None]:
  """Python's own handlers wait until the main thread is back from a compilation, which takes up to minutes; this counts
  the signals in a thread, so that a second Ctrl-C ends the process in the midst of one."""
  receiver, sender = socket.socketpair()
  sender.setblocking(False)

  def count():
    seen = 0
    while number := receiver.recv(1):
      seen += number[0] == signal.SIGINT
      if seen > 1:
        _at_once(signal.SIGINT, None)

  before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
  counter = threading.Thread(target=count, daemon=True)
  counter.start()
  try:
    yield
  finally:
    signal.set_wakeup_fd(before)
    sender.close()  # ends the thread
    counter.join()
    receiver.close()
