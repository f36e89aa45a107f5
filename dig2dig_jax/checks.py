"""What may a value be? A test, and the end of the sentence "expected ...", once for the command line and Python."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

MOST = 2**31 - 1  # of whole numbers that have no bound of their own: what devices index with


class Check(NamedTuple):
  """holds: of a value (of each member of a list). expected: the end of "expected ..."."""

  holds: Callable[[Any], bool]
  expected: str


def between(low: float, high: float, unit: str = "") -> Check:
  return Check(lambda value: low <= value <= high, f"{low} to {high}{unit}")


def at_least(low: int) -> Check:
  return within(low, MOST, f"at least {low}")


def above(low: float) -> Check:
  return Check(lambda value: value > low and math.isfinite(value), f"above {low}")


def one_of(names: Sequence[Any]) -> Check:
  return Check(lambda value: value in names, f"one of {', '.join(map(str, names))}")


def within(low: float, high: float, words: str) -> Check:
  """`between`, told in words."""
  return Check(lambda value: low <= value <= high, words)


ANY_WHOLE = between(-MOST, MOST)
FINITE = Check(math.isfinite, "a finite number")
EITHER = one_of((True, False))
