"""Are the rearranged convolutions the convolution, forwards and backwards, and are they what a CPU runs?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dig2dig_jax.models import convolution

pytestmark = pytest.mark.usefixtures("quick_compile")

LAYOUT = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}


def plain(x, kernel):
  return jax.lax.conv_general_dilated(x, kernel, (1, 1), ((1, 1), (1, 1)), **LAYOUT)


def compiled(function):
  """A function of its own, so that JAX keeps no program of another WINOGRAD_FROM for it."""
  return jax.jit(lambda *arrays: function(*arrays))


def inputs(shape, features):
  rng = np.random.default_rng(3)
  kernel = rng.normal(size=(3, 3, shape[-1], features)) / np.sqrt(9 * shape[-1])
  return jnp.asarray(rng.normal(size=shape), jnp.float32), jnp.asarray(kernel, jnp.float32)


def rearranged(x, kernel):
  return convolution.conv(x, kernel, (1, 1), ((1, 1), (1, 1)), **LAYOUT)


def convolutions(function, *arrays):
  """Of the optimised program."""
  return jax.jit(function).lower(*arrays).as_text().count("stablehlo.convolution")


@pytest.mark.parametrize("shape, features", [((2, 8, 4, 6), 7), ((1, 4, 4, 3), 2), ((1, 12, 16, 4), 4)])
def test_winograd_is_the_convolution_and_has_its_gradient(shape, features, monkeypatch):
  monkeypatch.setattr(convolution, "WINOGRAD_FROM", 0)
  x, kernel = inputs(shape, features)
  np.testing.assert_allclose(compiled(rearranged)(x, kernel), plain(x, kernel), atol=2e-5)

  def loss(function):
    return compiled(jax.grad(lambda *arrays: jnp.sum(jnp.sin(function(*arrays))), argnums=(0, 1)))

  for found, expected in zip(loss(rearranged)(x, kernel), loss(plain)(x, kernel), strict=True):
    np.testing.assert_allclose(found, expected, atol=1e-4)
  over = compiled(jax.vmap(lambda one: rearranged(one[None], kernel)[0]))
  np.testing.assert_allclose(over(x), plain(x, kernel), atol=2e-5)


def test_a_convolution_along_the_image_is_the_grouped_one_and_has_its_gradient():
  x, _ = inputs((2, 5, 7, 6), 6)
  kernel = jnp.asarray(np.random.default_rng(1).normal(size=(3, 3, 6)), jnp.float32)
  pads = ((1, 1), (1, 1))

  def grouped(x, kernel):
    return jax.lax.conv_general_dilated(x, kernel[:, :, None], (1, 1), pads, feature_group_count=6, **LAYOUT)

  def gradient(function):
    return compiled(jax.grad(lambda *arrays: jnp.sum(jnp.sin(function(*arrays))), argnums=(0, 1)))(x, kernel)

  np.testing.assert_allclose(compiled(convolution.depthwise_conv)(x, kernel), grouped(x, kernel), atol=1e-5)
  for found, expected in zip(gradient(convolution.depthwise_conv), gradient(grouped), strict=True):
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="other devices run the plain convolution")
def test_only_large_float32_images_of_sides_by_four_take_it():
  x, kernel = inputs((1, 8, 8, 16), 16)
  assert 8 * 8 * kernel.size < convolution.WINOGRAD_FROM and convolutions(rearranged, x, kernel) == 1
  for height, width, dtype, count in (
    (600, 900, jnp.float32, 0),
    (602, 900, jnp.float32, 1),
    (600, 902, jnp.float32, 1),
    (600, 900, jnp.bfloat16, 1),
  ):
    shapes = jax.ShapeDtypeStruct((1, height, width, 16), dtype), jax.ShapeDtypeStruct(kernel.shape, dtype)
    assert convolutions(rearranged, *shapes) == count
  strided = lambda x, kernel: convolution.conv(x, kernel, (2, 2), ((1, 1), (1, 1)), **LAYOUT)  # noqa: E731
  shapes = jax.ShapeDtypeStruct((1, 600, 900, 16), jnp.float32), kernel
  assert convolutions(strided, *shapes) == 1


@pytest.mark.parametrize("dtype, tolerance", [(jnp.float32, 1e-5), (jnp.bfloat16, 2e-2)])
def test_a_convolution_by_one_pixel_is_a_product(dtype, tolerance):
  x, kernel = inputs((2, 3, 5, 6), 7)
  x, kernel = x.astype(dtype), kernel[:1, :1].astype(dtype)
  product = lambda x, kernel: convolution.pointwise_conv(x, kernel, (1, 1), "SAME", **LAYOUT)  # noqa: E731
  expected = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", **LAYOUT)
  found = product(x, kernel)
  assert found.dtype == dtype
  np.testing.assert_allclose(found.astype(jnp.float32), expected.astype(jnp.float32), atol=tolerance)
  if jax.default_backend() == "cpu":
    assert convolutions(product, x, kernel) == 0
