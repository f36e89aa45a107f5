"""How are the pairs of a folder per source found when there are a million? By a list on disk, of which few are held.

The names are streamed into a database, matched and ordered there as `pairs.find_pairs` does it in memory, and written
as a manifest into a file that goes away with its last reader: 20 bytes a pair stay in memory.
"""

import contextlib
import itertools
import json
import os
import re
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from dig2dig_jax.data import images, manifest_files, naming
from dig2dig_jax.data.manifest import Manifest
from dig2dig_jax.data.pairs import source_folders
from dig2dig_jax.errors import UserError

MANY = 20_000  # files of a source, above which this is worth its while, and
LEFT = 20_000  # files without a partner, above which it is not
_CACHE = 2**15  # kB of the database in memory


def find(root, sources: Sequence[str]) -> tuple[Manifest | None, list[str]]:
  """As `find_pairs`, for a folder per source, here or in a store, whose first has more than `MANY` files. None instead
  of the pairs where `find_pairs` is to find them, with a line where that is because of names that have no partner."""
  try:
    folders = source_folders(root, sources) if len(sources) > 1 else {}
    if not folders or not _has_many(folders[sources[0]]):
      return None, []
    with tempfile.TemporaryDirectory(prefix="dig2dig-") as place:
      report: list[str] = []
      listed = Path(place) / "pairs.jsonl"
      with contextlib.closing(sqlite3.connect(Path(place) / "names.sqlite", isolation_level=None)) as names:
        if not _listed(names, root, folders, listed, report):
          return None, [f"{root}: more than {LEFT} files without one of the same name in each of {', '.join(sources)}; "
                        "all names are held in memory, a --manifest takes less"]  # fmt: skip
      return Manifest(listed, sources, files=manifest_files.beside(root)), report
  except (UserError, OSError, sqlite3.Error):  # who reads the folders in memory tells what is wrong with them
    return None, []


def _has_many(folder) -> bool:
  if not isinstance(folder, Path):
    return next(itertools.islice(folder.names(), MANY, None), None) is not None
  with os.scandir(folder) as entries:
    return next(itertools.islice(entries, MANY, None), None) is not None


def _listed(names: sqlite3.Connection, root: Path, folders: dict[str, Path], listed: Path, report: list[str]) -> bool:
  """Writes a line for each pair; whether that could be done."""
  for setting in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{_CACHE}", "temp_store=FILE"):
    names.execute(f"PRAGMA {setting}")
  names.execute("CREATE TABLE names (key BLOB, source INTEGER, name BLOB)")
  names.execute("BEGIN")
  for number, folder in enumerate(folders.values()):
    rows = ((_key(name), number, os.fsencode(name)) for name in _images(folder, report))
    names.executemany("INSERT INTO names VALUES (?, ?, ?)", rows)
  names.execute("COMMIT")
  beside = [folder.relative_to(root) for folder in folders.values()]
  left: dict[str, list[Path]] = {source: [] for source in folders}
  found = 0
  with listed.open("w") as file:
    ordered = names.execute("SELECT key, source, name FROM names ORDER BY key, source, name")
    for _, group in itertools.groupby(ordered, key=lambda row: row[0]):
      own = [(source, os.fsdecode(name)) for _, source, name in group]
      if [source for source, _ in own] == list(range(len(folders))):
        if "\\" in own[0][1]:
          return False
        _write(file, Path(own[0][1]).stem, {source: str(folder / name) for source, folder, (_, name)
                                            in zip(folders, beside, own, strict=True)})  # fmt: skip
        found += 1
        continue
      for number, several in itertools.groupby(own, key=lambda one: one[0]):
        source, folder = list(folders.items())[number]
        paths = [folder / name for _, name in several]
        if len(paths) == 1:
          left[source].append(paths[0])
        report += [f"{path}: expected one file named '{path.stem}' in {folder.name}, found {paths[0].name} too; both "
                   "left out, move one of them away" for path in paths[1:]]  # fmt: skip
      if sum(map(len, left.values())) + len(report) > LEFT:
        return False
    for scene in naming.partners(left):
      report.append(f"{root}: a pair joined by names that differ by a word alone, "
                    f"{' and '.join(path.name for path in scene.files.values())}")  # fmt: skip
      _write(file, scene.name or root.absolute().name,
             {source: str(path.relative_to(root)) for source, path in scene.files.items()})  # fmt: skip
      for source, path in scene.files.items():
        left[source].remove(path)
  report += [f"{path}: present in {source}, without a partner in the others; left out"
             for source, paths in left.items() for path in paths]  # fmt: skip
  return found > 0


def _write(file, name: str, files: dict[str, str]) -> None:
  file.write(json.dumps({"id": name, "files": files}) + "\n")


def _images(folder, report: list[str]) -> Iterator[str]:
  """Names of the image files directly in a folder. What is none goes to the report."""
  if not isinstance(folder, Path):
    for name, is_folder in folder.names():
      if is_folder or name.startswith("."):
        continue
      if os.path.splitext(name)[1].lower() in images.EXTENSIONS or images.is_image_file(folder / name):
        yield name
      else:
        report.append(f"{folder / name}: not an image; left out")
    return
  with os.scandir(folder) as entries:
    for entry in entries:
      if entry.name.startswith("."):
        continue
      if entry.is_file() and (os.path.splitext(entry.name)[1].lower() in images.EXTENSIONS
                              or images.is_image_file(Path(entry.path))):  # fmt: skip
        yield entry.name
      elif not entry.is_dir():
        report.append(f"{entry.path}: not an image; left out")


def _key(name: str) -> bytes:
  """By which names that match are the same and others in natural order: digits as numbers, by how many there are."""
  match = naming.matching(os.path.splitext(name)[0])
  parts = re.split("([0-9]+)", match)
  natural = b"".join(_number(part) if i % 2 else part.encode("utf-8", "surrogatepass") + b"\0"
                     for i, part in enumerate(parts))  # fmt: skip
  return natural + b"\0" + match.encode("utf-8", "surrogatepass")


def _number(digits: str) -> bytes:
  plain = digits.lstrip("0")
  return len(plain).to_bytes(2, "big") + plain.encode()
