"""What does Ctrl-C do before a job has begun, and after its end? Before, it ends the process at once, with status 130;
after, nothing.

Nothing is written by then. An exception, which Python's own handler raises, would come up inside of whatever library is
being imported: some swallow it, some break on it.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

INTERRUPTED = 130


@contextlib.contextmanager
def ends_at_once() -> Iterator[None]:
  """Within, until `begins`, Ctrl-C ends the process. Where somebody else has asked for the signal, or ignores it, and
  outside of the main thread, it stays with them."""
  ours = threading.current_thread() is threading.main_thread() and _handler() is signal.default_int_handler
  if ours:
    signal.signal(signal.SIGINT, _end)
  try:
    yield
  finally:
    if ours:
      begins()


def begins() -> None:
  """The job begins: from here on Ctrl-C is an exception, or what the job makes of it."""
  if _handler() is _end:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def over() -> None:
  """All is done and said, and the process is on its way out: Ctrl-C has nothing left to end."""
  if threading.current_thread() is threading.main_thread() and _handler() in (_end, signal.default_int_handler):
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _handler():
  return signal.getsignal(signal.SIGINT)


def _end(number, frame):
  with contextlib.suppress(OSError):
    os.write(2, b"stopped\n")
  os._exit(INTERRUPTED)
