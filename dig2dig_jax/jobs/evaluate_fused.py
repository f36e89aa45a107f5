"""How good are the fused images in these folders? Scores per image and a comparison of the folders by one protocol.

Every method is scored on the same images, those that all folders have: means over different images cannot be compared.
What is missing, superfluous, unreadable or of another size is named. Images are compared as 8-bit gray.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from dig2dig_jax import metrics
from dig2dig_jax.data import images
from dig2dig_jax.data.pairs import Pair, find_pairs, load_pair
from dig2dig_jax.errors import UserError
from dig2dig_jax.jobs import compare, compare_table
from dig2dig_jax.jobs.record import make_folder, write_text
from dig2dig_jax.jobs.table import csv_text


class Report(NamedTuple):
  """text: the summary in Markdown. left_out: one line per file without a partner. failed: one line per image that a
  method lacks, or that is damaged or of another size: it counts for no method."""

  text: str
  left_out: list[str]
  failed: list[str]


def named(folders: Sequence[str | Path]) -> dict[str, Path]:
  """Folders by the shortest ends of their paths that tell them apart. UserError for one folder given twice."""
  paths = [Path(folder) for folder in folders]
  resolved = [path.resolve() for path in paths]
  if twice := [path for path, place in zip(paths, resolved, strict=True) if resolved.count(place) > 1]:
    raise UserError(f"--fused: expected different folders, found {twice[0]} twice")
  for depth in range(1, max((len(place.parts) for place in resolved), default=1) + 1):
    names = ["/".join(place.parts[-depth:]) for place in resolved]
    if len(set(names)) == len(names):
      break
  return dict(zip(names, paths, strict=True)) if paths else {}


def run(
  fused: Mapping[str, Path],
  data: Path,
  sources: Sequence[str],
  out: Path,
  *,
  protocol: str = "panel",
  baselines: bool = True,
  limit: int = 0,
) -> Report:
  """Scores the images of every folder `fused` {method: folder} against their sources under `data`.

  Writes scores.csv (every image) and summary.md, .tex and .json (means, intervals, ranks, paired tests against the
  first method) into `out`. protocol: a name of `metrics.PROTOCOLS`. baselines: rows of the fusions without any thought
  and of each source copied. limit: first pairs only, 0 takes all. UserError when no image can be scored.
  """
  if protocol not in metrics.PROTOCOLS:
    raise UserError(f"--protocol={protocol}: expected one of {', '.join(metrics.PROTOCOLS)}")
  if not fused and not baselines:
    raise UserError("--fused: expected one or more folders of fused images, found none; add --fused=FOLDER")
  extra = {f"copy of {source}": index for index, source in enumerate(sources)} if baselines else {}
  reserved = {*extra, *(metrics.BASELINES if baselines else ())}
  if clash := sorted(reserved & set(fused)):
    raise UserError(f"--fused: expected names other than the baselines', found {clash[0]}; rename that folder")
  pairs, left_out = find_pairs(data, sources)
  pairs = pairs[: limit or None]
  make_folder(out)
  folders = {method: _index(folder) for method, folder in fused.items()}
  if not limit:
    left_out = left_out + _superfluous(folders, pairs)
  failed: list[str] = []
  found: dict[str, list[dict[str, float]]] = {}
  names: list[str] = []
  for pair in tqdm(pairs, unit="pair", disable=None):
    candidates = _candidates(pair, fused, folders, failed)
    if candidates is None:
      continue
    gray, candidates = candidates
    if baselines:
      candidates |= {name: blend(gray) for name, blend in metrics.BASELINES.items()}
      candidates |= {name: gray[index] for name, index in extra.items()}
    names.append(pair.name)
    for method, image in candidates.items():
      found.setdefault(method, []).append(metrics.score(gray, image, metrics.PROTOCOLS[protocol]))
  if not names:
    raise UserError(f"{data}: expected images that all of {', '.join(fused)} have, found none; {failed[0]}")
  write_text(out / "scores.csv", csv_text(found, images=names))
  comparison = _compare(protocol, found, names, skipped=len(pairs) - len(names))
  text = compare_table.markdown(comparison)
  write_text(out / "summary.md", text)
  write_text(out / "summary.tex", compare_table.latex(comparison))
  write_text(out / "summary.json", compare_table.json_text(comparison))
  return Report(text, left_out, failed)


def _index(folder: Path) -> dict[str, Path]:
  index: dict[str, Path] = {}
  for path in images.list_images(folder):
    key = _key(path.stem)
    if key in index:
      raise UserError(f"{path}: expected one image named '{path.stem}', found {index[key].name} too; move one away")
    index[key] = path
  if not index:
    raise UserError(f"{folder}: expected fused images, found none; check --fused")
  return index


def _key(name: str) -> str:
  return unicodedata.normalize("NFC", name).casefold()  # as sources pair


def _superfluous(folders: Mapping[str, Mapping[str, Path]], pairs: Sequence[Pair]) -> list[str]:
  known = {_key(pair.name) for pair in pairs}
  return [
    f"{path}: no pair of that name; left out"
    for index in folders.values() for key, path in index.items() if key not in known
  ]


def _candidates(pair: Pair, fused, folders, failed: list[str]) -> tuple[list[np.ndarray], dict[str, np.ndarray]] | None:
  """Gray sources and {method: gray fused image} of a pair; None, with all faults in `failed`, when one is missing."""
  try:
    loaded = load_pair(pair)
  except UserError as error:
    failed.append(str(error))
    return None
  gray = [metrics.to_gray(images.to_uint8(source)) for source in loaded.sources]
  candidates = {}
  for method, index in folders.items():
    path = index.get(_key(pair.name))
    if path is None:
      failed.append(f"{fused[method]}: expected an image named '{pair.name}', found none; left out for all methods")
      continue
    try:
      image = metrics.to_gray(images.to_uint8(images.read_image(path).pixels))
    except UserError as error:
      failed.append(f"{error}; left out for all methods")
      continue
    if image.shape != gray[0].shape:
      expected, there = ("x".join(map(str, shape)) for shape in (gray[0].shape, image.shape))
      failed.append(f"{path}: expected {expected} (height x width) as the sources, found {there}; "
                    "left out for all methods")
      continue
    candidates[method] = image
  return (gray, candidates) if len(candidates) == len(folders) else None


def _compare(protocol: str, found, names: list[str], *, skipped: int) -> compare_table.Comparison:
  columns = metrics.PROTOCOLS[protocol]
  scores = {method: {name: np.array([row[name] for row in rows]) for name in columns} for method, rows in found.items()}
  better = {name: metrics.METRICS[name].higher_is_better for name in columns}
  summaries = {method: {name: compare.summarise(row[name]) for name in columns} for method, row in scores.items()}
  reference = next(iter(scores))
  return compare_table.Comparison(
    protocol=protocol,
    images=names,
    higher_is_better=better,
    summaries=summaries,
    ranks=compare.mean_ranks(scores, better) if len(scores) > 1 else {},
    reference=reference,
    differences=compare.differences(scores, reference),
    notes=[f"{skipped} of {skipped + len(names)} pairs are left out"] if skipped else [],
  )
