"""Where may the fuse job write? Never onto a source, by whatever name its folder goes, nor onto a file of others."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing import ledger

FOLDERS = (".", "weights", "conditions", "report", ledger.FOLDER)  # below --out, in which results lie

_Place = tuple[int, int]  # a folder's device and inode: the same by any spelling, link or mount


def refuse_sources(out: Path, pairs: Iterable[Pair]) -> None:
  """UserError where a folder of results is one that a source lies in, itself or what it is a link to."""
  results = {place: folder for folder in FOLDERS if (place := _place(out / folder)) is not None}
  if not results:
    return
  seen: dict[Path, _Place | None] = {}
  for pair in pairs:
    for path in pair.files.values():
      links = (path, Path(os.path.realpath(path))) if path.is_symlink() else (path,)
      for folder in {link.parent for link in links}:
        if folder not in seen:
          seen[folder] = _place(folder)
        if seen[folder] in results:
          raise UserError(f"--out={out}: expected a folder beside the images, found the sources' own: {path} lies in "
                          f"{out / results[seen[folder]]}; change --out")


def _place(folder: Path) -> _Place | None:
  try:
    found = folder.stat()
  except OSError:
    return None
  return found.st_dev, found.st_ino


def foreign(out: Path, pairs: Sequence[Pair], entries: ledger.Entries) -> list[Pair]:
  """The pairs at whose image's place a file lies that neither bears this program's mark nor is in its log."""
  return [pair for pair in pairs if not ledger.is_own(out / f"{pair.name}.png", entries.get(pair.name, ()))]
