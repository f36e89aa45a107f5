"""Do the yardstick and the measures agree? Two programs from one set of formulas; and does the timing tell its work?"""

import json

import numpy as np
import pytest
from scenes import scene

from dig2dig_jax import metrics
from dig2dig_jax.benchmarks import metric_speed, yardstick

SIZE = (171, 180)  # MS-SSIM wants more than 160


@pytest.mark.parametrize("plane", [pytest.param(yardstick.toolkit, marks=pytest.mark.slow), yardstick.separable])
def test_two_programs_agree(plane, quick_compile):
  images = [scene(seed, *SIZE, 1)[..., 0].astype(np.float64) for seed in range(3)]
  functions = yardstick.measures(plane)
  ours = metrics.score(images[:2], images[2], tuple(functions))
  for name, function in functions.items():
    np.testing.assert_allclose(function(images[:2], images[2]), ours[name], rtol=1e-8, err_msg=name)


def test_the_loop_over_windows_agrees(quick_compile):
  images = [scene(seed, 20, 23, 1)[..., 0].astype(np.float64) for seed in range(3)]
  images[0][3:8, 4:9] = images[2][3:8, 4:9]  # equal windows, and flat ones
  images[0][10:14, 10:15] = 40
  found = yardstick.feature_information(images[:2], images[2])
  np.testing.assert_allclose(found, metrics.score(images[:2], images[2], ("FMI",))["FMI"], rtol=1e-8)


def test_the_loop_is_timed_apart_and_a_ratio_of_all_is_told(tmp_path, quick_compile, monkeypatch):
  monkeypatch.setattr(metric_speed, "TIMED", ("EN", "SSIM"))
  text = metric_speed.run(tmp_path, pairs=2, size=(20, 24), batch=2)
  record = json.loads((tmp_path / "metric_speed.json").read_text())
  ours, toolkits = (row["seconds"] / 2 for row in record["rows"][:2])
  fmi = record["fmi_seconds_per_pair"]
  expected = (toolkits + fmi["toolkits"]) / (ours + fmi["this project"])
  assert record["ratio_with_fmi"] == pytest.approx(expected) and f"{expected:.1f} times as long" in text


def test_the_table_has_both_ratios(tmp_path, quick_compile):
  text = metric_speed.run(tmp_path, pairs=3, size=(165, 170), batch=2, names=("EN", "SSIM", "VIF"))
  record = json.loads((tmp_path / "metric_speed.json").read_text())
  assert [row["program"] for row in record["rows"]] == ["this project", "toolkits", "SciPy, separable windows"]
  ours, toolkits, careful = (row["seconds"] for row in record["rows"])
  assert all(row["cpu_seconds"] > 0 for row in record["rows"]) and record["cpu_ratios"]["toolkits"] > 0
  assert record["ratios"] == {"toolkits": toolkits / ours, "SciPy, separable windows": careful / ours}
  assert record["pairs"] == 3 and record["metrics"] == ["EN", "SSIM", "VIF"]
  assert f"{toolkits / ours:.1f}" in text and (tmp_path / "metric_speed.md").read_text() == text
