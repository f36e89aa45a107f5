"""Is a level of a pyramid by the kernels, as plain JAX, the plain one; do they lower for NVIDIA's GPUs; what do they
take of memory?"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys
from jax import export

from dig2dig_jax.benchmarks import traffic
from dig2dig_jax.guidance import spectrum
from dig2dig_jax.ops import band_kernel, pyramid

SLOW = pytest.mark.slow
pytestmark = pytest.mark.usefixtures("quick_compile")


def compose(images, observed, rule, kernels):
  return jax.jit(functools.partial(spectrum.compose, rule=rule, kernels=kernels))(observed, images)


# Smaller than what a tap reaches; several tiles.
@pytest.mark.parametrize("shape", [(1, 3, 2, 3), pytest.param((2, 37, 70, 1), marks=SLOW)])
def test_reduced_by_the_kernel_is_reduced(shape):
  x = jnp.asarray(toys.normal(0, *shape))
  np.testing.assert_allclose(band_kernel.reduce(x, interpret=True), pyramid.reduce(x), atol=1e-6)


RULES = {
  "gray pair": (2, 1, spectrum.Rule(bands=4, base="functional", target=0.25, undershoot=6.0)),
  "colours of three": (3, 3, spectrum.Rule(bands=2, brightness=0.5, functional=0, base="brightest")),
  "against the noisy": (2, 1, spectrum.Rule(bands=3, against="observed", band_window=1.0)),
  "no window": (2, 1, spectrum.Rule(bands=2, band_window=0.0)),
}


def test_a_level_by_the_kernel_is_the_level():
  """Two tiles across, odd sides, two sources whose target counts."""
  fine = jnp.asarray(toys.images(1, 2, 7, 31, 1))
  below, numbers = pyramid.reduce(fine), jnp.asarray([4.0, 0.1, 0.25, 0.0])
  scores = band_kernel.Scores(0.6, numbers, 1)
  found = band_kernel.blend((fine, below), (fine, below), below[0], scores, interpret=True)
  plain = jax.jit(functools.partial(band_kernel.plain_blend, scores._replace(numbers=None)))
  np.testing.assert_allclose(found, plain(fine, below, below[0], numbers), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", RULES)
def test_the_image_by_kernels_is_the_image(name):
  count, channels, rule = RULES[name]
  images = jnp.asarray(toys.images(1, count, 35, 31, channels))
  observed = images + 0.1 * toys.normal(2, *images.shape)
  found, expected = (compose(images, observed, rule, kernels) for kernels in ("interpret", "off"))
  np.testing.assert_allclose(found.image, expected.image, atol=1e-5)
  np.testing.assert_allclose(found.weights, expected.weights, atol=1e-5)


@pytest.mark.slow
def test_a_source_that_is_valid_in_part_stays_what_it_is():
  """What a source lacks has been filled in smoothly: a band without energy, at an odd border."""
  images = np.array(toys.images(3, 2, 33, 29, 1))
  images[1, 17:, 11:] = images[1, 17, 11]
  rule = spectrum.Rule(bands=3)
  found, expected = (compose(images, images, rule, kernels).image for kernels in ("interpret", "off"))
  np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("rule", [spectrum.Rule(bands=2, region=1.0), spectrum.Rule(bands=2, base="exposure")])
def test_what_needs_all_bands_first_is_left_to_xla(rule):
  images = jnp.asarray(toys.images(4, 2, 9, 8, 1))
  text = str(jax.make_jaxpr(functools.partial(spectrum.compose, rule=rule, kernels="interpret"))(images, images))
  assert "pallas_call" not in text


def lowered(platform):
  rule = spectrum.Rule(bands=2, target=0.25)
  run = jax.jit(lambda x: jax.vmap(lambda x: spectrum.compose(x, x, rule, kernels="on").image)(x))
  allowed = [export.DisabledSafetyCheck.custom_call("__gpu$xla.gpu.triton")]
  with toys.meant_for(platform):
    exported = export.export(run, platforms=(platform,), disabled_checks=allowed)
    return exported(jax.ShapeDtypeStruct((2, 2, 35, 31, 1), jnp.float32)).mlir_module()


def test_kernels_lower_to_triton_and_stand_aside_elsewhere():
  assert lowered("cuda").count("xla.gpu.triton") >= 2
  assert "xla.gpu.triton" not in lowered("cpu") and "tpu_custom_call" not in lowered("tpu")


def test_a_level_is_read_once_and_written_once():
  fine, below = (jax.ShapeDtypeStruct((2, side, side, 1), jnp.float32) for side in (64, 32))
  coarse, numbers = jax.ShapeDtypeStruct((32, 32, 1), jnp.float32), jax.ShapeDtypeStruct((4,), jnp.float32)
  scores = band_kernel.Scores(0.6, None, 0)

  def moved(run):
    return traffic.total(traffic.passes(run, fine, below, coarse, numbers, platform="cuda"))[1]

  run = lambda *arrays: band_kernel.blend(arrays[:2], arrays[:2], arrays[2], scores._replace(numbers=arrays[3]))  # noqa: E731
  arrays = 4 * (2 * 64**2 + 2 * 32**2 + 32**2 + 64**2)
  assert moved(run) == pytest.approx(arrays, rel=0.01)
  assert moved(functools.partial(band_kernel.plain_blend, scores)) > 2 * arrays
