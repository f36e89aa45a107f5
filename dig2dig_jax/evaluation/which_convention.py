"""By which convention can a printed number have come about? All of a measure's family on the images, beside the number.

The number is the mean over images of a table. A convention is a definition of the measure, a way to join the sources'
values, and what was done to the images before. Those that round to the printed digits are told, with the nearest where
none does. That a convention fits does not prove it: two digits leave room for several.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from dig2dig_jax import metrics
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.errors import UserError
from dig2dig_jax.evaluation import candidates_table, conventions, signs
from dig2dig_jax.evaluation import folders as fused_folders
from dig2dig_jax.evaluation.candidates import Candidate, Convention, Printed, candidates
from dig2dig_jax.evaluation.conventions import FAMILIES, PREPARATIONS, Measure
from dig2dig_jax.fusing.outputs import refuse_sources
from dig2dig_jax.record import make_folder, write_text


class Report(NamedTuple):
  """text: Markdown. left_out, failed: as of `evaluation.fused`. notes: signs of a mishap. candidates: {folder: {family:
  all of them}}."""

  text: str
  left_out: list[str]
  failed: list[str]
  notes: list[str]
  candidates: dict[str, dict[str, list[Candidate]]]


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
  text = candidates_table.markdown(found, printed, len(told), len(pairs))
  write_text(out / "conventions.md", text)
  write_text(out / "conventions.csv", candidates_table.csv_text(found))
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
