"""Is the smoothing SciPy's, borders included?"""

import jax
import numpy as np
import pytest
import scipy.ndimage
import toys

from dig2dig_jax.ops.filters import gaussian_blur, gaussian_kernel, separable_filter

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.mark.parametrize(
  ("size", "sigma"),
  [((24, 17), 1.5), ((9, 16), 0.4), ((5, 4), 4.0), ((1, 1), 1.0)],  # the last two are smaller than the window
)
def test_gaussian_blur_is_scipy_s(size, sigma):
  x = toys.images(0, 2, *size, 3)
  radius = max(1, int(np.ceil(3 * sigma)))
  truth = scipy.ndimage.gaussian_filter(np.asarray(x, np.float64), sigma, mode="reflect", radius=radius, axes=(1, 2))
  blur = jax.jit(lambda x: gaussian_blur(x, sigma))
  np.testing.assert_allclose(blur(x), truth, atol=2e-6)
  np.testing.assert_allclose(jax.jit(jax.vmap(blur))(x), truth, atol=2e-6)  # any leading axes


def test_asymmetric_taps_are_a_correlation_along_each_axis():
  x, taps = toys.images(1, 7, 8, 2), np.array([0.5, 0.2, -0.3])
  truth = np.asarray(x, np.float64)
  for axis in (0, 1):
    truth = scipy.ndimage.correlate1d(truth, taps, axis=axis, mode="reflect")
  np.testing.assert_allclose(jax.jit(lambda x: separable_filter(x, taps))(x), truth, atol=1e-6)


def test_kernel_is_normalised_and_sigma_zero_is_the_identity():
  assert len(gaussian_kernel(4.0)) == 25 and len(gaussian_kernel(0.1)) == 3
  np.testing.assert_allclose([gaussian_kernel(s).sum() for s in (0.1, 1.5, 4.0)], 1.0, rtol=1e-12)
  x = toys.images(2, 4, 4, 1)
  assert gaussian_blur(x, 0.0) is x
