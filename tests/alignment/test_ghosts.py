"""Is what moved between two frames found, and nothing else, and is there one copy of it in the fused image?"""


import cv2
import numpy as np
import pytest
from absl.testing import flagsaver

import dig2dig_jax as d2d
import launch
from dig2dig_jax.alignment import ghosts
from dig2dig_jax.assets import ROOT
from dig2dig_jax.data.images import Image, read_image, to_uint8, write_png
from dig2dig_jax.fusing import ledger

pytestmark = pytest.mark.usefixtures("simple_loops")
QUICK = {"bands": 2, "restore": "off"}

H, W = 240, 320


def scene(seed=0):
  """float32 [H, W, 3] of radiances in 0..1: smooth areas, edges and texture."""
  rng = np.random.default_rng(seed)
  image = cv2.resize(rng.random((6, 8, 3)).astype(np.float32), (W, H), interpolation=cv2.INTER_CUBIC)
  for _ in range(12):
    centre, axes = ((int(rng.integers(0, x)), int(rng.integers(0, y))) for x, y in ((W, H), (50, 50)))
    cv2.ellipse(image, centre, axes, float(rng.integers(180)), 0, 360, rng.random(3).tolist(), -1)
  return np.clip(0.02 + 0.9 * image ** 2 + 0.02 * rng.standard_normal(image.shape).astype(np.float32), 0.02, 1)


def exposed(radiance, stops, *, noise=0.0, seed=0):
  """float32 [H, W, 3] in [-1, 1]: clipped, and of a camera's curve."""
  levels = np.clip(radiance * 2.0**stops, 0, 1) ** (1 / 2.2)
  levels = levels + noise / 255 * np.random.default_rng(seed).standard_normal(levels.shape)
  return np.float32(2 * np.clip(np.round(255 * levels) / 255, 0, 1) - 1)


def with_disc(radiance, at, colour, radius=18):
  image = radiance.copy()
  cv2.circle(image, at, radius, colour, -1)
  mask = np.zeros((H, W), np.uint8)
  cv2.circle(mask, at, radius, 1, -1)
  return image, mask > 0


def of(pixels, valid=None):
  return Image(pixels, True, 8, None, valid)


@pytest.mark.parametrize("stops", [(-2, 0), (0, 2), (-2, 2)])
@pytest.mark.parametrize("noise", [0, 8])
def test_a_still_scene_has_nothing_that_moved(stops, noise):
  first, second = (exposed(scene(), stop, noise=noise, seed=k) for k, stop in enumerate(stops))
  assert not ghosts.moved(first, second).any() and not ghosts.moved(second, first).any()


def test_an_offset_of_a_pixel_is_no_motion():
  shifted = np.pad(scene(), ((1, 0), (0, 1), (0, 0)), mode="edge")[:-1, 1:]
  assert not ghosts.moved(exposed(scene(), 0), exposed(shifted, 1)).any()


@pytest.mark.parametrize("noise", [0, 8])
def test_a_disc_that_moved_is_found_at_both_of_its_places(noise):
  first, here = with_disc(scene(), (80, 120), (0.02, 0.02, 0.02))
  second, there = with_disc(scene(), (230, 100), (0.02, 0.02, 0.02))
  area = ghosts.moved(exposed(first, 0, noise=noise), exposed(second, 1, noise=noise, seed=1))
  both = here | there
  assert area[both].mean() > 0.8
  grown = cv2.dilate(both.astype(np.uint8), np.ones((21, 21))) > 0
  assert not area[~grown].any()


def test_a_disc_of_equal_brightness_is_found_by_its_colour():
  flat = np.full((H, W, 3), 0.3, np.float32) + 0.05 * (scene() - 0.5)
  moved, mask = with_disc(flat, (160, 120), (0.45, 0.15, 0.3))
  area = ghosts.moved(exposed(flat, 0), exposed(moved, 0.5))
  assert area[mask].mean() > 0.8 and area[~(cv2.dilate(mask.astype(np.uint8), np.ones((21, 21))) > 0)].mean() == 0


