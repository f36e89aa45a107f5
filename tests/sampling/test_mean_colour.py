"""Is the mean colour of a clean estimate, and nothing else of it, the posterior mean that its equation says?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys

from dig2dig_jax.sampling import process
from dig2dig_jax.sampling.mean_colour import mean_colour
from dig2dig_jax.sampling.types import Prediction

pytestmark = pytest.mark.usefixtures("quick_compile")

STEP = toys.row(toys.run_steps(10), 7)
LEVEL = float(STEP.alpha_bar)
SHAPE = (6, 5, 3)


def colour_guidance(prediction, x_t, mean, covariance, step=STEP):
  """The corrected prediction."""
  correct = mean_colour(mean, covariance)
  return correct.update(jax.random.key(0), prediction, x_t, step, correct.init())[0]


def test_the_mean_colour_is_the_best_estimate_for_normal_colours():
  """Drawn, noised and estimated many times: no linear estimate, the best of all here, has a smaller error."""
  rng, count = np.random.default_rng(0), 4000
  mean, factor = np.array([0.1, -0.2, 0.3]), np.array([[0.3, 0, 0], [0.25, 0.1, 0], [0.2, 0.0, 0.15]])
  colours = mean + rng.normal(size=(count, 3)) @ factor.T
  step = STEP._replace(alpha_bar=jnp.float32(0.1))  # noise of a mean over 30 pixels: about twice the colours' deviation
  signal, noise = np.sqrt(0.1), rng.normal(size=(count, *SHAPE)) * np.sqrt(0.9)
  x_t = (signal * colours[:, None, None] + noise).astype(np.float32)
  flat = Prediction(jnp.zeros(SHAPE), jnp.zeros(SHAPE))
  estimate = jax.vmap(lambda x: colour_guidance(flat, x, mean, factor @ factor.T, step).x0.mean(axis=(0, 1)))(x_t)
  observed = np.concatenate([np.ones((count, 1)), x_t.mean(axis=(1, 2))], axis=1)
  best = observed @ np.linalg.lstsq(observed, colours, rcond=None)[0]
  errors = [np.mean((found - colours) ** 2) for found in (estimate, best, np.broadcast_to(mean, colours.shape))]
  assert errors[0] < 1.01 * errors[1] and errors[0] < 0.95 * errors[2]


def test_the_mean_colour_alone_is_replaced_and_noise_follows():
  x0, x_t = toys.images(0, *SHAPE), toys.images(1, *SHAPE)
  prediction = Prediction(x0, process.eps_from_x0(x_t, x0, LEVEL))
  found = colour_guidance(prediction, x_t, np.full(3, 0.2), np.zeros((3, 3)))  # the colour is known
  np.testing.assert_allclose(found.x0, x0 - x0.mean(axis=(0, 1)) + 0.2, atol=1e-6)
  np.testing.assert_allclose(np.sqrt(LEVEL) * found.x0 + np.sqrt(1 - LEVEL) * found.eps, x_t, atol=1e-5)
  found = colour_guidance(prediction, x_t, np.full(3, 0.2), 1e6 * np.eye(3))  # nothing is known but x_t
  np.testing.assert_allclose(found.x0.mean(axis=(0, 1)), x_t.mean(axis=(0, 1)) / np.sqrt(LEVEL), atol=1e-4)
