"""Are frames read from folders and TIFF files too, decided on once, and brought onto each other?"""

import logging
import sys

import cv2
import numpy as np
import pytest
import tifffile

pytest.importorskip("av", reason="no PyAV here: pip install dig2dig_jax[video]")
import made_clips as made

import dig2dig_jax as d2d
from dig2dig_jax.alignment import stored
from dig2dig_jax.errors import UserError
from dig2dig_jax.video import pairing, preparing
from dig2dig_jax.video.clip import open_clip
from dig2dig_jax.video.config import BUCKET

pytest_plugins = ("video_runs",)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
  """(a TIFF of 16-bit pages, counts around 30000; a folder of numbered PNG) of one scene, 8 frames; without PyAV."""
  folder, scene = tmp_path_factory.mktemp("images"), made.Scene((32, 48))
  frames = [scene.at(k / 25) for k in range(8)]
  pages = np.stack([28000 + 16 * infrared[..., 0].astype(np.uint16) for infrared, _ in frames])
  tifffile.imwrite(folder / "ir.tif", pages, photometric="minisblack")
  (folder / "vi").mkdir()
  for k, (_, visible) in enumerate(frames):
    assert cv2.imwrite(str(folder / "vi" / f"frame_{k + 97}.png"), visible[..., ::-1])
  return folder / "ir.tif", folder / "vi"


def test_images_need_no_pyav_and_16_bits_get_one_range(images, fuse, tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, "av", None)
  report = fuse(*images, tmp_path / "out")
  assert report.frames == 8
  names = [f"frame_{k + 97}.png" for k in range(8)]
  assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(names)
  assert any(note.startswith("range of ir: 28") and "in all frames, found in 8 frames" in note for note in report.notes)


def test_a_missing_image_is_a_gap_in_time(images, tmp_path):
  thinned = tmp_path / "thinned"
  thinned.mkdir()
  for path in images[1].iterdir():
    if path.stem != "frame_100":
      (thinned / path.name).write_bytes(path.read_bytes())
  clip = open_clip(thinned)
  assert [frame.pts for frame in clip.frames()] == [0, 1, 2, 4, 5, 6, 7]
  pairs = list(pairing.together(open_clip(images[0]), clip))
  assert [pair.frames[0].number for pair in pairs] == [0, 1, 2, 4, 5, 6, 7]
  late = list(pairing.together(open_clip(images[0]), clip, offset=clip.time_base * 2))
  assert [pair.frames[0].number for pair in late] == [0, 0, 2, 3, 4, 5]


def test_what_comes_after_the_infrared_clip_is_left_out(images, tmp_path):
  visible = open_clip(images[1])
  pages = tifffile.imread(images[0])
  tifffile.imwrite(tmp_path / "short.tif", pages[:4], photometric="minisblack")
  assert len(list(pairing.together(open_clip(tmp_path / "short.tif"), visible))) == 5


@pytest.mark.parametrize("damage", ["cut", "other size", "no image"])
def test_a_damaged_frame_is_named(images, tmp_path, damage):
  for path in images[1].iterdir():
    (tmp_path / path.name).write_bytes(path.read_bytes())
  bad = tmp_path / "frame_99.png"
  if damage == "cut":
    bad.write_bytes(bad.read_bytes()[:200])
  elif damage == "no image":
    bad.write_bytes(b"nothing")
  else:
    assert cv2.imwrite(str(bad), np.zeros((20, 20, 3), np.uint8))
  with pytest.raises(UserError, match="frame_99.png: expected"):
    [frame.read() for frame in open_clip(tmp_path).frames()]


def test_pages_of_another_size_are_told(images, tmp_path):
  with tifffile.TiffWriter(tmp_path / "ir.tif") as file:
    for shape in (32, 48), (16, 24), (32, 48):
      file.write(np.zeros(shape, np.uint8), photometric="minisblack")
  clips = {"ir": open_clip(tmp_path / "ir.tif"), "vi": open_clip(images[1])}
  assert clips["ir"].count == 2
  (line,) = pairing.lines(clips)
  assert line == f"{tmp_path / 'ir.tif'}: 1 of 3 pages are of another size than the first one; passed over"


@pytest.mark.parametrize("place", ["ir.tif", "ir"])
@pytest.mark.parametrize("bad", [0, 3])
def test_a_frame_that_is_not_finite_is_named(tmp_path, place, bad):
  frames = np.zeros((5, 16, 16), np.float32)
  frames[bad, 2, 3] = np.nan
  (tmp_path / "ir").mkdir()
  for number, frame in enumerate(frames):
    tifffile.imwrite(tmp_path / "ir" / f"{number}.tif", frame)
  tifffile.imwrite(tmp_path / "ir.tif", frames, photometric="minisblack")
  name = f"ir.tif, page {bad + 1}" if place == "ir.tif" else f"{bad}.tif"
  with pytest.raises(UserError, match=f"{name}: expected finite samples, found 1 NaN or infinite"):
    list(frame.read() for frame in open_clip(tmp_path / place).frames())


