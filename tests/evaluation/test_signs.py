"""Is what was done to fused images seen in them, and nothing in images that nothing was done to?"""

import cv2
import numpy as np
import pytest
from conftest import SHARED
from scenes import write, write_pair

from dig2dig_jax import metrics
from dig2dig_jax.assets import ROOT
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.data.images import read_image, to_uint8
from dig2dig_jax.evaluation import fused as evaluate_fused
from dig2dig_jax.evaluation import signs, which_convention
from dig2dig_jax.evaluation.candidates import parse

EXAMPLES = {"vif": ("ir", "vi"), "mff": ("a", "b"), "mef": ("over", "under")}


def read(path):
  image = read_image(path)
  return to_uint8(image.pixels if image.is_colour else image.pixels[..., :1])


def example(task, name):
  return {source: read(ROOT / "examples" / task / source / f"{name}.png") for source in EXAMPLES[task]}


@pytest.fixture(scope="module")
def cameraman():
  return example("vif", "cameraman")


def gray(sources):
  return [metrics.to_gray(source) for source in sources.values()]


def fusion(sources):
  return metrics.BASELINES["Laplacian pyramid"](gray(sources))


def signs_of(sources, fused):
  fused = np.asarray(fused)
  return signs.of_pair(sources, {"ours": fused.astype(np.uint8).reshape(*fused.shape[:2], -1)}, {})["ours"]


