"""Is the kernel, as plain JAX, the layer without it; what does it take of memory; where does it stand aside?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys

from dig2dig_jax.benchmarks import traffic
from dig2dig_jax.models import layers
from dig2dig_jax.ops import group_norm

pytestmark = pytest.mark.usefixtures("quick_compile")

CHANNELS, GROUPS = 64, 4


def arguments(dtype, size=(4, 8)):
  x, residual = (jnp.asarray(2 * toys.normal(seed, 2, *size, CHANNELS) + 1, dtype) for seed in (0, 1))
  params = {"params": {"scale": toys.normal(2, CHANNELS), "bias": toys.normal(3, CHANNELS)}}
  return params, x, residual, toys.normal(4, 2, 2 * CHANNELS)


def run(kernels, dtype, *, silu=True, modulated=True, residual=True, size=(4, 8)):
  params, x, addend, modulation = arguments(dtype, size)
  norm = layers.GroupNorm32(GROUPS, kernels)
  chosen = {"residual": addend if residual else None, "silu": silu}
  return norm.apply(params, x, modulation if modulated else None, **chosen)


@pytest.mark.parametrize("silu, modulated, residual", [(True, True, True), (False, False, True), (True, False, False)])
def test_the_kernel_is_the_layer(silu, modulated, residual):
  found, expected = (
    run(kernels, jnp.float32, silu=silu, modulated=modulated, residual=residual) for kernels in ("interpret", "off")
  )
  for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
    np.testing.assert_allclose(one, other, rtol=2e-6, atol=5e-6)


def test_in_bfloat16_it_differs_by_rounding_and_sums_alike():
  np.testing.assert_array_equal(*(run(kernels, jnp.bfloat16)[0] for kernels in ("interpret", "off")))
  # Without a residual: XLA may leave its sum unrounded for what follows in the same program.
  normal, expected = (run(kernels, jnp.bfloat16, residual=False) for kernels in ("interpret", "off"))
  assert normal.dtype == jnp.bfloat16
  params, x, _, modulation = arguments(jnp.bfloat16)
  norm = lambda silu: layers.GroupNorm32(GROUPS).apply(params, x.astype(jnp.float32), modulation, silu=silu)  # noqa: E731
  exact, before = norm(True), np.abs(norm(False))
  step = 2.0**-8 * (1.1 * before + np.abs(exact)) + 1e-5  # half a unit of the last place, before SiLU and after
  assert np.all(np.abs(np.asarray(normal, np.float32) - exact) <= step)
  assert np.all(np.abs(np.asarray(expected, np.float32) - exact) <= 4 * step)


@pytest.mark.parametrize("groups", [1, 4])
def test_the_form_for_tpus_is_the_same(groups):
  """Its block holds several groups, whose means are a product."""
  x, residual = toys.normal(0, 2, 16, 32), toys.normal(1, 2, 16, 32)
  table = jnp.asarray(toys.normal(2, 2, 4, 32))
  cut = group_norm.Block("tpu", 32, groups)
  found = group_norm._call(cut, True, True, x, residual, table)
  for one, other in zip(found, group_norm.reference(groups, True, x, residual, table), strict=True):
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_gradients_are_those_of_the_layer():
  params, x, residual, modulation = arguments(jnp.float32)

  def loss(kernels):
    norm = layers.GroupNorm32(GROUPS, kernels)
    score = lambda params, x, residual, m: sum(  # noqa: E731
      jnp.sum(jnp.sin(part)) for part in norm.apply(params, x, m, residual=residual, silu=True)
    )
    return jax.jit(jax.grad(score, argnums=(0, 1, 2, 3)))(params, x, residual, modulation)

  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4), loss("interpret"), loss("off"))


@pytest.mark.parametrize(
  "platform, pixels, channels, groups, fits",
  [
    ("cuda", 64 * 64, 512, 32, True),  # 16 channels of 4096 pixels: 64 numbers for each of 1024 threads
    ("cuda", 128 * 128, 512, 32, False),  # more than the registers hold
    ("cuda", 32 * 32, 256, 32, False),  # 8 channels of bfloat16 are half of what is read at once
    ("cuda", 24 * 32, 512, 32, False),  # no power of two
    ("tpu", 64 * 64, 512, 32, True),
    ("tpu", 24 * 32, 256, 32, True),
    ("tpu", 256 * 256, 256, 32, False),
  ],
)
def test_what_does_not_fit_a_program_is_left_to_xla(platform, pixels, channels, groups, fits):
  assert (group_norm.block(platform, pixels, channels, groups, 2) is not None) == fits


def test_a_map_that_nothing_fits_takes_the_layers_own_way():
  for kernels in ("on", "interpret"):
    np.testing.assert_array_equal(*(run(way, jnp.float32, size=(3, 5))[1] for way in (kernels, "off")))


def test_it_reads_and_writes_once():
  """Predicted before it is measured: 4 arrays where XLA, which adds first, moves 6."""
  params, x, residual, modulation = arguments(jnp.bfloat16, (16, 16))
  size = x.size * x.dtype.itemsize

  def moved(kernels):
    norm = layers.GroupNorm32(GROUPS, kernels)
    run = lambda *arrays: norm.apply(params, arrays[0], arrays[2], residual=arrays[1], silu=True)  # noqa: E731
    return traffic.total(traffic.passes(run, x, residual, modulation))[1] / size

  assert moved("interpret") == pytest.approx(4, abs=0.3) and moved("off") == pytest.approx(6, abs=0.3)
