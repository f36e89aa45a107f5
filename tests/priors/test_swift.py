"""Does the swift network keep the denoiser's contract, and stand aside where it has not learned?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dig2dig_jax.errors import UserError
from dig2dig_jax.front import images
from dig2dig_jax.models.shapes import least_parameters, parameter_shapes
from dig2dig_jax.models.swift import SwiftConfig, pixels, planes
from dig2dig_jax.priors import checkpoint, swift
from dig2dig_jax.priors.prior import load_prior
from dig2dig_jax.restoration import blind, splitting
from dig2dig_jax.restoration.noise_level import Noise
from dig2dig_jax.sampling import schedule

pytestmark = pytest.mark.usefixtures("quick_compile")
LEVEL = 1 / 127.5
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def network(tiny_prior):
  """The network that ships, before a prior of random weights."""
  return swift.with_swift(load_prior(tiny_prior))


@pytest.fixture(scope="module")
def levels(network):
  return schedule.steps_at(network.noise.tables(), range(network.noise.num_timesteps))


def step_of(levels, sigma):
  """The level of this many of 255, in independent channels."""
  place = int(np.abs(np.asarray(splitting.deviation_of(levels)) / LEVEL - sigma).argmin())
  return jax.tree.map(lambda table: table[place], levels)


def scene(channels, sigma, seed=0):
  """(clean, noisy) [40, 56, 3]: edges and a slope; noise of the level, equal in the channels of a gray one."""
  rng = np.random.default_rng(seed)
  y, x = np.mgrid[:40, :56]
  clean = np.stack([0.5 * np.sign(np.sin(x / 7 + k)) * (y > 14) + y / 60 - 0.4 for k in range(channels)], axis=-1)
  noisy = clean + sigma * LEVEL * rng.normal(size=clean.shape)
  return [jnp.asarray(np.repeat(one, 3 // channels, axis=-1), jnp.float32) for one in (clean, noisy)]


def test_it_is_small_and_its_card_is_its_network_s(network):
  loaded = checkpoint.load_checkpoint(swift.SWIFT)
  assert loaded.config == network.quick == SwiftConfig.from_dict(network.quick.to_dict())
  assert sum(path.stat().st_size for path in swift.SWIFT.glob("model*")) < 1e6
  shapes = parameter_shapes(network.quick)
  tensors, numbers = least_parameters(network.quick)
  assert tensors <= len(shapes) and numbers <= sum(int(np.prod(shape)) for shape in shapes.values())
  with pytest.raises(UserError, match="found a swift network, which replaces one"):
    load_prior(swift.SWIFT)
  with pytest.raises(ValueError, match="least, most: expected rising levels"):
    SwiftConfig(least=3, most=2)


def test_planes_are_those_of_the_channels():
  image = jnp.asarray(np.random.default_rng(0).normal(size=(5, 6, 3)), jnp.float32)
  mean, colour = planes(image)
  np.testing.assert_allclose(mean[..., 0], image.mean(axis=-1), atol=1e-6)
  energy = jnp.square(colour).sum(axis=-1) + 3 * jnp.square(mean[..., 0])
  np.testing.assert_allclose(energy, jnp.square(image).sum(axis=-1), rtol=1e-5)
  np.testing.assert_allclose(pixels(mean, colour), image, atol=1e-6)


def test_a_gray_image_as_it_is_and_lifted_are_the_same(network, levels):
  """No noise need be drawn for it: what is independent over channels cancels in their mean."""
  step, (_, noisy) = step_of(levels, 20 * np.sqrt(3)), scene(1, 20)
  denoise = network.denoiser(network.params)
  estimate = jax.jit(lambda image, gray: splitting.denoised(KEY, image, step, denoise, gray=gray))
  found = estimate(noisy, jnp.bool_(True))
  lifted = splitting.lift(KEY, noisy, splitting.deviation_of(step))
  x0 = jax.jit(lambda x: denoise(x, step).x0)(jnp.sqrt(step.alpha_bar) * lifted)
  np.testing.assert_allclose(found, jnp.repeat(x0.mean(axis=-1, keepdims=True), 3, axis=-1), atol=1e-2)
  known = jax.jit(lambda image: splitting.denoised(KEY, image, step, denoise, gray=True))(noisy)
  np.testing.assert_allclose(known, found, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_it_removes_noise(network, levels, channels):
  clean, noisy = scene(channels, 20)
  step = step_of(levels, 20 * np.sqrt(3) if channels == 1 else 20)
  denoise = network.denoiser(network.params)
  found = jax.jit(lambda image: splitting.denoised(KEY, image, step, denoise, gray=channels == 1))(noisy)
  share = 0.5 if channels == 1 else 0.65
  assert jnp.std(found - clean) < share * jnp.std(noisy - clean)


def test_where_it_has_not_learned_the_prior_is_asked(network, levels):
  step, (_, noisy) = step_of(levels, 700), scene(1, 400)
  whole = network.whole.denoiser(network.whole.params)
  run = lambda denoise: jax.jit(lambda image: splitting.denoised(KEY, image, step, denoise, gray=True))(noisy)  # noqa: E731
  np.testing.assert_allclose(run(network.denoiser(network.params)), run(whole), atol=1e-5)
  known = network.denoiser(network.params).at(float(splitting.deviation_of(step)))
  assert not isinstance(known, swift.SwiftDenoiser)
  assert network.denoiser(network.params).at(20 * LEVEL).always
  line = swift.told(network.quick, "ir", 400 * LEVEL)
  assert line.startswith("ir: noise of standard deviation 400.0 of 255 is outside") and "the prior is used" in line
  lines = blind.beyond(("ir", "vi"), [np.array([[200 * LEVEL, 0], [20 * LEVEL, 0]])], (1.5, 80))
  assert len(lines) == 1 and lines[0].startswith("ir: noise of 1 of 1 images, up to 200 of 255")


def test_images_are_fused_by_it_and_not_by_the_program_of_its_prior(network):
  own, whole = images._Network.of(network), images._Network.of(network.whole)
  assert own != whole and not isinstance(whole.prior(), swift.Swift)
  assert isinstance(own.prior().denoiser(network.params), swift.SwiftDenoiser)


@pytest.mark.slow
def test_fuse_images_takes_it(network):
  noisy = [np.uint8(np.clip(127.5 * (np.asarray(scene(1, 20, seed)[1]) + 1), 0, 255)) for seed in (0, 1)]
  found = [images.fuse_images(noisy, prior=prior, restore="noise") for prior in (network.whole, network)]
  assert np.abs(found[0].astype(int) - found[1]).mean() > 0.5


def test_known_noise_takes_one_of_both_and_no_more(network, levels):
  """What is compiled for a clip holds the network alone, or the prior alone, or neither."""
  _, noisy = scene(1, 20)

  def text(sigma):
    own = np.float32([sigma * LEVEL])
    noise = Noise(own, np.float32([0]), own**2)
    run = jax.jit(lambda params, x: blind.known(KEY, x, noise, (True,), levels, network.denoiser(params)).content)
    return run.lower(network.params, noisy[None]).as_text()

  found = {sigma: text(sigma) for sigma in (0.5, 20, 200)}
  convolutions = {sigma: lowered.count("stablehlo.convolution") for sigma, lowered in found.items()}
  assert convolutions[0.5] == convolutions[20] == 0 and convolutions[200] > 10
  assert found[20].count("stablehlo.dot_general") > 10 > found[0.5].count("stablehlo.dot_general")
