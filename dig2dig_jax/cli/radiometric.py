"""One radiometric file is a pair: its temperatures, and the photograph that lies in it. A folder of them is as many."""

import collections
import importlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from dig2dig_jax.cli import interrupt, launcher, tasks
from dig2dig_jax.cli.output import note
from dig2dig_jax.data import flir_pair, guess
from dig2dig_jax.data.images import list_images, write_levels
from dig2dig_jax.errors import UserError
from dig2dig_jax.files import typed_path


def guessed(files: Sequence[Path]) -> guess.Guess | None:
  """What two files are, if one of them is temperatures."""
  warm = [k for k, file in enumerate(files) if flir_pair.is_radiometric(file)]
  if len(files) != 2 or len(warm) != 1:
    return None
  return guess.Guess("thermal", (warm[0], 1 - warm[0]), f"the temperatures in {files[warm[0]].name}")


def is_pair(places: Sequence[str]) -> bool:
  """Whether these places are one radiometric file."""
  return len(places) == 1 and flir_pair.is_radiometric(typed_path(places[0]))


def second(file: Path, folder: Path) -> Path:
  """Writes the photograph of a radiometric file, in the frame of its temperatures, into a folder; its path there.
  UserError where there is none."""
  found, told = _written(file, folder)
  note(f"note: {file} is a pair: its temperatures and its photograph, mapped to their frame {told}")
  return found


def of_folder(folder: Path) -> list[Path]:
  """The images that lie directly in a folder, if all of them are radiometric."""
  files = list_images(folder)
  return files if all(map(flir_pair.is_radiometric, files)) else []


def fuse_all(files: Sequence[Path], out: Path, flags: Sequence[str]) -> int:
  """Fuses each of these files with its own photograph, by a manifest and a temporary folder beside `out`; the exit
  status. A file without a photograph is told, and left out."""
  name, times = collections.Counter(file.stem for file in files).most_common(1)[0]
  if times > 1:
    raise UserError(f"{files[0].parent}: expected files of different names, found {name} {times} times; rename them")
  importlib.import_module("dig2dig_jax.cli.fuse")  # takes seconds, before anything is written
  interrupt.begins()
  try:
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = tempfile.TemporaryDirectory(prefix=".dig2dig-", dir=out.parent)
  except OSError as error:
    raise UserError(f"{out.parent}: expected to write there, found {error.strerror}; choose another -o") from error
  with beside as own:
    lines, ways, status = [], [], 0
    for file in files:
      try:
        found, told = _written(file, Path(own))
      except UserError as error:
        note(f"failed: {error}")
        status = 3
        continue
      lines.append(json.dumps({"id": file.stem, "files": {"ir": str(file.absolute()), "vi": str(found)}}) + "\n")
      ways.append(told)
    if not lines:
      return status
    for way in dict.fromkeys(ways):
      note(f"note: {ways.count(way)} of {len(files)} radiometric files are a pair each: temperatures and photograph, "
           f"mapped to their frame {way}")  # fmt: skip
    manifest = Path(own) / "pairs.jsonl"
    manifest.write_text("".join(lines), encoding="utf-8")
    job = [*tasks.settings("thermal", ["ir", "vi"]), f"--manifest={manifest}", f"--out={out}", *flags]
    return max(status, launcher.launch(job))


def _written(file: Path, folder: Path) -> tuple[Path, str]:
  """(where the photograph is, how it was brought into its frame)."""
  levels, kept, told = flir_pair.photograph(file)
  found = folder / f"{file.stem}_photograph.png"
  write_levels(found, levels, kept=kept)
  return found, told


def check_task(task: str | None) -> None:
  if task not in (None, "thermal"):
    raise UserError(f"--task={task}: expected thermal for a radiometric file, which contains such a pair; leave it out")
