"""Are the blocks right by themselves? Timestep embedding, GroupNorm, attention in chunks, resampling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import golden_path

from dig2dig_jax.models import convolution, layers

pytestmark = pytest.mark.usefixtures("quick_compile")


def test_timestep_embedding():
  with np.load(golden_path("guided_diffusion/nn_timestep_embedding.npz")) as golden:
    for width in (32, 33, 256):
      out = layers.timestep_embedding(jnp.asarray(golden["t"]), width)
      # float32 angles up to 1000 carry 6e-5 of rounding.
      np.testing.assert_allclose(out, golden[f"dim{width}"], atol=1e-4)
    out = layers.timestep_embedding(jnp.asarray(golden["t_float"]), 32)
    np.testing.assert_allclose(out, golden["t_float_dim32"], atol=1e-4)


@pytest.mark.parametrize("shape", [(2, 5, 3, 12), (2, 12)])
def test_group_norm(shape):
  x = np.random.default_rng(0).normal(3, 2, shape)
  scale, bias = np.linspace(0.5, 2, 12), np.linspace(-1, 1, 12)
  grouped = x.reshape(2, -1, 4, 3)
  mean, variance = grouped.mean(axis=(1, 3), keepdims=True), grouped.var(axis=(1, 3), keepdims=True)
  expected = ((grouped - mean) / np.sqrt(variance + 1e-5)).reshape(shape) * scale + bias
  params = {"params": {"scale": jnp.asarray(scale, jnp.float32), "bias": jnp.asarray(bias, jnp.float32)}}
  out = layers.GroupNorm32(4).apply(params, jnp.asarray(x, jnp.float32))
  np.testing.assert_allclose(out, expected, atol=1e-5)
  assert layers.GroupNorm32(4).apply(params, jnp.asarray(x, jnp.float16)).dtype == jnp.float16


def test_a_modulated_norm_scales_and_shifts_each_image():
  rng = np.random.default_rng(1)
  x, modulation = jnp.asarray(rng.normal(size=(2, 3, 5, 8)), jnp.float32), rng.normal(size=(2, 16))
  norm = layers.GroupNorm32(4)
  params = {"params": {"scale": jnp.asarray(rng.normal(size=8)), "bias": jnp.asarray(rng.normal(size=8))}}
  scale, shift = modulation[:, None, None, :8], modulation[:, None, None, 8:]
  np.testing.assert_allclose(
    norm.apply(params, x, jnp.asarray(modulation, jnp.float32)), norm.apply(params, x) * (1 + scale) + shift, atol=1e-5
  )


@pytest.mark.parametrize("rows", [1, 5, 37, 100])
def test_attention_in_chunks(rows, monkeypatch):
  n, tokens, heads, depth = 2, 37, 3, 8
  query, key, value = np.random.default_rng(1).normal(size=(3, n, tokens, heads, depth))
  logits = np.einsum("nqhd,nkhd->nhqk", query, key) / np.sqrt(depth)
  weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
  expected = np.einsum("nhqk,nkhd->nqhd", weights / weights.sum(axis=-1, keepdims=True), value)
  monkeypatch.setattr(layers, "ATTENTION_BYTES", rows * 4 * n * heads * tokens)
  arrays = [jnp.asarray(array, jnp.float32) for array in (query, key, value)]
  np.testing.assert_allclose(layers.attend(*arrays), expected, atol=2e-6)
  # The lambda is new to JAX's cache of traces, which knows nothing of the patched constant.
  program = str(jax.make_jaxpr(lambda *arrays: layers.attend(*arrays))(*arrays))
  assert ("scan[" in program) == (rows < tokens)


def test_resampling():
  x = jnp.arange(2 * 4 * 6 * 3, dtype=jnp.float32).reshape(2, 4, 6, 3)
  up = np.asarray(convolution.nearest_upsample_2x(x))
  np.testing.assert_array_equal(up, np.asarray(x).repeat(2, axis=1).repeat(2, axis=2))
  np.testing.assert_array_equal(layers.average_pool_2x2(jnp.asarray(up)), x)
  mean = np.asarray(x)[:, :2, :2].mean(axis=(1, 2))
  np.testing.assert_allclose(layers.average_pool_2x2(x)[:, 0, 0], mean)
