"""Does training go on where it was killed, export what `--prior` accepts, and never keep a state that is not finite?"""

import dataclasses
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import conftest
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from scenes import read, scene, write

from dig2dig_jax.data.crops import CropConfig
from dig2dig_jax.data.images import write_png
from dig2dig_jax.errors import UserError
from dig2dig_jax.evaluation import samples as sample_prior
from dig2dig_jax.models.config import UNetConfig
from dig2dig_jax.priors import checkpoint
from dig2dig_jax.priors.prior import load_prior
from dig2dig_jax.sampling.schedule import NoiseSchedule
from dig2dig_jax.training import job
from dig2dig_jax.training.config import TrainConfig
from dig2dig_jax.training.step import StepConfig

pytestmark = pytest.mark.usefixtures("quick_compile")

STEPS = 6


def config(data, out, **changes):
  defaults = TrainConfig(
    data=data,
    out=out,
    model=dataclasses.replace(conftest.TINY, channel_mult=(1,)),
    crop=CropConfig(size=16),
    step=StepConfig(warmup_steps=2, total_steps=STEPS, learning_rate=1e-2),
    batch_size=2 * jax.local_device_count(),
    save_every=2,
    log_every=2,
    sample_steps=0,
  )
  return dataclasses.replace(defaults, **changes)


@pytest.fixture(scope="module", autouse=True)
def compiled_once():
  """Runs of one recipe get one step function, which JAX then compiles once."""
  make_step, initial_params, steps, params = job.make_step, job._initial_params, {}, {}

  def shared_step(apply, alphas_cumprod, config, *, seed):
    return steps.setdefault((config, seed), make_step(apply, alphas_cumprod, config, seed=seed))

  def shared_params(config):
    if config.init:
      return initial_params(config)
    if (config.model, config.seed) not in params:
      params[config.model, config.seed] = jax.device_get(initial_params(config))
    return params[config.model, config.seed]

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(job, "make_step", shared_step)
    patch.setattr(job, "_initial_params", shared_params)
    yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  """Grain shuffles a few images a hundred times more slowly than many: 20 ms a crop of two."""
  folder = tmp_path_factory.mktemp("data")
  for index in range(48):
    write(folder / f"{index}.png", scene(index, 24, 30))
  return folder


@pytest.fixture(scope="module")
def trained(quick_compile, data, tmp_path_factory):
  """Folder of an uninterrupted run."""
  out = tmp_path_factory.mktemp("trained")
  assert job.train(config(data, out)) == out / "prior"
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

  monkeypatch.setattr(job, "make_step", make_step)
  monkeypatch.setattr(job, "_initial_params", lambda config: {"w": np.ones(3, np.float32)})


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
  assert prior.noise == NoiseSchedule("linear", 1000)
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
  crop_batches = job.crop_batches

  def until_killed(*args, **kw):
    yield from itertools.islice(crop_batches(*args, **kw), 5)
    raise KeyboardInterrupt

  monkeypatch.setattr(job, "crop_batches", until_killed)
  with pytest.raises(KeyboardInterrupt):
    job.train(config(data, tmp_path))
  assert saved_steps(tmp_path) == [2, 4] and not (tmp_path / "prior").exists()
  monkeypatch.undo()
  with pytest.raises(UserError, match="found a run at step 4; add --resume or change --out"):
    job.train(config(data, tmp_path))
  job.train(config(data, tmp_path, resume=True))
  # The exported average is rounded to float16: compare the float32 weights and moments too.
  first, second = (final_state(out) for out in (trained, tmp_path))
  assert {path.split("/")[0] for path in first} == {"step", "params", "ema", "opt_state"}
  assert first.keys() == second.keys()
  for path, leaf in first.items():
    np.testing.assert_array_equal(leaf, second[path], err_msg=path)
  assert len({(out / "prior" / "model.safetensors").read_bytes() for out in (trained, tmp_path)}) == 1
  assert [row["loss"] for row in log(tmp_path)] == [row["loss"] for row in log(trained)]


