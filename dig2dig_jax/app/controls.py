"""What can be turned on the page, and what do settings mean? Options of Dig2DIG, each with its flag and its unit."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dig2dig_jax.alignment.estimate import MODELS
from dig2dig_jax.app.stages import LIVE, WHERE_ACTING
from dig2dig_jax.data import guess, palettes, ranges, validity
from dig2dig_jax.errors import UserError
from dig2dig_jax.front.preset import Preset, preset
from dig2dig_jax.methods.option import declared
from dig2dig_jax.methods.options import RESTORE, SPECTRUM_BASES, Dig2DigOptions

ALIGN = ("off", *MODELS, "hand")
HAND = {"dx": (-4096, 4096), "dy": (-4096, 4096), "scale": (25, 400), "angle": (-180, 180)}  # pixels, %, degrees
COLORMAPS = ("", *palettes.NAMES)
_RANGES = ("", *ranges.WORDS)
_TWO = ("thermal", "medical")  # tasks of two images, one of which shows function


class Control(NamedTuple):
  """Of an option. low, high, step: of a slider, whose ends need not be the option's own bounds. choices: of a menu."""

  name: str
  label: str
  unit: str = ""
  low: float = 0.0
  high: float = 1.0
  step: float = 1.0
  choices: tuple[str, ...] = ()


CONTROLS = (
  Control("exponent", "Detail: mixed to chosen", "× share of the gain", 0, 12, 0.25),
  Control("target", "Targets", "× brightness above the mean", 0, 4, 0.05),
  Control("brightness", "Prefer the brighter", "× brightness", 0, 4, 0.05),
  Control("region", "Agreement with the surroundings", "power", 0, 4, 0.05),
  Control("undershoot", "Darker than all sources by at most", "grey levels of 255, −1: any", -1, 32, 1),
  Control("overshoot", "Brighter than all sources by at most", "grey levels of 255, −1: any", -1, 32, 1),
  Control("base", "Brightness at large", choices=SPECTRUM_BASES),
  Control("bands", "Bands of the pyramid", "bands", 1, 9, 1),
  Control("band_window", "Average of the gains", "pixels of the band", 0.3, 4, 0.1),
  Control("restore", "Undo noise, stripes, blur", choices=RESTORE),
)
_OPTIONS = dict(declared(Dig2DigOptions))


@dataclasses.dataclass(frozen=True)
class Settings:
  """swapped: of two sources, the first is the one that the task has second. align: a word of `ALIGN`. hand: by source,
  (dx, dy in pixels of the reference, scale in %, angle in degrees), where align is `hand`. range, valid: words of
  `data.ranges` and `data.validity`. colormap: of `palettes.NAMES`, or none."""

  task: str
  options: Dig2DigOptions
  swapped: bool = False
  align: str = "off"
  hand: tuple[tuple[str, tuple[float, float, float, float]], ...] = ()
  range: str = ""
  valid: str = "auto"
  colormap: str = ""

  @property
  def preset(self) -> Preset:
    return preset(self.task)


def described() -> dict[str, Any]:
  """JSON-able: for the page, the controls and what each task has them at."""
  controls = [
    {"name": c.name, "label": c.label, "unit": c.unit, "low": c.low, "high": c.high, "step": c.step,
     "choices": c.choices, "flag": _OPTIONS[c.name].flag, "help": _OPTIONS[c.name].help,
     "live": c.name in LIVE or c.name == "restore", "off": WHERE_ACTING.get(c.name)}
    for c in CONTROLS
  ]  # fmt: skip
  tasks = {}
  for task in guess.TASKS:
    found = preset(task)
    values = {c.name: getattr(found.options, c.name) for c in CONTROLS}
    tasks[task] = {"values": values, "range": found.value_range, "valid": found.valid,
                   "two": task in _TWO}  # fmt: skip
  return {"controls": controls, "tasks": tasks, "align": ALIGN, "hand": HAND, "ranges": _RANGES,
          "valid": validity.WORDS, "colormaps": COLORMAPS}  # fmt: skip


def parse(found: Mapping[str, Any], sources: int) -> Settings:
  """Of a request's JSON. UserError, naming the setting, for what cannot be."""
  task = _word("task", found.get("task"), tuple(guess.TASKS))
  if task in _TWO and sources > 2:
    raise UserError(f"task {task}: expected two images, found {sources}; fuse them in turn, or choose another task")
  tuned = preset(task)
  given = found.get("options", {})
  if not isinstance(given, Mapping) or (unknown := sorted(map(str, set(given) - {c.name for c in CONTROLS}))):
    raise UserError(f"options: expected the names of controls, found {unknown[0] if given else given!r}")
  options = {name: _value(name, value) for name, value in given.items()}
  swapped = found.get("swapped", False) is True and sources == 2 and task in _TWO
  if swapped:
    options["functional"] = 1 if task == "thermal" else 0
  align = _word("align", found.get("align", "off"), ALIGN)
  chosen = dataclasses.replace(tuned.options, **options)
  return Settings(
    task, chosen, swapped, align, _hand(found.get("hand", {}), task, sources) if align == "hand" else (),
    _word("range", found.get("range", tuned.value_range), _RANGES),
    _word("valid", found.get("valid", tuned.valid), validity.WORDS),
    _word("colormap", found.get("colormap", ""), COLORMAPS if task in _TWO else ("",)),
  )  # fmt: skip


def chroma(settings: Settings, count: int) -> int | None:
  """Number of the source that gives its colour; None where all of RGB is fused."""
  if settings.preset.colour != "luminance":
    return None
  own = settings.preset.chroma_from
  return 0 if settings.swapped else count - 1 if own is None else own


def coloured_by(settings: Settings, count: int) -> int:
  """Number of the source whose values a colour map shows, as of the command."""
  if settings.task == "thermal" or settings.swapped:
    return settings.options.functional
  return count - 1 if (own := settings.preset.chroma_from) is None else own


def _value(name: str, value: Any) -> Any:
  kind = type(getattr(Dig2DigOptions(), name))
  if kind is str:
    return _word(name, value, next(c.choices for c in CONTROLS if c.name == name))
  if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
    raise UserError(f"{name}: expected a number, found {str(value)[:40]!r}")
  if kind is int and value != int(value):
    raise UserError(f"{name}: expected a whole number, found {value}")
  return kind(value)


def _word(name: str, value: Any, words: Sequence[str]) -> str:
  if not isinstance(value, str) or value not in words:
    known = ", ".join(word or "nothing" for word in words)
    raise UserError(f"{name}: expected one of {known}, found {str(value)[:40]!r}")
  return value


def _hand(found: Any, task: str, sources: int):
  names = guess.usual_names(task, sources)
  if not isinstance(found, Mapping) or not set(found) <= set(names):
    raise UserError(f"hand: expected sources among {', '.join(names)}, found {str(found)[:40]!r}")
  return tuple((name, _placement(name, found[name])) for name in names if name in found)


def _placement(source: str, found: Any) -> tuple[float, float, float, float]:
  values = []
  for name, (low, high) in HAND.items():
    value = found.get(name) if isinstance(found, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
      raise UserError(f"hand, {source}, {name}: expected {low} to {high}, found {str(value)[:40]!r}")
    values.append(float(value))
  return values[0], values[1], values[2], values[3]
