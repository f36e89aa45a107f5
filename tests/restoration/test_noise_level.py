"""Is the noise of an image found: white, dependent on the signal, stripes; and none where there is none?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage
from skimage.restoration import estimate_sigma

from dig2dig_jax.restoration import noise_level, stabilisation
from dig2dig_jax.restoration import stripes as stripes_of
from dig2dig_jax.restoration.noise_level import LEVEL, Noise

pytestmark = pytest.mark.usefixtures("quick_compile")


def scene(size=(128, 160)):
  """Levels 0..255 of smooth shading, edges of a few objects and some texture."""
  rows, columns = np.mgrid[: size[0], : size[1]] / size[0]
  image = 90 + 60 * np.sin(3 * rows) * np.cos(2 * columns) + 50 * (np.hypot(rows - 0.4, columns - 0.6) < 0.25)
  image[60:100, 30:34] += 60  # a pole
  return image + 8 * (np.sin(40 * rows * columns) > 0.8)


def pixels(levels):
  return jnp.asarray(np.clip(np.rint(levels), 0, 255) / 127.5 - 1, jnp.float32)


@pytest.fixture(scope="module")
def estimate():
  return jax.jit(noise_level.estimate)


@pytest.fixture(scope="module")
def stripes():
  return jax.jit(stripes_of.find)


@pytest.mark.parametrize("sigma", [5, 15, 40])
def test_white_noise_is_found_beside_scikit_image(estimate, sigma):
  noisy = pixels(scene() + np.random.default_rng(sigma).normal(size=(128, 160)) * sigma)
  found = float(estimate(noisy).deviation) / LEVEL
  assert found == pytest.approx(sigma, rel=0.08)
  assert abs(found - sigma) <= abs(estimate_sigma(np.asarray(noisy)) / LEVEL - sigma) + 0.05 * sigma
  assert float(estimate(noisy).slope) == 0


def test_a_clean_scene_has_hardly_any_and_flat_images_none(estimate):
  assert float(estimate(pixels(scene())).deviation) < 1.5 * LEVEL
  assert float(estimate(pixels(np.full((64, 64), 93.0))).deviation) == 0
  tissue = 120 + 20 * np.random.default_rng(0).normal(size=(128, 128))
  head = np.where(np.hypot(*(np.mgrid[:128, :128] - 64)) < 40, tissue, 0)
  assert float(estimate(pixels(head)).deviation) == 0, "black without noise around it: what is inside is texture"


@pytest.mark.parametrize("end", [0, 255])
def test_where_a_scene_is_exactly_black_or_white_noise_is_known_better(estimate, end, monkeypatch):
  rng = np.random.default_rng(end)
  apart = np.hypot(*np.mgrid[-128:128, -128:128])
  head = np.where(apart < 90, 120 + 30 * np.sin(apart), end)

  def spread(estimate):
    errors = [float(estimate(image).deviation) / (50 * LEVEL) - 1 for image in images]
    return np.sqrt(np.mean(np.square(errors)))

  images = [pixels(head + rng.normal(size=head.shape) * 50) for _ in range(10)]
  with monkeypatch.context() as patch:
    patch.setattr(noise_level, "_with_ends", lambda squares, variance: variance)
    by_energy = spread(jax.jit(lambda image: noise_level.estimate(image)))
  assert spread(estimate) < min(0.015, 0.9 * by_energy)


def test_a_dark_scene_that_is_not_black_is_not_taken_for_it(estimate):
  found = [float(estimate(pixels(8 + np.random.default_rng(seed).normal(size=(128, 160)) * 30)).deviation) / LEVEL
           for seed in range(6)]  # fmt: skip
  assert np.mean(found) == pytest.approx(30, rel=0.03), "the mean alone would say 40"


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (15, 200)])
def test_nothing_is_found_in_images_smaller_than_a_block(size):
  image = pixels(np.random.default_rng(0).uniform(0, 255, size))
  assert float(noise_level.estimate(image).deviation) == 0
  assert not np.asarray(stripes_of.find(image, jnp.zeros(()))).any()


def texture(deviation, seed=0, size=(128, 160)):
  """Levels [H, W] of a surface without a smooth part, whose spectrum falls as 1 / f^2.5 like a scene's, through a lens
  of 0.6 pixels."""
  frequency = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1]))
  spectrum = np.fft.rfft2(np.random.default_rng(seed).normal(size=size)) / np.maximum(frequency, 0.01) ** 1.25
  spectrum *= np.exp(-2 * (np.pi * 0.6 * frequency) ** 2)
  surface = np.fft.irfft2(spectrum, size)
  return 128 + surface / surface.std() * deviation


def test_texture_everywhere_is_not_noise(estimate):
  full = texture(60)
  assert float(estimate(pixels(full)).deviation) < 3 * LEVEL, "below what is restored"
  noisy = full + 15 * np.random.default_rng(1).normal(size=full.shape)
  assert float(estimate(pixels(noisy)).deviation) / LEVEL == pytest.approx(15, rel=0.1), "noise in it still is"


def test_noise_that_a_camera_interpolated_is_noise(estimate):
  """A green plane of which every other pixel was measured, as on a chequerboard, and the others are means of four."""
  levels = scene() + 25 * np.random.default_rng(4).normal(size=(128, 160))
  around = sum(np.roll(levels, *shift) for shift in ((1, 0), (-1, 0), (1, 1), (-1, 1))) / 4
  measured = np.indices(levels.shape).sum(axis=0) % 2 == 0
  found = float(estimate(pixels(np.where(measured, levels, around))).deviation) / LEVEL
  assert found > 9, "the finest band keeps 0.43 of it, and none of that is taken for texture"


@pytest.mark.parametrize("size", [(1, 1), (3, 4), (3, 17), (16, 16), (1, 40)])
def test_any_size_has_an_estimate(size):
  found = noise_level.estimate(pixels(np.random.default_rng(1).uniform(0, 255, size)))
  assert all(np.isfinite(value) for value in found)
  assert np.isfinite(stripes_of.find(pixels(np.zeros(size)), jnp.float32(0))).all()


def test_clipped_pixels_do_not_count(estimate):
  random = np.random.default_rng(2)
  dark = np.where(np.mgrid[:128, :160][1] < 50, 0, scene())
  found = float(estimate(pixels(dark + 10 * random.normal(size=dark.shape))).deviation) / LEVEL
  assert found == pytest.approx(10, rel=0.1)


def test_noise_that_grows_with_the_signal(estimate):
  levels = scene()
  noisy = pixels(levels + np.random.default_rng(3).normal(size=levels.shape) * np.sqrt(1.0 * levels + 4))
  found = estimate(noisy)
  truth = 255 * 1.0 * LEVEL**2  # d variance / d ((x + 1) / 2)
  assert float(found.slope) == pytest.approx(truth, rel=0.4)
  stable, deviation = jax.jit(stabilisation.stabilise)(noisy, found)
  flat, _ = stabilisation.stabilise(pixels(levels), found)
  error = np.asarray(stable - flat)
  dark, bright = (error[part] for part in (levels < np.quantile(levels, 0.3), levels > np.quantile(levels, 0.7)))
  assert bright.std() / dark.std() == pytest.approx(1, abs=0.15)
  assert error.std() == pytest.approx(float(deviation), rel=0.15)


def scan(texture: float) -> np.ndarray:
  """Levels [192, 192] of a bright disc on black, as of a head; texture: of the disc, deviation in levels."""
  y, x = np.mgrid[:192, :192] - 95.5
  fine = ndimage.gaussian_filter(np.random.default_rng(4).normal(size=x.shape), 1)
  return np.where(np.hypot(x, y) < 60, 90 + 60 * x / 60 + texture * fine / fine.std(), 0.0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("gain", "read"), [(0.6, 9), (2, 4), (4, 2)])
def test_signal_dependent_noise_on_a_black_background(estimate, gain, read, seed):
  levels, random = scan(texture=0), np.random.default_rng(seed)
  found = estimate(pixels(levels + random.normal(size=levels.shape) * np.sqrt(gain * levels + read)))
  assert float(found.slope) == pytest.approx(255 * gain * LEVEL**2, rel=0.3)
  assert float(found.offset) == pytest.approx(read * LEVEL**2, rel=0.3, abs=1.5 * LEVEL**2)
  assert float(found.deviation) == pytest.approx(np.sqrt(gain * levels.mean() + read) * LEVEL, rel=0.15)


@pytest.mark.parametrize("sigma", [5, 10])
def test_texture_of_bright_parts_is_no_signal_dependent_noise(estimate, sigma):
  levels = scan(texture=12)
  found = estimate(pixels(levels + np.random.default_rng(6).normal(size=levels.shape) * sigma))
  assert float(found.slope) == 0
  assert float(found.deviation) == pytest.approx(sigma * LEVEL, rel=0.1)


@pytest.mark.parametrize("slope", [0.0, 0.02])
@pytest.mark.parametrize("traced", [False, True])
def test_stabilising_is_undone(slope, traced):
  x = jnp.linspace(-1, 1, 101)
  noise = Noise(jnp.float32(0.1), jnp.float32(slope), jnp.float32(0.01 - slope / 2 + 0.001))
  stabilise, restabilise = (jax.jit(f) if traced else f for f in (stabilisation.stabilise, stabilisation.restabilise))
  stable, deviation = stabilise(x, noise)
  np.testing.assert_allclose(restabilise(stable, noise), x, atol=1e-5)
  np.testing.assert_allclose(stable[jnp.array([0, -1])], [-1, 1], atol=1e-6)
  if slope == 0:
    np.testing.assert_allclose(stable, x, atol=1e-5)
    assert float(deviation) == pytest.approx(np.sqrt(0.011), rel=1e-3)


@pytest.mark.parametrize("white", [0, 12])
def test_stripes_are_found_and_the_columns_of_a_scene_are_not(estimate, stripes, white):
  random = np.random.default_rng(4)
  levels = scene() + white * random.normal(size=(128, 160))
  offsets = 8 * random.normal(size=160)
  clean, striped = pixels(levels), pixels(levels + offsets)
  np.testing.assert_array_equal(stripes(clean, estimate(clean).deviation), 0)
  found = np.asarray(stripes(striped, estimate(striped).deviation))[0] / LEVEL
  assert np.std(found - (offsets - offsets.mean())) < 0.55 * offsets.std()
  # The pixels' own noise is found as if there were no stripes.
  assert float(estimate(striped).deviation) == pytest.approx(float(estimate(clean).deviation), abs=0.5 * LEVEL)


def test_stripes_are_found_on_upright_structure(stripes):
  """As of trees or a fence, whose columns alone are none."""
  trees = scene() + 12 * np.sin(2 * np.pi * np.arange(160) / 24)
  np.testing.assert_array_equal(stripes(pixels(trees), jnp.float32(0)), 0)
  for seed in range(3):
    offsets = 8 * np.random.default_rng(seed).normal(size=160)
    found = np.asarray(stripes(pixels(trees + offsets), jnp.float32(0)))[0] / LEVEL
    assert np.std(found - offsets) < 0.9 * offsets.std()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_columns_of_a_scene_are_no_stripes_in_loud_noise_either(stripes, seed):
  random = np.random.default_rng(seed)
  levels = 128 + 4.5 * np.sin(2 * np.pi * np.arange(160) / 12) + random.normal(size=(128, 160)) * 45
  deviation = jnp.float32(45 * LEVEL)
  np.testing.assert_array_equal(stripes(pixels(levels), deviation), 0)
  assert np.any(stripes(pixels(levels + 14 * random.normal(size=160)), deviation))


def test_loud_noise_is_estimated_with_what_was_clipped():
  rng = np.random.default_rng(0)
  levels = 128 + 60 * np.sin(np.arange(256) / 40)[:, None] + rng.normal(size=(256, 256)) * 50
  found = noise_level.estimate(jnp.asarray(np.clip(levels, 0, 255) / 127.5 - 1, jnp.float32))
  assert float(found.deviation) * 127.5 == pytest.approx(50, rel=0.04)


@pytest.mark.parametrize("end", [1, -1])
@pytest.mark.parametrize("sigma", [25, 50])
def test_noise_of_a_night_that_is_clipped_everywhere_is_estimated(sigma, end):
  rng = np.random.default_rng(0)
  dark = 17 + 8 * np.sin(np.arange(256) / 30)[:, None] + rng.normal(size=(256, 256)) * sigma
  image = end * (np.rint(np.clip(dark, 0, 255)) / 127.5 - 1)
  found = noise_level.estimate(jnp.asarray(image, jnp.float32))
  assert float(found.deviation) * 127.5 == pytest.approx(sigma, rel=0.06) and float(found.slope) == 0
