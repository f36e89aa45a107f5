"""Are the plain fusions those of the baseline tables, and do their scores come out the same on TNO?"""

import json

import numpy as np
import pytest
from PIL import Image

from dig2dig_jax import metrics
from dig2dig_jax.metrics import baselines

# Our name -> the stored one.
FUSIONS = {"average": "average", "pixel maximum": "max", "Laplacian pyramid": "laplacian"}
STORED = {"VIF": "VIF_sum", "SSIM": "SSIM_sum_g11_L255"}


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
    metrics.score(sources, fuse(sources))  # refuses anything else


@pytest.mark.parametrize("name", FUSIONS)
def test_tno_rows_of_the_baseline_table(golden, shared_data, name):
  folder = shared_data / "vif" / "tno"
  expected = json.loads(golden("metrics/baselines.json").read_text())
  found = []
  for index, path in enumerate(sorted((folder / "ir").iterdir())):
    sources = [metrics.to_gray(np.asarray(Image.open(folder / kind / path.name))) for kind in ("ir", "vi")]
    fused = metrics.BASELINES[name](sources)
    # The smaller of two values is stored for every second image only; elsewhere it would cost time for nothing.
    wanted = [metric for metric in metrics.METRICS if index % 2 == 0 or not metric.endswith("_min")]
    found.append({metric: metrics.METRICS[metric][0](sources, fused) for metric in wanted})
  assert len(found) == 25
  means = expected["means"]["TNO"][FUSIONS[name]] | expected["per_source_minimum_subset"]["TNO"][FUSIONS[name]]
  for metric in metrics.METRICS:
    values = [scores[metric] for scores in found if metric in scores]
    # VIF: whether a flat patch counts as flat is decided by the last digits, there as here.
    tolerance = 1e-8 if metric.startswith("VIF") else 1e-11
    np.testing.assert_allclose(np.mean(values), means[STORED.get(metric, metric)], rtol=tolerance, err_msg=metric)
