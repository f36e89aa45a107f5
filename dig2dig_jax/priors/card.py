"""What does a checkpoint's card say of its network? `card.json`, or `run.json` of a training run, checked before use.

Nothing that it says is believed: types and ranges first, then work. Every fault is a UserError of one line.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dig2dig_jax import strict_json
from dig2dig_jax.errors import UserError
from dig2dig_jax.models import bounds
from dig2dig_jax.models.shapes import NetworkConfig, config_from_dict
from dig2dig_jax.sampling.parametrisation import Parametrisation

FORMAT = 1
STORAGE_DTYPES = ("float32", "bfloat16", "float16")
# What the card says of the network has a hash of its own: another number of heads would fit the same parameters.
DESCRIPTION = ("format", "config", "schedule", "parameters", "dtype")
PARAMETRISATION = "parametrisation"  # of the description too; a card without it is of a network that predicts noise
# A hundred times as many as any released model has; the tables of so many are a megabyte each.
MOST_TIMESTEPS = 100_000
_MOST_BYTES = 2**20  # of a card, which is a page of text

_HASH = bounds.Rule("64 hexadecimal digits", lambda x: type(x) is str and re.fullmatch("[0-9a-f]{64}", x) is not None)
_RULES = {
  "parameters": bounds.whole(0, 10**15),
  "dtype": bounds.name_of(*STORAGE_DTYPES),
  "sha256": _HASH,
  "orbax_sha256": _HASH,
  "description_sha256": _HASH,
}
_SCHEDULE_RULES = {
  "name": bounds.Rule("the name of a schedule", lambda x: type(x) is str and x.isidentifier() and len(x) <= 60),
  "num_timesteps": bounds.whole(1, MOST_TIMESTEPS),
}


def read(path: Path) -> dict[str, Any]:
  """The fields of a card, none of them checked."""
  try:
    with open(path, "rb") as file:
      card = strict_json.parse(file.read(_MOST_BYTES + 1), most=_MOST_BYTES)
  except ValueError as error:
    raise UserError(f"{path}: expected JSON, found {error}; convert or copy the folder again") from error
  except OSError as error:
    raise UserError(f"{path}: expected a readable card, found {error.strerror}; check the path") from error
  if not isinstance(card, dict):
    raise UserError(f"{path}: expected a JSON object, found a {type(card).__name__}; convert or copy the folder again")
  return card


def described(path: Path, card: dict[str, Any]) -> tuple[NetworkConfig, dict[str, Any]]:
  """(network, {"name", "num_timesteps"} of its schedule) of a card that was read from `path`."""
  try:
    if type(card["format"]) is not int or card["format"] != FORMAT:
      raise UserError(f"{path}: expected format {FORMAT}, found {bounds.shown(card['format'])}; update dig2dig_jax")
    for name, rule in _RULES.items():
      if name in card:
        _require(name, card[name], rule)
    # Cards of older versions, and records of training runs, have no such hash.
    if "description_sha256" in card and card["description_sha256"] != description_hash(card):
      raise UserError(
        f"{path}: expected the network and schedule of its 'description_sha256', found others; the card is damaged or "
        "was edited: convert or copy the folder again"
      )
    parametrisation(card)
    return config_from_dict(card["config"]), _schedule(card["schedule"])
  except (KeyError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
    what = f"no {error}" if isinstance(error, KeyError) else str(error)
    raise UserError(f"{path}: expected a checkpoint's card, found {what}; convert again") from error


def parametrisation(card: Mapping[str, Any]) -> Parametrisation:
  """What the network's output means; noise where the card does not say. ValueError for what is no parametrisation."""
  return Parametrisation.from_dict(card.get(PARAMETRISATION, {"name": "eps"}))


def description_hash(card: Mapping[str, Any]) -> str:
  """SHA-256 of what a card says of the network, in one spelling: white space and the order of keys do not matter."""
  told = {name: card.get(name) for name in DESCRIPTION}
  told |= {name: card[name] for name in (PARAMETRISATION,) if name in card}
  text = json.dumps(told, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def _schedule(values: Any) -> dict[str, Any]:
  if not isinstance(values, dict):
    raise TypeError(f"schedule: expected fields by name, found {bounds.shown(values)}")
  if unknown := [bounds.shown(name) for name in values if name not in _SCHEDULE_RULES]:
    raise ValueError(f"unknown schedule fields {', '.join(unknown[:3])}; known are {', '.join(_SCHEDULE_RULES)}")
  for name, rule in _SCHEDULE_RULES.items():
    _require(name, values[name], rule)
  return values


def _require(name: str, value: Any, rule: bounds.Rule) -> None:
  if not rule.holds(value):
    raise ValueError(f"{name}: expected {rule.words}, found {bounds.shown(value)}")
