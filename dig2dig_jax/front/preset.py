"""What are the tuned settings of a task? Those of its flag file, which launch.py reads too."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from dig2dig_jax.assets import ROOT
from dig2dig_jax.data import guess
from dig2dig_jax.errors import UserError
from dig2dig_jax.methods.options import Dig2DigOptions

TASKS = (*guess.TASKS, *guess.TASKS.values())  # in words, and as the flag files are called


class Preset(NamedTuple):
  """The tuned settings of a task. sources: their usual names, in order. colour: `luminance` or `rgb`. chroma_from:
  number of the source whose chroma a fused luminance gets; None: of the last. value_range: a word of `data.ranges`, or
  none. valid: a word of `data.validity`. deghost: `off`, or a word of `alignment.ghosts`."""

  options: Dig2DigOptions  # of the method
  sources: tuple[str, ...]
  colour: str
  chroma_from: int | None
  value_range: str
  valid: str = "auto"
  deghost: str = "off"


def preset(task: str) -> Preset:
  """The settings in the task's flag file, which launch.py also reads.

  Args:
    task: `thermal` (or `vif`: infrared and visible), `exposure` (`mef`), `focus` (`mff`: focal planes) or `medical`
      (`mif`).

  Returns:
    A `Preset`.

  Raises:
    ValueError: for an unknown task.
    UserError: if the flag file does not exist.
  """
  if task not in TASKS:
    raise ValueError(f"task: expected one of {', '.join(TASKS)}, found {task!r}")
  return preset_of(ROOT / f"{guess.TASKS.get(task, task)}.flags")


def preset_of(path: Path) -> Preset:
  """The settings in a flag file of Dig2DIG; UserError for a missing one, and for another method's."""
  try:
    lines = path.read_text(encoding="utf-8").splitlines()
  except OSError as error:
    raise UserError(
      f"{path}: expected the settings of a task, found {error.strerror}; run from a clone of the repository, or give "
      "fuse_images options=, colour= and sources of your own"
    ) from error
  flags = [line for line in map(str.strip, lines) if line.startswith("--")]
  given: dict[str, Any] = dict(line.removeprefix("--").split("=", 1) for line in flags)
  if given.get("method", "dig2dig") != "dig2dig":
    raise UserError(f"{path}: expected --method=dig2dig, found {given['method']}; use launch.py")
  sources = tuple(given["sources"].split(","))
  if "functional" in given:
    given["functional"] = sources.index(given["functional"])
  options: dict[str, Any] = {}
  for field in dataclasses.fields(Dig2DigOptions):  # flags of the gains carry the method's name before the option's
    text = given.get(field.name, given.get(f"dig_{field.name}"))
    if text is not None:
      options[field.name] = text == "true" if field.type in (bool, "bool") else _type(field)(text)
  chroma_from = sources.index(given["chroma_from"]) if "chroma_from" in given else None
  words = {name: given[name] for name in ("valid", "deghost") if name in given}
  return Preset(Dig2DigOptions(**options), sources, given["colour"], chroma_from, given.get("range", ""), **words)


def _type(field: dataclasses.Field) -> Callable[[str], Any]:
  return type(field.default)
