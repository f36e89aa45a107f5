"""Which network descriptions are sane? Types and ranges of a configuration read from a file, before any work on it.

Ranges are far beyond every released network and small enough that the shapes of whatever passes are known in seconds:
a card that asks for 3000 blocks or for terabytes costs nothing to refuse.
"""

import dataclasses
import reprlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

# The largest released network has 37; working out the shapes of one takes some 20 ms.
MOST_BLOCKS = 100

_repr = reprlib.Repr()
_repr.maxstring, _repr.maxother, _repr.maxlong, _repr.maxlevel = 60, 60, 30, 2


def shown(value: Any) -> str:
  """A value of unknown origin, in few printable characters on one line."""
  return _repr.repr(value)


class Rule(NamedTuple):
  """What is expected, in words, and whether a value is that."""

  words: str
  holds: Callable[[Any], bool]


def whole(low: int, high: int) -> Rule:
  # A bool is an int to Python, but not a number in a card.
  return Rule(f"a whole number from {low} to {high}", lambda x: type(x) is int and low <= x <= high)


def real(low: float, high: float, *, above: bool = False) -> Rule:
  def holds(x) -> bool:  # NaN fails every comparison
    return type(x) in (int, float) and (low < x if above else low <= x) and x <= high

  return Rule(f"a number {'above' if above else 'from'} {low:g} to {high:g}", holds)


def boolean() -> Rule:
  return Rule("true or false", lambda x: type(x) is bool)


def optional(rule: Rule, *, without: int | None = None) -> Rule:
  words = f"{'null' if without is None else without} or {rule.words}"
  return Rule(words, lambda x: (type(x) is type(without) and x == without) or rule.holds(x))


def some(rule: Rule, *, least: int, most: int) -> Rule:
  def holds(x) -> bool:
    return isinstance(x, list | tuple) and least <= len(x) <= most and all(map(rule.holds, x))

  return Rule(f"{least} to {most} times {rule.words}", holds)


def name_of(*names: str) -> Rule:
  return Rule(f"one of {', '.join(names)}", lambda x: type(x) is str and x in names)


def require_fields(kind: type, values: Mapping[str, Any], rules: Mapping[str, Rule]) -> None:
  """ValueError for a field that the dataclass `kind` does not know, that it misses, or that breaks its rule."""
  fields = dataclasses.fields(kind)
  known = [field.name for field in fields]
  if unknown := [shown(name) for name in values if name not in known]:
    raise ValueError(f"unknown network fields {', '.join(unknown[:3])}; known are {', '.join(known)}")
  needed = [field.name for field in fields if field.default is dataclasses.MISSING]
  if missing := [name for name in needed if name not in values]:
    raise ValueError(f"incomplete network configuration: no {', '.join(missing)}")
  for name, rule in rules.items():
    if name in values and not rule.holds(values[name]):
      raise ValueError(f"{name}: expected {rule.words}, found {shown(values[name])}")
