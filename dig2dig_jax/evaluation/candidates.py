"""Which of a family's conventions round to a printed number? The number with its digits, and the values beside it.

Pure functions; no file, no image.
"""

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

import numpy as np

from dig2dig_jax.errors import UserError
from dig2dig_jax.evaluation import conventions
from dig2dig_jax.evaluation.conventions import FAMILIES

NEAREST = 3  # told where none fits
_DIGITS = 30  # that a printed number may have


class Printed(NamedTuple):
  """A number of a table: the family that its column means, and the number with its digits."""

  family: str
  number: Decimal

  def fits(self, value: float) -> bool:
    """Whether a value rounds to the number; halves in either direction."""
    unit = 10.0 ** int(self.number.as_tuple().exponent)
    return abs(value - float(self.number)) <= unit * (0.5 + 1e-9)


class Convention(NamedTuple):
  """measure: a name of METRICS, or of one that it lacks; the other fields in words. Of several that are the same on all
  images the first, with the others' names, and behind = their definitions."""

  measure: str
  definition: str
  prepared: str


class Candidate(NamedTuple):
  """A convention and the mean of its values over the images where it is defined; `undefined`: how many others. `ways`:
  the preparations that all make it the same."""

  convention: Convention
  value: float
  undefined: int
  ways: frozenset[str]


def parse(words: Sequence[str]) -> list[Printed]:
  """VIF:0.69 and the like. UserError for a measure that has no family, and for no number."""
  found = []
  for word in words:
    name, colon, text = word.partition(":")
    family = conventions.family(name)
    if family is None:
      raise UserError(f"--which_convention={word}: expected one of {', '.join(FAMILIES)}, found {name or 'nothing'}; "
                      "write MEASURE:NUMBER, such as VIF:0.69")
    try:
      number = Decimal(text.strip())
    except InvalidOperation:
      number = Decimal("NaN")
    if not colon or not number.is_finite() or not -_DIGITS <= int(number.as_tuple().exponent) <= _DIGITS:
      raise UserError(f"--which_convention={word}: expected a number as published after {name}:, found "
                      f"{text.strip() or 'nothing'}; write MEASURE:NUMBER, such as VIF:0.69")
    found.append(Printed(family, number))
  return found


def candidates(values: Mapping[Convention, Sequence[float]]) -> list[Candidate]:
  """Of {convention: its values of each image}, in that order; those that are the same on every image are one. One that
  is defined on no image is left out."""
  found: list[tuple[Candidate, np.ndarray]] = []
  for convention, row in values.items():
    own = np.array(row)
    defined = own[~np.isnan(own)]
    if not len(defined):
      continue
    for place, (known, others) in enumerate(found):
      if np.allclose(own, others, rtol=1e-12, atol=0, equal_nan=True):
        found[place] = _merged(known, convention), others
        break
    else:
      ways = frozenset([convention.prepared])
      found.append((Candidate(convention, float(np.mean(defined)), len(own) - len(defined), ways), own))
  return [candidate for candidate, _ in found]


def _merged(known: Candidate, other: Convention) -> Candidate:
  names = known.convention.measure.split(", ")
  names += [other.measure] * (other.measure not in names)
  definitions = known.convention.definition
  if f" = {other.definition} = " not in f" = {definitions} = ":  # a definition may have " = " in it
    definitions += f" = {other.definition}"
  first = Convention(", ".join(names), definitions, known.convention.prepared)
  return known._replace(convention=first, ways=known.ways | {other.prepared})


def fitting(printed: Printed, of: Sequence[Candidate]) -> list[Candidate]:
  return [one for one in of if printed.fits(one.value)]


def nearest(printed: Printed, of: Sequence[Candidate]) -> list[Candidate]:
  """The `NEAREST` ones, the nearest first."""
  finite = [one for one in of if math.isfinite(one.value)]
  return sorted(finite, key=lambda one: abs(one.value - float(printed.number)))[:NEAREST]
