"""Are the plain fusions what their names say? (That they score as the stored tables do: test_evaluate_fused.)"""

import numpy as np
import pytest

from dig2dig_jax import metrics
from dig2dig_jax.metrics import baselines


def test_average_rounds_halves_up_and_maximum_is_the_maximum():
  a, b, c = (np.array([row]) for row in ([0, 1, 254, 7], [1, 2, 255, 7], [0, 9, 255, 0]))
  np.testing.assert_array_equal(baselines.average([a, b]), [[1, 2, 255, 7]])
  np.testing.assert_array_equal(baselines.average([a, b, c]), [[0, 4, 255, 5]])
  np.testing.assert_array_equal(baselines.pixel_maximum([a, b, c]), [[1, 9, 255, 7]])


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (1, 40), (17, 16), (97, 131)])
def test_pyramid_of_one_image_twice_is_the_image(shape):
  image = np.random.default_rng(0).integers(0, 256, shape)
  np.testing.assert_array_equal(baselines.laplacian_pyramid([image] * 3), image)


def test_pyramid_takes_the_detail_of_either_source():
  flat = np.full((64, 64), 100.0)
  left, right = flat.copy(), flat.copy()
  left[16, 8:24:2], right[48, 40:56:2] = 160, 40
  fused = baselines.laplacian_pyramid([left, right])
  # A fine pattern leaves little in the base: its contrast of 60 survives, where the average would keep 30.
  assert np.ptp(fused[16, 9:23]) > 45 and np.ptp(fused[48, 41:55]) > 45
  np.testing.assert_array_equal(baselines.laplacian_pyramid([right, left]), fused)


def test_baselines_keep_to_whole_levels():
  sources = [np.random.default_rng(seed).integers(0, 2, (32, 32)) * 255 for seed in range(3)]
  for fuse in metrics.BASELINES.values():
    metrics.score(sources, fuse(sources), ("EN",))  # refuses anything else


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (17, 16), (97, 131)])
def test_wavelets_of_one_image_twice_are_the_image(shape):
  image = np.random.default_rng(0).integers(0, 256, shape)
  np.testing.assert_array_equal(baselines.wavelet([image] * 3), image)


def test_wavelets_keep_detail_and_average_what_is_smooth():
  detail = np.full((64, 64), 100.0)
  detail[30, 24:40:2] = 160
  fused = baselines.wavelet([detail, np.full((64, 64), 140.0)])
  assert np.ptp(fused[30, 26:38]) > 45
  assert fused[4, 4] == 120
