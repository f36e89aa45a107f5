"""Does the table of brackets see black and white that no frame has, and a mean that leaves the best exposed frames'?"""

import json

import numpy as np
import pytest
from scenes import write_pair

from dig2dig_jax.benchmarks import brackets
from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing.config import FuseConfig


def gray(*levels, size=(40, 48)):
  return np.stack([np.full((*size, 3), level / 127.5 - 1, np.float32) for level in levels])


def test_the_best_exposed_are_those_near_middle_grey_and_a_lopsided_bracket_has_one_of_them():
  frames = gray(10, 130, 90, 250)
  assert brackets.best(frames) == [1, 2]
  made = (brackets.lopsided(frames) + 1) * 127.5
  assert np.allclose(made[:, 0, 0, 0], [130, 51, 37, 27, 20], atol=0.6)


def test_black_and_white_count_where_no_frame_has_them():
  frames, fused = gray(2, 120), gray(60)[0]
  fused[:4] = -1  # black, but so is the first frame
  fused[4:8] = 1
  assert brackets.exposed(fused, frames) == pytest.approx((60 * 32 / 40 + 255 * 4 / 40, 0, 0.1), abs=0.5)
  assert brackets.exposed(fused, gray(40, 120)).black == pytest.approx(0.1)


def test_files_and_what_leaves_the_frames(tmp_path):
  write_pair(tmp_path / "data", "a", (40, 48), channels={"under": 3, "over": 3})
  config = FuseConfig(tmp_path / "data", ("under", "over"), out=tmp_path / "out")
  report = brackets.run(lambda frames, name: np.ones_like(frames[0]), config)
  assert not report.failed
  told = json.loads((tmp_path / "out" / "brackets.json").read_text())["brackets"]
  assert [(one["bracket"], one["case"]) for one in told] == [("a", "real"), ("a", "lopsided")]
  assert all(one["Dig2DIG"]["white"] > 0.8 for one in told)
  lines = [[cell.strip() for cell in line.split("|")] for line in report.text.splitlines()[2:]]
  assert [line[6] for line in lines] == ["no", "no"] and (tmp_path / "out" / "contact_sheet.png").exists()
  with pytest.raises(UserError, match="--cases=night"):
    brackets.run(lambda frames, name: frames[0], config, cases=("night",))
