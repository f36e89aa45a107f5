"""How do conventions beside printed numbers become text? Markdown of those that fit, CSV of all."""

import csv
import io
from collections.abc import Mapping, Sequence

from dig2dig_jax import escape
from dig2dig_jax.evaluation.candidates import Candidate, Printed, fitting, nearest
from dig2dig_jax.evaluation.conventions import PREPARATIONS

Found = Mapping[str, Mapping[str, Sequence[Candidate]]]  # {folder: {family: all of its conventions}}


def markdown(found: Found, printed: Sequence[Printed], count: int, pairs: int) -> str:
  """A table per folder and number, what all numbers say together, and which share of the pairs this is of."""
  text = f"Conventions of printed numbers, means over {count} image{'s' * (count > 1)}\n"
  for method, families in found.items():
    for one in printed:
      of = families[one.family]
      fit = fitting(one, of)
      verb = "rounds" if len(fit) == 1 else "round"
      told = f"{len(fit)} of {len(of)} conventions {verb} to it" if fit else (
        f"none of {len(of)} conventions rounds to it; the nearest:")  # fmt: skip
      if not of:
        told = "undefined on these images by every convention (too small for its windows, or flat)"
      text += f"\n{escape.markdown(method)}: {one.family} {one.number}: {told}\n\n"
      if not of:
        continue
      # Decimals of the print and two more, so that a reader sees how well it fits.
      digits = max(0, -int(one.number.as_tuple().exponent)) + 2
      rows = [[escape.markdown(name) for name in candidate.convention] + [_number(candidate, digits)]
              for candidate in fit or nearest(one, of)]  # fmt: skip
      text += escape.table(["measure", "definition", "images", "value"], rows, text=3)
    if len(printed) > 1:
      text += f"\n{escape.markdown(method)}: {common(families, printed)}\n"
  if count < pairs:
    text += f"\nNote: {pairs - count} of {pairs} pairs are left out; a printed mean is of all.\n"
  return text


def common(families: Mapping[str, Sequence[Candidate]], printed: Sequence[Printed]) -> str:
  """What the numbers say together: they come of one run, hence of images prepared in one way."""
  fit = [set().union(*(one.ways for one in fitting(row, families[row.family]))) for row in printed]
  # A preparation that changes nothing here is not named beside the one that it is the same as.
  named = {one.convention.prepared for of in families.values() for one in of}
  common = [words for words in PREPARATIONS if words in named and all(words in ways for ways in fit)]
  if not common:
    return "no one way to prepare the images explains all of the numbers"
  return f"all numbers together fit images that are {'; or '.join(common)}"


def _number(candidate: Candidate, digits: int) -> str:
  undefined = f" ({candidate.undefined} undefined)" if candidate.undefined else ""
  return f"{candidate.value:z.{digits}f}{undefined}"


def csv_text(found: Found) -> str:
  """A line per folder, family and convention, at full precision."""
  text = io.StringIO()
  writer = csv.writer(text, lineterminator="\n")
  writer.writerow(["method", "printed as", "measure", "definition", "images", "value", "undefined"])
  for method, families in found.items():
    for family, of in families.items():
      for one in of:
        writer.writerow([escape.csv_cell(method), family, *one.convention, repr(one.value), one.undefined])
  return text.getvalue()
