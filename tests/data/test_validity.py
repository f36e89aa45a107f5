"""Is what a source did not see told from what it saw, and does nothing of it show in what is made of the sources?"""


import cv2
import numpy as np
import PIL.Image
import pytest
import tifffile
from scenes import scene, write
from toys import conv_params, conv_prior

import dig2dig_jax as d2d
from dig2dig_jax.data import decode, filling, images, validity
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.data.pairs import Pair, load_pair
from dig2dig_jax.errors import UserError
from dig2dig_jax.evaluation import folders
from dig2dig_jax.fusing import job, ledger
from dig2dig_jax.methods.codec import luminance_codec
from dig2dig_jax.methods.dig2dig import dig2dig
from dig2dig_jax.methods.options import Dig2DigOptions

SIZE = 120, 160
RNG = np.random.default_rng(0)


def smooth(seed, channels=1):
  """uint8 [H, W, channels] of a scene that is nowhere black or white."""
  found = scene(seed, *SIZE, channels).astype(np.float32)
  return np.uint8(40 + 0.7 * cv2.blur(found, (3, 3)).reshape(found.shape))


def box(top, left, bottom, right):
  mask = np.zeros(SIZE, bool)
  mask[top:bottom, left:right] = True
  return mask


def warped(image, corners, value=0, flags=cv2.INTER_LINEAR):
  """The image with its corners moved there, and where it then is."""
  height, width = image.shape[:2]
  old = np.float32([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]])
  warp = cv2.getPerspectiveTransform(old, np.float32(corners))
  there = cv2.warpPerspective(np.full(SIZE, 255, np.uint8), warp, SIZE[::-1]) > 127
  moved = cv2.warpPerspective(image, warp, SIZE[::-1], flags=flags, borderValue=(value,) * 4)
  return moved.reshape(image.shape), there


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
  "area", [(20, 30, 100, 130), (0, 6, 120, 160), (0, 0, 112, 160), (12, 0, 108, 160), (9, 7, 120, 160)], ids=str
)
def test_a_frame_of_one_value_is_found_to_the_pixel(area, channels, value):
  image, mask = smooth(1, channels), box(*area)
  image[image == value] += 1
  image[~mask] = value
  np.testing.assert_array_equal(validity.find(image), mask)
  deep = image.astype(np.uint16) * 257
  np.testing.assert_array_equal(validity.find(deep), mask)
  np.testing.assert_array_equal(validity.find(np.float32(image / 255)), mask)
  assert validity.find(image, how="alpha") is None and validity.find(image, how="off") is None


@pytest.mark.parametrize("flags", [cv2.INTER_LINEAR, cv2.INTER_NEAREST])
@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize(
  "corners",
  [[(20, 9), (140, 22), (150, 100), (8, 111)], [(-15, 6), (150, -20), (170, 110), (4, 135)],
   [(0, 0), (159, 0), (120, 119), (35, 119)], [(0, 9), (159, -9), (159, 110), (0, 128)]],
  ids=["inside", "turned", "keystone", "tilted"],
)  # fmt: skip
def test_a_warp_is_found_to_within_its_edge(corners, value, flags):
  image, there = warped(smooth(2, 3), corners, value, flags)
  found = validity.find(image)
  assert found is not None
  wrong = cv2.erode((found != there).astype(np.uint8), np.ones((3, 3), np.uint8))
  assert not wrong.any()
  covered, _ = warped(np.ones(SIZE, np.float32), corners, flags=cv2.INTER_LINEAR)
  is_mixed = flags == cv2.INTER_LINEAR
  there = covered > 0.999 if is_mixed else there
  inside = np.s_[3:-3, 3:-3] if is_mixed else np.s_[:]  # where a side grazes the frame, rows of it go with mixed ones
  assert (found == there)[inside].mean() > 0.99
  assert not (found & (covered < (0.9 if is_mixed else 0.4)))[inside].any(), "of the constant and of the scene"


def test_dead_lines_at_a_sensors_edge_are_left_as_they_are():
  image = smooth(2, 3)
  image[:, -4:] = 0
  assert validity.find(image) is None


def test_the_scene_may_have_the_value_too_and_specks_may_lie_outside():
  image, mask = smooth(3), box(20, 30, 100, 130)
  image[40:60, 60:90] = 0  # a dark thing inside,
  image[93:100, 70:78] = 0  # one that touches the edge,
  image[~mask] = 0
  image[5, 5] = image[110, 150] = 255  # and hot pixels
  np.testing.assert_array_equal(validity.find(image) | box(93, 70, 100, 78), mask)


