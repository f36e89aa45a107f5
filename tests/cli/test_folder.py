"""Does `dig2dig fuse FOLDER` fuse what cameras leave there, say what it took it for, and refuse what is no scene?"""

import json

import cv2
import numpy as np
import pytest
from absl.testing import flagsaver
from scenes import read, scene, write

from dig2dig_jax.cli import flags as _defined  # noqa: F401  # before flagsaver, which forgets what is defined later
from dig2dig_jax.cli import main


@pytest.fixture
def run(capsys, quick_compile, tiny_prior):
  """dig2dig fuse in this process: run(*words) -> (status, stdout, stderr)."""

  def call(*words):
    with flagsaver.flagsaver():
      extra = [f"--prior={tiny_prior}", "--compile_cache=", "--bucket=8", "--nosheet", "--bands=2", "--restore=off"]
      status = main.main(["fuse", *map(str, words), *extra])
    return status, *capsys.readouterr()

  return call


def fused(out):
  return sorted(path.stem for path in out.glob("*.png"))


def test_a_flat_folder_is_one_stack(run, tmp_path):
  base = scene(0, 24, 32, 3).astype(np.float32)
  for k in range(3):
    blurred = base.copy()
    blurred[:, 10 * k : 10 * k + 10] = cv2.blur(base, (3, 3))[:, 10 * k : 10 * k + 10]
    write(tmp_path / "burst" / f"IMG_{k}.png", np.uint8(blurred))
  status, told, notes = run(tmp_path / "burst", "-o", tmp_path / "out")
  assert status == 0 and "1 pair fused" in told and fused(tmp_path / "out") == ["burst"]
  assert "burst: 3 images, read as --dataset=stacks" in notes and "task focus, by one scene at one brightness" in notes
  assert run(tmp_path / "burst", "-o", tmp_path / "out")[1].startswith("0 pairs fused, 0 failed, 1 done before")


def test_exposures_in_a_flat_folder_are_ordered_by_brightness(run, tmp_path):
  for name, light in (("a", 1.0), ("b", 0.2), ("c", 0.6)):
    write(tmp_path / "bracket" / f"{name}.png", np.uint8(light * scene(0, 24, 32, 3)))
  status, _, notes = run(tmp_path / "bracket", "-o", tmp_path / "out")
  assert status == 0 and "task exposure, by one scene at several brightnesses" in notes
  settings = json.loads((tmp_path / "out" / "run.json").read_text())["settings"]
  assert settings["sources"] == ["source3", "source1", "source2"] and settings["dataset"] == "stacks"


@pytest.mark.parametrize(
  ("names", "results"),
  [
    (("DJI_0001_T", "DJI_0001_W", "DJI_0002_T", "DJI_0002_W"), ["DJI_0001", "DJI_0002"]),
    (("7_rgb", "7_thermal"), ["7"]),
    (("IR_0001", "DC_0002"), ["0001"]),
    (("ir/DJI_0001_T", "vi/DJI_0001_V"), ["DJI_0001"]),
    (("thermal/1_lwir", "rgb/1_vis", "thermal/2_lwir", "rgb/2_vis"), ["1", "2"]),
    (("scene/IR", "scene/VIS", "other/IR", "other/VIS"), ["other", "scene"]),
  ],
)
def test_names_say_which_is_which(run, tmp_path, names, results):
  for name in names:
    infrared = any(word in name.casefold() for word in ("_t", "thermal", "ir"))
    write(tmp_path / "in" / f"{name}.png", scene(3 + infrared, 24, 32, 1 if infrared else 3))
  status, _, notes = run(tmp_path / "in", "-o", tmp_path / "out")
  assert status == 0 and "task thermal, by the names" in notes and fused(tmp_path / "out") == results
  assert read(tmp_path / "out" / f"{results[0]}.png").ndim == 3  # the colours are the visible image's
  settings = json.loads((tmp_path / "out" / "run.json").read_text())["settings"]
  assert settings["chroma_from"] == settings["sources"][1]


def test_photographs_of_several_scenes_are_no_stack_unless_somebody_says_so(run, tmp_path):
  for k in range(3):
    write(tmp_path / "photos" / f"{k}.png", scene(10 + k, 24, 32, 3))
  status, _, refused = run(tmp_path / "photos", "-o", tmp_path / "out")
  assert status == 2 and "expected images of one scene, found 3 that are not alike (0.png, 1.png, 2.png" in refused
  assert not (tmp_path / "out").exists()
  assert run(tmp_path / "photos", "-o", tmp_path / "out", "--task=focus")[0] == 0
  write(tmp_path / "one" / "only.png", scene(0, 24, 32, 3))
  status, _, refused = run(tmp_path / "one", "-o", tmp_path / "out")
  assert status == 2 and "only.png: one image by itself" in refused and refused.count("\n") == 1


def test_the_home_folder_is_where_a_tilde_says(run, tmp_path, monkeypatch):
  monkeypatch.setenv("HOME", str(tmp_path))
  for source, channels in (("ir", 1), ("vi", 3)):
    write(tmp_path / "in" / source / "a.png", scene(0, 24, 32, channels))
  assert run("~/in", "--out=~/fused")[0] == 0 and fused(tmp_path / "fused") == ["a"]
  assert run("~/in/ir/a.png", "~/in/vi/a.png", "-o", "~/one.png")[0] == 0 and (tmp_path / "one.png").exists()
