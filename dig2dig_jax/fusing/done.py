"""Which of these pairs need not be fused again? Asked of the index, and of the files as they are now."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dig2dig_jax.errors import UserError
from dig2dig_jax.files import as_path, is_free
from dig2dig_jax.fusing import index_tables as tables
from dig2dig_jax.fusing import ledger_lines
from dig2dig_jax.fusing.index_tables import Row, digest
from dig2dig_jax.fusing.ledger import Identity, file_bytes, file_hash, files_bytes
from dig2dig_jax.fusing.ledger_index import Index


class Named(NamedTuple):
  """A pair by its name and the paths of its sources' files, in their order: what it takes to look for it."""

  name: str
  files: Sequence[Any]


def finished(
  pairs: Sequence[Named], index: Index, run: Identity, folder, *, overwrite: bool
) -> dict[str, Row]:
  """{name: row of the index} of the pairs whose image in `folder` this very run would make, from sources of the present
  sizes in bytes.

  UserError for the first pair that has an image of other flags, weights or sources, unless `overwrite`: that pair is
  then to be done. Images without a line are no results of this job, and to be done.
  """
  done, rows = {}, index.rows([pair.name for pair in pairs])
  beginning = os.path.join(folder, "") if isinstance(folder, os.PathLike) else None  # of 10^7 pairs: no Path for each
  for pair in pairs:
    known = rows.get(pair.name)
    if not known:
      continue
    image = folder / f"{pair.name}.png" if beginning is None else f"{beginning}{pair.name}.png"
    size = file_bytes(image)
    lines = [row for row in known if row.bytes == size]
    if len(lines) > 1 and len({row.run for row in lines}) > 1:  # several settings in turn: which does the image show?
      sha256 = file_hash(as_path(image))
      lines = [row for row in lines if _sha256(index, row) == sha256]
    if not lines:
      continue
    last = lines[-1]
    same_sources = last.sources == digest(map(file_bytes, pair.files))
    if last.run == run.fingerprint and same_sources:
      done[pair.name] = last
    elif not overwrite:
      what = _difference(index.head(last.run), run) if last.run != run.fingerprint else "other source images"
      raise UserError(f"{image}: expected a result of this run or none, found one of {what}; add --overwrite or "
                      "change --out")
  return done


def at_once(
  names: Sequence[str], files: Sequence[Sequence[Any]], index: Index, run: Identity, folder
) -> dict[str, Mapping[str, Any]]:
  """{name: marks of its row} of most of the pairs that `finished` would give back, without a Python step for each: of
  those with one line, which is of this run. files: of each source, of all pairs."""
  keys = [tables.key(name) for name in names]
  once = index.once(keys, run.fingerprint)
  if not once:
    return {}
  rows = [once.get(key) for key in keys]
  known = [number for number, row in enumerate(rows) if row is not None]
  told = np.array([row for row in rows if row is not None], np.int64)
  found = [names[number] for number in known]
  if isinstance(folder, os.PathLike):
    beginning = os.path.join(folder, "")
    images = files_bytes([f"{beginning}{name}.png" for name in found])
  else:
    images = files_bytes([folder / f"{name}.png" for name in found])
  sources = [files_bytes([column[number] for number in known]) for column in files]
  same = (told[:, 0] == images) & (told[:, 1] == tables.digests(np.array(sources, np.int64).T))
  marks = told[:, 2].tolist()
  return {found[number]: tables.told_marks(marks[number]) for number in np.flatnonzero(same).tolist()}


def is_own(image, rows: Iterable[Row], index: Index) -> bool:
  """Whether nothing is lost where `image` is written: it is missing, bears this program's mark (its writer was killed
  before the line), or is what one of the lines tells of."""
  return is_free(image) or not image.is_symlink() and any(
    row.bytes == file_bytes(image) and _sha256(index, row) == file_hash(image) for row in rows
  )


def _sha256(index: Index, row: Row) -> str:
  entry = index.entry(row)
  return ledger_lines.sha256(entry) if entry is not None and "sha256" in entry else ""


def _difference(head: Mapping[str, Any] | None, run: Identity) -> str:
  if head is None:
    return "another run, whose flags the log no longer tells"
  if head["weights"] != run.weights:
    return "other weights"
  old, new = _flat(head["flags"]), _flat(run.flags)
  names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
  told = [f"{_shown(name)}: {_shown(old.get(name))} then, {_shown(new.get(name))} now" for name in names[:20]]
  return f"other flags ({', '.join(told)})"


def _flat(flags: dict[str, Any]) -> dict[str, Any]:
  """The method's options as flags of their own, so that a difference shows."""
  options = flags.get("options")
  rest = {name: value for name, value in flags.items() if name != "options"}
  return rest | (options if isinstance(options, dict) else {"options": options} if options is not None else {})


def _shown(value) -> str:
  """A flag's value in one line, whatever the log contains."""
  text = str(value)
  text = text if text.isprintable() else ascii(text)
  return text if len(text) <= 200 else text[:200] + "..."