@pytest.mark.parametrize("quality", [80, 95])
def test_what_jpeg_leaves_beside_an_edge_is_no_part_of_the_scene(quality):
  image, mask = smooth(4), box(21, 34, 99, 130)
  image[~mask] = 0
  _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
  found = validity.find(cv2.imdecode(data, cv2.IMREAD_UNCHANGED)[..., None])
  assert found is not None
  assert not (found & ~mask).any() or (found & ~mask).sum() < 0.02 * mask.sum()
  assert (found & mask).sum() > 0.95 * mask.sum()


def skyline(value):
  image = smooth(5, 3)
  heights = np.repeat(RNG.integers(20, 80, 20), 8)
  image[np.arange(SIZE[0])[:, None] < heights] = value
  return image


def hills(value):
  image = smooth(6)
  horizon = 50 + 6 * np.sin(np.arange(SIZE[1]) / 20) + RNG.integers(-2, 3, SIZE[1])
  image[np.arange(SIZE[0])[:, None] < horizon] = value
  return image


def head():
  image = np.zeros((*SIZE, 1), np.uint8)
  inside = cv2.ellipse(np.zeros(SIZE, np.uint8), (80, 60), (42, 52), 0, 0, 360, 1, -1) > 0
  image[inside] = smooth(7)[inside]
  return image


def clipped():
  """A sky above a straight horizon that is over-exposed as other things are."""
  image = smooth(8)
  image[:40] = 255
  image[60:70, 20:60] = 255
  return image


def dark_corner():
  image = smooth(9)
  image[cv2.circle(np.zeros(SIZE, np.uint8), (0, 0), 30, 1, -1) > 0] = 0
  return image


CONTENT = {
  "night skyline": lambda: skyline(0), "white skyline": lambda: skyline(255), "night hills": lambda: hills(0),
  "head": head, "clipped sky": clipped, "dark corner": dark_corner, "black": lambda: np.zeros((*SIZE, 3), np.uint8),
  "white": lambda: np.full((*SIZE, 1), 65535, np.uint16), "scene": lambda: smooth(10, 3),
  "square on black": lambda: np.uint8(box(20, 30, 100, 130))[..., None] * 200,
  "one pixel": lambda: np.zeros((1, 1, 1), np.uint8), "a row": lambda: np.zeros((1, 50, 1), np.uint8),
  "noise": lambda: RNG.integers(0, 2, (*SIZE, 1), np.uint8),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTENT)
def test_content_is_left_alone(name):
  assert validity.find(CONTENT[name]()) is None


def alpha_files(folder):
  """{name: file} of one colour scene, opaque in a disc, in every way that files say so; and where."""
  colour, disc = smooth(11, 3), cv2.circle(np.zeros(SIZE, np.uint8), (80, 60), 40, 255, -1)
  deep = np.dstack([colour, disc]).astype(np.uint16) * 257
  write(folder / "rgba8.png", np.dstack([colour[..., ::-1], disc]))
  cv2.imwrite(str(folder / "rgba16.png"), deep)
  PIL.Image.fromarray(np.dstack([colour[..., 0], disc]), "LA").save(folder / "la8.png")
  tifffile.imwrite(folder / "rgba16.tif", deep, photometric="rgb", extrasamples=["unassalpha"])
  tifffile.imwrite(folder / "la16.tif", deep[..., [0, 3]], photometric="minisblack", extrasamples=["unassalpha"])
  tifffile.imwrite(folder / "float.tif", np.float32(deep / 65535), photometric="rgb", extrasamples=["unassalpha"])
  palette = PIL.Image.fromarray(colour).quantize(100)
  indices = np.asarray(palette).copy()
  indices[disc == 0] = 200
  made = PIL.Image.fromarray(indices, "P")
  made.putpalette(palette.getpalette()[:300] + [0] * 468)
  made.save(folder / "palette.png", transparency=200)
  gray = colour[..., 0].copy()
  gray[disc == 0] = 7
  PIL.Image.fromarray(gray).save(folder / "key.png", transparency=7)
  exif = PIL.Image.Exif()
  exif[274] = 6
  PIL.Image.fromarray(np.rot90(np.dstack([colour, disc]))).save(folder / "turned.png", exif=exif)
  return {path.name: path for path in sorted(folder.iterdir())}, disc > 127


def test_alpha_is_read_in_every_kind_of_file(tmp_path):
  files, disc = alpha_files(tmp_path)
  assert len(files) == 9
  for name, path in files.items():
    for how in ("auto", "alpha"):
      found = images.read_image(path, valid=how).valid
      assert found is not None and np.array_equal(found, disc), name
    plain = images.read_image(path)
    assert plain.valid is None
    assert decode.decode(path.read_bytes()).samples.shape[-1] in (1, 3)


def test_alpha_that_says_nothing_says_nothing():
  image = smooth(12)
  for alpha in (np.full(SIZE, 255, np.uint8), np.ones(SIZE, np.float32)):
    assert validity.find(image, alpha) is None
  image[:, :10] = 0
  assert validity.find(image, np.full(SIZE, 255, np.uint8)).sum() == SIZE[0] * (SIZE[1] - 10)


