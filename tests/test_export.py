"""Do the programs lower for NVIDIA's GPUs and for TPUs on a machine that has neither, and run as exported on this one?

Ahead of time, by `jax.export`: what XLA makes of it there is not looked at, but whatever knows one platform alone would
fail here. Kernels of Pallas among them: their lowering to Triton and to Mosaic is part of it.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys
from jax import export

from dig2dig_jax.fusing import programs
from dig2dig_jax.methods.codec import luminance_codec
from dig2dig_jax.methods.fuse import fuse
from dig2dig_jax.methods.options import DdfmOptions, Dig2DigOptions
from dig2dig_jax.methods.registry import make_method
from dig2dig_jax.models.config import UNetConfig
from dig2dig_jax.priors.prior import random_prior
from dig2dig_jax.sampling.schedule import NoiseSchedule

pytestmark = pytest.mark.usefixtures("quick_compile")

# Attention, residuals that a normalisation adds, groups wide enough for the kernels: small, and all there is.
LAYOUT = UNetConfig(16, 32, 3, 1, (2,), (1, 2), norm_groups=2, num_head_channels=32)
OPTIONS = {
  "spectrum": Dig2DigOptions(steps=2, weights="dig", window="spectrum", interval=1),
  "ddfm": DdfmOptions(steps=2),
}
PLATFORMS = ("cpu", "cuda", "tpu")


STEP = toys.row(toys.run_steps(10), 4)


def exported(name):
  """(jitted program of the method on one pair, its arguments, what `jax.export` makes of it)."""
  prior = random_prior(LAYOUT, NoiseSchedule("linear", 1000), name="toy")
  method = make_method(prior, luminance_codec(1), options=OPTIONS[name])
  run = jax.jit(lambda params, images: fuse(method, params, jax.random.key(0), images)[0])
  arguments = prior.params, jnp.asarray(toys.images(0, 2, 16, 16, 3))
  shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), arguments)
  return run, arguments, export.export(run, platforms=PLATFORMS, disabled_checks=programs._ALLOWED)(*shapes)


@pytest.mark.parametrize("name", ["spectrum", pytest.param("ddfm", marks=pytest.mark.slow)])
def test_one_export_of_a_method_serves_three_platforms_and_runs_here(name):
  run, arguments, found = exported(name)
  assert found.platforms == PLATFORMS
  kept = export.deserialize(bytearray(found.serialize()))
  np.testing.assert_allclose(kept.call(*arguments), run(*arguments), atol=1e-5)


def of_network(kernels, dtype, platforms):
  """The same of one pass of the network."""
  prior = random_prior(LAYOUT, NoiseSchedule("linear", 1000), name="toy", dtype=dtype, kernels=kernels)
  run = jax.jit(lambda params, x: prior.denoiser(params)(x, STEP).x0)
  arguments = prior.params, jnp.asarray(toys.images(0, 16, 16, 3))
  shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), arguments)
  with toys.meant_for(platforms[0]):
    return run, arguments, export.export(run, platforms=platforms, disabled_checks=programs._ALLOWED)(*shapes)


def test_one_export_of_a_network_serves_three_platforms_and_runs_here():
  run, arguments, found = of_network("off", "float32", PLATFORMS)
  assert found.platforms == PLATFORMS
  kept = export.deserialize(bytearray(found.serialize()))
  np.testing.assert_allclose(kept.call(*arguments), run(*arguments), atol=1e-5)


def test_kernels_lower_for_the_device_that_they_are_for_and_stand_aside_on_a_cpu():
  texts = {one: of_network("on", "bfloat16", (one,))[2].mlir_module() for one in PLATFORMS}
  called = {platform: (text.count("xla.gpu.triton"), text.count("tpu_custom_call")) for platform, text in texts.items()}
  assert called["cuda"][0] > 0 and called["cuda"][1] == 0
  assert called["tpu"][0] == 0 and called["tpu"][1] > 0
  assert called["cpu"] == (0, 0)


@pytest.mark.slow
def test_a_network_with_kernels_is_the_network():
  run, arguments, _ = of_network("off", "float32", ("cpu",))
  other, _, _ = of_network("interpret", "float32", ("cpu",))
  np.testing.assert_allclose(other(*arguments), run(*arguments), atol=1e-4)
