"""Does training go on where it was killed, export what `--prior` accepts, and never keep a state that is not finite?"""

import dataclasses
import itertools
import json

import conftest
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from scenes import scene, write

from dig2dig_jax import checkpoint
from dig2dig_jax.errors import UserError
from dig2dig_jax.jobs import train
from dig2dig_jax.prior import load_prior
from dig2dig_jax.training.data import CropConfig
from dig2dig_jax.training.step import StepConfig

pytestmark = pytest.mark.usefixtures("quick_compile")

STEPS = 6


def config(data, out, **changes):
  defaults = train.TrainConfig(
    data=data,
    out=out,
    model=dataclasses.replace(conftest.TINY, channel_mult=(1,)),
    crop=CropConfig(size=16),
    step=StepConfig(warmup_steps=2, total_steps=STEPS, learning_rate=1e-2),
    batch_size=2 * jax.local_device_count(),
    save_every=2,
    log_every=2,
  )
  return dataclasses.replace(defaults, **changes)


@pytest.fixture(scope="module", autouse=True)
def compiled_once():
  """Runs of one recipe get one step function, which JAX then compiles once."""
  make_step, initial_params, steps, params = train.make_step, train._initial_params, {}, {}

  def shared_step(apply, alphas_cumprod, config, *, seed):
    return steps.setdefault((config, seed), make_step(apply, alphas_cumprod, config, seed=seed))

  def shared_params(config):
    if (config.model, config.seed) not in params:
      params[config.model, config.seed] = jax.device_get(initial_params(config))
    return params[config.model, config.seed]

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(train, "make_step", shared_step)
    patch.setattr(train, "_initial_params", shared_params)
    yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  folder = tmp_path_factory.mktemp("data")
  for index in range(3):
    write(folder / f"{index}.png", scene(index, 24, 30))
  return folder


@pytest.fixture(scope="module")
def trained(quick_compile, data, tmp_path_factory):
  """Folder of an uninterrupted run."""
  out = tmp_path_factory.mktemp("trained")
  assert train.train(config(data, out)) == out / "prior"
  return out


def use_toy(monkeypatch, *, fail_at=None, poison=None):
  """One weight for a network, and a step that counts and spoils the loss or the weight from a step on."""

  def make_step(*args, **kw):
    def step(state, batch):
      number = state.step + 1
      loss = jnp.where(number >= fail_at, np.nan, 1.0) if fail_at else jnp.float32(1.0)
      weight = state.params["w"] * (jnp.where(number >= poison, np.inf, 1.0) if poison else 1.0)
      return state._replace(step=number, params={"w": weight}), {"loss": loss, "gradient_norm": loss}

    return step

  monkeypatch.setattr(train, "make_step", make_step)
  monkeypatch.setattr(train, "_initial_params", lambda config: {"w": np.ones(3, np.float32)})


def saved_steps(out):
  return sorted(int(path.name) for path in (out / "checkpoints").iterdir() if path.name.isdigit())


def final_state(out):
  """{path: array} of the last saved state, read without knowing its structure."""
  with ocp.CheckpointManager(out / "checkpoints") as manager:
    state = manager.restore(STEPS, args=ocp.args.StandardRestore())
  paths, _ = jax.tree.flatten_with_path(state)
  return {jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf) for path, leaf in paths}


def log(out):
  return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_a_run_exports_a_prior_that_jobs_accept(trained, data):
  prior = load_prior(trained / "prior")
  assert prior.noise == {"name": "linear", "num_timesteps": 1000}
  assert prior.config == config(data, trained).model
  leaves = jax.tree.leaves(prior.params)
  assert all(np.isfinite(leaf).all() for leaf in leaves)
  recipe = checkpoint.load_checkpoint(trained / "prior").card["recipe"]
  assert (recipe["steps_taken"], recipe["seed"], recipe["crop"]["size"]) == (STEPS, 0, 16)


def test_the_log_has_a_line_per_interval_and_the_newest_states_are_kept(trained):
  rows = log(trained)
  assert [row["step"] for row in rows] == [2, 4, 6]
  assert all(0.1 < row["loss"] < 10 and row["gradient_norm"] > 0 and row["images_per_second"] > 0 for row in rows)
  assert saved_steps(trained) == [4, 6]