def test_what_is_transparent_everywhere_is_taken_as_it_is_and_said():
  nowhere = validity.find(smooth(12), np.zeros(SIZE, np.uint8))
  assert not nowhere.any()
  sources = pixels(smooth(12), smooth(13))
  np.testing.assert_array_equal(filling.fill(sources, [nowhere, None]), sources)
  tally = validity.Tally(("ir", "vi"))
  tally.add(validity.shares([nowhere, None]))
  assert tally.lines() == ["ir: 1 of 1 image is transparent everywhere, and taken as if opaque"]


def pixels(*scenes):
  return np.stack([np.repeat(found, 3 // found.shape[-1], -1).astype(np.float32) / 127.5 - 1 for found in scenes])


def test_filling_leaves_no_seam_and_no_outline():
  one, other = smooth(13) // 2 + 100, smooth(14, 3) // 2  # brighter by far
  mask = box(30, 40, 90, 120)
  sources = pixels(one, other)
  padded = sources.copy()
  padded[0][~mask] = -1
  filled = filling.fill(padded, [mask, None])
  assert filled.dtype == np.float32 and np.array_equal(filled[1], sources[1]) and (padded[0][~mask] == -1).all()
  inner = box(34, 44, 86, 116)
  assert np.array_equal(filled[0][inner], sources[0][inner])
  low = cv2.GaussianBlur(filled[0] - filled[1], (0, 0), 2) * 127.5  # what sets them apart has no step at the border
  steps = np.abs(np.diff(low[..., 1], axis=1))[:, 30:50], np.abs(np.diff(low[..., 1], axis=0))[20:40]
  before = np.abs(np.diff(cv2.GaussianBlur(padded[0] - padded[1], (0, 0), 2)[..., 1] * 127.5, axis=1))
  assert max(step.max() for step in steps) < 8 < before.max() / 3
  far = cv2.distanceTransform(np.uint8(~mask), cv2.DIST_L2, 5) > 31
  assert far.any() and np.abs(filled[0] - filled[1])[far].max() < 1e-6
  unclipped = (np.abs(filled[0]) < 0.99).all(axis=-1)
  there = ~mask[:, 1:] & ~mask[:, :-1] & unclipped[:, 1:] & unclipped[:, :-1]
  assert np.abs(np.diff(filled[0] - filled[1], axis=1))[there].max() < 0.08, "the other's details"
  assert filling.fill(sources, [None, None]) is sources


def test_where_nobody_saw_anything_all_stay():
  sources = pixels(smooth(15), smooth(16), smooth(17))
  left, right = box(0, 0, 120, 90), box(0, 60, 120, 130)
  filled = filling.fill(sources, [left, right, left])
  np.testing.assert_array_equal(filled[:, :, 130:], sources[:, :, 130:])
  assert np.isfinite(filled).all() and np.abs(filled).max() <= 1
  same = filling.fill(sources[:2], [left, left])
  np.testing.assert_array_equal(same[:, :, 90:], sources[:2, :, 90:])


def test_an_area_of_a_smaller_image_is_that_of_the_restored_one():
  sources, mask = pixels(smooth(18), smooth(19)), box(20, 40, 100, 120)
  small = cv2.resize(mask.astype(np.uint8), (80, 60), interpolation=cv2.INTER_AREA) > 0
  np.testing.assert_array_equal(filling.fill(sources, [small, None]), filling.fill(sources, [mask, None]))


def padded_pair(folder):
  """A pair whose infrared is black around a box, and the box."""
  mask = box(24, 32, 104, 136)
  infrared = smooth(20)
  infrared[~mask] = 0
  write(folder / "ir" / "a.png", infrared)
  write(folder / "vi" / "a.png", smooth(21, 3))
  return Pair("a", {source: folder / source / "a.png" for source in ("ir", "vi")}), mask


def test_a_pair_is_read_as_it_is_told(tmp_path):
  pair, mask = padded_pair(tmp_path)
  stored = load_pair(pair)
  assert stored.valid == (None, None) and (stored.sources[0][~mask] == -1).all()
  (found,), told = DataConfig(tmp_path, ("ir", "vi")).find()
  loaded = load_pair(found)
  assert loaded.valid == (mask.mean(), None) and (loaded.sources[0][~mask] > -0.99).mean() > 0.99 and not told
  assert not loaded.is_colour[0] and loaded.is_colour[1]
  off, alpha = (load_pair(DataConfig(tmp_path, ("ir", "vi"), valid=how).find()[0][0]) for how in ("off", "alpha"))
  for other in (off, alpha):
    np.testing.assert_array_equal(other.sources, stored.sources)
  scored = folders.load(found, {}, {}, [])
  np.testing.assert_array_equal(scored.sources["ir"][~mask], 0)


def fused(data, out, **changes):
  options = Dig2DigOptions(steps=2, strength=0.8, window="cumulative", temperature=0.01)
  method = dig2dig(conv_prior(), luminance_codec(1), options=options)
  config = job.FuseConfig(data=data, out=out, sources=("ir", "vi"), bucket=32, sheet=False, **changes)
  return job.run(config, method, conv_params())


@pytest.mark.usefixtures("quick_compile")
def test_the_fuse_job_says_logs_and_tells_runs_apart(tmp_path):
  _, mask = padded_pair(tmp_path / "data")
  report = fused(tmp_path / "data", tmp_path / "out")
  (line,) = report.notes
  assert line.startswith("ir: 1 of 1 image shows a part of the frame only") and "--valid=off" in line
  (entry,) = ledger.read(tmp_path / "out")["a"]
  assert entry["valid"] == {"ir": round(float(mask.mean()), 4)} and entry["flags"]["valid"] == "auto"
  assert fused(tmp_path / "data", tmp_path / "out").skipped == 1
  with pytest.raises(UserError, match="valid: auto then, None now"):
    fused(tmp_path / "data", tmp_path / "out", valid="off")
  as_stored = fused(tmp_path / "data", tmp_path / "off", valid="off")
  assert not as_stored.notes
  stored, filled = (cv2.imread(str(tmp_path / name / "a.png")).mean(axis=-1) for name in ("off", "out"))
  assert stored[~mask].mean() < filled[~mask].mean() - 20, "darkened by what is not there"


@pytest.mark.usefixtures("quick_compile")
def test_a_padded_source_fuses_as_the_whole_one_within_and_as_the_other_beyond(tmp_path):
  whole, other = smooth(22), smooth(23, 3)
  there = warped(whole, [(15, 20), (98, 25), (95, 90), (11, 86)])[1]
  padded = np.where(there[..., None], whole, 0).astype(np.uint8)
  for name, infrared in (("whole", whole), ("padded", padded), ("alone", other)):
    write(tmp_path / name / "ir" / "a.png", infrared)
    write(tmp_path / name / "vi" / "a.png", other)
  found = {}
  for name, valid in (("whole", "auto"), ("padded", "auto"), ("padded", "off"), ("alone", "auto")):
    assert fused(tmp_path / name, tmp_path / f"{name}_{valid}", valid=valid).done == 1
    found[name, valid] = cv2.imread(str(tmp_path / f"{name}_{valid}" / "a.png")).astype(int)
  deep = cv2.erode(there.astype(np.uint8), np.ones((13, 13), np.uint8)) > 0
  difference = np.abs(found["padded", "auto"] - found["whole", "auto"])[deep]
  assert difference.max() <= 2, "within as the whole one"
  beyond = cv2.distanceTransform(np.uint8(~there), cv2.DIST_L2, 5)
  alone = np.abs(found["padded", "auto"] - found["alone", "auto"])
  assert alone[beyond > 40].size and alone[beyond > 40].max() <= 2, "beyond as the other one alone"
  (pair,), _ = DataConfig(tmp_path / "padded", ("ir", "vi")).find()
  darkest = (127.5 * (load_pair(pair).sources + 1) @ [0.299, 0.587, 0.114]).min(axis=0)
  darker = {how: (found["padded", how] @ [0.114, 0.587, 0.299] - darkest)[~there] for how in ("auto", "off")}
  assert darker["auto"].min() > -12 and darker["off"].min() < -40, "not darker than both"


@pytest.mark.usefixtures("quick_compile")
def test_a_last_channel_of_arrays_is_alpha(tiny_prior):
  gray, colour, mask = smooth(24), smooth(25, 3), box(24, 32, 104, 136)
  gray[~mask] = 0
  opaque = np.uint8(mask) * 255
  quick = {"steps": 0, "bands": 2, "task": "mff", "window": "cumulative", "prior": tiny_prior}
  expected = d2d.fuse_images([gray, colour], **quick)
  for image in (np.dstack([gray, opaque]), np.dstack([gray, gray, gray, opaque]) / 255):
    np.testing.assert_allclose(d2d.fuse_images([image, colour], **quick).astype(int), expected, atol=1)
  for how in ("alpha", "off"):
    assert np.abs(d2d.fuse_images([gray, colour], valid=how, **quick).astype(int) - expected).max() > 20, how
  hidden = gray + np.uint8(~mask)[..., None] * 77 * np.uint8(np.indices(SIZE).sum(axis=0) % 3 == 0)[..., None]
  stacked = np.dstack([hidden, opaque])
  np.testing.assert_allclose(d2d.fuse_images([stacked, colour], **quick).astype(int), expected, atol=1)
  with pytest.raises(ValueError, match="valid: expected auto, alpha, off"):
    d2d.fuse_images([gray, colour], valid="on", **quick)
