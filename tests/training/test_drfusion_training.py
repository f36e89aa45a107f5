"""Does DRFusion learn: from pairs held apart by image, degraded as said, its loss falling, its run exported?"""

import dataclasses
import itertools
import json
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scenes

from dig2dig_jax.data import degraded_pairs
from dig2dig_jax.data.crops import CropConfig
from dig2dig_jax.data.degraded_pairs import DegradedConfig, degrade, degraded_batches, split
from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.errors import UserError
from dig2dig_jax.models.drfusion_unet import DrFusionConfig, DrFusionNet
from dig2dig_jax.priors.prior import load_drfusion
from dig2dig_jax.sampling.schedule import NoiseSchedule
from dig2dig_jax.training import job
from dig2dig_jax.training.config import TrainConfig
from dig2dig_jax.training.drfusion_loss import SOURCE, losses
from dig2dig_jax.training.drfusion_step import ALPHA_RANGE, initial_params, make_drfusion_step, sampler
from dig2dig_jax.training.step import StepConfig, init_state

pytestmark = pytest.mark.usefixtures("quick_compile")

CONFIG = DegradedConfig(size=16)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  """Grain shuffles a few pairs a hundred times more slowly than many."""
  folder = tmp_path_factory.mktemp("pairs")
  for index in range(60):
    scenes.write_pair(folder, f"{index}", (24, 30), channels={"ir": 1, "vi": 3})
  return folder


def test_every_fifth_pair_by_name_is_held_out():
  pairs = [Pair(f"{index:02d}", {"ir": Path("x")}) for index in reversed(range(11))]
  learned, held_out = split(pairs)
  assert [pair.name for pair in held_out] == ["00", "05", "10"] and len(learned) == 8
  assert not {pair.name for pair in learned} & {pair.name for pair in held_out}


@pytest.mark.parametrize("family", degraded_pairs.FAMILIES)
def test_families_degrade_as_they_say(family):
  clean = np.full((32, 33), 0.5, np.float32)
  clean[:, 16:] = 0.8
  found = degrade(clean, family, CONFIG, np.random.default_rng(0))
  assert found.shape == clean.shape and found.dtype == np.float32
  flat, edge = found[:, :5], found[:, 14:18]
  if family in ("noise", "composite"):
    assert 2 / 255 < flat.std() < 60 / 255
  elif family != "clean":
    np.testing.assert_allclose(flat, 0.5, atol=6 * 3 / 255)  # slight noise, and nothing else
    assert 0 < flat.std() < 3.5 / 255 and abs(flat.mean() - 0.5) < 2e-3
  if family in ("blur", "low_resolution"):
    assert np.abs(np.diff(edge, axis=1)).max() < 0.28
  if family == "clean":
    np.testing.assert_array_equal(found, clean)


def test_batches_depend_on_the_seed_and_the_number_alone(data):
  options = dict(config=CONFIG, batch_size=2, seed=3)
  first = list(itertools.islice(degraded_batches([data], ("ir", "vi"), **options), 3))
  assert first[0].shape == (2, 4, 16, 16, 1) and first[0].dtype == np.float32
  np.testing.assert_array_equal(first[2], next(degraded_batches([data], ("ir", "vi"), first_batch=2, **options)))
  assert np.abs(first[0][:, :2] - first[0][:, 2:]).max() > 0.02
  with pytest.raises(UserError, match="two for DRFusion"):
    degraded_batches([data], ("ir",), **options)
  with pytest.raises(UserError, match="pixels a side"):
    degraded_batches([data], ("ir", "vi"), **{**options, "config": DegradedConfig(size=64)})


class Small(nn.Module):
  """The network's interface in two convolutions; test_joint_observation compares the real one's gradients."""

  @nn.compact
  def __call__(self, x, timesteps, *, train=False):
    self.param("alpha", nn.initializers.constant(0.5), (3,))
    h = nn.tanh(nn.Conv(8, (3, 3))(x))
    return nn.Conv(3, (3, 3))(h), nn.sigmoid(nn.Conv(1, (3, 3))(nn.Dropout(0.1, deterministic=not train)(h)))


class Blind(nn.Module):
  """Predicts the same noise everywhere at every step."""

  @nn.compact
  def __call__(self, x, timesteps, *, train=False):
    self.param("alpha", nn.initializers.constant(0.5), (3,))
    noise = self.param("noise", nn.initializers.constant(0.1), ())
    return jax.numpy.full_like(x, 1) * noise, jax.numpy.full_like(x[..., :1], 0.5)


