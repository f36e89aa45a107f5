"""Is DRFusion a method like the others: any size, its mask as weights, clear errors, found and refused by name?"""

import dataclasses
import functools
from pathlib import Path

import drfusion_toy
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys

from dig2dig_jax.data.pairs import find_pairs, load_pair
from dig2dig_jax.errors import UserError
from dig2dig_jax.methods.codec import luminance_codec, rgb_codec
from dig2dig_jax.methods.cost import evaluations
from dig2dig_jax.methods.drfusion import CHANNELS
from dig2dig_jax.methods.fuse import fuse
from dig2dig_jax.methods.options import DrFusionOptions
from dig2dig_jax.methods.registry import make_method
from dig2dig_jax.models.drfusion_unet import DrFusionNet
from dig2dig_jax.priors import prior
from dig2dig_jax.priors.checkpoint import save_checkpoint
from dig2dig_jax.priors.prior import CustomPrior, load_drfusion
from dig2dig_jax.sampling.joint_observation import noise_and_mask_denoiser
from dig2dig_jax.training.drfusion_step import sampler

pytestmark = pytest.mark.usefixtures("quick_compile")

NETWORK = drfusion_toy.toy()
EXAMPLES = Path(__file__).parents[2] / "examples"


def method(codec=None, denoiser=NETWORK.denoiser, **options):
  prior = CustomPrior(denoiser, NETWORK.noise)
  return make_method(prior, codec or luminance_codec(1), options=DrFusionOptions(**options))


@functools.cache
def program(**options):
  """One per set of options: the network takes seconds to compile, per size of the images."""
  return jax.jit(lambda params, images: fuse(method(**options), params, jax.random.key(0), images))


def run(images, **options):
  return program(**options)(NETWORK.params, images)


class Small:
  """The network's interface in one convolution, which no mirror leaves alone: compiled in a fraction of a second."""

  params = {"alpha": NETWORK.params["alpha"], "kernel": toys.normal(7, 3, 3, 3, 4) / 3}

  def apply(self, variables, x, timesteps, **options):
    layout = ("NHWC", "HWIO", "NHWC")
    found = jax.lax.conv_general_dilated(x, variables["params"]["kernel"], (1, 1), "SAME", dimension_numbers=layout)
    return jnp.tanh(found[..., :3]), jax.nn.sigmoid(found[..., 3:])

  def denoiser(self, params):
    return noise_and_mask_denoiser(lambda weights, x, t: self.apply({"params": weights}, x, t), params)


def run_small(images, **options):
  return program(denoiser=Small().denoiser, **options)(Small.params, images)


def test_odd_sizes_keep_theirs_and_the_mask_is_the_weights():
  images = toys.images(0, 2, 13, 18, 3)
  fused, trace = run(images)
  assert fused.shape == (13, 18, 3) and np.isfinite(fused).all()
  assert trace.weights.shape == (2, 2, 13, 18, 1)  # per step
  np.testing.assert_allclose(trace.weights.sum(axis=1), 1, atol=1e-6)
  assert evaluations(method(), NETWORK.params, 2) == 2
  # Nothing is random, and gray sources give a gray image.
  np.testing.assert_array_equal(fused, run(images)[0])
  gray, _ = run(np.repeat(toys.images(1, 2, 13, 18, 1), 3, axis=-1))
  np.testing.assert_allclose(gray, np.repeat(gray[..., :1], 3, axis=-1), atol=1e-5)


@pytest.mark.slow
def test_an_even_image_is_not_changed_by_the_padding_of_odd_ones():
  images = toys.images(2, 2, 14, 18, 3)
  odd, _ = run(images[:, :13])
  mirrored = np.concatenate([images[:, :13], images[:, 11:12]], axis=1)
  np.testing.assert_allclose(odd, run(mirrored)[0][:13], atol=1e-5)


def test_the_restored_sources_can_be_had_too():
  """They and the fused image are the channels of the state at the end of the run."""
  images = np.repeat(toys.images(4, 2, 12, 16, 1), 3, axis=-1)
  sources = (images[None, ..., :1] + 1) / 2
  state = np.asarray(jax.jit(sampler(Small()))(Small.params, sources))[0]
  for channel, output in enumerate(CHANNELS):
    found, _ = run_small(images, output=output)
    np.testing.assert_allclose(found[..., 0], np.clip(state[..., channel] * 2 - 1, -1, 1), atol=1e-5)
  np.testing.assert_allclose(run_small(images, output="channels")[0], state * 2 - 1, atol=1e-5)