def test_the_log_of_a_killed_run_has_every_step_once(tmp_path):
  lines = [json.dumps({"step": step, "loss": 0.1}) + "\n" for step in (2, 4, 6)]
  log_file = tmp_path / "log.jsonl"
  log_file.write_text("".join(lines) + '{"step": 8, "lo')
  job.cut_log(log_file, 4)
  assert log_file.read_text() == "".join(lines[:2])
  job.cut_log(tmp_path / "none.jsonl", 4)
  assert not (tmp_path / "none.jsonl").exists()


KILLED = """
import os, sys
sys.path[:0] = [{tests!r}, {root!r}]
import jax
from test_train import config, conftest, job
conftest.compile_quickly()  # the bits of the tests beside it
from pathlib import Path
batches = job.crop_batches
def killed_after_a_save(*args, **kw):
  for number, batch in enumerate(batches(*args, **kw)):
    if number == 5:
      os.kill(os.getpid(), 9)  # step 5 is lost: the last checkpoint is of step 4
    yield batch
job.crop_batches = killed_after_a_save
job.train(config(Path({data!r}), Path({out!r})))
"""


@pytest.mark.slow
def test_kill_9_loses_only_what_came_after_the_last_checkpoint(trained, data, tmp_path):
  """A process of its own, killed by the system; the resumed run ends with the same bits."""
  root = Path(__file__).resolve().parents[2]
  names = dict(tests=str(root / "tests" / "training"), root=str(root / "tests"))
  out = tmp_path / "out"
  code = KILLED.format(**names, data=str(data), out=str(out))
  environment = {**os.environ, "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""), "PYTHONPATH": str(root)}
  ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
  assert ended.returncode == -9, ended.stderr
  assert saved_steps(out) == [2, 4] and not (out / "prior").exists()
  job.train(config(data, out, resume=True))
  first, second = final_state(trained), final_state(out)
  for path, leaf in first.items():
    np.testing.assert_array_equal(leaf, second[path], err_msg=path)
  assert [row["step"] for row in log(out)] == [2, 4, 6]


TOGETHER = """
import sys
sys.path[:0] = [{tests!r}, {root!r}]
import jax
jax.distributed.initialize("localhost:{port}", 2, int(sys.argv[1]))
from test_train import config, conftest, job
conftest.compile_quickly()
from pathlib import Path
assert jax.device_count() == 2 and jax.local_device_count() == 1
print(job.train(config(Path({data!r}), Path({out!r}), batch_size=2)))
"""


def run_together(code, environment, folder, *, seconds=240):
  """[(exit status, output)] of two processes. Both write to files: who waits for one must not fill the other's pipe. As
  soon as one fails, or after `seconds`, what still runs is killed, for the other would wait for it."""
  files = [folder / f"{number}.txt" for number in range(2)]
  team = []
  try:
    for number, path in enumerate(files):
      with path.open("w") as out:
        command = [sys.executable, "-X", "faulthandler", "-c", code, str(number)]
        team.append(subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT))
    end = time.monotonic() + seconds
    while time.monotonic() < end and any(member.poll() is None for member in team):
      if any(member.poll() for member in team):
        end = min(end, time.monotonic() + 10)  # the other may yet say why
      time.sleep(0.1)
    for member in team:
      if member.poll() is None:
        member.send_signal(signal.SIGABRT)  # faulthandler writes where every thread stands
  finally:
    for member in team:
      try:
        member.wait(10)
      except subprocess.TimeoutExpired:
        member.kill()
        member.wait()
  return [(member.returncode, path.read_text()) for member, path in zip(team, files, strict=True)]


