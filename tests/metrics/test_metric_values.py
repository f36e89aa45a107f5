"""Do the measures do the right thing where no toolkit can say: three sources, flat, tiny and unfit images?"""

import cv2
import numpy as np
import pytest

from dig2dig_jax import metrics
from dig2dig_jax.metrics import gradient, information, statistics, structure


@pytest.fixture
def images():
  rng = np.random.default_rng(0)
  smooth = [cv2.GaussianBlur(rng.uniform(0, 255, (48, 56)), (0, 0), 1.5) for _ in range(4)]
  return [np.rint(image) for image in smooth]


def test_three_sources_sum_mean_and_minimum(images):
  *sources, fused = images
  singles = [metrics.score([source, source], fused) for source in sources]
  found = metrics.score(sources, fused)
  assert found["EN"] == singles[0]["EN"] and found["SD"] == singles[0]["SD"]
  for name in ("MSE", "CC"):
    np.testing.assert_allclose(found[name], np.mean([single[name] for single in singles]), rtol=1e-12)
  for name in ("VIF", "SSIM"):
    np.testing.assert_allclose(found[name], np.sum([single[name] / 2 for single in singles]), rtol=1e-12)
    np.testing.assert_allclose(found[f"{name}_min"], np.min([single[name] / 2 for single in singles]), rtol=1e-12)
  weights = [np.sum(np.hypot(*sobel(source))) for source in sources]
  expected = np.average([single["Qabf"] for single in singles], weights=weights)
  np.testing.assert_allclose(found["Qabf"], expected, rtol=1e-12)


def sobel(image):
  padded = np.pad(image, 1)
  across = padded[:, 2:] - padded[:, :-2]
  down = padded[2:] - padded[:-2]
  return (across[:-2] + 2 * across[1:-1] + across[2:], down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:])


def test_scd_of_three_sources_subtracts_the_mean_of_the_others(images):
  a, b, c, fused = images
  expected = sum(np.corrcoef((fused - (y + z) / 2).ravel(), x.ravel())[0, 1]
                 for x, y, z in ((a, b, c), (b, a, c), (c, a, b)))
  np.testing.assert_allclose(statistics.sum_of_correlations_of_differences([a, b, c], fused), expected, rtol=1e-12)


def test_order_of_the_sources_does_not_matter(images):
  *sources, fused = images
  forward, backward = metrics.score(sources, fused), metrics.score(sources[::-1], fused)
  for name in metrics.METRICS:
    np.testing.assert_allclose(forward[name], backward[name], rtol=1e-12, err_msg=name)


def test_better_means_what_the_table_says(images):
  # Every measure of fidelity prefers the average to noise; EN and SD know nothing of fidelity.
  a, b, _, _ = images
  noise = np.random.default_rng(1).integers(0, 256, a.shape)
  good, bad = (metrics.score([a, b], fused) for fused in (np.rint(0.6 * a + 0.4 * b), noise))
  for name, (_, higher_is_better) in metrics.METRICS.items():
    if name not in ("EN", "SD"):
      assert (good[name] > bad[name]) == higher_is_better, name


def test_entropy_counts_levels():
  quarters = np.repeat([[0, 80, 160, 255]], 6, axis=0)
  assert information.entropy([], quarters) == 2.0
  assert information.entropy([], quarters + 0.4 * (quarters < 255)) == 2.0
  assert str(information.entropy([], np.full((4, 4), 9))) == "0.0"
  assert information.mutual_information([quarters, quarters[:, ::-1]], quarters) == 4.0


def test_black_everything_is_undefined_not_an_error():
  black = np.zeros((48, 48))
  found = metrics.score([black, black], black)
  assert {name for name, value in found.items() if np.isnan(value)} == {"Qabf", "VIF", "VIF_min", "SCD", "CC"}
  assert found["EN"] == found["SD"] == found["MSE"] == 0 and found["SSIM"] == pytest.approx(2)


