"""Reads back what `--job=benchmark --table=NAME --protocol=panel` writes: scores pair by pair, options of each row."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dig2dig_jax import metrics
from dig2dig_jax.errors import UserError, one_line
from dig2dig_jax.evaluation.compare import Scores
from dig2dig_jax.evaluation.compare_table import from_plain

PANEL = metrics.PROTOCOLS["panel"]
BETTER = {name: metrics.METRICS[name].higher_is_better for name in PANEL}


def scores(folder: Path, table: str) -> Scores:
  """{row: {measure of the panel: [pairs]}} of the table in `folder`. UserError where it is missing, damaged or of
  another protocol."""
  with _reading(folder, table):
    found = json.loads((folder / table / "scores.json").read_text(encoding="utf-8"))
    return {
      row: {measure: np.array([from_plain(image[measure]) for image in own["images"].values()]) for measure in PANEL}
      for row, own in found.items()
    }


def options(folder: Path, table: str) -> dict[str, dict[str, Any]]:
  """{row: {option: value}} of the table in `folder`; UserError as of `scores`."""
  with _reading(folder, table):
    return dict(json.loads((folder / table / "settings.json").read_text(encoding="utf-8"))["rows"])


@contextlib.contextmanager
def _reading(folder: Path, table: str) -> Iterator[None]:
  try:
    yield
  except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
    raise UserError(
      f"{folder}: expected the output of --job=benchmark --table={table} --protocol=panel, found {one_line(error)}"
    ) from error
