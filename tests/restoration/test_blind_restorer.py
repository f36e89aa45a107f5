"""Does a source get back what it is found to have lost, and is it otherwise left to the bit?"""

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
from scenes import read, write

import dig2dig_jax as d2d
from dig2dig_jax.fusing import job, ledger
from dig2dig_jax.fusing.config import FuseConfig
from dig2dig_jax.methods.codec import luminance_codec
from dig2dig_jax.priors.prior import load_prior
from dig2dig_jax.restoration import blind_restorer
from dig2dig_jax.restoration.blind_restorer import BlindRestorer
from dig2dig_jax.restoration.operators import average_downsample

pytestmark = pytest.mark.usefixtures("quick_compile")


def in_range(levels: np.ndarray) -> np.ndarray:
  return np.repeat((np.rint(levels) / 127.5 - 1)[..., None], 3, axis=-1).astype(np.float32)


@pytest.fixture(scope="module")
def sharp():
  """Levels [192, 192], 0..255, of a photograph."""
  return read(Path(__file__).parents[2] / "examples" / "vif" / "vi" / "coffee.png").mean(axis=-1)[:192, :192]


def test_a_blurred_source_comes_back_sharper_and_a_sharp_one_to_the_bit(sharp):
  blurred = cv2.GaussianBlur(sharp, (0, 0), 2, borderType=cv2.BORDER_REFLECT)
  sources = np.stack([in_range(blurred), in_range(sharp)])
  restorer = BlindRestorer(load_prior(d2d.EMBEDDED), steps=4, bucket=64)
  restored, lost = restorer.restored(sources, "a")
  assert lost[0].startswith("blur(") and lost[1] == ""
  assert np.array_equal(restored[1], sources[1])
  errors = [np.mean(np.square(127.5 * (image - sources[1]))) for image in (sources[0], restored[0])]
  assert errors[1] < 0.4 * errors[0]
  assert np.all(restored[0] == restored[0][..., :1])  # gray stays gray
  again, _ = restorer.restored(sources, "a")
  assert np.array_equal(restored, again)
  # Where a source is not valid everywhere, nothing is sure.
  assert restorer.restored(sources, "a", (0.9, None))[1] == ("", "")


@pytest.mark.parametrize("scale", [2.6, *(pytest.param(x, marks=pytest.mark.slow) for x in (1.5, 4.0))])
def test_fewer_pixels_are_restored_better_than_enlarged(sharp, scale):
  small = np.asarray(average_downsample(sharp.shape, scale).apply(in_range(sharp)))
  restorer = BlindRestorer(load_prior(d2d.EMBEDDED), steps=4, bucket=64)
  found = restorer.enlarged("a", 0, np.float32(small), (192, 192))
  bicubic = cv2.resize(small, (192, 192), interpolation=cv2.INTER_CUBIC)
  errors = [np.mean(np.square(127.5 * (image - in_range(sharp)))) for image in (bicubic, found)]
  assert found.shape == (192, 192, 3) and errors[1] < 0.9 * errors[0]
  again = average_downsample(sharp.shape, scale).apply(found)
  assert np.abs(127.5 * (again - small)).mean() < 1.5  # what was observed is kept


def test_what_the_prior_does_not_enlarge(sharp):
  restorer = BlindRestorer(load_prior(d2d.EMBEDDED), steps=1, bucket=64)
  tiny = in_range(sharp)[:16, :16]
  assert restorer.enlarged("a", 0, tiny, (18, 18)) is None  # hardly more pixels
  assert restorer.enlarged("a", 0, tiny, (18, 12)) is None  # fewer along one axis
  assert restorer.enlarged("a", 0, np.tile(tiny, (32, 32, 1)), (2048, 2048)) is None  # too many
  assert restorer.enlarged("a", 0, tiny, (100, 100)).shape == (100, 100, 3)  # four times, then bicubic


def test_it_is_told_source_by_source():
  found = [("blur(1.5)", ""), ("blur(2)", "enlarged(2,cubic)"), ("", "")]
  blur, enlarged = blind_restorer.told(("ir", "vi"), found)
  assert blur.startswith("ir: blurred by 1.5 to 2 pixels in 2 of 3 images") and "--restore=noise" in blur
  assert enlarged.startswith("vi: enlarged 2 times from fewer pixels in 1 of 3 images")
  assert blind_restorer.told(("ir", "vi"), [(), ("", "")]) == []


def test_the_job_restores_says_so_and_keeps_it_in_the_log(tiny_prior, sharp, tmp_path):
  write(tmp_path / "data" / "ir" / "a.png", np.rint(cv2.GaussianBlur(sharp, (0, 0), 2))[..., None].astype(np.uint8))
  write(tmp_path / "data" / "vi" / "a.png", np.rint(sharp)[..., None].astype(np.uint8))
  prior = load_prior(tiny_prior)
  options = d2d.Dig2DigOptions(steps=0, window="spectrum", bands=3)
  method = d2d.dig2dig(prior, luminance_codec(1), options=options)
  config = FuseConfig(tmp_path / "data", ("ir", "vi"), out=tmp_path / "out", bucket=64,
                      restorer=BlindRestorer(prior, steps=1, bucket=64))  # fmt: skip
  report = job.run(config, method, prior.params)
  assert report.done == 1 and any(line.startswith("ir: blurred by") for line in report.notes)
  (line,) = ledger.read(tmp_path / "out")["a"]
  assert line["lost"]["ir"].startswith("blur(") and "vi" not in line["lost"]
  assert line["flags"]["restored"]["steps"] == 1


@pytest.mark.slow
def test_one_call_restores_and_says_so(tiny_prior, sharp, caplog):
  images = [np.rint(image).astype(np.uint8) for image in (cv2.GaussianBlur(sharp, (0, 0), 2), sharp)]
  with caplog.at_level(logging.WARNING):
    restored = d2d.fuse_images(images, prior=tiny_prior, bands=3)
    assert "images[0]: blurred by" in caplog.text and 'restore="noise"' in caplog.text
    caplog.clear()
    left = d2d.fuse_images(images, prior=tiny_prior, bands=3, restore="noise")
    assert "blurred" not in caplog.text
  assert not np.array_equal(restored, left)
