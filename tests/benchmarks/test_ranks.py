"""Are mean ranks of several data sets' tables held side by side, and Dig2DIG tested against each row over all pairs?"""

import json

import numpy as np
import pytest

from dig2dig_jax import metrics
from dig2dig_jax.benchmarks import ranks
from dig2dig_jax.errors import UserError
from dig2dig_jax.evaluation.table import json_text

PANEL = metrics.PROTOCOLS["panel"]


def write(folder, levels, pairs):
  """A table whose rows are of quality levels[row], but for noise that changes no order of means."""
  place = folder / "clean"
  place.mkdir(parents=True)
  rng = np.random.default_rng(0)
  rows = {
    row: [{name: z if metrics.METRICS[name].higher_is_better else -z for name in PANEL}
          for z in level + rng.normal(size=pairs) * 0.1]
    for row, level in levels.items()
  }  # fmt: skip
  (place / "scores.json").write_text(json_text(rows, images=[str(i) for i in range(pairs)]))
  return folder


def test_ranks_of_each_set_and_over_them_and_what_is_beyond_chance(tmp_path):
  folders = [write(tmp_path / "a", {"average": 1, "near": 2.0, "Dig2DIG": 2.5}, 8),
             write(tmp_path / "b", {"average": 1, "near": 2.4, "Dig2DIG": 2.0}, 8)]  # fmt: skip
  text = ranks.run(folders, tmp_path / "out")
  lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line]
  assert lines[0] == ["mean rank ↓", "a, 8", "b, 8", "over sets"]
  assert lines[2:5] == [["average", "3.00", "3.00", "3.00"], ["near", "2.00", "1.00", "1.50"],
                        ["Dig2DIG", "1.00", "2.00", "1.50"]]  # fmt: skip
  told = json.loads((tmp_path / "out" / "ranks.json").read_text())
  assert told["pairs"] == {"a": 8, "b": 8} and told["over sets"]["near"] == 1.5
  assert all(found["better by"] > 1 and found["p"] < 0.01 for found in told["tests"]["average"].values())
  assert all(found["p"] > 0.05 for found in told["tests"]["near"].values())
  assert lines[-2] == ["average", ", ".join(PANEL), "–"] and lines[-1] == ["near", "–", "–"]


def test_what_cannot_be_held_together_is_named(tmp_path):
  with pytest.raises(UserError, match="--table=clean"):
    ranks.run([tmp_path / "nothing"], tmp_path / "out")
  a, b = write(tmp_path / "a", {"Dig2DIG": 1, "average": 0}, 2), write(tmp_path / "b", {"Dig2DIG": 1}, 2)
  with pytest.raises(UserError, match="b: expected the rows of a"):
    ranks.run([a, b], tmp_path / "out")
  with pytest.raises(UserError, match="different names"):
    ranks.run([a, a], tmp_path / "out")
  with pytest.raises(UserError, match="expected a row Dig2DIG"):
    ranks.run([write(tmp_path / "c", {"average": 0}, 2)], tmp_path / "out")
