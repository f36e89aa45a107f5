"""Does the benchmark of warped pairs measure what it says?"""

import numpy as np
import pytest
from scenes import scene, write

from dig2dig_jax.alignment import transforms
from dig2dig_jax.benchmarks import alignment, warps
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.errors import UserError


@pytest.mark.parametrize("cameras", list(warps.RANGES))
def test_warps_are_seeded_and_as_large_as_they_say(cameras):
  image = scene(0, 120, 160, 1)[..., 0]
  kind = warps.RANGES[cameras]
  again = [warps.warp(image, np.random.default_rng(4), kind) for _ in range(2)]
  np.testing.assert_array_equal(again[0].image, again[1].image)
  for seed in range(20):
    matrix = warps.draw(np.random.default_rng(seed), kind, (120, 160))
    moved = transforms.mapped(matrix, np.array([[79.5, 59.5]]))[0] - [79.5, 59.5]
    assert np.all(np.abs(moved) <= (kind.shift + 2 * kind.corner) * np.array([160, 120]) + 1e-3)
    warped = warps.warp(image, np.random.default_rng(seed), kind)
    assert warped.image.shape == warped.mask.shape and 0.2 < warped.mask.mean() <= 1
    assert np.all(warped.image[~warped.mask] == 0)


def test_the_matrix_is_of_the_warp():
  image = np.zeros((120, 160), np.uint8)
  image[57:64, 77:84] = 255
  warped = warps.warp(image, np.random.default_rng(1), warps.RANGES["mounted"])
  rows, columns = np.nonzero(warped.image > 128)
  centre = transforms.mapped(warped.matrix, np.array([[80.0, 60.0]]))[0]
  np.testing.assert_allclose([columns.mean(), rows.mean()], centre, atol=0.5)


def test_the_table_counts_what_is_accepted_and_how_far_it_is_off(tmp_path, monkeypatch):
  for k in range(4):
    for source in ("a", "b"):
      write(tmp_path / "data" / source / f"{k}.png", scene(k, 60, 80, 1))
  pairs, _ = DataConfig(tmp_path / "data", ("a", "b")).find()
  calls = iter(range(100))

  def align(reference, source, mask):
    """Four own registrations, then by turns of a pair and of two scenes: right and sure, but for the last."""
    number = next(calls)
    if number >= 4 and number % 2:
      return np.eye(3), 0.1
    return np.eye(3), 0.9 if number < 10 else 0.2

  monkeypatch.setattr(alignment, "_ours", align)
  monkeypatch.setattr(alignment, "METHODS", {alignment.OURS: align})
  still = warps.RANGES["mounted"]._replace(shift=0, angle=0, scale=(1, 1), corner=0)
  monkeypatch.setattr(warps, "RANGES", {"still": still})
  text = alignment.run(pairs, tmp_path / "out")
  row = next(line for line in text.splitlines() if line.startswith("| still | dig2dig |"))
  assert [cell.strip() for cell in row.split("|")[3:10]] == ["4", "75 %", "75 %", "0.00", "0 %", "75 %", "100 %"]
  assert (tmp_path / "out" / "alignment.json").exists()
  with pytest.raises(UserError, match="--cases=nowhere: expected among still"):
    alignment.run(pairs, tmp_path / "out", ranges=["nowhere"])
