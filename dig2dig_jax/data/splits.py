"""Which pairs of a data set did a paper take? Lists by name, for sets that are not divided themselves."""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from dig2dig_jax.data.images import EXTENSIONS
from dig2dig_jax.data.manifest import Manifest
from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.errors import UserError
from dig2dig_jax.files import temporary_room

_CACHE = 2**15  # kB of names in memory
_BLOCK = 5_000  # pairs of a manifest whose names are read at once

# RoadScene: the 50 pairs on which DDFM (arXiv 2303.06840) and CDDFuse (arXiv 2211.14461) report their scores.
_ROADSCENE_50 = """
  00211 00977 01130 04269 04424 04484 04512 04593 04688 04722 04943 05005 05064 05105 05857 05879 05893 05914
  05955 06282 06325 06392 06430 06506 06570 06795 06974 06993 06995 07190 07206 07209 07555 07732 07786 07809
  07968 07970 08021 08058 08094 08202 08248 08284 08526 08592 08721 08858 09465 video_02829
"""

# (data set, name of the list) -> names of the pairs
SPLITS: dict[tuple[str, str], tuple[str, ...]] = {
  ("roadscene", "ddfm"): tuple(f"FLIR_{number}" for number in _ROADSCENE_50.split()),
}


def names_in(path) -> Iterator[str]:
  """The names in a text file, one per line, with or without an image's extension, as they are read. UserError if it
  cannot be."""
  try:
    with path.open("rb") as file:
      for line in file:
        yield from filter(None, map(str.strip, line.decode("utf-8").splitlines()))
  except (OSError, UnicodeDecodeError) as error:
    raise UserError(f"{path}: expected a name per line, found {getattr(error, 'strerror', None) or 'no text'}; "
                    "check --split") from error


def choose(found: Sequence[Pair], names: Iterable[str], *, where: str) -> Sequence[Pair]:
  """The pairs of these names, in their order. UserError, about the list `where`, if some are missing or there are none.

  Names are matched on disk, where there are many; of a manifest, the pairs stay in their file.
  """
  # No name: a file of SQLite's own.
  with temporary_room("a list of names"), contextlib.closing(sqlite3.connect("", isolation_level=None)) as table:
    for setting in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{_CACHE}", "temp_store=FILE"):
      table.execute(f"PRAGMA {setting}")
    for name, rows in (("wanted", map(_stem, names)), ("there", _names_of(found))):
      table.execute(f"CREATE TABLE {name} (number INTEGER PRIMARY KEY, key BLOB)")
      table.execute("BEGIN")
      table.executemany(f"INSERT INTO {name} VALUES (?, ?)", ((i, _key(row)) for i, row in enumerate(rows)))
      table.execute("COMMIT")
      table.execute(f"CREATE INDEX {name}_keys ON {name} (key)")
    lost = "FROM wanted WHERE NOT EXISTS (SELECT 1 FROM there WHERE there.key = wanted.key)"
    if missing := table.execute(f"SELECT count(*) {lost}").fetchone()[0]:
      first = table.execute(f"SELECT key {lost} ORDER BY number LIMIT 3")
      few = [key.decode("utf-8", "surrogatepass") for (key,) in first]
      count = table.execute("SELECT count(*) FROM wanted").fetchone()[0]
      raise UserError(f"{where}: expected its {count} names among the pairs, found {missing} missing "
                      f"({', '.join(few)}{', ...' if missing > 3 else ''})")
    chosen = table.execute("SELECT max(there.number) FROM wanted JOIN there ON there.key = wanted.key "
                           "GROUP BY wanted.key ORDER BY min(wanted.number)")  # fmt: skip
    numbers = np.fromiter((number for (number,) in chosen), np.int64)
  if not numbers.size:
    raise UserError(f"{where}: expected names of pairs, one per line, found none")
  return found.part(numbers) if isinstance(found, Manifest) else [found[number] for number in numbers.tolist()]


def _names_of(found: Sequence[Pair]) -> Iterator[str]:
  if not isinstance(found, Manifest):
    yield from (pair.name for pair in found)
    return
  for at in range(0, len(found), _BLOCK):
    yield from found.columns(np.arange(at, min(at + _BLOCK, len(found))))[0]


def _stem(name: str) -> str:
  return Path(name).stem if Path(name).suffix.lower() in EXTENSIONS else name


def _key(name: str) -> bytes:
  return name.casefold().encode("utf-8", "surrogatepass")