def test_one_flat_source_makes_the_smaller_undefined(images):
  flat = np.full_like(images[0], 255)  # whichever comes first
  for sources in ([images[0], flat], [flat, images[0]]):
    found = metrics.score(sources, images[1])
    assert np.isnan(found["VIF_min"]) and np.isnan(found["VIF"]) and np.isfinite(found["SSIM_min"])


def test_a_copy_has_no_scd(images):
  assert np.isnan(metrics.score(images[:2], images[0])["SCD"])


@pytest.mark.parametrize("size, undefined", [(41, set()), (40, {"VIF"}), (11, {"VIF"}), (10, {"VIF", "SSIM"}),
                                             (1, {"VIF", "SSIM", "CC", "SCD", "Qabf"})])
def test_images_smaller_than_the_window_are_undefined(size, undefined):
  rng = np.random.default_rng(size)
  a, b, fused = rng.integers(1, 256, (3, size, 45))[..., : 45 if size > 1 else 1]
  found = metrics.score([a, b], fused)
  assert {name.removesuffix("_min") for name, value in found.items() if np.isnan(value)} == undefined


def test_uniform_window_is_scikit_images(images):
  from skimage.metrics import structural_similarity

  expected = sum(structural_similarity(image, images[3], data_range=255.0) for image in images[:3])
  np.testing.assert_allclose(structure.ssim(images[:3], images[3], window="uniform"), expected, rtol=1e-12)
  with pytest.raises(ValueError, match="gaussian"):
    structure.ssim(images[:2], images[3], window="box")


def test_single_measures_take_uint8_without_wrapping(images):
  eight = [image.astype(np.uint8) for image in images]
  for name, (function, _) in metrics.METRICS.items():
    assert function(eight[:2], eight[3]) == function(images[:2], images[3]), name
  assert gradient.q_abf(eight[:2], eight[3]) > 0


@pytest.mark.parametrize("sources, fused, reason", [
  (1, np.zeros((8, 8)), "two or more"),
  (2, np.zeros((8, 9)), "size of the fused"),
  (2, np.zeros((8, 8, 3)), "gray image"),
  (2, np.full((8, 8), 0.5), "whole levels"),
  (2, np.full((8, 8), 256.0), "whole levels"),
  (2, np.full((8, 8), np.nan), "whole levels"),
])
def test_unfit_images_are_refused(sources, fused, reason):
  with pytest.raises(ValueError, match=reason):
    metrics.score([np.zeros((8, 8))] * sources, fused)


def test_to_gray_rounds_the_exact_luminance():
  rgb = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
  thousandths = rgb.astype(np.int64) @ [299, 587, 114]
  nearest = (thousandths + 500) // 1000
  is_tie = thousandths % 1000 == 500
  assert is_tie.any()
  np.testing.assert_array_equal(metrics.to_gray(rgb), nearest - (is_tie & (nearest % 2 == 1)))
  # OpenCV, as the CDD toolkit calls it: in float32, where a tie may go either way.
  opencv = np.rint(cv2.cvtColor(rgb.astype(np.float32), cv2.COLOR_RGB2GRAY))
  np.testing.assert_array_equal(np.where(is_tie, 0, metrics.to_gray(rgb)), np.where(is_tie, 0, opencv))
  levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
  for image in (levels, levels[..., None], np.repeat(levels[..., None], 3, axis=-1), levels.astype(np.float32)):
    gray = metrics.to_gray(image)
    assert gray.dtype == np.float64
    np.testing.assert_array_equal(gray, levels)


@pytest.mark.parametrize("image, reason", [
  (np.full((4, 4, 3), -1.0), "0..255"), (np.full((4, 4), np.nan), "0..255"), (np.full((4, 4), 256), "0..255"),
  (np.zeros((4, 4, 2)), "shape"), (np.zeros(4), "shape"), (np.zeros((0, 4)), "shape"),
])
def test_to_gray_refuses_other_ranges_and_shapes(image, reason):
  with pytest.raises(ValueError, match=reason):
    metrics.to_gray(image)