def test_a_run_starts_at_the_observations_and_sees_every_pixel():
  """Nothing is restored at first; heads that read x from where it is put tell a pixel from its neighbours."""
  config = DrFusionConfig(width=16, groups=4)
  params = initial_params(config, seed=0)
  sources = np.random.default_rng(0).uniform(size=(1, 2, 16, 16, 1)).astype(np.float32)
  network = DrFusionNet(config)
  restored = jax.jit(sampler(network))(params, sources)
  np.testing.assert_allclose(restored[0, ..., :2], sources[0, ..., 0].transpose(1, 2, 0), atol=1e-5)
  for channel in range(3):
    params["unet"]["outBlock_2"]["kernel"][1, 1, [channel, 3 + channel], channel] = 1, -1
  x = np.random.default_rng(1).normal(size=(1, 16, 16, 3)).astype(np.float32)
  noise, mask = jax.jit(network.apply)({"params": params}, x, np.ones(1))
  np.testing.assert_array_equal(mask, 0.5)
  for channel in range(3):
    # The rest is what lower levels add; with the first draws everywhere the correlation is below 0.2.
    assert np.corrcoef(np.ravel(noise[..., channel]), np.ravel(x[..., channel]))[0, 1] > 0.5


def test_steps_lower_the_loss_and_move_the_levels(data):
  module, config = Small(), StepConfig(warmup_steps=2, total_steps=60, learning_rate=1e-2, weight_decay=0.0)
  params = module.init(jax.random.key(0), np.zeros((1, 8, 8, 3)), np.ones(1))["params"]
  step = jax.jit(make_drfusion_step(module, config, seed=0))
  batches = degraded_batches([data], ("ir", "vi"), config=CONFIG, batch_size=4, seed=0)
  state, values = init_state(params, config), []
  for batch in itertools.islice(batches, 60):
    state, metrics = step(state, batch)
    values.append(float(metrics["loss"]))
  assert np.isfinite(values).all() and np.mean(values[-10:]) < 0.8 * np.mean(values[:10])
  assert np.abs(state.params["alpha"] - 0.5).max() > 0.01


@pytest.mark.slow
def test_levels_that_the_loss_drives_to_zero_stay_in_their_range(data):
  module = Small()
  config = StepConfig(warmup_steps=1, total_steps=40, learning_rate=0.2)
  params = module.init(jax.random.key(0), np.zeros((1, 8, 8, 3)), np.ones(1))["params"]
  step = jax.jit(make_drfusion_step(module, config, seed=0))
  batches = degraded_batches([data], ("ir", "vi"), config=CONFIG, batch_size=2, seed=0)
  state, least = init_state(params, config), 1.0
  for batch in itertools.islice(batches, 30):
    state, metrics = step(state, batch)
    least = min(least, float(state.params["alpha"].min()))
  assert np.isfinite(float(metrics["loss"])) and least == pytest.approx(ALPHA_RANGE[0])


@pytest.mark.slow
def test_recomputing_changes_no_gradient(data):
  module, config = Small(), StepConfig(warmup_steps=1, total_steps=3, learning_rate=1e-2)
  params = module.init(jax.random.key(0), np.zeros((1, 8, 8, 3)), np.ones(1))["params"]
  batch = next(degraded_batches([data], ("ir", "vi"), config=CONFIG, batch_size=2, seed=0))
  found = [
    jax.jit(make_drfusion_step(module, config, seed=0, recompute=recompute))(init_state(params, config), batch)[1]
    for recompute in (True, False)
  ]
  for name in ("loss", "gradient_norm"):
    np.testing.assert_allclose(found[0][name], found[1][name], rtol=1e-5)


def test_one_pair_in_full_every_runs_all_steps_and_the_others_the_last_alone(data):
  """A network blind to the step sees its own noise put back and returns its input; one step shows its output."""
  module, config = Blind(), StepConfig(warmup_steps=1, total_steps=3)
  params = module.init(jax.random.key(0), np.zeros((1, 8, 8, 3)), np.ones(1))["params"]
  batch = next(degraded_batches([data], ("ir", "vi"), config=CONFIG, batch_size=8, seed=0))
  observed = batch[:, :2, ..., 0].transpose(0, 2, 3, 1)
  whole = jax.jit(sampler(module))(params, batch[:, :2])
  last = jax.jit(sampler(module, last_only=True))(params, batch[:, :2])
  np.testing.assert_allclose(whole[..., :2], observed, atol=1e-4)
  np.testing.assert_allclose(last[..., :2], observed - 0.1, atol=1e-4)  # sqrt(1 - a) / sqrt(a) = 1 at a = 1/2
  step = jax.jit(make_drfusion_step(module, config, seed=0, full_every=4))
  rest = np.array([1, 2, 3, 5, 6, 7])
  expected = losses(whole[::4], batch[::4, 2:]).total / 4 + losses(last[rest], batch[rest, 2:]).total * 3 / 4
  assert float(step(init_state(params, config), batch)[1]["loss"]) == pytest.approx(float(expected), rel=1e-5)


