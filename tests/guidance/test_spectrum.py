"""Are gains in closed form what they are in theory, and does the image they make keep to its rules?"""

import gaussian
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dig2dig_jax.guidance import base_band, spectrum, weighting
from dig2dig_jax.guidance.spectrum import Rule
from dig2dig_jax.ops import pyramid
from dig2dig_jax.restoration import blind
from dig2dig_jax.restoration.noise_level import LEVEL
from dig2dig_jax.sampling import schedule

pytestmark = pytest.mark.usefixtures("quick_compile")

# Compiled: operation by operation it takes ten times as long.
compose = jax.jit(spectrum.compose, static_argnums=2)
band_gain = jax.jit(spectrum.band_gain, static_argnames=("against", "window"))
laplacian_pyramid = jax.jit(pyramid.laplacian_pyramid, static_argnums=1)
LEVELS = schedule.steps_at(schedule.make_schedule(), range(1000))


def pair(seed=0, size=(32, 40)):
  return jnp.asarray(np.clip(0.4 * np.random.default_rng(seed).normal(size=(2, *size, 1)), -1, 1), jnp.float32)


def test_gain_of_a_gaussian_prior_is_its_closed_form():
  """x0 = s^2 / (s^2 + n^2) y for a prior N(0, s^2): the mean gain against the clean source is s^4 / (s^2 + n^2)."""
  random = np.random.default_rng(1)
  spread, noise = 0.5, 0.3
  clean = spread * random.normal(size=(1, 400, 400, 1))
  observed = clean + noise * random.normal(size=clean.shape)
  estimate = observed * spread**2 / (spread**2 + noise**2)
  expected = spread**4 / (spread**2 + noise**2)
  against_clean = band_gain(jnp.asarray(observed), jnp.asarray(estimate))
  true = np.mean(clean**2) - np.mean((estimate - clean) ** 2)  # l(0, s) - l(x0, s)
  assert float(against_clean.mean()) == pytest.approx(expected, rel=0.02)
  assert float(against_clean.mean()) == pytest.approx(true, rel=0.02)
  measured = band_gain(jnp.asarray(observed), jnp.asarray(estimate), against="observed")
  assert float(measured.mean()) == pytest.approx(
    np.mean(observed**2) - np.mean((estimate - observed) ** 2), rel=1e-3
  )
  assert float(measured.mean()) > 1.2 * expected, "what the estimate lets through of the noise counts there"


def test_limits_constant_pure_noise_and_clean():
  constant = laplacian_pyramid(jnp.full((1, 32, 32, 1), 0.3), 3)
  for band in constant[:-1]:
    np.testing.assert_allclose(band_gain(band, band), 0, atol=1e-12)
  noise = jnp.asarray(np.random.default_rng(2).normal(size=(1, 32, 32, 1)), jnp.float32)
  for against in spectrum.AGAINST:  # nothing of it is restored
    np.testing.assert_array_equal(band_gain(noise, jnp.zeros_like(noise), against=against), 0)
    # A clean source is its own estimate: the gain is the band's energy, the salience of Burt and Kolczynski.
    found = band_gain(noise, noise, against=against, window=0.6)
    assert float(found.mean()) == pytest.approx(float(jnp.mean(noise**2)), rel=0.01)


def test_sources_may_change_places_and_one_that_is_given_twice_is_kept():
  sources = pair()
  rule = Rule(bands=4, base="uniform", undershoot=2, overshoot=2)
  one, other = compose(sources, sources, rule), compose(sources[::-1], sources[::-1], rule)
  np.testing.assert_allclose(one.image, other.image, atol=1e-6)
  np.testing.assert_allclose(one.weights, other.weights[::-1], atol=1e-6)
  np.testing.assert_allclose(one.weights.sum(axis=0), 1, atol=1e-6)
  same = jnp.stack([sources[0], sources[0], sources[0]])
  for base in spectrum.BASES:
    found = compose(same, same, Rule(bands=4, base=base, functional=1, region=1.0))
    np.testing.assert_allclose(found.image, sources[0], atol=1e-5)
    np.testing.assert_allclose(found.weights, 1 / 3, atol=1e-5)


def test_detail_is_taken_from_the_source_that_has_it():
  flat, busy = jnp.zeros((32, 40, 1)), pair()[0]
  for exponent, least in ((2.0, 0.8), (8.0, 0.99)):
    found = compose(*2 * [jnp.stack([flat, busy])], Rule(bands=3, exponent=exponent))
    assert float(found.weights[1].mean()) > least


