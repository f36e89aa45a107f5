"""Are the rearranged convolutions the convolution, forwards and backwards, and are they what a CPU runs?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dig2dig_jax.models import convolution

LAYOUT = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}


def plain(x, kernel):
  return jax.lax.conv_general_dilated(x, kernel, (1, 1), ((1, 1), (1, 1)), **LAYOUT)


def inputs(shape, features):
  rng = np.random.default_rng(3)
  kernel = rng.normal(size=(3, 3, shape[-1], features)) / np.sqrt(9 * shape[-1])
  return jnp.asarray(rng.normal(size=shape), jnp.float32), jnp.asarray(kernel, jnp.float32)


def rearranged(x, kernel):
  return convolution.conv(x, kernel, (1, 1), ((1, 1), (1, 1)), **LAYOUT)


def convolutions(function, *arrays):
  """Of the optimised program."""
  return jax.jit(function).lower(*arrays).as_text().count("stablehlo.convolution")


@pytest.mark.parametrize("shape, features", [((2, 8, 5, 6), 7), ((1, 4, 1, 3), 2), ((1, 12, 9, 4), 4)])
def test_winograd_is_the_convolution_and_has_its_gradient(shape, features, monkeypatch):
  monkeypatch.setattr(convolution, "WINOGRAD_FROM", 0)
  x, kernel = inputs(shape, features)
  np.testing.assert_allclose(rearranged(x, kernel), plain(x, kernel), atol=2e-5)
  loss = lambda function: jax.grad(lambda *arrays: jnp.sum(jnp.sin(function(*arrays))), argnums=(0, 1))  # noqa: E731
  for found, expected in zip(loss(rearranged)(x, kernel), loss(plain)(x, kernel), strict=True):
    np.testing.assert_allclose(found, expected, atol=1e-4)
  over = jax.vmap(lambda one: rearranged(one[None], kernel)[0])
  np.testing.assert_allclose(over(x), plain(x, kernel), atol=2e-5)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="other devices run the plain convolution")
def test_only_large_float32_images_of_rows_by_four_take_it():
  x, kernel = inputs((1, 8, 8, 16), 16)
  assert 8 * 8 * kernel.size < convolution.WINOGRAD_FROM and convolutions(rearranged, x, kernel) == 1
  for size, dtype, count in ((600, jnp.float32, 6), (602, jnp.float32, 1), (600, jnp.bfloat16, 1)):
    shapes = jax.ShapeDtypeStruct((1, size, 900, 16), dtype), jax.ShapeDtypeStruct(kernel.shape, dtype)
    assert convolutions(rearranged, *shapes) == count
  strided = lambda x, kernel: convolution.conv(x, kernel, (2, 2), ((1, 1), (1, 1)), **LAYOUT)  # noqa: E731
  shapes = jax.ShapeDtypeStruct((1, 600, 900, 16), jnp.float32), kernel
  assert convolutions(strided, *shapes) == 1


@pytest.mark.parametrize("shape, features", [((2, 4, 6, 5), 3), ((1, 1, 1, 2), 2), ((1, 3, 7, 2), 4)])
def test_the_convolution_of_an_enlarged_image(shape, features):
  x, kernel = inputs(shape, features)
  found = convolution.upsampled_conv(x, kernel, (1, 1), ((1, 1), (1, 1)), **LAYOUT)
  np.testing.assert_allclose(found, plain(convolution.nearest_upsample_2x(x), kernel), atol=2e-5)