def jpeg(image, quality):
  return cv2.imdecode(cv2.imencode(".jpg", image.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 0)


def stretched(image):
  return np.rint((image - image.min()) / np.ptp(image) * 255)


def enlarged(image, times, how):
  height, width = image.shape
  small = cv2.resize(image, (round(width / times), round(height / times)), interpolation=cv2.INTER_AREA)
  return np.clip(np.rint(cv2.resize(small, (width, height), interpolation=how)), 0, 255)


DONE = {  # what was done to a fused image: the sign of it
  "nothing": (lambda a, b, f: f, []),
  "copied": (lambda a, b, f: a, ["copy:ir"]),
  "copied, less last bits": (lambda a, b, f: np.floor(b * (1 - 1e-9)), ["copy:vi", "cut"]),
  "copied with more contrast": (lambda a, b, f: np.rint(20 + 0.7 * b), ["scaled copy:vi"]),
  "average": (lambda a, b, f: np.rint((a + b) / 2), ["average"]),
  "average cut off": (lambda a, b, f: (a + b) // 2, ["average", "cut"]),
  "average stretched": (lambda a, b, f: stretched((a + b) / 2), ["scaled average", "full beyond"]),
  "wrapped": (lambda a, b, f: (1.25 * np.maximum(a, b) + 30) % 256, ["wrapped", "full beyond"]),
  "clipped": (lambda a, b, f: np.clip(1.25 * np.maximum(a, b) + 30, 0, 255), []),
  "stretched": (lambda a, b, f: stretched(f), ["full beyond"]),
  "coloured": (lambda a, b, f: np.stack([f, f, 255 - f], axis=-1), ["colour"]),
  "JPEG of quality 95": (lambda a, b, f: jpeg(f, 95), ["jpeg"]),
  "JPEG of quality 70": (lambda a, b, f: jpeg(f, 70), ["jpeg"]),
  "repeated": (lambda a, b, f: enlarged(f, 2, cv2.INTER_NEAREST), ["repeated:2"]),
  "enlarged": (lambda a, b, f: enlarged(f, 2, cv2.INTER_CUBIC), ["soft"]),
  "enlarged from 60 %": (lambda a, b, f: enlarged(f, 1 / 0.6, cv2.INTER_CUBIC), ["soft"]),
}


@pytest.mark.parametrize("what", DONE)
def test_what_was_done_to_an_image_is_its_sign(what, cameraman):
  how, expected = DONE[what]
  a, b = gray(cameraman)
  sources = {name: source[..., None].astype(np.uint8) for name, source in zip(("ir", "vi"), (a, b), strict=True)}
  assert signs_of(sources, how(a, b, fusion(cameraman))) == expected


def test_levels_that_sources_agree_on_tell_cut_from_rounded_and_from_a_gain():
  rng = np.random.default_rng(0)
  a = rng.integers(5, 250, (64, 64)).astype(float)
  b = np.where(np.arange(64) < 32, a, rng.integers(5, 250, (64, 64)))
  weight = rng.uniform(0.1, 0.9, a.shape)
  exact = weight * a + (1 - weight) * b
  sources = {"a": a.astype(np.uint8)[..., None], "b": b.astype(np.uint8)[..., None]}
  single = sum(share.astype(np.float32) * x.astype(np.float32) for share, x in ((weight, a), (1 - weight, b)))
  assert np.mean(np.floor(single)[:, :32] < a[:, :32]) > 0.02  # the accident, by single precision's own last bits
  assert "cut" in signs_of(sources, np.floor(single))
  assert "cut" not in signs_of(sources, np.rint(exact)) and "cut" not in signs_of(sources, np.floor(exact * 0.997))


@pytest.mark.parametrize("task, name", [("vif", "coffee"), ("mff", "astronaut"), ("mff", "cat"), ("mef", "rocket")])
def test_fusions_of_the_examples_show_no_sign(task, name):
  sources = example(task, name)
  for how in ("Laplacian pyramid", "wavelet"):
    assert set(signs_of(sources, metrics.BASELINES[how](gray(sources)))) <= {"full"}, how


def test_noise_that_a_fusion_removed_is_no_lost_detail(cameraman):
  rng = np.random.default_rng(0)
  noisy = {name: np.clip(np.rint(metrics.to_gray(source) + rng.normal(0, 25, source.shape[:2])), 0, 255)
           .astype(np.uint8)[..., None] for name, source in cameraman.items()}  # fmt: skip
  assert signs_of(noisy, cv2.GaussianBlur(fusion(cameraman), (0, 0), 1.0)) == []


def test_files_tell_of_jpeg_and_of_depths(tmp_path):
  levels = np.arange(256, dtype=np.uint16).reshape(16, 16)
  deep = np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16) + np.arange(16, dtype=np.uint16)
  for name, pixels, depths, expected in (
    ("a.png", levels.astype(np.uint8), (8, 8), []), ("a.png", levels.astype(np.uint8), (16, 8), ["8 of 16"]),
    ("b.jpg", levels.astype(np.uint8), (8, 8), ["jpeg file"]), ("c.png", levels, (16, 16), ["dark"]),
    ("d.png", levels * 257, (16, 16), ["8 in 16"]), ("d.png", levels * 257, (8, 8), []), ("e.png", deep, (16, 16), []),
  ):  # fmt: skip
    write(tmp_path / name, pixels[..., None])
    assert signs.of_file(tmp_path / name, read_image(tmp_path / name), depths) == expected, name


def test_a_line_says_how_many_images_bear_a_sign():
  some = {"1": {"ours": ["cut", "copy:ir"]}, "2": {"ours": ["cut"]}, "3": {"ours": ["jpeg"]}, "4": {"ours": ["cut"]}}
  cut, copy = signs.lines(some)  # a single JPEG of four says little
  assert cut.startswith("ours: each of 3 of 4 images, 1 the first, is one level too low")
  assert copy == "ours: 1 is ir, to a level: what it scores is what a copy scores"
  whole = {str(k): {"ours": ["full beyond"], "theirs": ["full" if k else "full beyond"]} for k in range(4)}
  (line,) = signs.lines(whole)
  assert line.startswith("ours: every one of 4 images reaches 0 and 255, which of 4 the sources do not: stretched")
  assert signs.lines({name: whole[name] for name in "01"}) == []


def test_evaluate_tells_of_signs_and_remembers_them(tmp_path, quick_compile, monkeypatch):
  monkeypatch.setattr(metrics, "_MULTIPLE", 64)
  monkeypatch.setattr(metrics, "PROTOCOLS", {"toy": ("MSE",)})
  write_pair(tmp_path / "data", "1", (40, 48), channels={"ir": 1, "vi": 1})
  copy = cv2.imread(str(tmp_path / "data" / "vi" / "1.png"), 0)
  write(tmp_path / "ours" / "1.png", copy[..., None])
  data, ours = DataConfig(tmp_path / "data", ("ir", "vi")), {"ours": tmp_path / "ours"}
  told = "ours: the image is vi, to a level: what it scores is what a copy scores"
  for _ in range(2):  # the second time nothing is scored
    report = evaluate_fused.run(ours, data, tmp_path / "out", protocol="toy", baselines=False)
    assert told in report.comparison.notes and f"Note: {told}" in (tmp_path / "out" / "summary.md").read_text()
  assert "had already been scored" in report.notes[0]
  printed = parse(["MSE:0"])
  assert which_convention.run(ours, data, tmp_path / "other", printed).notes == [told]
  write(tmp_path / "ours" / "1.png", cv2.resize(copy, (24, 20))[..., None])
  write_pair(tmp_path / "data", "2", (40, 48), channels={"ir": 1, "vi": 1})
  write(tmp_path / "ours" / "2.png", cv2.imread(str(tmp_path / "data" / "vi" / "2.png"), 0)[..., None])
  report = evaluate_fused.run(ours, data, tmp_path / "out", protocol="toy", baselines=False)
  assert "expected 40x48 (height x width) as the sources, found 20x24, which is resized: fuse at" in report.failed[0]


@pytest.mark.slow
@pytest.mark.parametrize("folder, names", [
  ("vif/tno", ("ir", "vi")), ("vif/roadscene", ("ir", "vi")), ("mif/mri_ct", ("ct", "mri")), ("mff/mffw", ("a", "b")),
])  # fmt: skip
def test_fusions_of_research_images_show_no_sign(folder, names):
  places = [SHARED / "data" / folder / name for name in names]
  if not all(place.is_dir() for place in places):
    pytest.skip(f"no shared data: {places[0]} does not exist; set DIG2DIG_SHARED")
  found = {}
  for path in sorted(places[0].iterdir())[:12]:
    partner = next(places[1].glob(f"{path.stem}.*"), None)
    if partner is None:
      continue
    sources = {"a": read(path), "b": read(partner)}
    fused = metrics.BASELINES["wavelet"](gray(sources)).astype(np.uint8)[..., None]
    found[path.stem] = signs.of_pair(sources, {"wavelet": fused}, {})
  assert found and signs.lines(found) == []