def test_noise_counts_for_nothing_once_it_is_removed():
  """A source of noise alone beside one with faint detail: its energy is 25 times as large, and its gain is 0."""
  random = np.random.default_rng(3)
  faint = 0.1 * np.sign(np.sin(np.arange(40) / 2))[None, :, None] * np.ones((32, 1, 1))
  noisy = 0.5 * random.normal(size=(32, 40, 1))
  observed = jnp.asarray(np.stack([faint, noisy]), jnp.float32)
  restored = observed.at[1].set(0.0)
  rule = Rule(bands=3)
  assert float(compose(observed, observed, rule).weights[1].mean()) > 0.8
  for against in spectrum.AGAINST:
    found = compose(observed, restored, Rule(bands=3, against=against))
    assert float(found.weights[0].mean()) > 0.8


def test_target_brightness_and_region_lean_as_they_say():
  sources = pair(4) * 0.1
  hot = sources.at[1, 10:20, 10:20].add(0.8)
  shares = {
    name: float(compose(hot, hot, Rule(bands=3, exponent=1, **options)).weights[1, 12:18, 12:18].mean())
    for name, options in {"none": {}, "target": {"target": 4.0}, "other": {"target": 4.0, "functional": 0},
                          "brightness": {"brightness": 4.0}, "region": {"region": 4.0}}.items()
  }  # fmt: skip
  assert shares["target"] > shares["none"] + 0.1 and shares["brightness"] > shares["none"] + 0.1
  assert shares["other"] <= shares["none"] + 0.01 and shares["region"] > shares["none"]
  with pytest.raises(ValueError, match=r"functional=2: expected the number of one of 2 sources"):
    spectrum.compose(sources, sources, Rule(functional=2))


def test_nothing_is_darker_or_brighter_than_every_source_by_more_than_allowed():
  bright = 0.6 + 0.3 * pair(5)[0]
  dark = -0.6 + 0.3 * pair(6)[1]
  sources = jnp.clip(jnp.stack([bright, dark]), -1, 1)
  sources = sources.at[0, :, 20:].set(-0.7).at[1, :, 20:].set(0.2 + sources[1, :, 20:] * 0.5)
  low, high = sources.min(axis=0), sources.max(axis=0)
  free = compose(sources, sources, Rule(bands=5)).image
  assert float(jnp.max(low - free)) > 15 * LEVEL, "the rule must have something to do"
  for allowed in (0, 6):
    kept = compose(sources, sources, Rule(bands=5, undershoot=allowed, overshoot=allowed)).image
    assert float(jnp.max(low - kept)) <= 2 * allowed * LEVEL + 1e-5
    assert float(jnp.max(kept - high)) <= 2 * allowed * LEVEL + 1e-5


def test_bases():
  images = jnp.stack([jnp.full((8, 8, 1), -0.9), 0.2 + 0.3 * pair(7, (8, 8))[0]])
  bands = laplacian_pyramid(images, 2)
  for rule in (base_band.uniform, base_band.brightest, base_band.functional(0), base_band.exposure):
    weights = jnp.broadcast_to(rule(bands, images), (2, *bands[-1].shape[1:3], 1))
    np.testing.assert_allclose(weights.sum(axis=0), 1, atol=1e-6)
  assert float(base_band.brightest(bands, images)[1].min()) > 0.99
  assert float(base_band.exposure(bands, images)[1].min()) > 0.9, "a black frame hardly counts"
  shining = images.at[0].set(jnp.linspace(-1, 1, 64).reshape(8, 8, 1))
  share = base_band.functional(0)(laplacian_pyramid(shining, 2), shining)[0, ..., 0]
  assert float(share[-1, -1]) > 0.6 and float(share[0, 0]) < 0.35


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 5), (5, 64)])
def test_any_size(size):
  sources = pair(8, size)
  found = compose(sources, sources, Rule(base="functional", undershoot=6, overshoot=6, target=1))
  assert found.image.shape == (*size, 1) and np.isfinite(found.image).all() and np.isfinite(found.weights).all()


