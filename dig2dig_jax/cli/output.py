"""How does a job speak? Through standard output, which whoever reads it may close (`launch.py --list | head -1`)."""

import os
import sys


def say(text: str, end: str = "\n") -> None:
  """Prints. A closed pipe is no fault: the results stand, and the job's own status says how it went."""
  try:
    print(text, end=end, flush=True)
  except BrokenPipeError:
    # Python flushes once more at its end, which would fail again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
