"""Are degradations read as written, refused where they do not fit, and undone on the way to the methods?"""

import dataclasses
import json

import cv2
import numpy as np
import pytest
from scenes import read, scene, write

from dig2dig_jax.data.images import to_uint8
from dig2dig_jax.data.pairs import find_pairs
from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing import job
from dig2dig_jax.methods.codec import luminance_codec
from dig2dig_jax.methods.dig2dig import dig2dig
from dig2dig_jax.methods.options import Dig2DigOptions
from dig2dig_jax.priors.prior import load_prior
from dig2dig_jax.restoration.degradation import AUTO, Degradation, parse, target_size
from dig2dig_jax.restoration.restorer import Restorer

pytestmark = pytest.mark.usefixtures("quick_compile")

SOURCES = ("ir", "vi")


def gray(index, height, width):
  return np.repeat(scene(index, height, width)[..., :1], 3, axis=-1)


@pytest.fixture
def data(tmp_path):
  """One pair: 32 x 48 visible, 16 x 24 thermal."""
  write(tmp_path / "ir" / "a.png", gray(0, 16, 24))
  write(tmp_path / "vi" / "a.png", gray(1, 32, 48))
  return tmp_path


def test_entries_are_read_in_any_order_with_commas_inside_parentheses():
  found = parse("vi:motion(5,30)+average(2), ir:none", "ir:25,vi:auto", SOURCES)
  assert found == {
    "ir": Degradation(sigma=25.0),
    "vi": Degradation((("motion", ("5", "30")), ("average", ("2",))), AUTO),
  }
  assert found["vi"].scale == 2 and found["vi"].operator((20, 30)).observed == (10, 15)
  assert all(one.clean for one in parse("", "", SOURCES).values())


@pytest.mark.parametrize(
  ("text", "sigma", "message"),
  [
    ("blur(2)", "", "SOURCE:VALUE"),
    ("mri:blur(2)", "", "ir, vi"),
    ("ir:blurr(2)", "", "blur\\(SIGMA\\)"),
    ("ir:average(x)", "", "numbers of at most 1000"),
    ("ir:bicubic(2.5)", "", "whole scale"),
    ("", "ir:-1", "8-bit values"),
    ("", "ir:much", "8-bit values"),
    ("", "ir:5,vi:abc", "--sigma=vi:abc: expected a deviation"),
    ("", "ir:5,vi:3,ir:9", "--sigma=ir:9: expected one entry for ir, found ir:5 too; leave one out"),
    ("ir:none,ir:rows(1,2)", "", "--degradation=ir:rows.* expected one entry for ir, found ir:none too"),
  ],
)
def test_what_cannot_be_read_is_refused_with_the_flag(text, sigma, message):
  with pytest.raises(UserError, match=message):
    parse(text, sigma, SOURCES)


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("blur(20)", "kernel that fits"),
    ("average(64)", "scale from 1"),
    ("average(0.5)", "scale from 1"),
    ("motion(4,0)", "odd length"),
    ("blur(1,2)", "blur\\(SIGMA\\)"),
    ("blur(0)", "blur\\(SIGMA\\)"),
    ("rows(40)", "row 40"),
  ],
)
def test_operators_that_do_not_fit_the_image_are_clear_errors(text, message):
  with pytest.raises(UserError, match=message):
    parse(f"ir:{text}", "", SOURCES)["ir"].operator((32, 48))


def test_the_size_is_that_of_the_source_with_all_pixels():
  found = parse("ir:average(4)", "", SOURCES)
  assert target_size(found, {"ir": (8, 12), "vi": (30, 46)}) == (30, 46)
  both = parse("ir:average(4),vi:average(2)", "", SOURCES)
  assert target_size(both, {"ir": (8, 12), "vi": (16, 24)}) == (32, 48)
  real = parse("ir:average(2.5),vi:average(2.5)", "", SOURCES)
  assert real["ir"].operator((32, 41)).observed == (13, 16) and target_size(real, {"ir": (13, 16)}) == (32, 40)


def test_automatic_sigma_finds_the_noise():
  smooth = cv2.GaussianBlur(gray(3, 128, 128) / 127.5 - 1, (0, 0), 4)
  noisy = smooth + np.random.default_rng(0).normal(size=(128, 128, 1)) * 20 / 127.5
  assert Degradation(sigma=AUTO).deviation(noisy.astype(np.float32)) == pytest.approx(20 / 127.5, rel=0.1)