def test_blind_restoration_by_a_gaussian_prior():
  """The restored source is the posterior mean at the level that was found, and clean sources run no network."""
  random = np.random.default_rng(9)
  mean = jnp.asarray(0.5 * np.sin(np.mgrid[:64, :64][0] / 9)[..., None].repeat(3, -1), jnp.float32)
  denoise = gaussian.denoiser(mean, 0.05)
  noisy = np.asarray(mean) + (20 * LEVEL * random.normal(size=(64, 64, 1)))
  images = jnp.clip(jnp.stack([mean, jnp.asarray(noisy, jnp.float32)]), -1, 1)
  found = jax.jit(lambda key, images: blind.restored(key, images, LEVELS, denoise))(jax.random.key(0), images)
  np.testing.assert_allclose(found.content[0], images[0], atol=1e-6)
  assert float(found.noise.deviation[1]) / LEVEL == pytest.approx(20, rel=0.1)
  assert float(jnp.std(found.content[1] - mean)) < 0.2 * float(jnp.std(images[1] - mean))
  assert float(jnp.ptp(found.content, axis=-1).max()) < 1e-6, "gray sources stay gray"
  lines = blind.told(("ir", "vi"), [np.stack([found.noise.deviation, found.striped], axis=-1)])
  assert len(lines) == 1 and lines[0].startswith("vi: noise of standard deviation") and "1 of 1 images" in lines[0]
  assert blind.told(("ir", "vi"), []) == []


def test_noise_that_is_known_is_restored_as_noise_that_was_found():
  random = np.random.default_rng(9)
  mean = jnp.zeros((32, 32, 3))
  denoise = gaussian.denoiser(mean, 0.05)
  noise = LEVEL * np.array([1, 20]).reshape(2, 1, 1, 1) * random.normal(size=(2, 32, 32, 1))
  images, key = jnp.clip(mean[None] + jnp.asarray(noise, jnp.float32), -1, 1), jax.random.key(0)
  found = jax.jit(lambda images: blind.restored(key, images, LEVELS, denoise))(images)
  noise = jax.tree.map(np.asarray, found.noise)
  result = jax.jit(lambda images: blind.known(key, images, noise, (True, True), LEVELS, denoise))(found.observed)
  np.testing.assert_allclose(result.content, found.content, atol=1e-5)
  np.testing.assert_array_equal(result.content[0], found.observed[0])
  assert float(jnp.std(result.content[1])) < 0.5 * float(jnp.std(images[1]))


def test_the_grain_of_clean_sources_stays_and_restoration_sets_in_smoothly():
  levels = np.array([3.9, 4.5, 5.1], np.float32)  # of 255
  grain = LEVEL * levels.reshape(3, 1, 1, 1) * np.random.default_rng(9).normal(size=(3, 16, 16, 1))
  images = np.float32(grain).repeat(3, -1)
  noise = blind.Noise(levels * LEVEL, np.zeros(3), np.square(levels * LEVEL))
  denoise = gaussian.denoiser(jnp.zeros((16, 16, 3)), 1e-4)  # of which nothing but the mean is left
  run = jax.jit(lambda images: blind.known(jax.random.key(0), images, noise, 3 * (True,), LEVELS, denoise).content)
  found = np.asarray(run(images))
  np.testing.assert_array_equal(found[0], images[0])
  left = np.std(found, axis=(1, 2, 3)) / np.std(images, axis=(1, 2, 3))
  np.testing.assert_allclose(left, [1, 0.5, 0], atol=0.02)


def test_colour_sources_are_restored_in_colour():
  random = np.random.default_rng(10)
  mean = jnp.broadcast_to(jnp.asarray([0.4, -0.2, 0.1]), (64, 64, 3))
  noisy = jnp.clip(mean + 15 * LEVEL * jnp.asarray(random.normal(size=(64, 64, 3)), jnp.float32), -1, 1)
  run = jax.jit(lambda images: blind.restored(jax.random.key(0), images, LEVELS, gaussian.denoiser(mean, 0.02)))
  found = run(jnp.stack([noisy]))
  assert float(jnp.max(jnp.abs(found.content[0] - mean))) < 0.3 * 15 * LEVEL


def test_as_a_weighting():
  sources = jnp.repeat(pair(11), 3, axis=-1)
  dig = weighting.dig_spectrum(LEVELS, rule=Rule(bands=4), restore=False)
  rows = jax.jit(lambda sources: dig.compute(jax.random.key(0), sources, None))(sources)
  assert rows.shape == (1, 2, 32, 40, 1)
  gray = lambda images: images[..., :1]  # noqa: E731
  composed = jax.jit(lambda sources: dig.compose(jax.random.key(0), sources, gray, None))(sources)
  np.testing.assert_allclose(rows[0], composed.weights, atol=1e-6)
  np.testing.assert_array_equal(composed.images, sources)
