"""Does one call fuse files and arrays of every kind as launch.py does, and say which argument is wrong where one is?"""

import pathlib

import cv2
import flir_files
import numpy as np
import pytest
from absl.testing import flagsaver

import dig2dig_jax as d2d
import launch
from dig2dig_jax.alignment import stored
from dig2dig_jax.cli import common, flags
from dig2dig_jax.data import guess, palettes
from dig2dig_jax.data.images import read_image, to_uint8
from dig2dig_jax.errors import UserError
from dig2dig_jax.front import given
from dig2dig_jax.front import images as front
from dig2dig_jax.front import preset as presets

pytestmark = pytest.mark.usefixtures("quick_compile")
ROOT = pathlib.Path(__file__).resolve().parents[1]
QUICK = {"steps": 0, "bands": 2}  # little to compile; the gains are in it, and where noise is found, its removal


@pytest.fixture(scope="module")
def prior(tiny_prior):
  return d2d.load_prior(tiny_prior)


@pytest.fixture(scope="module")
def scene():
  """uint8 infrared [40, 56, 1] and visible [40, 56, 3]."""
  rng = np.random.default_rng(0)
  images = [cv2.blur(rng.uniform(0, 1, (40, 56, channels)), (5, 5)).reshape(40, 56, channels) for channels in (1, 3)]
  return [np.uint8(255 * (image - image.min()) / np.ptp(image)) for image in images]  # the whole range in use


@pytest.fixture
def files(scene, tmp_path):
  paths = [tmp_path / source / "a.png" for source in ("ir", "vi")]
  for path, image in zip(paths, scene, strict=True):
    path.parent.mkdir()
    cv2.imwrite(str(path), image[..., ::-1])
  return paths


@pytest.mark.parametrize("task", guess.TASKS.values())
def test_presets_are_what_the_flag_files_hold(task):
  found = d2d.preset(task)
  with flagsaver.flagsaver():
    launch.parse(["launch.py", f"--flagfile={ROOT / task}.flags"])
    assert found.options == common.method_options() != d2d.Dig2DigOptions()
    assert found.sources == tuple(flags.SOURCES.value) and found.colour == flags.COLOUR.value
    chroma = flags.CHROMA_FROM.value
    assert found.chroma_from == (found.sources.index(chroma) if chroma else None)


@pytest.mark.slow
def test_files_fuse_as_by_launch(files, tiny_prior, tmp_path, capsys):
  random = np.random.default_rng(1)
  for path, channels in zip(files, (1, 3), strict=True):  # noise, whose removal depends on the seed
    cv2.imwrite(str(path), np.uint8(np.clip(random.normal(128, 20, (40, 56, channels)), 0, 255)))
  with flagsaver.flagsaver():
    launch.parse([
      "launch.py", f"--flagfile={ROOT}/vif.flags", f"--prior={tiny_prior}", f"--data={tmp_path}", "--seed=3",
      f"--out={tmp_path / 'out'}", "--compile_cache=", "--nosheet", *(f"--{name}={x}" for name, x in QUICK.items()),
    ])  # fmt: skip
    assert launch.main(["launch.py"]) == 0, capsys.readouterr().err
  theirs = to_uint8(read_image(tmp_path / "out" / "a.png").pixels)
  ours = d2d.fuse_images(files, prior=tiny_prior, seed=3, **QUICK)
  assert ours.shape == theirs.shape == (40, 56, 3) and ours.dtype == np.uint8
  assert np.abs(ours.astype(int) - theirs).max() <= 1
  assert np.abs(ours.astype(int) - d2d.fuse_images(files, prior=tiny_prior, seed=4, **QUICK)).max() > 1


def test_arrays_of_every_kind_are_the_same_scene(scene, prior):
  expected = d2d.fuse_images(scene, prior=prior, **QUICK)
  assert expected.shape == (40, 56, 3) and expected.dtype == np.uint8 and np.ptp(expected) > 10
  infrared, visible = scene
  for kinds in (
    (infrared[..., 0], visible),
    (np.repeat(infrared, 3, axis=-1), visible / 255),
    (infrared.astype(np.uint16) * 257, (visible / 255).astype(np.float32)),
  ):
    found = d2d.fuse_images(kinds, prior=prior, **QUICK)
    assert np.abs(found.astype(int) - expected).max() <= 1
  gray = d2d.fuse_images([infrared, visible[..., :1]], prior=prior, **QUICK)
  assert gray.shape == (40, 56) and gray.dtype == np.uint8


def test_a_colour_task_and_more_sources(scene, prior):
  visible = scene[1]
  fused = d2d.fuse_images(np.stack([visible, visible[::-1], visible[:, ::-1]]), task="mef", prior=prior, **QUICK)
  assert fused.shape == (40, 56, 3)


def test_a_scene_of_the_same_size_is_not_compiled_again(scene, prior):
  d2d.fuse_images(scene, prior=prior, **QUICK)
  before = front._program.cache_info().misses
  d2d.fuse_images([image[::-1, :50] for image in scene], prior=prior, chroma_from=1, seed=5, **QUICK)  # mirrored to it
  assert front._program.cache_info().misses == before


