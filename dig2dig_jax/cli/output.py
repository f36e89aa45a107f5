"""How does a job print? To standard output, which its reader may close (`launch.py --list | head -1`)."""

import contextlib
import os
import sys

from dig2dig_jax.errors import UserError


def say(text: str, end: str = "\n") -> None:
  """Prints. A closed pipe is no fault: the results stand, and the job's own status says how it went."""
  try:
    print(text, end=end, flush=True)
  except BrokenPipeError:
    _to_nowhere()
  except OSError as error:  # a full disk
    _to_nowhere()
    raise UserError(f"standard output: expected to write there, found {error.strerror}; finished work is "
                    "kept") from error


def note(line: str) -> None:
  """A line beside the job's output, whatever is in it. One that cannot be written ends no run."""
  with contextlib.suppress(OSError, ValueError):
    print("".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in line), file=sys.stderr, flush=True)


def _to_nowhere() -> None:
  """Python flushes once more at its end, which would fail again."""
  os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
