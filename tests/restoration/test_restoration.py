"""Is restoration what it claims: the posterior mean of noise, an inversion of operators, blind to equal channels?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys

from dig2dig_jax.restoration import operators, splitting
from dig2dig_jax.sampling.schedule import NoiseSchedule
from dig2dig_jax.sampling.types import Prediction

pytestmark = pytest.mark.usefixtures("quick_compile")

NOISE = NoiseSchedule("linear", 1000)
SIZE = (24, 20)
VARIANCE = 0.09


def gray_wiener(x_t, step):
  """Exact denoiser of gray images N(0, VARIANCE) per pixel in three channels: it averages the channels' noise."""
  a = step.alpha_bar
  mean = x_t.mean(axis=-1, keepdims=True) / jnp.sqrt(a)
  x0 = mean * VARIANCE / (VARIANCE + (1 - a) / a / 3)
  return Prediction(jnp.broadcast_to(x0, x_t.shape), x_t)


def channel_wiener(x_t, step):
  """The same of colour images of independent channels."""
  a = step.alpha_bar
  x0 = x_t / jnp.sqrt(a) * VARIANCE / (VARIANCE + (1 - a) / a)
  return Prediction(x0, x_t)


def run(observed, operator, sigma, denoise, *, gray, steps=6):
  only_noise = operator.size == operator.observed and steps == 1
  rows = splitting.levels(NOISE, sigma=max(sigma, 1e-4), steps=steps, gray=gray, only_noise=only_noise)
  program = jax.jit(
    lambda key, z: splitting.restore(
      key, z, operator, sigma, rows, denoise, gray=gray
    )
  )
  return np.asarray(program(jax.random.key(0), observed))


@pytest.mark.parametrize("gray", [True, False])
def test_noise_alone_gives_the_posterior_mean(gray):
  sigma, rng = 0.2, np.random.default_rng(0)
  clean = np.sqrt(VARIANCE) * rng.normal(size=(*SIZE, 1 if gray else 3))
  observed = clean + sigma * rng.normal(size=clean.shape)
  observed = np.broadcast_to(observed, (*SIZE, 3)).astype(np.float32)
  denoise = gray_wiener if gray else channel_wiener
  found = run(observed, operators.identity(SIZE), sigma, denoise, gray=gray, steps=1)
  # The prior's timesteps are a grid: its nearest level is within 2 % of sigma here.
  np.testing.assert_allclose(found, observed * VARIANCE / (VARIANCE + sigma**2), atol=0.02)


def test_the_lift_keeps_the_mean_and_makes_noise_independent_over_channels():
  deviation, rng = 0.5, np.random.default_rng(1)
  noise = np.repeat(deviation / np.sqrt(3) * rng.normal(size=(200, 200, 1)), 3, axis=-1).astype(np.float32)
  lifted = np.asarray(splitting.lift(jax.random.key(3), noise, deviation))
  np.testing.assert_allclose(lifted.mean(axis=-1), noise[..., 0], atol=1e-5)
  covariance = np.cov(lifted.reshape(-1, 3).T)
  np.testing.assert_allclose(covariance, deviation**2 * np.eye(3), atol=0.01)


def test_levels_are_the_prior_own_and_end_at_the_noise():
  for gray, factor in ((False, 1.0), (True, np.sqrt(3))):
    one = splitting.levels(NOISE, sigma=0.2, steps=9, gray=gray, only_noise=True)
    np.testing.assert_allclose(np.sqrt((1 - one.alpha_bar) / one.alpha_bar), [factor * 0.2], rtol=0.02)
    rows = splitting.levels(NOISE, sigma=0.0, steps=4, gray=gray, only_noise=False)
    found = np.sqrt((1 - rows.alpha_bar) / rows.alpha_bar)
    wanted = factor * np.geomspace(splitting.COARSE, splitting.FINE, 4)
    # The prior's own cleanest level, 0.01, is above 1 of 255.
    np.testing.assert_allclose(found, np.maximum(wanted, 0.01), rtol=0.15)


@pytest.mark.parametrize("name", ["average", "blur", "mask"])
def test_what_the_operator_observed_is_kept_and_the_prior_fills_the_rest(name):
  image = np.repeat(toys.images(5, *SIZE, 1), 3, axis=-1)
  operator = {
    "average": lambda: operators.average_downsample(SIZE, 2),
    "blur": lambda: operators.gaussian_blur(SIZE, 0.8),
    "mask": lambda: operators.masked((np.add.outer(np.arange(24), np.arange(20)) % 3 > 0).astype(float)),
  }[name]()
  observed = operator.apply(image)

  def trusting(x_t, step):  # a prior that leaves its input alone: only the observation acts
    return Prediction(x_t / jnp.sqrt(step.alpha_bar), x_t)

  found = run(np.asarray(observed), operator, 0.0, trusting, gray=True, steps=3)
  np.testing.assert_allclose(operator.apply(found), observed, atol=3e-3)
  np.testing.assert_array_equal(found[..., 0], found[..., 2])


def test_a_gaussian_prior_and_blur_give_wiener_deconvolution():
  """With D_r exact for N(0, VARIANCE), the fixed point at r of both steps is known; many steps there reach it."""
  operator, sigma = operators.blur(SIZE, np.full((3, 3), 1 / 9)), 0.1
  z = toys.images(7, *SIZE, 3)
  rows = splitting.levels(NOISE, sigma=0.3, steps=1, gray=False, only_noise=True)
  rows = jax.tree.map(lambda table: jnp.repeat(table, 200, axis=0), rows)
  found = jax.jit(
    lambda z: splitting.restore(
      jax.random.key(0), z, operator, sigma, rows, channel_wiener, gray=False
    )
  )(z)
  r2 = float((1 - rows.alpha_bar[0]) / rows.alpha_bar[0])
  shrink = VARIANCE / (VARIANCE + r2)
  # x = shrink (x + A^T (A A^T + rho)^-1 (z - A x)): x = (1/shrink - 1 + G)^-1 A^T (A A^T + rho)^-1 z per frequency.
  otf = np.fft.fft2(np.pad(np.full((3, 3), 1 / 9), ((0, 21), (0, 17))), axes=(0, 1))
  otf = otf * np.exp(2j * np.pi * np.add.outer(np.fft.fftfreq(24), np.fft.fftfreq(20)))
  rho = splitting.TRUST * sigma**2 / r2
  step = np.conj(otf) / (np.abs(otf) ** 2 + rho)
  truth = np.fft.ifft2((step / (1 / shrink - 1 + step * otf))[..., None] * np.fft.fft2(z, axes=(0, 1)), axes=(0, 1))
  np.testing.assert_allclose(found, truth.real, atol=2e-3)