def test_focal_planes_differ_in_blur_and_in_nothing_else():
  blurred = cv2.GaussianBlur(scene(), (0, 0), 3)
  near, far = scene(), blurred.copy()
  near[:, W // 2 :], far[:, W // 2 :] = blurred[:, W // 2 :], scene()[:, W // 2 :]
  assert not ghosts.moved(exposed(near, 0), exposed(far, 0), kind="focus").any()
  moved, mask = with_disc(far, (80, 120), (1, 1, 1), radius=25)
  assert ghosts.moved(exposed(near, 0), exposed(moved, 0), kind="focus")[mask].mean() > 0.8


def test_the_reference_stays_and_the_others_are_not_valid_where_something_moved():
  middle, _ = with_disc(scene(), (80, 120), (0.02, 0.02, 0.02))
  over, _ = with_disc(scene(), (230, 100), (0.02, 0.02, 0.02))
  left = np.arange(W) > 10
  frames = {"under": of(exposed(middle, -3)), "middle": of(exposed(middle, 0)),
            "over": of(exposed(over, 2), np.broadcast_to(left, (H, W)))}  # fmt: skip
  found, told = ghosts.Deghoster()(frames)
  assert list(told) == ["over"] and told["over"].reference == "middle" and told["over"].used
  assert found["middle"] is frames["middle"] and found["under"] is frames["under"]
  assert not found["over"].valid[120, 80] and not found["over"].valid[100, 230] and not found["over"].valid[0, 5]
  assert found["over"].valid.mean() > 0.9 and told["over"].record()["moved"] == pytest.approx(0.03, abs=0.02)
  assert "over: something moved" in ghosts.lines([("a", told)])[0]
  named, told = ghosts.Deghoster(reference="over")(frames)
  assert named["over"] is frames["over"] and set(told) == {"under", "middle"}


def test_another_scene_is_left_as_it_is_and_said():
  flat, other = np.full((H, W, 3), 0.2, np.float32), np.full((H, W, 3), 0.2, np.float32)
  flat[: H // 8], other[:, : W * 45 // 100] = 0.8, 0.5
  frames = {"a": of(exposed(flat, 0)), "b": of(exposed(other, 0))}
  found, told = ghosts.Deghoster(reference="a")(frames)
  assert told["b"].area.mean() > 0.4 and not told["b"].used
  assert found == frames
  (line,) = ghosts.lines([("x", told)])
  assert line.startswith("x: b shows another scene than a") and line.endswith("fused as it is")


def test_large_images_are_looked_at_reduced():
  first, mask = with_disc(scene(), (80, 120), (0.02, 0.02, 0.02))
  large = [cv2.resize(exposed(image, 0), (4 * W, 4 * H), interpolation=cv2.INTER_LINEAR) for image in (scene(), first)]
  area = ghosts.moved(*large)
  assert area.shape == (4 * H, 4 * W) and area[480, 320] and 0.5 < area.sum() / (16 * mask.sum()) < 3


def test_a_few_pixels_say_nothing():
  tiny = exposed(scene()[:9, :7], 0)
  assert not ghosts.moved(tiny, -tiny).any()


def test_published_brackets_are_still(shared_data):
  for path in sorted((shared_data / "mef/mefb/under").glob("*"))[::4]:
    over = next((shared_data / "mef/mefb/over").glob(f"{path.stem}.*"))
    _, told = ghosts.Deghoster()({"under": read_image(path), "over": read_image(over)})
    assert all(one.area.mean() < 0.005 for one in told.values()), path.stem


@pytest.fixture
def by_command(tiny_prior, tmp_path, capsys):
  """by_command(folder, more flags) -> (image in levels, what was said) of the exposures in `tmp_path / "data"`."""

  def call(out, *more):
    with flagsaver.flagsaver():
      launch.parse(["launch.py", f"--flagfile={ROOT}/mef.flags", f"--prior={tiny_prior}", f"--data={tmp_path / 'data'}",
                    f"--out={tmp_path / out}", "--compile_cache=", "--nosheet", "--maps", "--align=off", *more,
                    *(f"--{name}={value}" for name, value in QUICK.items())])  # fmt: skip
      assert launch.main(["launch.py"]) == 0
    return to_uint8(read_image(tmp_path / out / "a.png").pixels).astype(int), capsys.readouterr().err

  return call


def write_exposures(folder):
  """{name: pixels} of two exposures of a scene, a disc in the second alone, written there; and where the disc is."""
  moved, there = with_disc(scene(), (230, 100), (0.02, 0.02, 0.02))
  exposures = {"under": exposed(scene(), -1), "over": exposed(moved, 1)}
  for source, pixels in exposures.items():
    write_png(folder / source / "a.png", pixels)
  return exposures, there


def test_what_moved_is_said_recorded_and_drawn(by_command, tmp_path):
  _, there = write_exposures(tmp_path / "data")
  _, told = by_command("single", "--reference=under")
  assert "over: something moved, or is in one frame only, in 1 of 1 image" in told and "under stands there" in told
  line = ledger.read(tmp_path / "single")["a"][-1]
  assert line["moved"]["over"]["reference"] == "under" and line["flags"]["deghost"]["kind"] == "exposure"
  assert (read_image(tmp_path / "single" / "moved" / "a_over.png").pixels[..., 0] > 0)[there].mean() > 0.8


@pytest.mark.slow
def test_one_copy_is_fused_by_the_command_and_in_python(by_command, tiny_prior, tmp_path, caplog):
  exposures, there = write_exposures(tmp_path / "data")
  plain, told = by_command("plain", "--deghost=off")
  assert "moved" not in told and not (tmp_path / "plain" / "moved").exists()
  single, _ = by_command("single", "--reference=under")
  area = read_image(tmp_path / "single" / "moved" / "a_over.png").pixels[..., 0] > 0
  away = ~(cv2.dilate(area.astype(np.uint8), np.ones((31, 31))) > 0)
  assert np.abs(single - plain)[away].mean() < 3

  still = [to_uint8(exposures["under"]), to_uint8(exposed(scene(), 1))]
  truth = d2d.fuse_images(still, task="exposure", prior=tiny_prior, **QUICK).astype(int)
  assert np.abs(single - truth)[there].mean() < 0.3 * np.abs(plain - truth)[there].mean()
  ours = d2d.fuse_images([tmp_path / "data" / source / "a.png" for source in exposures], task="exposure", reference=0,
                         prior=tiny_prior, **QUICK)  # fmt: skip
  assert np.abs(ours.astype(int) - single).max() <= 1 and "something moved" in caplog.text