def test_a_killed_run_ends_as_if_it_had_not_been(trained, data, tmp_path, monkeypatch):
  crop_batches = train.crop_batches

  def until_killed(*args, **kw):
    yield from itertools.islice(crop_batches(*args, **kw), 5)
    raise KeyboardInterrupt

  monkeypatch.setattr(train, "crop_batches", until_killed)
  with pytest.raises(KeyboardInterrupt):
    train.train(config(data, tmp_path))
  assert saved_steps(tmp_path) == [2, 4] and not (tmp_path / "prior").exists()
  monkeypatch.undo()
  with pytest.raises(UserError, match="found a run at step 4; add --resume or change --out"):
    train.train(config(data, tmp_path))
  train.train(config(data, tmp_path, resume=True))
  # The exported average is rounded to float16: compare the float32 weights and moments too.
  first, second = (final_state(out) for out in (trained, tmp_path))
  assert {path.split("/")[0] for path in first} == {"step", "params", "ema", "opt_state"}
  assert first.keys() == second.keys()
  for path, leaf in first.items():
    np.testing.assert_array_equal(leaf, second[path], err_msg=path)
  assert len({(out / "prior" / "model.safetensors").read_bytes() for out in (trained, tmp_path)}) == 1
  assert [row["loss"] for row in log(tmp_path)] == [row["loss"] for row in log(trained)]


def test_resuming_a_finished_run_exports_again(trained, data):
  before = (trained / "prior" / "model.safetensors").read_bytes()
  (trained / "prior" / "card.json").unlink()
  train.train(config(data, trained, resume=True))
  assert (trained / "prior" / "model.safetensors").read_bytes() == before and load_prior(trained / "prior")
  assert saved_steps(trained) == [4, 6]


def test_a_loss_that_is_no_number_ends_the_run(data, tmp_path, monkeypatch):
  use_toy(monkeypatch, fail_at=3)
  with pytest.raises(UserError, match="by step 4; lower --learning_rate and --resume from step 2"):
    train.train(config(data, tmp_path))
  assert saved_steps(tmp_path) == [2] and [row["step"] for row in log(tmp_path)] == [2]
  assert not (tmp_path / "prior").exists()


def test_a_state_that_is_not_finite_is_never_saved(data, tmp_path, monkeypatch):
  """Weights may be spoilt while the loss still looks well, and between two lines of the log."""
  use_toy(monkeypatch, poison=4)
  with pytest.raises(UserError, match="by step 4; lower --learning_rate and --resume from step 2"):
    train.train(config(data, tmp_path / "a", log_every=100))
  assert saved_steps(tmp_path / "a") == [2]
  use_toy(monkeypatch, poison=1)
  with pytest.raises(UserError, match="by step 2; lower --learning_rate and run again"):
    train.train(config(data, tmp_path / "b", log_every=100))
  assert saved_steps(tmp_path / "b") == []


def test_what_cannot_run_is_refused(data, tmp_path):
  step = StepConfig(warmup_steps=2, total_steps=STEPS)
  for changes, message in (
    ({"resume": True}, "expected a run to resume, found no checkpoint; drop --resume"),
    ({"data": tmp_path / "missing"}, "missing: expected a folder of images"),
    ({"batch_size": 0}, "--batch_size=0: expected a multiple of the"),
    ({"save_every": 0}, "--save_every=0: expected at least 1 step"),
    ({"dtype": "int8"}, "--dtype=int8: expected one of float32"),
    ({"crop": CropConfig(size=0)}, "--crop_size=0: expected at least 1 pixel"),
    ({"step": dataclasses.replace(step, total_steps=2)}, "--steps=2: expected more than the 2 of the warm-up"),
    ({"step": dataclasses.replace(step, learning_rate=0.0)}, "--learning_rate=0.0: expected above 0"),
  ):
    with pytest.raises(UserError, match=message):
      train.train(config(**{"data": data, "out": tmp_path / "out", **changes}))
