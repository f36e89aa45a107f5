"""Does the table say what a warp costs a fusion, and what alignment gets back?"""

import cv2
import numpy as np
import pytest
from scenes import scene, write

from dig2dig_jax.benchmarks import warped_fusion
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.errors import UserError


def test_pairs_are_reduced_and_cut_to_one_size():
  images = {"a": [np.zeros((60, 90, 3), np.float32)] * 2, "b": [np.zeros((80, 70, 3), np.float32)] * 2}
  reduced = {name: [warped_fusion._reduced(image, 60) for image in sources] for name, sources in images.items()}
  assert reduced["a"][0].shape == (40, 60, 3) and reduced["b"][0].shape == (60, 52, 3)
  found = warped_fusion._of_one_size(reduced)
  assert {image.shape for sources in found.values() for image in sources} == {(40, 52, 3)}


def test_the_table_has_means_and_differences():
  def row(pair, lay, values):
    ways = zip(warped_fusion.WAYS, values, strict=True)
    scores = {way: dict.fromkeys(warped_fusion.PANEL, value) for way, value in ways}
    return warped_fusion.Row(pair, lay, "mounted", scores, pair == "a")

  rows = [row("a", "published", (0.5, 0.5, 0.4, 0.2)), row("b", "published", (0.7, 0.6, 0.6, 0.2)),
          row("a", "aligned first", (0.5, 0.5, 0.5, 0.1))]  # fmt: skip
  cells = [[cell.strip() for cell in line.split("|")[1:6]] for line in warped_fusion.markdown(rows).splitlines()[2:]]
  assert cells[0] == ["published", "mounted", "as it lay", "2", "0.6000"]
  assert cells[1][2:] == ["brought back by the inverse, off", "2", "-0.0500"]
  assert cells[2][2:] == ["aligned, off", "1 accepted", "-0.1000"]
  assert cells[4][0] == "aligned first" and cells[6][2:] == ["aligned, off", "1 accepted", "+0.0000"]


def test_what_cannot_be_said_is_refused(tmp_path, capsys):
  for source in ("ir", "vi"):
    write(tmp_path / "data" / source / "0.png", scene(0, 60, 80, 1))
  pairs, _ = DataConfig(tmp_path / "data", ("ir", "vi")).find()
  with pytest.raises(UserError, match="--cases=nowhere: expected among mounted, unknown"):
    warped_fusion.run(pairs, "thermal", tmp_path / "out", cases=["nowhere"])
  assert warped_fusion.main([f"--data={tmp_path / 'missing'}", "--task=thermal", f"--out={tmp_path / 'out'}"]) == 2
  assert "error: " in capsys.readouterr().err


@pytest.mark.slow
def test_a_warped_pair_fuses_as_it_lay_once_it_is_aligned(tmp_path):
  rng = np.random.default_rng(3)
  image = np.tile(np.linspace(60, 120, 200, dtype=np.float32), (150, 1))
  for _ in range(28):
    points = rng.uniform(0, 1, 2) * [200, 150] + rng.uniform(-28, 28, (4, 2))
    cv2.fillConvexPoly(image, cv2.convexHull(np.int32(points)), float(rng.uniform(0, 255)))
  image = np.uint8(cv2.GaussianBlur(image, (0, 0), 0.8))[..., None]
  write(tmp_path / "data" / "vi" / "0.png", image)
  write(tmp_path / "data" / "ir" / "0.png", 255 - image // 2)
  pairs, _ = DataConfig(tmp_path / "data", ("ir", "vi")).find()
  text = warped_fusion.run(pairs, "thermal", tmp_path / "out")
  lines = [[cell.strip() for cell in line.split("|")[1:]] for line in text.splitlines()[2:6]]
  inverse, aligned, without = (float(line[4]) for line in lines[1:])
  assert lines[2][3] == "1 accepted" and aligned > inverse - 0.02 and without < aligned - 0.02, text
  assert (tmp_path / "out" / "warped_fusion.json").exists()