def test_without_the_correction_the_observations_are_not_looked_at_again():
  images = np.repeat(toys.images(4, 2, 12, 16, 1), 3, axis=-1)
  alone, with_it = (run_small(images, output="channels", correct=correct)[0] for correct in (False, True))
  wanted = np.moveaxis(images[..., 0], 0, -1)
  errors = [np.abs(np.asarray(found)[..., :2] - wanted).mean() for found in (alone, with_it)]
  assert errors[1] < 0.9 * errors[0]
  assert evaluations(method(correct=False), NETWORK.params, 2) == evaluations(method(), NETWORK.params, 2)


def test_an_ensemble_fuses_mirror_images_alike():
  images = toys.images(2, 2, 16, 24, 3)
  fused = lambda images, **options: np.asarray(run_small(images, output="channels", **options)[0])  # noqa: E731
  for axis in (1, 2):
    mirrored = np.flip(fused(np.flip(images, axis), ensemble=True), axis - 1)
    np.testing.assert_allclose(mirrored, fused(images, ensemble=True), atol=1e-5)
    assert np.abs(np.flip(fused(np.flip(images, axis)), axis - 1) - fused(images)).max() > 1e-3
  assert evaluations(method(ensemble=True), NETWORK.params, 2) == 4 * evaluations(method(), NETWORK.params, 2)


def test_what_it_cannot_do_is_said():
  with pytest.raises(UserError, match="two sources, found 3"):
    run(toys.images(3, 3, 12, 12, 3))
  with pytest.raises(UserError, match="at least 8 pixels"):
    run(toys.images(3, 2, 6, 12, 3))
  with pytest.raises(UserError, match="--colour=luminance"):
    method(codec=rgb_codec())
  with pytest.raises(UserError, match="--drfusion_sigma_y=0"):
    method(sigma_y=0)
  with pytest.raises(UserError, match="--drfusion_output=third"):
    method(output="third")


def test_its_checkpoint_is_found_by_folder_and_asked_for_where_there_is_none(tmp_path, tiny_prior, monkeypatch):
  save_checkpoint(
    tmp_path / "net",
    params=NETWORK.params,
    config=NETWORK.config,
    schedule=dataclasses.asdict(NETWORK.noise),
    card={"name": "toy"},
  )
  loaded = load_drfusion(tmp_path / "net")
  assert (loaded.config, loaded.noise) == (NETWORK.config, NETWORK.noise)
  np.testing.assert_array_equal(loaded.params["alpha"], NETWORK.params["alpha"])
  assert dataclasses.asdict(DrFusionOptions()) == {
    "sigma_y": 0.03, "correct": True, "output": "fused", "ensemble": False
  }  # fmt: skip
  with pytest.raises(UserError, match="diffusion prior"):
    load_drfusion(tiny_prior)
  monkeypatch.setattr(prior, "DRFUSION", tmp_path / "none")
  with pytest.raises(UserError, match="train_drfusion.flags"):
    load_drfusion(tmp_path / "none")


def test_the_shipped_network_removes_noise_and_keeps_to_the_brighter_source():
  network = load_drfusion()
  pair = load_pair(find_pairs(EXAMPLES / "vif", ("ir", "vi"))[0][1])
  clean = (pair.sources[:, 64:192, 160:288].mean(axis=-1, keepdims=True) + 1) / 2
  noisy = (clean + np.random.default_rng(0).normal(size=clean.shape) * 25 / 255).astype(np.float32)
  restored = np.asarray(jax.jit(sampler(DrFusionNet(network.config)))(network.params, noisy[None]))[0]

  def distance(found, wanted):
    return -10 * np.log10(np.mean((found - wanted[..., 0]) ** 2))

  for channel in range(2):
    assert distance(restored[..., channel], clean[channel]) > distance(noisy[channel, ..., 0], clean[channel]) + 5
  assert distance(restored[..., 2], clean.max(axis=0)) > 25
