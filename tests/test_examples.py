"""The bundled pairs are what their script makes, and load as a user's data would."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from dig2dig_jax.data import images, pairs

EXAMPLES = Path(__file__).parents[1] / "examples"
TASKS = {"vif": ("ir", "vi"), "mff": ("a", "b"), "mef": ("under", "over")}


@pytest.fixture(scope="module")
def remade(tmp_path_factory):
  spec = importlib.util.spec_from_file_location("make_examples", EXAMPLES / "make_examples.py")
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  folder = tmp_path_factory.mktemp("examples")
  module.main(folder)
  return folder


def names(folder):
  return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))


def test_the_script_reproduces_every_pixel(remade):
  assert names(remade) == names(EXAMPLES) and len(names(EXAMPLES)) == 12
  for name in names(remade):
    np.testing.assert_array_equal(
      images.read_image(remade / name).pixels, images.read_image(EXAMPLES / name).pixels, err_msg=name)


def test_files_are_small():
  sizes = [path.stat().st_size for path in EXAMPLES.rglob("*.png")]
  assert max(sizes) < 400e3 and sum(sizes) < 1e6


@pytest.mark.parametrize("task, sources", TASKS.items())
def test_pairs_are_complete_and_load(task, sources):
  found, report = pairs.find_pairs(EXAMPLES / task, sources)
  assert len(found) == 2 and report == []
  for pair in found:
    loaded = pairs.load_pair(pair)
    assert loaded.bit_depths == (8, 8)
    assert loaded.is_colour == ((False, pair.name != "cameraman") if task == "vif" else (True, True))


def load(task, name):
  (pair,) = (p for p in pairs.find_pairs(EXAMPLES / task, TASKS[task])[0] if p.name == name)
  return pairs.load_pair(pair).sources


def sharpness(image, rows, columns):
  return np.abs(np.diff(image[rows, columns], axis=1)).mean()


@pytest.mark.parametrize("name, near, far", [
  ("astronaut", (slice(40, 70), slice(95, 130)), (slice(0, 30), slice(0, 30))),  # face, flag
  ("cat", (slice(120, 180), slice(120, 190)), (slice(0, 60), slice(50, 200))),  # muzzle, forehead
])
def test_each_focus_is_sharper_where_it_should_be(name, near, far):
  a, b = load("mff", name)
  assert sharpness(a, *near) > 1.5 * sharpness(b, *near)
  assert sharpness(b, *far) > 1.5 * sharpness(a, *far)


def test_each_exposure_loses_what_the_other_keeps():
  for name in ("coffee", "rocket"):
    under, over = load("mef", name)
    assert (over == 1).mean() > 10 * (under == 1).mean() and (over == 1).mean() > 0.02
    assert (under == -1).mean() > 10 * (over == -1).mean() and (under == -1).mean() > 0.02


def test_the_hot_ring_shows_in_the_thermal_image_alone():
  thermal, visible = load("vif", "coffee")[..., 0]
  ring, inside = (slice(148, 156), slice(233, 237)), (slice(148, 156), slice(258, 266))
  assert thermal[ring].mean() - thermal[inside].mean() > 0.3
  assert abs(visible[ring].mean() - visible[inside].mean()) < 0.1