def test_dropout_differs_from_example_to_example_and_only_in_training():
  module = Small()
  params = module.init(jax.random.key(0), np.zeros((1, 8, 8, 3)), np.ones(1))["params"]
  sources = np.repeat(np.random.default_rng(0).uniform(size=(1, 2, 8, 8, 1)), 2, axis=0).astype(np.float32)
  keys = jax.random.split(jax.random.key(1), 2)
  learning = jax.jit(sampler(module, train=True))(params, sources, keys)
  assert np.abs(learning[0] - learning[1]).max() > 1e-4
  np.testing.assert_allclose(*jax.jit(sampler(module))(params, sources), atol=1e-6)


@pytest.mark.slow
def test_a_run_exports_what_the_method_takes(data, tmp_path, monkeypatch):
  def make_step(module, config, *, seed, recompute, full_every, detach):
    def step(state, batch):
      loss = batch.mean()
      return state._replace(step=state.step + 1), {"loss": loss, "gradient_norm": loss}

    return step

  monkeypatch.setattr(job, "make_drfusion_step", make_step)
  repeat = lambda params, sources: sources[..., 0][:, [0, 1, 1]].transpose(0, 2, 3, 1)  # noqa: E731
  monkeypatch.setattr(job, "sampler", lambda module: repeat)
  config = TrainConfig(
    data=data,
    out=tmp_path,
    model=DrFusionConfig(width=16, groups=4),  # whose parameters are known from above
    folders=(data,),
    crop=CropConfig(size=16),
    step=StepConfig(warmup_steps=2, total_steps=4),
    batch_size=2 * jax.local_device_count(),
    save_every=4,  # each of these many small arrays is a file
    log_every=2,
  )
  prior = load_drfusion(job.train(config))
  assert prior.config == config.model and prior.noise == NoiseSchedule("learned", 3)
  np.testing.assert_array_equal(prior.params["alpha"], 0.5)
  kernel = prior.params["unet"]["middleBlock_0_0"]["conv1_2"]["kernel"]  # drawn
  assert np.var(kernel) == pytest.approx(1 / np.prod(kernel.shape[:-1]), rel=0.05)
  assert [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [2, 4]
  assert (tmp_path / "sheets" / "fused_000004.png").is_file()
  assert json.loads((tmp_path / "run.json").read_text())["recipe"]["sources"] == ["ir", "vi"]
  longer = dataclasses.replace(config, step=StepConfig(warmup_steps=2, total_steps=6), resume=True)
  job.train(longer)
  assert [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [2, 4, 6]
  with pytest.raises(UserError, match="times --full_every=2"):
    job.train(dataclasses.replace(longer, batch_size=jax.local_device_count(), full_every=2))
  with pytest.raises(UserError, match="expected the network of this run"):
    job.train(dataclasses.replace(longer, model=DrFusionConfig(width=8, groups=4)))


@pytest.mark.slow
def test_detached_fusion_does_not_pull_at_the_restored_sources():
  random = np.random.default_rng(0)
  output, clean = (jnp.asarray(random.random(shape), jnp.float32) for shape in ((2, 8, 8, 3), (2, 2, 8, 8, 1)))
  gradient = lambda **options: jax.grad(lambda x: losses(x, clean, **options).total)(output)  # noqa: E731
  of_sources = jax.grad(lambda x: SOURCE * losses(x, clean).source)(output)
  detached, published = gradient(detach=True), gradient()
  np.testing.assert_allclose(detached[..., :2], of_sources[..., :2], atol=1e-7)
  np.testing.assert_allclose(detached[..., 2], published[..., 2], atol=1e-7)  # the fused image is pulled alike
  assert np.abs(published[..., :2] - of_sources[..., :2]).max() > 1e-3
  assert losses(output, clean, detach=True) == losses(output, clean)
