"""Which definitions does another program's evaluator compute? Those of `conventions` that round to its numbers.

  python -m dig2dig_jax.benchmarks.rosetta CHECKOUT/Evaluator.py DATA ir,vi FUSED --limit=2

Runs a file like that of CDDFuse and its many copies: a class Evaluator whose functions take (fused) or (fused, first,
second), gray float images in 0..255, and are named as measures. What is printed to three digits is looked up as
`evaluate --which_convention` does.
"""

import argparse
import functools
import importlib.util
import inspect
import sys
import tempfile
import types
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np

from dig2dig_jax import escape
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.errors import UserError
from dig2dig_jax.evaluation import candidates, conventions, folders, which_convention
from dig2dig_jax.evaluation.candidates import Printed

Measure = Callable[..., float]
_DIGITS = Decimal("0.001")
# Copies of CDDFuse's program, which computes VIF in the pixel domain, call it so.
_CALLED = {"VIFF": "VIF"}


def load(path: Path) -> dict[str, Measure]:
  """{name of a family: its function} of a file's class Evaluator. UserError where there is none.

  SSIM called without `data_range` takes 2, as scikit-image did of floating images until 0.19; scikit-learn, which such
  files import for measures that few have, may be missing."""
  try:
    import sklearn.metrics  # noqa: F401
  except ImportError:
    sys.modules.setdefault("sklearn", types.ModuleType("sklearn"))
    sys.modules.setdefault("sklearn.metrics", types.ModuleType("sklearn.metrics"))
  spec = importlib.util.spec_from_file_location("evaluator_of_another_program", path)
  if spec is None or spec.loader is None or not path.is_file():
    raise UserError(f"{path}: expected a Python file with a class Evaluator, found none")
  module = importlib.util.module_from_spec(spec)
  try:
    spec.loader.exec_module(module)
  except Exception as error:
    reason = f"{type(error).__name__}: {error}"
    raise UserError(f"{path}: expected a program that can be imported, found {reason}") from error
  if hasattr(module, "ssim"):
    module.ssim = functools.partial(module.ssim, data_range=2)
  members = inspect.getmembers(getattr(module, "Evaluator", None))
  found = {_CALLED.get(name, name): function for name, function in members
           if conventions.family(name) == name and callable(function)}  # fmt: skip
  if not found:
    raise UserError(f"{path}: expected a class Evaluator with functions named as measures, found none")
  return found


def means(measures: Mapping[str, Measure], data: DataConfig, fused: Path, limit: int) -> dict[str, float]:
  """{family: mean over the first pairs} of the program's own numbers. UserError for an image that is missing."""
  pairs, _ = data.find()
  files = folders.index(fused, [])
  values: dict[str, list[float]] = {name: [] for name in measures}
  for pair in pairs[: limit or None]:
    failed: list[str] = []
    found = folders.load(pair, {"fused": fused}, {"fused": files}, failed)
    if found is None:
      raise UserError(failed[0])
    images = [found.methods["fused"], *found.sources.values()]
    sources, target = conventions.as_stored([image.astype(float) for image in images[1:]], images[0].astype(float))
    for name, function in measures.items():
      images = [target, *sources] if len(inspect.signature(function).parameters) == 3 else [target]
      values[name].append(float(function(*(image.astype(np.float32) for image in images))))
  return {name: float(np.mean(row)) for name, row in values.items()}


def run(evaluator: Path, data: DataConfig, fused: Path, limit: int = 0) -> str:
  """Markdown: a line per measure, with the program's mean and the first definition that rounds to it."""
  found = means(load(evaluator), data, fused, limit)
  printed = [Printed(name, Decimal(value).quantize(_DIGITS)) for name, value in found.items()]
  with tempfile.TemporaryDirectory() as scratch:
    told = which_convention.run({"fused": fused}, data, Path(scratch), printed, limit=limit).candidates["fused"]
  rows = []
  for one in printed:
    fit = candidates.fitting(one, told[one.family])
    best = (fit or candidates.nearest(one, told[one.family]))[0]
    rows.append([one.family, str(one.number), *map(escape.markdown, best.convention), f"{best.value:.4f}",
                 "yes" if fit else "no"])  # fmt: skip
  heads = ["measure", "the program's", "ours", "definition", "images", "value", "to three digits"]
  return escape.table(heads, rows, text=5)


def main(words: Sequence[str]) -> int:
  parser = argparse.ArgumentParser(prog="python -m dig2dig_jax.benchmarks.rosetta", description=__doc__)
  parser.add_argument("evaluator", type=Path)
  parser.add_argument("data", type=Path)
  parser.add_argument("sources")
  parser.add_argument("fused", type=Path)
  parser.add_argument("--limit", type=int, default=0)
  asked = parser.parse_args(words)
  try:
    data = DataConfig(asked.data, tuple(asked.sources.split(",")))
    print(run(asked.evaluator, data, asked.fused, asked.limit), end="")
  except UserError as error:
    print(error, file=sys.stderr)
    return 2
  return 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
