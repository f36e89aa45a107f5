"""Is a source in a palette's colours fused as the values behind them, and does a gray one give its colour if asked?"""

import cv2
import numpy as np
import pytest
from scenes import read, scene, write
from test_fuse import fuse_folder

from dig2dig_jax.data import palettes
from dig2dig_jax.ops import color

pytestmark = pytest.mark.usefixtures("quick_compile", "one_method")
SIZE = (48, 64)
VALUES = cv2.normalize(cv2.GaussianBlur(scene(3, *SIZE, 1)[..., 0], (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)


def folder(root, thermal):
  write(root / "ir" / "a.png", thermal)
  write(root / "vi" / "a.png", scene(5, *SIZE, 3))
  return root


def test_a_thermal_source_in_colours_is_fused_as_if_it_were_gray(tmp_path):
  for name, thermal, palette in (("gray", VALUES[..., None], "auto"), ("jet", palettes.table("jet")[VALUES], "auto"),
                                 ("colours", palettes.table("jet")[VALUES], "off")):  # fmt: skip
    palette = {} if palette == "off" else {"ir": palette}
    report = fuse_folder(folder(tmp_path / name, thermal), tmp_path / f"{name}_out", palettes=palette)
    assert report.done == 1
    said = "ir: its image is in the colours of the palette jet, and read as the values behind them"
    assert (said in report.notes) == (name == "jet"), report.notes
  fused = {name: read(tmp_path / f"{name}_out" / "a.png").astype(int) for name in ("gray", "jet", "colours")}
  assert np.abs(fused["gray"] - fused["jet"]).max() <= 3 < np.abs(fused["gray"] - fused["colours"]).mean()


def test_a_gray_source_gives_its_colour_and_a_coloured_one_keeps_its_own(tmp_path):
  data = folder(tmp_path / "in", VALUES[..., None])
  fuse_folder(data, tmp_path / "plain")
  report = fuse_folder(data, tmp_path / "hot", colormap=("ir", "hot"))
  assert report.done == 1
  plain, hot = (read(tmp_path / name / "a.png").astype(np.float32) for name in ("plain", "hot"))
  assert np.abs((hot - plain) @ color.LUMA).max() <= 1.5
  redder = ((hot - plain)[..., 0] - (hot - plain)[..., 2])[(VALUES > 100) & (VALUES < 200)]
  assert redder.mean() > 10
  report = fuse_folder(data, tmp_path / "vi", colormap=("vi", "hot"))
  np.testing.assert_array_equal(read(tmp_path / "vi" / "a.png"), plain)
  assert "vi: 1 of 1 images have colours of their own, so --colormap is not applied to them" in report.notes
  with pytest.raises(Exception, match="colormap: None then, \\['ir', 'jet'\\] now"):
    fuse_folder(data, tmp_path / "plain", colormap=("ir", "jet"))