@pytest.mark.slow
def test_two_processes_learn_what_one_does(data, tmp_path):
  """Each reads its rows of the batch; gradients meet between the processes; the first alone writes the results."""
  root = Path(__file__).resolve().parents[2]
  with socket.socket() as free:
    free.bind(("localhost", 0))
    port = free.getsockname()[1]
  names = dict(tests=str(root / "tests" / "training"), root=str(root / "tests"), port=port)
  code = TOGETHER.format(**names, data=str(data), out=str(tmp_path / "two"))
  environment = {**os.environ, "XLA_FLAGS": "", "PYTHONPATH": str(root), "JAX_PLATFORMS": "cpu"}
  told = run_together(code, environment, tmp_path)
  assert [status for status, _ in told] == [0, 0], "\n".join(output for _, output in told)
  job.train(config(data, tmp_path / "one", batch_size=2))
  one, two = (load_prior(tmp_path / name / "prior").params for name in ("one", "two"))
  for alone, together in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
    np.testing.assert_allclose(alone, together, atol=2e-3)  # float16, after steps of 1e-2
  losses = [[row["loss"] for row in log(tmp_path / name)] for name in ("one", "two")]
  np.testing.assert_allclose(*losses, rtol=1e-3)


def test_a_run_starts_from_the_weights_of_a_prior(trained, data, tmp_path, monkeypatch):
  started = []
  monkeypatch.setattr(job, "_run", lambda config, step, apply, state, *rest: started.append(state) or state)
  monkeypatch.setattr(job, "write_sheets", lambda *args: None)
  job.train(config(data, tmp_path / "a", init=trained / "prior"))
  for found, kept in zip(
    jax.tree.leaves(started[0].params), jax.tree.leaves(load_prior(trained / "prior").params), strict=True
  ):
    np.testing.assert_array_equal(found, kept)
  other = dataclasses.replace(config(data, trained).model, num_res_blocks=2)
  with pytest.raises(UserError, match="expected the network to train, found another configuration; change --init"):
    job.train(config(data, tmp_path / "b", init=trained / "prior", model=other))


def test_sheets_show_crops_and_samples(trained, data, tmp_path, monkeypatch):
  monkeypatch.setattr(sample_prior, "_COLOUR_CROPS", 64)
  sheet = read(trained / "sheets" / f"denoised_{STEPS:06d}.png")
  assert sheet.shape == (8 * 18 - 2, 7 * 18 - 2, 3) and sheet.std() > 10
  assert not list((trained / "sheets").glob("samples*"))  # none were asked for
  prior = load_prior(trained / "prior")
  path = sample_prior.run(prior, tmp_path, count=3, size=8, steps=2)
  samples = read(path)
  assert samples.shape == (18, 18, 3) and np.any(samples[:8, :8] != samples[:8, 10:])
  coloured = read(sample_prior.run(prior, tmp_path, count=3, size=8, steps=2, colours_of=data))
  assert np.any(coloured != samples)


def test_mean_colours_are_those_of_the_images(tmp_path, monkeypatch):
  monkeypatch.setattr(sample_prior, "_COLOUR_CROPS", 512)
  for number, colour in enumerate(16 * ((-0.5, 0.0, 0.5), (0.5, 0.0, -0.5))):
    write_png(tmp_path / f"{number}.png", np.broadcast_to(np.float32(colour), (12, 12, 3)))
  mean, covariance = sample_prior.mean_colours(tmp_path, size=8)
  np.testing.assert_allclose(mean, 0, atol=0.05)
  # 30 % of the crops are gray, of the colours' luminance.
  luma = 0.5 * (0.299 - 0.114)
  expected = 0.7 * 0.25 * np.outer((1, 0, -1), (1, 0, -1)) + 0.3 * luma**2
  np.testing.assert_allclose(covariance, expected, atol=0.02)
  with pytest.raises(UserError, match="at least 16 pixels"):
    sample_prior.mean_colours(tmp_path, size=16)


