"""What do the commands that serve a page ask of their flags and of what is installed?"""

import contextlib
from collections.abc import Iterator

from dig2dig_jax.errors import UserError


def port(text: str) -> int:
  """Of --port. UserError for what is none."""
  if not text.isdecimal() or len(text) > 5 or int(text) > 65535:
    raise UserError(f"--port={text}: expected 0 to 65535")
  return int(text)


@contextlib.contextmanager
def packages(what: str, remedy: str) -> Iterator[None]:
  """For the import of a room that needs the extra [app]. UserError, in the words of `what` asks for it and of how to do
  without, where it is not there."""
  try:
    yield
  except ModuleNotFoundError as error:
    if error.name not in ("starlette", "uvicorn"):
      raise
    raise UserError(f"{what}, found no {error.name}; {remedy}") from error
