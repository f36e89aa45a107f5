"""Which definitions does another program's evaluator compute? Those of `conventions` that round to its numbers.

  python -m dig2dig_jax.benchmarks.rosetta CHECKOUT/Evaluator.py DATA ir,vi FUSED --limit=2

Runs a file like that of CDDFuse and its many copies, a class whose functions take (fused) or (fused, first, second),
or like Tang's in Python and its copies, functions SF_function(image) and VIF_function(A, B, F): gray float images in
0..255, by names of measures. Each number, to three digits, is identified as by `evaluate --which_convention`.
"""

import argparse
import functools
import importlib
import importlib.util
import inspect
import sys
import tempfile
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np
from skimage.metrics import structural_similarity

from dig2dig_jax import escape
from dig2dig_jax.benchmarks import command
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.errors import UserError
from dig2dig_jax.evaluation import candidates, conventions, folders, which_convention
from dig2dig_jax.evaluation.candidates import Printed

Measure = Callable[..., float]  # of (fused) or (fused, first, second)
_DIGITS = Decimal("0.001")
# Copies of CDDFuse's program, which computes VIF in the pixel domain, call it so.
_CALLED = {"VIFF": "VIF"}
_SUFFIX = "_function"


def load(path: Path) -> dict[str, Measure]:
  """{name of a family: its function} of the classes of a file, or where these have none of its functions NAME_function.
  UserError where there are none.

  scikit-image's SSIM called without `data_range` takes 2, as it did of floating images until 0.19; scikit-learn, which
  such files import for mutual information alone, may be missing. Beside the file, its folder and the one above are
  where it finds what it imports."""
  try:
    import sklearn.metrics  # noqa: F401
  except ImportError:
    for name in ("sklearn", "sklearn.metrics"):
      sys.modules.setdefault(name, _Missing(name))
  module = _imported(path)
  if getattr(module, "ssim", None) is structural_similarity:
    vars(module)["ssim"] = functools.partial(structural_similarity, data_range=2)
  classes = [one for _, one in inspect.getmembers(module, inspect.isclass) if one.__module__ == module.__name__]
  members = [member for one in classes for member in inspect.getmembers(one, lambda member: callable(member))]
  functions = inspect.getmembers(module, inspect.isfunction)
  found = _measures(members) or _measures(
    (name.removesuffix(_SUFFIX), one) for name, one in functions if name.endswith(_SUFFIX)
  )
  if not found:
    raise UserError(f"{path}: expected a class, or functions NAME{_SUFFIX}, named as measures, found none")
  return found


class _Missing(types.ModuleType):
  """In the place of a package that is not installed: what is taken out of it can be imported, not called."""

  def __getattr__(self, name: str) -> Callable[..., float]:
    if name.startswith("__"):
      raise AttributeError(name)

    def absent(*_: object) -> float:
      raise ImportError(f"it needs {self.__name__}")

    return absent


def _imported(path: Path) -> types.ModuleType:
  package = path.parent.name if (path.parent / "__init__.py").is_file() else ""
  spec = importlib.util.spec_from_file_location("evaluator_of_another_program", path)
  if spec is None or spec.loader is None or not path.is_file():
    raise UserError(f"{path}: expected a Python file of measures, found none")
  before = list(sys.path)
  sys.path[:0] = [str(path.parent.resolve()), str(path.parent.resolve().parent)]
  try:
    if package:
      return importlib.import_module(f"{package}.{path.stem}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
  except Exception as error:
    reason = f"{type(error).__name__}: {error}"
    raise UserError(f"{path}: expected a program that can be imported, found {reason}") from error
  finally:
    sys.path[:] = before


def _measures(members: Iterable[tuple[str, Callable[..., float]]]) -> dict[str, Measure]:
  return {_CALLED.get(name, name): _ordered(one) for name, one in members if conventions.family(name) == name}


def _ordered(function: Callable[..., float]) -> Measure:
  """The function, called with the fused image first: by the name of its argument, which has "fus" in it or begins or
  ends with an f."""
  needed = [one.name.lower() for one in inspect.signature(function).parameters.values() if one.default is one.empty]
  place = next((k for k, name in enumerate(needed) if "fus" in name or name[0] == "f" or name[-1] == "f"), 0)

  def called(fused: np.ndarray, *sources: np.ndarray) -> float:
    images = list(sources) if len(needed) > 1 else []
    images.insert(place, fused)
    return float(function(*images))

  return called


class Means(NamedTuple):
  """values: {family: mean over the pairs}. left_out: a line for each measure that the program could not compute."""

  values: dict[str, float]
  left_out: list[str]


def means(measures: Mapping[str, Measure], data: DataConfig, fused: Path, limit: int) -> Means:
  """The program's own numbers of the first pairs. UserError for an image that is missing."""
  pairs, _ = data.find()
  files = folders.index(fused, [])
  values: dict[str, list[float]] = {name: [] for name in measures}
  reasons: dict[str, str] = {}
  for pair in pairs[: limit or None]:
    failed: list[str] = []
    found = folders.load(pair, {"fused": fused}, {"fused": files}, failed)
    if found is None:
      raise UserError(failed[0])
    images = [image.astype(float) for image in (found.methods["fused"], *found.sources.values())]
    sources, target = conventions.as_stored(images[1:], images[0])
    levels = [image.astype(np.float32) for image in (target, *sources)]
    for name, function in measures.items():
      if name in reasons:
        continue
      try:
        values[name].append(function(*levels))
      except Exception as error:  # whatever another program raises
        reasons[name] = f"{name}: left out, {type(error).__name__}: {' '.join(str(error).split())[:120]}"
  kept = {name: float(np.mean(row)) for name, row in values.items() if name not in reasons}
  return Means(kept, list(reasons.values()))


def run(evaluator: Path, data: DataConfig, fused: Path, limit: int = 0) -> str:
  """Markdown: a line per measure, with the program's mean and the first definition that rounds to it; below it what
  was left out. UserError where the program can compute none."""
  found = means(load(evaluator), data, fused, limit)
  if not found.values:
    raise UserError(f"{evaluator}: expected measures that can be computed, found none: {found.left_out[0]}")
  printed = [Printed(name, Decimal(value).quantize(_DIGITS)) for name, value in found.values.items()]
  with tempfile.TemporaryDirectory() as scratch:
    told = which_convention.run({"fused": fused}, data, Path(scratch), printed, limit=limit).candidates["fused"]
  rows = []
  for one in printed:
    fit = candidates.fitting(one, told[one.family])
    best = (fit or candidates.nearest(one, told[one.family]))[0]
    rows.append([one.family, str(one.number), *map(escape.markdown, best.convention), f"{best.value:.4f}",
                 "yes" if fit else "no"])  # fmt: skip
  heads = ["measure", "the program's", "ours", "definition", "images", "value", "to three digits"]
  text = escape.table(heads, rows, text=5)
  return text + "".join(f"\n* {escape.markdown(line)}\n" for line in found.left_out)


def main(words: Sequence[str]) -> int:
  parser = argparse.ArgumentParser(prog="python -m dig2dig_jax.benchmarks.rosetta", description=__doc__)
  parser.add_argument("evaluator", type=Path)
  parser.add_argument("data", type=Path)
  parser.add_argument("sources")
  parser.add_argument("fused", type=Path)
  parser.add_argument("--limit", type=int, default=0)
  asked = parser.parse_args(words)
  sources = tuple(asked.sources.split(","))
  return command.status(lambda: run(asked.evaluator, DataConfig(asked.data, sources), asked.fused, asked.limit))


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
