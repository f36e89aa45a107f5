"""Are the estimated noise and the detected stripes counted, and does docs/gains.md have what the command prints?"""

import pathlib

import numpy as np
import pytest

from dig2dig_jax.benchmarks import noise_estimates

GAINS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "gains.md"


def test_noise_and_stripes_that_were_added_are_found(quick_compile, monkeypatch):
  monkeypatch.setattr(noise_estimates, "SIGMAS", (8, 20))
  monkeypatch.setattr(noise_estimates, "BESIDE", (0,))
  rows, columns = np.mgrid[:64, :64] / 64
  smooth = np.repeat((0.6 * np.sin(3 * rows) * np.cos(2 * columns))[..., None], 3, -1).astype(np.float32)
  texts = noise_estimates.run([("a", smooth), ("b", -smooth)]).split("\n\n")
  (faint, noise), (stripes,) = ([line.strip("| ").split(" | ") for line in text.splitlines()[2:]] for text in texts)
  assert noise[:2] == ["20", "2"] and all(0.85 < float(share) < 1.15 for share in noise[2:5]) and noise[5] == "–"
  assert all(float(detail) < 4 for detail in faint[5].split(", "))  # the scene is smooth
  assert stripes == ["0", "2", "0", "0", "2"]


def test_a_folder_that_is_not_there_is_refused(capsys):
  assert noise_estimates.main(["--data=nowhere"]) == 2
  assert "nowhere: expected a folder" in capsys.readouterr().err


@pytest.mark.slow
def test_the_tables_of_the_page_are_those_that_are_printed(shared_data, capsys):
  """40 s of processor time."""
  assert noise_estimates.main([f"--data={shared_data}/vif/roadscene,{shared_data}/vif/tno"]) == 0
  assert all(table in GAINS.read_text() for table in capsys.readouterr().out.split("\n\n"))
