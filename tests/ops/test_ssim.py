"""Is the local similarity scikit-image's?"""

import jax
import numpy as np
import pytest
import toys
from skimage.metrics import structural_similarity

from dig2dig_jax.ops.ssim import ssim_map

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.mark.parametrize("data_range", [2.0, 1.0])
def test_map_is_scikit_image_s(data_range):
  a = toys.images(0, 16, 21, 3)
  b = 0.6 * a + 0.4 * toys.images(1, 16, 21, 3)
  _, truth = structural_similarity(
    np.asarray(a, np.float64),
    np.asarray(b, np.float64),
    data_range=data_range,
    gaussian_weights=True,
    sigma=1.5,
    use_sample_covariance=False,
    channel_axis=-1,
    full=True,
  )
  ours = jax.jit(lambda a, b: ssim_map(a, b, data_range=data_range))(a, b)
  assert ours.dtype == np.float32
  np.testing.assert_allclose(ours, truth, atol=2e-5)  # borders too: both mirror


def test_limits():
  similarity = jax.jit(ssim_map)
  a, flat = toys.images(2, 12, 12, 1), np.full((12, 12, 1), 0.5, np.float32)
  np.testing.assert_allclose(similarity(a, a), 1, atol=1e-6)
  np.testing.assert_allclose(similarity(flat, flat), 1, atol=1e-6)
  opposite = similarity(a, -a)
  assert np.all(np.abs(opposite) <= 1) and opposite.min() < 0
