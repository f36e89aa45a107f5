"""Where may the fuse job write? Never onto a source, by whatever name its folder goes, nor onto a file of others."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.errors import UserError
from dig2dig_jax.files import as_path, is_free
from dig2dig_jax.fusing.done import is_own
from dig2dig_jax.fusing.ledger import FOLDER
from dig2dig_jax.fusing.ledger_index import Index

FOLDERS = (".", "weights", "conditions", "report", FOLDER)  # below --out, in which results lie

_Place = tuple[int, int]  # a folder's device and inode: the same by any spelling, link or mount


def refuse_sources(out: Path, pairs: Iterable[Pair]) -> None:
  """UserError where a folder of results is one that a source lies in, itself or what it is a link to."""
  refuse_files(out, (path for pair in pairs for path in pair.files.values()))


def refuse_files(out: Path, sources: Iterable) -> None:
  """The same of these files, by their paths in any form."""
  results = {place: folder for folder in FOLDERS if (place := _place(out / folder)) is not None}
  if not results:
    return
  seen: dict[Any, _Place | None] = {}
  for path in sources:
    for folder in _folders(path):
      if folder not in seen:
        seen[folder] = _place(as_path(folder))
      if seen[folder] in results:
        raise UserError(f"--out={out}: expected a folder beside the images, found the sources' own: {path} lies in "
                        f"{out / results[seen[folder]]}; change --out")


def _folders(path) -> set:
  """Those that a file lies in, itself or what it is a link to."""
  if not isinstance(path, str | os.PathLike):  # in a store, or in a shard
    return {path.parent}
  links = (path, os.path.realpath(path)) if os.path.islink(path) else (path,)
  return {os.path.dirname(link) for link in links}


def _place(folder: Path) -> _Place | None:
  try:
    found = folder.stat()
  except OSError:
    return None
  return found.st_dev, found.st_ino


def foreign(out: Path, names: Sequence[str], index: Index) -> list[str]:
  """The names of pairs at whose image's place a file lies that neither bears this program's mark nor is in its log."""
  taken = [name for name in names if not is_free(out / f"{name}.png")]
  rows = index.rows(taken)
  return [name for name in taken if not is_own(out / f"{name}.png", rows.get(name, ()), index)]
