"""Are lines about sources that lie apart counted for pairs as they are and as they are warped?"""

import numpy as np
import pytest
from scenes import write

from dig2dig_jax.alignment.estimate import Alignment
from dig2dig_jax.benchmarks import lying_apart
from dig2dig_jax.benchmarks.lying_apart import Row


def test_even_and_odd_pairs_are_counted_and_those_that_nothing_aligns():
  rows = [Row(None, 12.0, False), Row(None, None, True), Row(3.0, 9.0, False), Row(None, None, False)]
  text = lying_apart.markdown({"one": rows, "two": rows[:1]})
  cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[2:]]
  assert cells == [["one", "4", "1", "2 of 2", "0 of 2", "1"], ["two", "1", "0", "1 of 1", "0 of 0", "0"]]


def test_no_data_is_one_line(capsys):
  assert lying_apart.main(["--data=nowhere"]) == 2
  assert "nowhere" in capsys.readouterr().err


def test_a_pair_is_seen_as_it_is_and_warped(tmp_path, monkeypatch):
  image = np.uint8(np.random.default_rng(0).uniform(0, 255, (70, 90, 1)))
  for source in ("vi", "ir"):
    write(tmp_path / source / "x.png", image)
  asked = []
  monkeypatch.setattr(lying_apart.hint, "doubt", lambda *both: asked.append(both))
  monkeypatch.setattr(lying_apart, "estimate", lambda *_, **__: Alignment(np.eye(3), 0.1, 0.0, "auto"))
  assert "| 1 | 0 | 0 of 1 | 0 of 0 | 1 |" in lying_apart.run([tmp_path], ("vi", "ir"))
  (one, other, *masks), (first, second, _, mask) = asked
  np.testing.assert_array_equal(one, other)
  assert masks == [None, None] and not mask.all() and np.abs(np.float32(first) - second)[mask].mean() > 10


@pytest.mark.slow
def test_published_focal_planes_get_no_line_and_warped_ones_do(shared_data):
  cells = lying_apart.run([shared_data / "mff" / "mffw"], ("a", "b")).splitlines()[2].split("|")
  assert cells[3].strip() == "0" and int(cells[4].split()[0]) >= 5 and int(cells[5].split()[0]) >= 5