def test_noise_is_found_once_and_a_smaller_clip_is_brought_to_the_larger(tmp_path):
  large, small = made.Scene((64, 96), noise=14, drift=0), made.Scene((32, 48), noise=1)
  made.write(tmp_path / "ir.mp4", [large.at(k / 25)[0] for k in range(10)], rate=25, options={"crf": "0"})
  made.write(tmp_path / "vi.mp4", [small.at(k / 25)[1] for k in range(10)], rate=25)
  clips = {"ir": open_clip(tmp_path / "ir.mp4"), "vi": open_clip(tmp_path / "vi.mp4")}
  found = preparing.prepared(clips, settings={})
  assert found.size == (64, 96) and [source.gray for source in found.sources] == [True, False]
  assert 127.5 * found.sources[0].noise.deviation == pytest.approx(14, rel=0.25)
  assert any(line.startswith("vi: 48 x 32 brought to 96 x 64") for line in found.lines)
  assert sum("ir: noise of standard deviation" in line for line in found.lines) == 1
  images = found.images([clip.sample(1)[0] for clip in clips.values()])
  assert images.shape == (2, 64, 96, 3) and images.dtype == np.float32


def test_stripes_that_stay_are_taken_off(tmp_path):
  scene = made.Scene((64, 96), noise=1.0)
  stripes = np.random.default_rng(0).normal(0, 8, (1, 96, 1))
  pages = [np.uint8(np.clip(scene.at(k / 5)[0] + stripes, 0, 255))[..., 0] for k in range(9)]
  tifffile.imwrite(tmp_path / "ir.tif", np.stack(pages), photometric="minisblack")
  clips = {"ir": open_clip(tmp_path / "ir.tif"), "vi": open_clip(tmp_path / "ir.tif")}
  found = preparing.prepared(clips, settings={}).sources[0]
  assert np.corrcoef(127.5 * found.stripes[0, :, 0], stripes[0, :, 0])[0, 1] > 0.8


def test_transforms_of_dig2dig_align_place_every_frame(images, tmp_path):
  matrix = np.array([[1, 0, -10], [0, 1, 0], [0, 0, 1]], np.float64)
  known = stored.Transforms("vi", (32, 48), {"ir": stored.Placed(matrix, (32, 48), 1.0)})
  clips = {"ir": open_clip(images[0]), "vi": open_clip(images[1])}
  found = preparing.prepared(clips, settings={}, transforms=known, restore=False)
  infrared = found.sources[0]
  assert not infrared.valid[:, :9].any() and infrared.valid[:, 11:].all()
  plain = preparing.prepared(clips, settings={}, restore=False).sources[0]
  sample = clips["ir"].sample(1)[0]
  np.testing.assert_allclose(infrared.pixels(sample)[:, 10:], plain.pixels(sample)[:, :-10], atol=1e-2)
  with pytest.raises(UserError, match="expected frames of 20x20"):
    wrong = stored.Transforms("vi", (32, 48), {"ir": stored.Placed(matrix, (20, 20), 1.0)})
    preparing.prepared(clips, settings={}, transforms=wrong)
  with pytest.raises(UserError, match="a transform that suits every frame, found a displacement of ir"):
    bent = stored.Transforms("vi", (32, 48), {"ir": stored.Placed(matrix, (32, 48), 1.0, np.zeros((7, 9, 2)))})
    preparing.prepared(clips, settings={}, transforms=bent)


def test_the_generator_gives_the_frames_of_the_command(images, fuse, tiny_prior, one_program, tmp_path, caplog):
  fuse(*images, tmp_path / "out", bucket=BUCKET)
  with caplog.at_level(logging.WARNING):
    frames = d2d.fuse_video(*images, prior=tiny_prior, bands=4, restore="off")
    first = next(frames)
    rest = list(frames)
  assert "range of ir: 28" in caplog.text
  written = open_clip(tmp_path / "out")
  assert len(rest) == 7 and all(np.array_equal(one, written.at(k)) for k, one in enumerate([first, *rest]))
  for wrong in ({"seed": -1}, {"steady_share": 0}, {"rate": 0}, {"speed": 3}, {"value_range": "auto"}):
    with pytest.raises(ValueError, match=next(iter(wrong))):
      d2d.fuse_video(*images, prior=tiny_prior, **wrong)
