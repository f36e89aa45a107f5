"""Operations of a traced program: against counts by hand."""

import jax
import jax.numpy as jnp
import pytest

from dig2dig_jax.benchmarks.flops import flops
from dig2dig_jax.models import convolution

LAYOUT = ("NHWC", "HWIO", "NHWC")


def test_products_and_convolutions():
  a, b = jnp.zeros((2, 3, 5)), jnp.zeros((2, 5, 7))
  assert flops(lambda a, b: jnp.tanh(a @ b), a, b) == 2 * (2 * 3 * 7) * 5
  x, kernel = jnp.zeros((1, 9, 8, 6)), jnp.zeros((3, 3, 3, 4))
  grouped = lambda x, kernel: jax.lax.conv_general_dilated(  # noqa: E731
    x, kernel, (1, 2), ((1, 1), (1, 1)), dimension_numbers=LAYOUT, feature_group_count=2
  )
  assert flops(grouped, x, kernel) == 2 * (9 * 4 * 4) * (9 * 3)


def test_loops_calls_and_gradients():
  a = jnp.eye(4)
  product = 2 * 4**3
  looped = lambda a: jax.lax.scan(lambda c, _: (jax.jit(jnp.matmul)(c, a), None), a, length=5)[0]  # noqa: E731
  assert flops(looped, a) == 5 * product
  assert flops(jax.vmap(looped), jnp.zeros((3, 4, 4))) == 15 * product
  assert flops(jax.grad(lambda a: jnp.sum(a @ jnp.sin(a))), a) == 3 * product  # one forwards, two backwards
  assert flops(lambda a: jax.lax.cond(a[0, 0] > 0, lambda: a @ a @ a, lambda: a @ a), a) == 2 * product


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="counts the way that a CPU goes")
def test_of_several_platforms_this_one_is_counted(monkeypatch):
  monkeypatch.setattr(convolution, "WINOGRAD_FROM", 0)
  x, kernel = jnp.zeros((1, 8, 8, 4)), jnp.zeros((3, 3, 4, 4))
  run = lambda x, kernel: convolution.conv(x, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=LAYOUT)  # noqa: E731
  plain = 2 * 8 * 8 * 4 * 4 * 9
  assert flops(run, x, kernel) == pytest.approx(plain / 4 + 2 * 36 * 9 * 4 * 4)  # and the kernel's transform
