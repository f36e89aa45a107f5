"""Passes over memory of a traced program, against counts by hand; and the bound that follows from them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dig2dig_jax.benchmarks import roofline, traffic
from dig2dig_jax.models import layers

N = 4 * 1000 * 16  # bytes of X
X = jax.ShapeDtypeStruct((1000, 16), jnp.float32)


def moved(function, *arguments):
  return traffic.total(traffic.passes(function, *arguments))[1]


def test_what_is_done_element_by_element_is_one_pass():
  assert moved(lambda x: jnp.tanh(x * 2 + 1).reshape(16, 1000), X) == 2 * N  # read, write
  assert moved(lambda x, y: x * jnp.sin(y), X, X) == 3 * N
  assert moved(lambda x: x[:10] + 1, X) == pytest.approx(2 * N / 100)
  assert moved(lambda x: x.reshape(16, 1000), X) == 0  # the same bytes


def test_sums_of_the_same_array_are_one_pass_and_fuse_with_what_makes_their_terms():
  small = 4 * 16
  assert moved(lambda x: (jnp.sum(x, 0), jnp.sum(jnp.square(x), 0)), X) == N + 2 * small
  two_pass = lambda x: jnp.mean(jnp.square(x - x.mean(0, keepdims=True)), 0)  # noqa: E731
  assert moved(two_pass, X) == pytest.approx(2 * N, rel=0.02)


def test_products_read_what_lies_in_memory_and_write_what_they_make():
  weights = jax.ShapeDtypeStruct((16, 32), jnp.float32)
  product = N + 4 * 16 * 32 + 2 * N
  found = traffic.passes(lambda x, w: x @ w, X, weights)
  assert found == [traffic.Pass("matrix product", 2.0 * 1000 * 16 * 32, product, 1.0)]
  # An activation before it is written first, one after it is a pass of its own.
  assert moved(lambda x, w: jnp.tanh(jnp.tanh(x) @ w), X, weights) == 2 * N + product + 4 * N


def test_loops_and_conditions_count_as_they_run():
  square = jax.ShapeDtypeStruct((64, 64), jnp.float32)
  one = 3 * 4 * 64 * 64
  looped = lambda x: jax.lax.scan(lambda c, _: (c @ c, None), x, length=5)[0]  # noqa: E731
  assert moved(looped, square) == pytest.approx(5 * (one - 4 * 64 * 64))  # its two factors are one array
  dearest = lambda x: jax.lax.cond(x[0, 0] > 0, lambda: x @ x @ x, lambda: x)  # noqa: E731
  assert traffic.total(traffic.passes(dearest, square))[0] == 2 * 2 * 64**3


def test_a_normalisation_takes_three_passes():
  """Read for the sums, read and written for the rest: docs/performance.md has counted so by hand."""
  x = jax.ShapeDtypeStruct((2, 64, 64, 32), jnp.bfloat16)
  norm = layers.GroupNorm32(8)
  params = {"params": {name: jax.ShapeDtypeStruct((32,), jnp.float32) for name in ("scale", "bias")}}
  found = moved(lambda params, x: jax.nn.silu(norm.apply(params, x)), params, x)
  assert found == pytest.approx(3 * 2 * np.prod(x.shape), rel=0.01)


def test_a_pass_takes_the_longer_of_its_two_times():
  machine = roofline.Machine(flops=100.0, bytes=10.0)
  passes = [traffic.Pass("convolution", 1000.0, 10.0, 3.0), traffic.Pass("element by element", 0.0, 50.0, 1.0)]
  found = roofline.bound(passes, machine)
  assert (found.arithmetic, found.memory, found.seconds) == (30.0, 5.0, 35.0) and found.words == "arithmetic 86%"


def test_the_plot_has_a_point_for_every_row(tmp_path):
  row = {"method": "a", "dtype": "float32", "size": "8x8", "batch": 1, "tflops": 0.1, "intensity": 30.0}
  roofline.write_plot(tmp_path / "roofline.png", [row], {"float32": roofline.Machine(2e11, 2e10)})
  assert (tmp_path / "roofline.png").read_bytes().startswith(b"\x89PNG")
