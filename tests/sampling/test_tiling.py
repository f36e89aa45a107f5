"""Do tiles give what the whole image gives, where they must, and blend without a seam where they cannot?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import conv_denoiser, conv_params, images, row, run_steps

from dig2dig_jax.sampling.tiling import axis_tiles, tiled
from dig2dig_jax.sampling.types import Prediction

pytestmark = pytest.mark.usefixtures("quick_compile")
STEP = row(run_steps(5), 2)


@pytest.mark.parametrize(
  "length, size, overlap, align",
  [(100, 32, 8, 8), (96, 32, 16, 16), (33, 32, 16, 8), (4000, 1024, 128, 64), (65, 64, 0, 64), (50, 20, 10, 64)],
)
def test_tiles_cover_and_overlap_and_weights_add_up_to_one(length, size, overlap, align):
  starts, weights = axis_tiles(length, size, overlap, align)
  assert starts[0] == 0 and starts[-1] == length - size and np.all(np.diff(starts) > 0)
  assert np.all(np.diff(starts) <= size - overlap), "neighbours overlap by less than asked"
  if size - overlap >= align:
    assert not np.any(starts[:-1] % align)
  total = np.zeros(length)
  for start, weight in zip(starts, weights, strict=True):
    total[start : start + size] += weight
  np.testing.assert_allclose(total, 1, atol=1e-6)
  assert weights.min() >= 0
  assert weights[0, 0] == 1 and weights[-1, -1] == 1, "the image's own border is no seam"
  if len(starts) > 1 and overlap >= 8:
    assert weights[1, 0] < 1e-5, "a tile's end counts"


def test_an_image_that_fits_is_not_touched():
  found = axis_tiles(20, 32, 8, 8)
  assert found[0].tolist() == [0] and found[1].shape == (1, 20)
  x, calls = images(0, 20, 30, 3), []
  tiled(lambda x_t, step: calls.append(x_t.shape) or Prediction(x_t, x_t), 32, 8)(x, STEP)
  assert calls == [(20, 30, 3)]


def test_a_pointwise_network_gives_the_same_in_tiles():
  def pointwise(x_t, step):
    return Prediction(jnp.tanh(x_t) * step.alpha_bar, x_t**2, variance=x_t - 1)

  x = images(1, 70, 53, 3)
  whole, parts = pointwise(x, STEP), jax.jit(tiled(pointwise, 24, 8, align=8))(x, STEP)
  for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_network_with_a_small_receptive_field_gives_the_same_in_tiles():
  # Two 3 x 3 convolutions see two pixels far; the outer quarter of an overlap of 16 does not count.
  x, denoise = images(2, 64, 80, 3), conv_denoiser(conv_params())
  whole, parts = jax.jit(denoise)(x, STEP), jax.jit(tiled(denoise, 32, 16, align=8))(x, STEP)
  np.testing.assert_allclose(whole.x0, parts.x0, atol=1e-5)
  np.testing.assert_allclose(whole.eps, parts.eps, atol=1e-5)
  rough = jax.jit(tiled(denoise, 32, 0, align=8))(x, STEP)
  assert np.abs(whole.x0 - rough.x0).max() > 1e-3, "the test sees seams"


def test_tiles_work_under_vmap_and_have_a_gradient():
  x, denoise = images(3, 2, 40, 40, 3), conv_denoiser(conv_params())
  parts = tiled(denoise, 24, 12, align=4)
  batch = jax.jit(jax.vmap(lambda one: parts(one, STEP).x0))(x)
  np.testing.assert_allclose(batch[1], parts(x[1], STEP).x0, atol=1e-6)
  gradient = jax.jit(jax.grad(lambda one: parts(one, STEP).eps.sum()))(x[0])
  reference = jax.jit(jax.grad(lambda one: denoise(one, STEP).eps.sum()))(x[0])
  np.testing.assert_allclose(gradient, reference, atol=1e-4)


def test_an_overlap_of_more_than_half_a_tile_is_refused():
  with pytest.raises(ValueError, match="overlap: expected 0 to 16"):
    tiled(lambda x_t, step: None, 32, 17)
