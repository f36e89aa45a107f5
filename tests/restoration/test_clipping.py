"""Are the moments of clipped noise right, and is their bias taken off again?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dig2dig_jax.restoration import clipping
from dig2dig_jax.restoration.clipping import LEVEL

MEANS = np.array([-1.2, -0.95, -0.3, 0.0, 0.6, 0.99])
clipped, unclipped = jax.jit(clipping.clipped), jax.jit(clipping.unclipped)


@pytest.mark.parametrize("sigma", [1, 25, 70])
def test_moments_are_those_of_clipped_samples(sigma):
  noise = np.random.default_rng(0).normal(size=200_000) * sigma * LEVEL
  stored = np.clip(MEANS[:, None] + noise, -1, 1)
  found = clipped(jnp.float32(sigma * LEVEL))
  at = [np.interp(MEANS, found.m, values) for values in (found.mean, found.variance, found.ends)]
  np.testing.assert_allclose(at[0], stored.mean(axis=1), atol=0.01 * sigma * LEVEL)
  np.testing.assert_allclose(at[1], stored.var(axis=1) / (sigma * LEVEL) ** 2, atol=0.02)
  np.testing.assert_allclose(at[2], np.mean(np.abs(stored) == 1, axis=1), atol=0.01)


def test_one_end_is_told_by_mean_and_variance_alone():
  sigma = 30 * LEVEL
  stored = np.clip(-0.95 + np.random.default_rng(1).normal(size=400_000) * sigma, -1, 1)
  share, ends = clipping.alone(jnp.float32(1 + stored.mean()), jnp.float32(stored.var()))
  assert float(share) == pytest.approx(stored.var() / sigma**2, rel=0.02)
  assert float(ends) == pytest.approx(np.mean(stored == -1), abs=0.01)


def test_the_bias_of_a_dark_scene_is_taken_off_and_a_middle_grey_stays():
  deviation = jnp.float32(40 * LEVEL)
  found = clipped(deviation)
  scene = jnp.array([-0.97, -0.8, -0.4, 0.0, 0.5, 0.95])
  stored = jnp.interp(scene, found.m, found.mean)
  assert float(stored[0] - scene[0]) > 12 * LEVEL
  observed = jnp.array([-1.0, 0.3])
  np.testing.assert_allclose(unclipped(stored, observed, deviation), scene, atol=2e-3)
  np.testing.assert_allclose(unclipped(scene[3:5], observed, jnp.float32(5 * LEVEL)), scene[3:5], atol=1e-4)


def test_where_nothing_lies_at_an_end_nothing_was_clipped():
  clean = jnp.linspace(-0.95, 0.95, 9)
  np.testing.assert_array_equal(unclipped(clean, clean * 0.98, jnp.float32(0.3)), clean)
  np.testing.assert_array_equal(unclipped(clean, clean * 1.2, jnp.float32(0.3)), clean)  # nor where some lies beyond
  assert not np.array_equal(unclipped(clean, jnp.clip(clean * 1.2, -1, 1), jnp.float32(0.3)), clean)
