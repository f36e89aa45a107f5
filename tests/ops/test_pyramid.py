"""Is it Burt and Adelson's pyramid, exactly invertible at any size, and convex for weights?"""

import jax
import numpy as np
import pytest
import scipy.ndimage
import toys

from dig2dig_jax.ops import pyramid

pytestmark = pytest.mark.usefixtures("quick_compile")

TAPS = np.array([1, 4, 6, 4, 1]) / 16


def reduce_float64(x):
  for axis in (-3, -2):
    x = scipy.ndimage.correlate1d(x, TAPS, axis=axis, mode="reflect")
  return x[..., ::2, ::2, :]


def expand_float64(x, size):
  """Zeros between the samples of the mirrored coarse image, then the same low-pass, twice as strong per axis."""
  padded = np.pad(x, [(0, 0)] * (x.ndim - 3) + [(1, 1), (1, 1), (0, 0)], mode="symmetric")
  fine = np.zeros((*x.shape[:-3], 2 * padded.shape[-3], 2 * padded.shape[-2], x.shape[-1]))
  fine[..., ::2, ::2, :] = padded
  for axis in (-3, -2):
    fine = scipy.ndimage.correlate1d(fine, 2 * TAPS, axis=axis, mode="constant")
  return fine[..., 2 : 2 + size[0], 2 : 2 + size[1], :]


@pytest.mark.parametrize("size", [(24, 32), (17, 23), (5, 3), (1, 7)])
def test_bands_are_scipy_s_and_rebuild_the_image(size):
  levels = max(2, pyramid.max_levels(*size))

  @jax.jit
  def run(x):
    bands = pyramid.laplacian_pyramid(x, levels)
    return bands, pyramid.gaussian_pyramid(x, levels), pyramid.collapse(bands)

  x = toys.images(0, 2, *size, 3)
  bands, gaussian, rebuilt = run(x)
  np.testing.assert_allclose(rebuilt, x, atol=1e-6)
  assert len(bands) == len(gaussian) == levels
  truth = np.asarray(x, np.float64)
  for band, low_pass in zip(bands[:-1], gaussian, strict=False):
    coarse = reduce_float64(truth)
    np.testing.assert_allclose(low_pass, truth, atol=1e-6)
    np.testing.assert_allclose(band, truth - expand_float64(coarse, truth.shape[-3:-1]), atol=2e-6)
    truth = coarse
  np.testing.assert_allclose(bands[-1], truth, atol=1e-6)
  np.testing.assert_array_equal(bands[-1], gaussian[-1])


def test_weights_stay_convex():
  for band in jax.jit(lambda w: pyramid.gaussian_pyramid(w, 4))(toys.convex(2, 3, 9, 22, 1)):
    assert np.all(band >= 0)
    np.testing.assert_allclose(band.sum(axis=0), 1, atol=1e-6)


def test_constants_have_no_detail():
  flat = np.full((11, 14, 1), -0.6, np.float32)
  *details, base = jax.jit(lambda x: pyramid.laplacian_pyramid(x, 3))(flat)
  for detail in details:
    np.testing.assert_allclose(detail, 0, atol=1e-7)
  np.testing.assert_allclose(base, -0.6, atol=1e-6)


def test_max_levels_is_the_last_level_of_two_pixels():
  for shorter in [*range(2, 20), 33, 64, 65]:
    x = jax.ShapeDtypeStruct((shorter, 80, 1), np.float32)
    sizes = [level.shape[0] for level in jax.eval_shape(lambda x: pyramid.gaussian_pyramid(x, 8), x)]
    assert pyramid.max_levels(shorter, 80) == pyramid.max_levels(80, shorter) == sum(size >= 2 for size in sizes)
  assert pyramid.max_levels(1, 5) == 1
