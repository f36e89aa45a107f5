"""What do the benchmark programs share? Arguments NAME=FOLDER, printing and exit status."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from dig2dig_jax.errors import UserError


def named_folders(words: Sequence[str]) -> dict[str, Path]:
  """{name: folder} of words NAME=FOLDER."""
  return {name: Path(folder) for name, _, folder in (word.partition("=") for word in words)}


def status(produce: Callable[[], str]) -> int:
  """0, once the text that it returns is on standard output; 2 with a UserError's message on standard error."""
  try:
    print(produce(), end="")
  except UserError as error:
    print(error, file=sys.stderr)
    return 2
  return 0
