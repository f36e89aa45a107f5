"""Are the restoration errors what Dig2DIG Eq. 9 and 10 say, for the noise that the key gives?"""

import functools

import gaussian
import jax
import numpy as np
import pytest
import toys
from skimage.metrics import structural_similarity

from dig2dig_jax.sampling import gain, schedule
from dig2dig_jax.sampling.gain import restoration_errors

LEVELS = schedule.steps_at(schedule.make_schedule(), [800, 300, 20])
KEY = jax.random.key(5)


def errors(sources, denoise, *, key=KEY, levels=LEVELS, **options):
  return jax.jit(lambda key, sources: restoration_errors(key, sources, levels, denoise, **options))(key, sources)


@functools.cache
def noise(draw, level, source, shape, shared):
  key = jax.random.fold_in(KEY, draw)
  if not shared:
    key = jax.random.fold_in(jax.random.fold_in(key, level), source)
  return np.asarray(jax.random.normal(key, shape))


def by_hand(sources, denoise, distance, *, draws=1, shared=True):
  """Eq. 9 and 10 one image at a time; `distance` is NumPy's or scikit-image's."""
  out = np.zeros((3, *sources.shape[:-1], 1))
  denoise = jax.jit(denoise)
  for level in range(3):
    step = toys.row(LEVELS, level)
    a = float(step.alpha_bar)
    for k, source in enumerate(sources):
      for draw in range(draws):
        n = noise(draw, level, k, source.shape, shared)
        restored = denoise((np.sqrt(a) * source + np.sqrt(1 - a) * n).astype(np.float32), step).x0
        out[level, k, ..., 0] += distance(np.asarray(restored, np.float64), source.astype(np.float64)) / draws
  return out


def l2(a, b):
  return ((a - b) ** 2).mean(axis=-1)


def l1(a, b):
  return np.abs(a - b).mean(axis=-1)


def ssim(a, b):
  settings = dict(data_range=2.0, gaussian_weights=True, use_sample_covariance=False, channel_axis=-1, full=True)
  return 1 - structural_similarity(a, b, **settings)[1].mean(axis=-1)


def test_every_distance_is_tested():
  assert set(gain.DISTANCES) == {"l2", "l1", "ssim"}


@pytest.mark.parametrize("distance", [l2, l1, ssim])
def test_distances(distance):
  sources = toys.images(0, 2, 12, 13, 3)
  denoise = toys.conv_denoiser(toys.conv_params())
  ours = errors(sources, denoise, distance=distance.__name__)
  assert ours.shape == (3, 2, 12, 13, 1) and ours.dtype == np.float32
  np.testing.assert_allclose(ours, by_hand(sources, denoise, distance), atol=1e-5)


@pytest.mark.parametrize("shared", [True, False])
def test_draws_are_averaged_and_chunks_change_nothing(shared):
  sources = toys.images(1, 3, 6, 5, 3)
  denoise = toys.conv_denoiser(toys.conv_params())
  truth = by_hand(sources, denoise, l2, draws=2, shared=shared)
  for chunk in (1, 5, 100, 0):  # 18 evaluations: alone, with a remainder, all at once, chosen
    ours = errors(sources, denoise, draws=2, shared_noise=shared, chunk=chunk)
    np.testing.assert_allclose(ours, truth, atol=1e-5, err_msg=f"chunk {chunk}")


def test_shared_noise_follows_the_sources_and_own_noise_does_not():
  sources = toys.images(2, 3, 6, 5, 3)
  denoise = toys.conv_denoiser(toys.conv_params())
  order = np.array([2, 0, 1])
  np.testing.assert_allclose(errors(sources[order], denoise), errors(sources, denoise)[:, order], atol=1e-6)
  equal = np.stack([sources[0]] * 2)
  shared, own = errors(equal, denoise), errors(equal, denoise, shared_noise=False)
  np.testing.assert_allclose(shared[:, 0], shared[:, 1], atol=1e-6)
  assert np.abs(own[:, 0] - own[:, 1]).max() > 0.01


def test_expected_errors_of_a_gaussian_prior():
  """E[(x0hat - y)^2] = (1 - g sqrt(a))^2 (y - m)^2 + g^2 (1 - a): one channel, many draws."""
  mean, spread, draws = 0.1, 0.5, 6000
  sources = np.stack([toys.images(3, 3, 2, 1), np.full((3, 2, 1), mean, np.float32)])
  ours = errors(sources, gaussian.denoiser(mean, spread), draws=draws, chunk=6000)
  a = gaussian.levels(LEVELS)[0].reshape(-1, 1, 1, 1, 1)
  truth = gaussian.expected_error(sources.astype(np.float64), a, mean, spread)
  # A squared Gaussian b + c n has variance 2 c^4 + 4 b^2 c^2; five standard errors.
  scale = gaussian.gain(a, spread) ** 2 * (1 - a)
  slack = 5 * np.sqrt((2 * scale**2 + 4 * (truth - scale) * scale) / draws)
  assert np.all(np.abs(ours - truth) < slack), np.abs(ours - truth).max()
  gains, expected = ours[:-1] - ours[1:], truth[:-1] - truth[1:]
  np.testing.assert_allclose(gains, expected, atol=0.02)
  assert expected[0].max() > 0.05, "gains must be large against the tolerance"


def test_a_constant_image_has_no_gain_under_its_own_prior():
  """s = 0 at the image: the denoiser returns it at every level. As s -> 0 errors vanish like g^2."""
  image = np.full((2, 4, 4, 3), 0.3, np.float32)
  for spread in (0.0, 1e-3):
    ours = errors(image, gaussian.denoiser(0.3, spread))
    np.testing.assert_allclose(ours, 0, atol=1e-12 if spread == 0 else 3e-4)
  np.testing.assert_allclose(errors(image, gaussian.denoiser(-0.2, 0.0)), 0.25, atol=1e-6)  # another image's prior


def test_under_vmap():
  sources, denoise = toys.images(4, 2, 2, 6, 5, 3), toys.conv_denoiser(toys.conv_params())
  keys = jax.random.split(KEY, 2)
  together = jax.jit(jax.vmap(lambda key, y: restoration_errors(key, y, LEVELS, denoise)))(keys, sources)
  for i in range(2):
    np.testing.assert_allclose(together[i], errors(sources[i], denoise, key=keys[i]), atol=1e-5)
