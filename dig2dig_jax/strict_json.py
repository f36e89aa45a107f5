"""What does JSON of unknown origin say? It is read in bounded time and memory, and every fault is one kind of error."""

import json
from typing import Any


def parse(data: bytes, *, most: int) -> Any:
  """The value that `data` spells in UTF-8. ValueError, one line, for whatever cannot be read or is read in two ways:
  longer than `most` bytes, nested too deeply, not UTF-8, a name twice in an object, numbers of thousands of digits."""
  if len(data) > most:
    raise ValueError(f"more than {most} bytes")
  try:
    return json.loads(data.decode("utf-8"), object_pairs_hook=_object, parse_int=_integer)
  except UnicodeDecodeError as error:
    raise ValueError(f"bytes that are not UTF-8 at {error.start}") from error
  except RecursionError:
    raise ValueError("values nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  found = dict(pairs)
  if len(found) < len(pairs):  # the last would win here and the first elsewhere
    raise ValueError("a name twice in one object")
  return found


def _integer(text: str) -> int:
  if len(text) > 100:  # Python itself refuses from 4300 digits on, in other words
    raise ValueError(f"a number of {len(text)} digits")
  return int(text)