def test_files_masks_and_kernels(tmp_path):
  mask = np.zeros((20, 24), np.uint8)
  mask[:, 5:] = 255
  cv2.imwrite(str(tmp_path / "mask.png"), mask)
  operator = parse(f"ir:mask({tmp_path / 'mask.png'})", "", SOURCES)["ir"].operator((20, 24))
  np.testing.assert_array_equal(operator.apply(np.ones((20, 24, 1), np.float32))[..., 0], mask / 255)
  cv2.imwrite(str(tmp_path / "kernel.png"), np.full((3, 3), 40, np.uint8))
  operator = parse(f"ir:kernel({tmp_path / 'kernel.png'})", "", SOURCES)["ir"].operator((20, 24))
  np.testing.assert_allclose(operator.apply(np.ones((20, 24, 1), np.float32)), 1, atol=1e-5)


def test_sources_of_two_resolutions_are_fused_and_clean_ones_pass_untouched(data, tiny_prior, tmp_path):
  prior = load_prior(tiny_prior)
  restorer = Restorer(prior, parse("ir:average(2)", "", SOURCES), steps=2)
  (pair,), _ = find_pairs(data, SOURCES)
  loaded = restorer.load(pair)
  assert loaded.sources.shape == (2, 32, 48, 3) and restorer.evaluations == 2
  np.testing.assert_array_equal(to_uint8(loaded.sources[1]), read(data / "vi" / "a.png"))
  np.testing.assert_array_equal(restorer.load(pair).sources, loaded.sources)
  options = Dig2DigOptions(steps=0, window="cumulative")
  method = dig2dig(prior, luminance_codec(1), options=options)
  out = tmp_path / "out"
  config = job.FuseConfig(data=data, out=out, sources=SOURCES, bucket=16, restorer=restorer)
  report = job.run(config, method, prior.params)
  assert (report.done, report.failed) == (1, [])
  assert report.evaluations == 2 + 2 * 2 == json.loads((out / "run.json").read_text())["evaluations"]
  assert read(out / "a.png").shape[:2] == (32, 48)
  wrong = dataclasses.replace(config, restorer=Restorer(prior, parse("ir:average(4)", "", SOURCES), steps=2))
  with pytest.raises(UserError, match="restored"):  # results of another degradation are in the way
    job.run(wrong, method, prior.params)
  wrong = dataclasses.replace(wrong, overwrite=True)
  report = job.run(wrong, method, prior.params)
  assert report.done == 0 and "ir/a.png" in report.failed[0] and "(8, 12)" in report.failed[0]


def test_no_noise_and_no_operator_is_clean_fusion_to_the_bit(tiny_prior, tmp_path):
  for source in SOURCES:
    write(tmp_path / source / "a.png", gray(len(source), 24, 32))
  prior = load_prior(tiny_prior)
  options = Dig2DigOptions(steps=2, weights="uniform", strength=0.9)
  method = dig2dig(prior, luminance_codec(1), options=options)
  fused = []
  for name, restorer in (("clean", None), ("identity", Restorer(prior, parse("ir:none,vi:none", "ir:0", SOURCES)))):
    out = tmp_path / name
    config = job.FuseConfig(data=tmp_path, out=out, sources=SOURCES, bucket=16, restorer=restorer)
    job.run(config, method, prior.params)
    fused.append(read(out / "a.png"))
  np.testing.assert_array_equal(*fused)


def test_noise_of_one_pair_does_not_depend_on_another(tiny_prior):
  prior = load_prior(tiny_prior)
  restorer = Restorer(prior, parse("", "ir:25", SOURCES))
  noisy = (gray(2, 21, 30) / 127.5 - 1).astype(np.float32)
  one = restorer.restore("ir", noisy, (21, 30), "a")
  assert one.shape == (21, 30, 3) and np.isfinite(one).all() and np.abs(one - noisy).max() > 1e-3
  np.testing.assert_array_equal(one, restorer.restore("ir", noisy, (21, 30), "a"))
  assert np.abs(one - restorer.restore("ir", noisy, (21, 30), "b")).max() > 0
