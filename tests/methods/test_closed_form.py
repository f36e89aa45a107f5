"""Is Dig2DIG in closed form one method from options to image: its limits, its steps, its colours, its refusals?"""

import functools

import gaussian
import jax
import numpy as np
import pytest

from dig2dig_jax.errors import UserError
from dig2dig_jax.guidance import spectrum
from dig2dig_jax.methods.codec import luminance_codec, rgb_codec
from dig2dig_jax.methods.cost import evaluations
from dig2dig_jax.methods.dig2dig import dig2dig, one_pass, rule_of
from dig2dig_jax.methods.fuse import fuse
from dig2dig_jax.methods.options import Dig2DigOptions
from dig2dig_jax.priors.prior import CustomPrior
from dig2dig_jax.restoration.noise_level import LEVEL
from dig2dig_jax.sampling.schedule import NoiseSchedule

pytestmark = pytest.mark.usefixtures("quick_compile")

NOISE = NoiseSchedule("linear", 1000)
RGB, LUMINANCE = rgb_codec(), luminance_codec(1)
SCENE = np.float32(0.5 * np.sin(np.mgrid[:48, :64][1] / 5))[..., None].repeat(3, axis=-1)


PRIOR = CustomPrior(lambda params: gaussian.denoiser(SCENE, 0.05), NOISE)
fused = jax.jit(fuse, static_argnums=0)  # compiled once for each method


@functools.cache
def method(codec=RGB, **options):
  return dig2dig(
    PRIOR,
    codec,
    options=Dig2DigOptions(**{"steps": 0, "window": "spectrum", "bands": 3, **options}),
  )


def run(method, images, seed=0):
  return fused(method, {}, jax.random.key(seed), images)


def noisy(sigma, channels=3):
  random = np.random.default_rng(0)
  images = np.stack([SCENE, SCENE + sigma * LEVEL * random.normal(size=(48, 64, channels))])
  return np.float32(np.clip(images, -1, 1))


def test_clean_sources_are_the_blend_and_no_seed_changes_them():
  images = np.clip(np.stack([SCENE, 0.3 * SCENE[::-1]]), -1, 1)
  one, trace = run(method(), images)
  other, _ = run(method(), images, seed=1)
  np.testing.assert_array_equal(one, other)
  wanted = jax.jit(spectrum.compose, static_argnums=2)(images, images, rule_of(Dig2DigOptions(bands=3)))
  np.testing.assert_allclose(one, np.clip(wanted.image, -1, 1), atol=1e-5)
  np.testing.assert_allclose(trace.weights[0], wanted.weights, atol=1e-5)
  assert trace.steps is None and trace.noise.shape == (2, 2)


def test_a_noisy_source_is_restored_unless_told_not_to():
  images = noisy(20, channels=1)
  (restored, trace), (left, plain) = run(method(), images), run(method(restore="off"), images)
  error = lambda image: float(np.std(image - SCENE)) / LEVEL  # noqa: E731
  assert error(left) > 5 and error(restored) < 0.3 * error(left)
  assert float(trace.noise[1, 0]) / LEVEL == pytest.approx(20, rel=0.15) and float(trace.noise[0, 0]) < LEVEL
  np.testing.assert_array_equal(plain.noise, 0)
  other, _ = run(method(), images, seed=5)
  assert 10 * np.log10(4 / np.mean((restored - other) ** 2)) > 50, "only the lift draws"
  assert evaluations(method(), {}, 2) == 2 and evaluations(method(restore="off"), {}, 2) == 0


@pytest.mark.slow
def test_chroma_is_restored_with_the_luminance():
  images = noisy(20)
  fused, _ = run(method(LUMINANCE), images)
  left, _ = run(method(LUMINANCE, restore="off"), images)
  assert np.std(np.ptp(fused, axis=-1)) < 0.4 * np.std(np.ptp(left, axis=-1))


@pytest.mark.slow
def test_steps_at_full_strength_end_at_the_one_pass():
  images = noisy(20, channels=1)
  looped, trace = run(method(steps=3, strength=1.0), images)
  at_once, _ = run(method(), images)
  np.testing.assert_allclose(looped, at_once, atol=1e-4)
  assert trace.steps.guidance["weight"].shape == (3, 1) and trace.weights.shape == (1, 2, 48, 64, 1)
  options = Dig2DigOptions(steps=10, window="spectrum", bands=3)
  assert one_pass(options).window == "spectrum" and one_pass(options).steps == 0


@pytest.mark.parametrize(
  "options, message",
  [
    ({"salience": 3.0}, "--salience=3.0: expected a --dig_window other than spectrum"),
    ({"base": "mean"}, "--base=mean: expected one of uniform, brightest, functional, exposure"),
    ({"base": "exposure", "window": "cumulative"}, "--base=exposure: expected one of uniform, dig"),
    ({"against": "noise"}, "--dig_against=noise: expected one of clean, observed"),
    ({"exponent": -1.0}, "--dig_exponent=-1.0: expected 0 to 50"),
    ({"band_window": 0.0}, "--dig_band_window=0.0: expected above 0"),
    ({"undershoot": 300.0}, "--undershoot=300.0: expected 0 to 255 grey levels, or -1"),
    ({"functional": -2}, "--functional=-2: expected the number of a source"),
  ],
)
def test_what_cannot_run_names_its_flag(options, message):
  with pytest.raises(UserError, match=message):
    method(**options)


def test_weights_of_bands_serve_other_methods():
  """As rows of one weight per pixel: what DDFM and CCF take."""
  images = np.clip(np.stack([SCENE, np.zeros_like(SCENE)]), -1, 1)
  rows = jax.jit(lambda images: method(restore="off").weighting.compute(jax.random.key(0), images, None))(images)
  assert rows.shape == (1, 2, 48, 64, 1) and float(rows[0, 0].mean()) > 0.8