def test_the_embedded_prior_is_the_default(scene, prior, monkeypatch):
  asked = []
  monkeypatch.setattr(front, "_loaded", lambda directory: asked.append(directory) or prior)
  d2d.fuse_images(scene, **QUICK)
  assert asked == [d2d.EMBEDDED]


def test_an_infrared_image_that_comes_second_is_told_by_names_or_by_colour(scene, prior, caplog):
  with caplog.at_level("WARNING"):
    d2d.fuse_images(scene[::-1], prior=prior, **QUICK)
  assert "images[0]: taken as the infrared image, though it has colour and images[1] has none" in caplog.text
  pixels = [np.repeat(np.float32(image), 3 // image.shape[-1], axis=-1) / 127.5 - 1 for image in scene]
  told = lambda *names: given.infrared_second(names, pixels)  # noqa: E731
  (line,) = told("1_vi.png", "1_ir.png")
  assert line.startswith("images[0]: taken as the infrared image, though the names 1_vi and 1_ir say")
  assert told("vi/1.png", "ir/1.png") and not told("ir/1.png", "vi/1.png") and not told("1.png", "2.png")
  assert not given.infrared_second(scene, pixels) and given.infrared_second(scene[::-1], pixels[::-1])


def test_narrow_values_are_stretched_and_the_log_says_so(scene, prior, caplog):
  expected = d2d.fuse_images(scene, prior=prior, **QUICK)
  for narrow in (28500 + 10 * scene[0].astype(np.uint16), (-20 + 0.1 * scene[0]).astype(np.float32)):
    caplog.clear()
    found = d2d.fuse_images([narrow, scene[1]], prior=prior, **QUICK)
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert "range of images[0]: " in caplog.text
  given = d2d.fuse_images([scene[0] + 0.0, scene[1]], value_range=(0, 255), prior=prior, **QUICK)
  assert np.abs(given.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
  ("images", "options", "words"),
  [
    ("vi.png", {}, "images: expected a sequence of two or more"),
    ([np.zeros((4, 4))], {}, "images: expected a sequence of two or more"),
    (np.zeros((2, 4, 4)), {}, "images: expected a sequence of two or more"),
    ([np.zeros((4, 4)), np.zeros((4, 9))], {}, r'images\[0\]: expected the aspect of images\[1\].* align="similarity"'),
    ([np.zeros((4, 4)), np.zeros((8, 8))], {"resize": "off"}, 'expected one size, found 4x4, 8x8 .* resize="aspect"'),
    ([np.zeros((4, 4))] * 2, {"align": "optical"}, "align: expected off, auto, flow, translation"),
    ([np.zeros((4, 4))] * 2, {"reference": 2}, "reference: expected the number of an image, 0 to 1, found 2"),
    ([np.zeros((4, 4)), np.full((4, 4), 255.0)], {"value_range": "full"}, r"images\[1\]: expected float samples in"),
    ([np.full((4, 4), np.nan), np.zeros((4, 4))], {}, r"images\[0\]: expected finite float samples, found 16 NaN"),
    ([np.zeros((4, 4), complex)] * 2, {}, r"images\[0\]: expected whole numbers or floats, found complex128"),
    ([np.zeros((4, 4))] * 2, {"value_range": "most"}, "value_range: expected auto, shared, full"),
    ([np.zeros((4, 4))] * 2, {"value_range": (5, 5)}, r"value_range: .*, black below white, found \(5, 5\)"),
    ([np.zeros((4, 4, 5))] * 2, {}, r"images\[0\]: expected .* found \[4, 4, 5\]; drop other channels"),
    ([np.zeros((0, 4))] * 2, {}, r"images\[0\]: expected"),
    ([np.zeros((4, 4))] * 2, {"task": "irvi"}, "task: expected one of thermal, medical, focus, exposure, vif, "),
    ([np.zeros((4, 4))] * 2, {"step": 3}, "step: expected an option among .*steps"),
    ([np.zeros((4, 4))] * 2, {"chroma_from": 5}, "chroma_from=5: expected a source of 2, 0 to 1"),
  ],
  ids=lambda value: value[:24] if isinstance(value, str) else "",
)
def test_wrong_arguments_are_named(prior, images, options, words):
  with pytest.raises(ValueError, match=words) as error:
    d2d.fuse_images(images, prior=prior, **options)
  assert "\n" not in str(error.value)


@pytest.mark.usefixtures("unchecked")
def test_files_that_are_none_and_options_that_cannot_run(files, prior):
  with pytest.raises(d2d.UserError, match="none.png: expected an image file"):
    d2d.fuse_images([files[0], "none.png"], prior=prior)
  with pytest.raises(ValueError, match="^steps=2000: expected 0 to 1000"):
    d2d.fuse_images(files, prior=prior, steps=2000)
  for wrong, message in (
    ({"t_low": 900, "window": "cumulative"}, "^t_low=900: expected 0 to below t_high=600$"),
    ({"bands": "many"}, "^bands=many: expected at least 1$"),
    ({"seed": 1.5}, "^seed: expected a whole number from 0 to 4294967295, found 1.5$"),
  ):
    with pytest.raises(ValueError, match=message):
      d2d.fuse_images(files, prior=prior, **wrong)


def test_images_of_other_sizes_come_into_one_frame(scene, prior, caplog):
  small = cv2.resize(scene[0], (28, 20), interpolation=cv2.INTER_AREA)
  with caplog.at_level("WARNING"):
    assert d2d.fuse_images([small, scene[1]], prior=prior, restore="noise", **QUICK).shape == (40, 56, 3)
  assert "resampled bicubically" in caplog.text
  assert "images[0]: brought to the size of images[1] in 1 of 1 pair, 2 times" in caplog.text
  assert d2d.fuse_images([small, scene[1]], prior=prior, reference=0, **QUICK).shape == (20, 28, 3)


@pytest.mark.slow
def test_transforms_are_applied_as_by_the_command(scene, prior, tmp_path):
  shifted = [np.roll(scene[0], 3, axis=1), scene[1]]
  placed = stored.Placed(np.float64([[1, 0, 3], [0, 1, 0], [0, 0, 1]]), (40, 56), 1.0)
  file = tmp_path / "transforms.json"
  stored.write(file, stored.Transforms("vi", (40, 56), {"ir": placed}))
  found = d2d.fuse_images(shifted, transforms=file, prior=prior, **QUICK)
  expected = d2d.fuse_images(scene, prior=prior, **QUICK)
  unmoved = d2d.fuse_images(shifted, prior=prior, **QUICK)
  away = [np.abs(one.astype(int) - expected)[:, :48].mean() for one in (found, unmoved)]
  assert away[0] < 0.2 * away[1]
  with pytest.raises(ValueError, match="transforms: expected no align='auto' with it"):
    d2d.fuse_images(shifted, transforms=file, align="auto", prior=prior)
  with pytest.raises(UserError, match="transforms.json: expected transforms of the task's sources, under, over, found"):
    d2d.fuse_images(shifted, transforms=file, task="exposure", prior=prior)
  with pytest.raises(ValueError, match=r"images\[1\]: expected 40x56 .* as in transforms, found 80x112"):
    d2d.fuse_images([shifted[0], np.repeat(np.repeat(scene[1], 2, 0), 2, 1)], transforms=file, prior=prior)


def test_images_of_other_sizes_are_restored_as_by_launch(scene, files, prior, tiny_prior, tmp_path, caplog):
  small = cv2.resize(scene[0], (28, 20), interpolation=cv2.INTER_AREA)
  plain = d2d.fuse_images([small, scene[1]], prior=prior, restore="noise", **QUICK)
  with caplog.at_level("WARNING"):
    restored = d2d.fuse_images([small, scene[1]], prior=prior, **QUICK)
    assert 'restored with the prior; restore="noise" resamples it bicubically' in caplog.text
  assert np.any(restored != plain)
  cv2.imwrite(str(files[0]), small)
  with flagsaver.flagsaver():
    launch.parse([
      "launch.py", f"--flagfile={ROOT}/vif.flags", f"--prior={tiny_prior}", f"--data={tmp_path}",
      f"--out={tmp_path / 'out'}", "--compile_cache=", "--nosheet", *(f"--{name}={x}" for name, x in QUICK.items()),
    ])  # fmt: skip
    assert launch.main([]) == 0
  by_launch = to_uint8(read_image(tmp_path / "out" / "a.png").pixels)
  found = d2d.fuse_images(files, prior=prior, **QUICK)
  assert np.abs(found.astype(int) - by_launch).max() <= 1


def test_where_there_are_no_flag_files(monkeypatch, tmp_path):
  monkeypatch.setattr(presets, "ROOT", tmp_path)
  with pytest.raises(d2d.UserError, match=f"{tmp_path}/vif.flags: expected the settings of a task, .*from a clone"):
    d2d.preset("vif")


def test_what_thermal_cameras_write_is_read_as_what_they_measured(scene, prior, tmp_path, caplog):
  infrared, visible = scene
  gray = d2d.fuse_images([infrared, visible], prior=prior, **QUICK)
  coloured = palettes.table("jet")[infrared[..., 0]]
  found = d2d.fuse_images([coloured, visible], prior=prior, **QUICK)
  assert np.abs(found.astype(int) - gray).max() <= 3 and "the palette jet" in caplog.text
  assert np.abs(d2d.fuse_images([coloured, visible], prior=prior, palette="off", **QUICK).astype(int) - gray).max() > 20
  with pytest.raises(ValueError, match="palette: expected auto, off, jet"):
    d2d.fuse_images([infrared, visible], prior=prior, palette="jot")
  path = tmp_path / "FLIR.jpg"
  path.write_bytes(flir_files.file(12000 + 10 * infrared[..., 0].astype(np.uint16)))
  found = d2d.fuse_images([path, visible], prior=prior, **QUICK)
  assert found.shape == (40, 56, 3) and "range of images[0]: " in caplog.text and "degrees Celsius" in caplog.text
