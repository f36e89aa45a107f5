"""Are the restoration errors what Dig2DIG Eq. 9 and 10 say, for the noise that the key gives?"""

import functools

import gaussian
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys
from skimage.metrics import structural_similarity

from dig2dig_jax.guidance import gain
from dig2dig_jax.guidance.gain import restoration_errors
from dig2dig_jax.sampling import schedule

pytestmark = pytest.mark.usefixtures("quick_compile")

LEVELS = schedule.steps_at(schedule.make_schedule(), [800, 300, 20])
KEY = jax.random.key(5)
CONV = toys.conv_denoiser(toys.conv_params())

_CHOICES = ("denoise", "distance", "units", "draws", "shared_noise", "scale", "chunk")
_errors = jax.jit(restoration_errors, static_argnames=_CHOICES)


def errors(sources, denoise, *, key=KEY, **options):
  return _errors(key, sources, LEVELS, denoise, **options)


@functools.cache
def noise(draw, level, source, shape, shared):
  key = jax.random.fold_in(KEY, draw)
  if not shared:
    key = jax.random.fold_in(jax.random.fold_in(key, level), source)
  return np.asarray(jax.random.normal(key, shape))


_denoise = jax.jit(CONV)


def by_hand(sources, distance, *, draws=1, shared=True):
  """Eq. 9 and 10 of CONV, one image at a time; `distance` is NumPy's or scikit-image's."""
  out = np.zeros((3, *sources.shape[:-1], 1))
  for level in range(3):
    step = toys.row(LEVELS, level)
    a = float(step.alpha_bar)
    for k, source in enumerate(sources):
      for draw in range(draws):
        n = noise(draw, level, k, source.shape, shared)
        restored = _denoise((np.sqrt(a) * source + np.sqrt(1 - a) * n).astype(np.float32), step).x0
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
  ours = errors(sources, CONV, distance=distance.__name__)
  assert ours.shape == (3, 2, 12, 13, 1) and ours.dtype == np.float32
  np.testing.assert_allclose(ours, by_hand(sources, distance), atol=2e-5, rtol=1e-4)


# 18 evaluations: alone, with a remainder, all at once, chosen.
@pytest.mark.parametrize(("distance", "factor"), [(l2, 127.5**2), (l1, 127.5), (ssim, 1)])
def test_units_of_grey_levels_are_distances_of_images_from_0_to_255(distance, factor):
  sources = toys.images(0, 2, 12, 13, 3)
  name = distance.__name__
  ours = errors(sources, CONV, distance=name, units="levels")
  np.testing.assert_allclose(ours, factor * np.asarray(errors(sources, CONV, distance=name)), rtol=1e-6)
  if distance is not ssim:  # of the images themselves
    a, b = (np.float64(image) * 127.5 + 127.5 for image in sources)
    found = gain.distance_map(*sources, distance=name, units="levels")[..., 0]
    np.testing.assert_allclose(found, distance(a, b), rtol=1e-4)


@pytest.mark.parametrize(("chunk", "shared"), [(1, True), (5, False), (100, True), (0, False)])
def test_draws_are_averaged_and_chunks_change_nothing(chunk, shared):
  sources = toys.images(1, 3, 6, 5, 3)
  ours = errors(sources, CONV, draws=2, shared_noise=shared, chunk=chunk)
  np.testing.assert_allclose(ours, by_hand(sources, l2, draws=2, shared=shared), atol=2e-5, rtol=1e-4)


def test_shared_noise_follows_the_sources_and_own_noise_does_not():
  sources = toys.images(2, 3, 6, 5, 3)
  order = np.array([2, 0, 1])
  np.testing.assert_allclose(errors(sources[order], CONV), errors(sources, CONV)[:, order], atol=1e-6)
  equal = np.stack([sources[0]] * 3)
  shared, own = errors(equal, CONV), errors(equal, CONV, shared_noise=False)
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

  @jax.jit
  def under(mean, spread):
    return restoration_errors(KEY, jnp.asarray(image), LEVELS, gaussian.denoiser(mean, spread))

  np.testing.assert_allclose(under(0.3, 0.0), 0, atol=1e-12)
  np.testing.assert_allclose(under(0.3, 1e-3), 0, atol=3e-4)
  np.testing.assert_allclose(under(-0.2, 0.0), 0.25, atol=1e-6)  # another image's prior


def test_under_vmap():
  sources = toys.images(4, 2, 3, 6, 5, 3)
  keys = jax.random.split(KEY, 2)
  together = jax.jit(jax.vmap(lambda key, y: restoration_errors(key, y, LEVELS, CONV)))(keys, sources)
  for i in range(2):
    np.testing.assert_allclose(together[i], errors(sources[i], CONV, key=keys[i]), atol=1e-5)


def test_gains_at_half_size_are_those_of_averaged_sources_enlarged():
  sources = toys.images(9, 2, 8, 12, 3)
  averaged = sources.reshape(2, 4, 2, 6, 2, 3).mean(axis=(2, 4))
  expected = errors(averaged, CONV)
  found = errors(sources, CONV, scale=2)
  assert found.shape == (3, 2, 8, 12, 1)
  # Linear enlargement by 2 at corners repeats the value, and keeps the mean of what is linear in between.
  np.testing.assert_allclose(found[:, :, ::7, ::11], expected[:, :, ::3, ::5], rtol=1e-4)
  np.testing.assert_allclose(found[:, :, 1:7:2, 1:11:2], _linear(np.asarray(expected)), rtol=1e-4)


def _linear(e):
  """What lies a quarter of the way to the next pixel, both ways."""
  e = 0.75 * e[:, :, :-1] + 0.25 * e[:, :, 1:]
  return 0.75 * e[:, :, :, :-1] + 0.25 * e[:, :, :, 1:]


def test_gains_at_a_scale_that_does_not_divide_the_size():
  sources = toys.images(10, 2, 7, 9, 3)
  filled = np.pad(sources, ((0, 0), (0, 1), (0, 1), (0, 0)), mode="edge")
  np.testing.assert_allclose(errors(sources, CONV, scale=2), errors(filled, CONV, scale=2)[:, :, :7, :9], rtol=1e-5)
