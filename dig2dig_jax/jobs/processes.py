"""Which of how many processes is this, and how is it told to stop?

Processes of the fuse job need nothing of each other: a pair is fused by one of them, and whoever is lost leaves its
pairs to the next run while the others go on. JAX's own way of joining processes ends all of them soon after one is
lost. So where the flags or the cluster's environment say who is who, no connection is made; elsewhere
`jax.distributed.initialize` is asked, and left again at once.
"""

import contextlib
import os
import signal
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


class Place(NamedTuple):
  """This process's number, from 0, among so many."""

  process: int
  processes: int


ALONE = Place(0, 1)


def place(
  distributed: bool, *, coordinator: str | None = None, processes: int | None = None, process: int | None = None
) -> Place:
  """Where this process stands. To be asked before anything asks for devices.

  distributed: join the others as the cluster tells. coordinator: HOST:PORT of process 0, to ask for it. processes,
  process: say it outright; they need no `distributed` unless there is a coordinator.
  Raises UserError where nobody tells.
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
      raise UserError("--distributed: a Kubernetes job does not tell how many processes there are; add --num_processes")
  return _joined(coordinator, processes, process)


def _checked(process: int, processes: int) -> Place:
  if not 0 <= process < processes:
    raise UserError(f"--process_id={process}: expected 0 to {processes - 1}, below --num_processes={processes}")
  return Place(process, processes)


def _joined(coordinator: str | None, processes: int | None, process: int | None) -> Place:
  try:
    jax.distributed.initialize(coordinator, processes, process)
  except (ValueError, RuntimeError) as error:
    reason = (str(error).splitlines() or [""])[0]
    raise UserError(f"--distributed: expected a cluster that tells who is who, found none ({reason}); give "
                    "--num_processes and --process_id") from error
  found = Place(jax.process_index(), jax.process_count())
  jax.distributed.shutdown()  # waits until all have got here; from now on each is on its own
  return found


@contextlib.contextmanager
def stopped_by_signal() -> Iterator[threading.Event]:
  """Yields an event that SIGTERM sets, once: a second one ends the process as ever. Outside of the main thread, which
  alone may ask for signals, it is never set."""
  stopped = threading.Event()
  if threading.current_thread() is not threading.main_thread():
    yield stopped
    return

  def stop(number, frame):
    stopped.set()
    signal.signal(signal.SIGTERM, before)

  before = signal.signal(signal.SIGTERM, stop)
  try:
    yield stopped
  finally:
    signal.signal(signal.SIGTERM, before)