def test_a_run_is_recorded_and_resumed_with_its_own_network(trained, data):
  record = json.loads((trained / "run.json").read_text())
  assert record["format"] == 1 and record["schedule"]["name"] == "linear" and record["recipe"]["batch_size"] >= 2
  assert UNetConfig.from_dict(record["config"]) == config(data, trained).model
  other = dataclasses.replace(config(data, trained).model, num_res_blocks=2)
  with pytest.raises(UserError, match="run.json: expected the network of this run, found another"):
    job.train(config(data, trained, model=other, resume=True))


def test_half_precision_keeps_full_weights(data, tmp_path):
  job.train(config(data, tmp_path, dtype="bfloat16"))
  state = final_state(tmp_path)
  kinds = {path: leaf.dtype for path, leaf in state.items() if leaf.dtype.kind == "f"}
  assert len(kinds) > 20 and set(kinds.values()) == {np.dtype("float32")}


def test_resuming_a_finished_run_exports_again(trained, data):
  before = (trained / "prior" / "model.safetensors").read_bytes()
  (trained / "prior" / "card.json").unlink()
  job.train(config(data, trained, resume=True))
  assert (trained / "prior" / "model.safetensors").read_bytes() == before and load_prior(trained / "prior")
  assert saved_steps(trained) == [4, 6]


def test_a_loss_that_is_no_number_ends_the_run(data, tmp_path, monkeypatch):
  use_toy(monkeypatch, fail_at=3)
  with pytest.raises(UserError, match="by step 4; lower --learning_rate and --resume from step 2"):
    job.train(config(data, tmp_path))
  assert saved_steps(tmp_path) == [2] and [row["step"] for row in log(tmp_path)] == [2]
  assert not (tmp_path / "prior").exists()


def test_a_state_that_is_not_finite_is_never_saved(data, tmp_path, monkeypatch):
  """Weights may be spoilt while the loss still looks well, and between two lines of the log."""
  use_toy(monkeypatch, poison=4)
  with pytest.raises(UserError, match="by step 4; lower --learning_rate and --resume from step 2"):
    job.train(config(data, tmp_path / "a", log_every=100))
  assert saved_steps(tmp_path / "a") == [2]
  use_toy(monkeypatch, poison=1)
  with pytest.raises(UserError, match="by step 2; lower --learning_rate and run again"):
    job.train(config(data, tmp_path / "b", log_every=100))
  assert saved_steps(tmp_path / "b") == []


def test_what_cannot_run_is_refused(data, tmp_path):
  step = StepConfig(warmup_steps=2, total_steps=STEPS)
  for changes, message in (
    ({"resume": True}, "expected a run to resume, found no checkpoint; drop --resume"),
    ({"data": tmp_path / "missing"}, "missing: expected a folder of images"),
    ({"batch_size": 0}, "--batch_size=0: expected a multiple of the"),
    ({"step": dataclasses.replace(step, accumulate=0)}, "--accumulate=0: expected at least 1 part"),
    ({"step": dataclasses.replace(step, accumulate=3)}, "devices times the 3 parts of a step"),
    ({"sheet_every": -1}, "--sheet_every=-1: expected at least 0 steps"),
    ({"crop": CropConfig(size=17)}, "--crop_size=17: expected a multiple of the network's 2 pixels"),
    ({"save_every": 0}, "--save_every=0: expected at least 1 step"),
    ({"dtype": "int8"}, "--dtype=int8: expected one of float32"),
    ({"crop": CropConfig(size=0)}, "--crop_size=0: expected at least 1 pixel"),
    ({"step": dataclasses.replace(step, total_steps=2)}, "--steps=2: expected more than the 2 of the warm-up"),
    ({"step": dataclasses.replace(step, learning_rate=0.0)}, "--learning_rate=0.0: expected above 0"),
  ):
    with pytest.raises(UserError, match=message):
      job.train(config(**{"data": data, "out": tmp_path / "out", **changes}))
