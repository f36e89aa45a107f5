"""What do lines of a manifest say? Of many it is found at once where all are in order, in a third of the time of one by
one; of a line that is not, what is wrong with it."""

import itertools
import json
import re
import uuid
from array import array
from collections.abc import Iterable, Sequence
from typing import Any
from zlib import crc32

from dig2dig_jax.errors import UserError

LONGEST = 2**20  # bytes of a line
_LARGEST = 2**31  # of a side
_FEW = 50  # lines that are parsed at once: of more, dicts would live until Python's collector passes through all that
# the process holds, again and again
_SCAN = json.JSONDecoder().scan_once
_NAME = re.compile(r"[^/\\\0]+")
_MARK = uuid.uuid4().hex  # what no line has: a value that begins in one and ends in another is no two lines
_BETWEEN = f',"{_MARK}",'.encode()

# ids, files by source, and height and width of each pair one after the other, 0 where a line tells none that can be.
Columns = tuple[list[str], list[list[str]], array]


def columns(lines: Sequence[bytes], sources: Sequence[str]) -> Columns | None:
  """What these lines say; None where one of them is not as it has to be."""
  names, files, sides = list[str](), [list[str]() for _ in sources], array("I")
  for at in range(0, len(lines), _FEW):
    if (found := _values(lines[at : at + _FEW])) is None:
      return None
    try:
      names += [value["id"] for value in found]
      for column, source in zip(files, sources, strict=True):
        column += [value["files"][source] for value in found]
      sides.extend(_sides([value.get("size") for value in found]))
    except (TypeError, KeyError, IndexError, AttributeError):
      return None
  return (names, files, sides) if all(set(map(type, column)) == {str} for column in (names, *files)) else None


def _values(lines: Sequence[bytes]) -> list[Any] | None:
  """What each of these lines says; None where one is no JSON by itself, or too long."""
  if max(map(len, lines)) > LONGEST:
    return None
  try:
    found = json.loads("[" + _BETWEEN.join(lines).decode("utf-8") + "]")
  except (ValueError, RecursionError):
    return None
  return found[::2] if len(found) == 2 * len(lines) - 1 and found[1::2] == [_MARK] * (len(lines) - 1) else None


def hashes(names: Sequence[str]) -> array | None:
  """`crc32` of each name; None where one can be no file's name."""
  text = "\0".join(("", *names, ""))
  if text.count("\0") != len(names) + 1 or any(wrong in text for wrong in ("/", "\\", "\0.", "\0\0")):
    return None
  try:
    return array("I", map(crc32, map(str.encode, names)))
  except UnicodeEncodeError:  # of half a letter
    return None


def _sides(sizes: Sequence[Any]) -> Iterable[int]:
  if set(map(type, sizes)) == {list} and set(map(len, sizes)) == {2}:
    flat = list(itertools.chain.from_iterable(sizes))
    if set(map(type, flat)) == {int} and min(flat) > 0 and max(flat) < _LARGEST:
      return flat
  return itertools.chain.from_iterable(map(size_of, sizes))


def size_of(size) -> tuple[int, int]:
  """Height and width; 0, 0 where a line tells none that can be."""
  if type(size) is list and len(size) == 2 and type(size[0]) is int and type(size[1]) is int and (
    0 < size[0] < _LARGEST and 0 < size[1] < _LARGEST
  ):
    return size[0], size[1]
  return 0, 0


def entry(line: bytes, sources: Sequence[str], where: str) -> dict[str, Any]:
  """What one line says, with an id of any type and a path for every source. where: the line's, for the UserError of one
  that says none. Raises UnicodeDecodeError for what is no text."""
  try:
    if len(line) > LONGEST:
      raise ValueError(f"a line of {len(line)} bytes")
    found = _parsed(line.decode("utf-8"))
    files = found["files"]
    for source in sources:
      if type(files[source]) is not str:
        raise TypeError(f"a path of type {type(files[source]).__name__}")
    found["id"]
    return found
  except UnicodeDecodeError:
    raise
  except (ValueError, KeyError, TypeError, RecursionError) as error:
    raise UserError(f'{where}: expected {{"id": ..., "files": {{"{sources[0]}": ..., ...}}}}, found '
                    f"{type(error).__name__}: {error}; see --list and --sources") from error


def name_of(entry: dict[str, Any], where: str) -> str:
  """The id of a line. UserError where it can be no file's name."""
  name = entry["id"]
  if not isinstance(name, str) or not _NAME.fullmatch(name) or name.startswith("."):
    raise UserError(f"{where}: expected an id that can be a file's name, found {name!r}")
  return name


def _parsed(text: str):
  """As json.loads does, in half the time for what is in order."""
  try:
    found, end = _SCAN(text, 0)
  except StopIteration:
    return json.loads(text)
  return found if text[end:].isspace() or end == len(text) else json.loads(text)
