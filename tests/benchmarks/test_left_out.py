"""Do the other sets choose, and is what they chose held against the shipped constant on the set that was left out?"""

import json

import numpy as np
import pytest

from dig2dig_jax import metrics
from dig2dig_jax.benchmarks import left_out
from dig2dig_jax.errors import UserError
from dig2dig_jax.evaluation.table import json_text

PANEL = metrics.PROTOCOLS["panel"]
OPTIONS = {"as asked": {"exponent": 4.0, "bands": 7}, "exponent 3": {"exponent": 3.0, "bands": 7},
           "exponent 6": {"exponent": 6.0, "bands": 7}, "bands 5": {"exponent": 4.0, "bands": 5}}  # fmt: skip


def quality(value):
  """Scores that are the better the larger `value`."""
  return {name: value if metrics.METRICS[name].higher_is_better else -value for name in PANEL}


def write(folder, levels, pairs=4):
  """A table in which row number i is of quality levels[i]."""
  place = folder / "spectrum"
  place.mkdir(parents=True)
  rng = np.random.default_rng(0)
  noise = rng.normal(size=pairs) * 0.01
  rows = {row: [quality(level + z) for z in noise] for row, level in zip(OPTIONS, levels, strict=True)}
  (place / "scores.json").write_text(json_text(rows, images=[str(i) for i in range(pairs)]))
  (place / "settings.json").write_text(json.dumps({"rows": OPTIONS}))
  return folder


def test_the_others_choose_and_the_set_left_out_tells_what_it_is_worth(tmp_path):
  levels = {"a": (1, 2, 0, 1), "b": (1, 2, 0, 3), "c": (1, 0, 2, 1)}
  folders = [write(tmp_path / name, own) for name, own in levels.items()]
  text = left_out.run(folders, tmp_path / "out")
  told = json.loads((tmp_path / "out" / "left_out.json").read_text())
  assert told["c"] == {"exponent": {"shipped": 4.0, "chosen": 3.0}, "bands": {"shipped": 7, "chosen": 5}}
  assert told["a"]["exponent"]["chosen"] == 4.0, "b and c are level: the shipped value stays"
  line = next(line for line in text.splitlines() if line.startswith("| c | exponent"))
  assert [cell.strip() for cell in line.split("|")[3:7]] == ["4.0", "3.0", "2.00", "3.00"]
  assert (tmp_path / "out" / "left_out.md").read_text() == text


def test_of_one_table_each_half_is_left_out(tmp_path):
  left_out.run([write(tmp_path / "a", (1, 2, 0, 1))], tmp_path / "out")
  told = json.loads((tmp_path / "out" / "left_out.json").read_text())
  assert set(told) == {"a, odd pairs", "a, even pairs"}
  assert all(own["exponent"]["chosen"] == 3.0 for own in told.values())


def test_what_is_no_such_table_is_named(tmp_path):
  with pytest.raises(UserError, match="--table=spectrum"):
    left_out.run([tmp_path / "nothing"], tmp_path / "out")
  folders = [write(tmp_path / "a", (1, 2, 0, 1)), write(tmp_path / "b", (1, 2, 0, 3))]
  settings = folders[1] / "spectrum" / "settings.json"
  settings.write_text(settings.read_text().replace("6.0", "8.0"))
  with pytest.raises(UserError, match="b: expected the rows of a"):
    left_out.run(folders, tmp_path / "out")
  with pytest.raises(UserError, match="at least 4 pairs, found 2"):
    left_out.run([write(tmp_path / "d", (1, 2, 0, 1), pairs=2)], tmp_path / "out")
