"""One radiometric file is a pair: its temperatures, and the photograph that lies in it."""

from collections.abc import Sequence
from pathlib import Path

from dig2dig_jax.cli.output import note
from dig2dig_jax.data import flir_pair, guess
from dig2dig_jax.data.images import write_levels
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
  levels, kept, told = flir_pair.photograph(file)
  found = folder / f"{file.stem}_photograph.png"
  write_levels(found, levels, kept=kept)
  note(f"note: {file} is a pair: its temperatures and its photograph, mapped to their frame {told}")
  return found


def check_task(task: str | None) -> None:
  if task not in (None, "thermal"):
    raise UserError(f"--task={task}: expected thermal for a radiometric file, which contains such a pair; leave it out")
