"""By which convention can a printed number have come about? All of a measure's family on the images, beside the number.

The number is the mean over images of a table. A convention is a definition of the measure, a way to join the sources'
values, and what was done to the images before. Those that round to the printed digits are told, with the nearest where
none does. That a convention fits does not prove it: two digits leave room for several.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from dig2dig_jax import escape, metrics
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.errors import UserError
from dig2dig_jax.evaluation import conventions, signs
from dig2dig_jax.evaluation import folders as fused_folders
from dig2dig_jax.evaluation.conventions import FAMILIES, PREPARATIONS, Measure
from dig2dig_jax.fusing.outputs import refuse_sources
from dig2dig_jax.record import make_folder, write_text

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


class Report(NamedTuple):
  """text: Markdown. left_out, failed: as of `evaluation.fused`. notes: signs of a mishap. candidates: {folder: {family:
  all of them}}."""

  text: str
  left_out: list[str]
  failed: list[str]
  notes: list[str]
  candidates: dict[str, dict[str, list[Candidate]]]


def parse(words: Sequence[str]) -> list[Printed]:
  """VIF:0.69 and the like. UserError for a measure that has no family, and for no number."""
  found = []
  for word in words:
    name, colon, text = word.partition(":")
    family = conventions.family(name)
    if family is None:
      raise UserError(f"--which_convention={word}: expected one of {', '.join(FAMILIES)}, found {name or 'nothing'}; "
                      "write MEASURE:NUMBER, as VIF:0.69")
    try:
      number = Decimal(text.strip())
    except InvalidOperation:
      number = Decimal("NaN")
    if not colon or not number.is_finite() or not -_DIGITS <= int(number.as_tuple().exponent) <= _DIGITS:
      raise UserError(f"--which_convention={word}: expected a number as it is printed behind {name}:, found "
                      f"{text.strip() or 'nothing'}; write MEASURE:NUMBER, as VIF:0.69")
    found.append(Printed(family, number))
  return found


def run(
  fused: Mapping[str, Path], data: DataConfig, out: Path, printed: Sequence[Printed], *, limit: int = 0
) -> Report:
  """All conventions of the printed numbers' families on the images of each folder `fused` {method: folder}.

  Writes conventions.md (the report) and conventions.csv (every convention, all digits) into `out`. limit: first pairs
  only, 0 takes all. UserError where there is no folder or no image can be scored."""
  if not fused:
    raise UserError("--which_convention: expected one or more folders of fused images, found none; add --fused=FOLDER")
  pairs, left_out = data.find()
  refuse_sources(out, pairs)
  folders = {method: fused_folders.index(folder, left_out) for method, folder in fused.items()}
  pairs = pairs[: limit or None]
  families = list(dict.fromkeys(one.family for one in printed))
  values: dict[str, dict[str, dict[Convention, list[float]]]] = {
    method: {family: {} for family in families} for method in fused
  }
  failed: list[str] = []
  told: dict[str, dict[str, list[str]]] = {}
  for pair in tqdm(pairs, unit="pair", disable=None):
    images = fused_folders.load(pair, fused, folders, failed, fused_folders.fractions)
    if images is None:
      continue
    told[pair.name] = signs.of_pair(images.sources, images.methods, images.signs)
    for method, image in images.methods.items():
      prepared = prepare(images.sources, image)
      for family in families:
        for convention, value in _values(FAMILIES[family], prepared).items():
          values[method][family].setdefault(convention, []).append(value)
  if not told:
    raise UserError(f"{data.place}: expected images that all of {', '.join(fused)} have, found none; {failed[0]}")
  found = {method: {family: candidates(of) for family, of in rows.items()} for method, rows in values.items()}
  make_folder(out)
  text = _markdown(found, printed, len(told), len(pairs))
  write_text(out / "conventions.md", text)
  write_text(out / "conventions.csv", _csv(found))
  return Report(text, left_out, failed, signs.lines(told), found)


Prepared = dict[str, tuple[dict[str, np.ndarray], np.ndarray]]


def prepare(sources: Mapping[str, np.ndarray], fused: np.ndarray) -> Prepared:
  """{preparation: (gray sources by name, gray fused image)} of levels [H, W, 1 or 3] with their fractions."""
  found: Prepared = {}
  for words, how in PREPARATIONS.items():
    gray, target = how(list(sources.values()), fused)
    found[words] = (dict(zip(sources, gray, strict=True)), target)
  return found


def _values(measures: Sequence[Measure], prepared: Prepared) -> dict[Convention, float]:
  """Of one pair. What is the same image is computed once."""
  found: dict[Convention, float] = {}
  known: list[tuple[list[np.ndarray], dict[tuple[str, str], float]]] = []
  for words, (sources, fused) in prepared.items():
    arrays = [*sources.values(), fused]
    same = (rows for images, rows in known if all(map(np.array_equal, images, arrays)))
    rows = next(same, None)
    if rows is None:
      rows = _scored(measures, sources, fused)
      known.append((arrays, rows))
    found |= {Convention(*key, words): value for key, value in rows.items()}
  return found


def _scored(measures: Sequence[Measure], sources: Mapping[str, np.ndarray], fused: np.ndarray):
  """{(measure, definition): value}."""
  gray = list(sources.values())
  apart = tuple(one.name for one in measures if one.over)
  whole = tuple(one.name for one in measures if not one.over and one.function is None)
  # A measure that joins one value per source has that value itself where all sources are the same image.
  single = [metrics.score([source] * len(gray), fused, apart) for source in gray] if apart else []
  together = metrics.score(gray, fused, whole) if whole else {}
  found = {}
  for measure in measures:
    if measure.over:
      share = len(gray) if measure.over == "sum" else 1
      own = conventions.joined(measure, [row[measure.name] / share for row in single], list(sources))
    else:
      own = {"": together[measure.name] if measure.function is None else measure.function(gray, fused)}
    for factor, unit in measure.scales:
      for words, value in own.items():
        found[measure.name, "; ".join(filter(None, (measure.words, words, unit)))] = value * factor
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
  names, definitions = known.convention.measure.split(", "), known.convention.definition.split(" = ")
  names += [other.measure] * (other.measure not in names)
  definitions += [other.definition] * (other.definition not in definitions)
  first = Convention(", ".join(names), " = ".join(definitions), known.convention.prepared)
  return known._replace(convention=first, ways=known.ways | {other.prepared})


def fitting(printed: Printed, of: Sequence[Candidate]) -> list[Candidate]:
  return [one for one in of if printed.fits(one.value)]


def nearest(printed: Printed, of: Sequence[Candidate]) -> list[Candidate]:
  """The `NEAREST` ones, the nearest first."""
  finite = [one for one in of if math.isfinite(one.value)]
  return sorted(finite, key=lambda one: abs(one.value - float(printed.number)))[:NEAREST]


def _markdown(found, printed: Sequence[Printed], count: int, pairs: int) -> str:
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
      text += f"\n{escape.markdown(method)}: {_common(families, printed)}\n"
  if count < pairs:
    text += f"\nNote: {pairs - count} of {pairs} pairs are left out; a printed mean is of all.\n"
  return text


def _common(families: Mapping[str, Sequence[Candidate]], printed: Sequence[Printed]) -> str:
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


def _csv(found) -> str:
  text = io.StringIO()
  writer = csv.writer(text, lineterminator="\n")
  writer.writerow(["method", "printed as", "measure", "definition", "images", "value", "undefined"])
  for method, families in found.items():
    for family, of in families.items():
      for one in of:
        writer.writerow([escape.csv_cell(method), family, *one.convention, repr(one.value), one.undefined])
  return text.getvalue()
