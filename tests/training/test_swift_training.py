"""Does the swift network learn from the prior: examples by their number, a falling loss, a run that goes on?"""

import dataclasses
import itertools
import json

import numpy as np
import pytest

from dig2dig_jax.data import domains
from dig2dig_jax.data.crops import CropConfig
from dig2dig_jax.data.images import write_png
from dig2dig_jax.errors import UserError
from dig2dig_jax.models.swift import SwiftConfig
from dig2dig_jax.priors import checkpoint
from dig2dig_jax.priors.prior import load_prior
from dig2dig_jax.training import job, swift_examples
from dig2dig_jax.training.config import TrainConfig
from dig2dig_jax.training.step import StepConfig

pytestmark = pytest.mark.usefixtures("quick_compile")
MODEL = SwiftConfig(widths=(4, 8, 8, 8), colour_widths=(4, 4))


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
  folder = tmp_path_factory.mktemp("photographs")
  rng = np.random.default_rng(0)
  for number in range(5):
    y, x = np.mgrid[:48, :56]
    image = np.stack([np.sin(x / (3 + k + number) + y / 9) for k in range(3)], axis=-1) * 0.7
    write_png(folder / f"{number}.png", np.clip(image + 0.05 * rng.normal(size=image.shape), -1, 1).astype(np.float32))
  return folder


@pytest.fixture(scope="module")
def config(photographs, tiny_prior, tmp_path_factory):
  return TrainConfig(
    data=photographs, out=tmp_path_factory.mktemp("run"), model=MODEL, crop=CropConfig(size=32), batch_size=4,
    step=StepConfig(learning_rate=3e-3, warmup_steps=2, total_steps=40), log_every=10, save_every=20, examples=64,
    teacher=load_prior(tiny_prior),
  )  # fmt: skip


@pytest.fixture(scope="module")
def done(config):
  return job.train(config)


def test_crops_depend_on_the_seed_and_the_number_alone(photographs):
  one, other = (domains.Crops(photographs, size=32, seed=3) for _ in range(2))
  np.testing.assert_array_equal(one[7], other[7])
  assert one[7].shape == (32, 32, 3) and one[7].dtype == np.uint8
  assert np.any(one[7] != domains.Crops(photographs, size=32, seed=4)[7])
  assert {domains.domain_of(3, index) for index in range(60)} == set(domains.DOMAINS)
  with pytest.raises(UserError, match="at least 64 pixels a side"):
    domains.Crops(photographs, size=64, seed=0)[0]


@pytest.mark.parametrize("domain", domains.DOMAINS)
def test_domains_are_what_they_are_called(domain):
  rng = np.random.default_rng(1)
  photograph = rng.integers(0, 256, (32, 32, 3), np.uint8)
  found = np.stack([domains.made(photograph, domain, rng) for _ in range(30)]).astype(int)
  gray = [not np.any(one != one[..., :1]) for one in found]
  assert all(gray) if domain in ("infrared", "medical") else 0 < sum(gray) < 30
  fine = np.abs(np.diff(found, axis=2)).mean() / np.abs(np.diff(photograph.astype(int), axis=1)).mean()
  assert fine > 0.5 if domain == "photograph" else fine < 0.5  # soft, or dark
  if domain == "night":
    assert np.median(found) < 60


def test_examples_are_the_prior_s_estimates(done, config):
  found = job.examples_of(config)
  assert len(found) == 1 and found[0].shape == (64, 32, 32, 7) and found[0].dtype == np.float16
  files = sorted((config.out / "examples").iterdir())
  before = files[0].read_bytes()
  files[0].unlink()
  job.examples_of(config)
  assert sorted((config.out / "examples").iterdir()) == files and files[0].read_bytes() == before
  first = list(itertools.islice(swift_examples.batches(found, batch_size=4, seed=0), 3))
  np.testing.assert_array_equal(first[2], next(swift_examples.batches(found, batch_size=4, seed=0, first_batch=2)))
  assert np.abs(first[0][..., :3] - first[0][..., 3:6]).max() > 0.05  # noisy, and an estimate


def test_its_loss_falls_and_it_is_a_checkpoint(done, config):
  losses = [json.loads(line)["loss"] for line in (config.out / "log.jsonl").read_text().splitlines()]
  assert len(losses) == 4 and losses[-1] < 0.8 * losses[0]
  loaded = checkpoint.load_checkpoint(done)
  assert loaded.config == MODEL and loaded.card["recipe"]["examples"] == 64
  assert list((config.out / "sheets").glob("estimates_000040.png"))


@pytest.mark.slow
def test_a_run_that_was_ended_goes_on(done, config, tmp_path):
  half = dataclasses.replace(config, out=tmp_path, step=dataclasses.replace(config.step, total_steps=20))
  job.train(half)
  again = dataclasses.replace(config, out=tmp_path, resume=True)
  # The rate of both is the same up to the middle: it falls over the second half.
  assert json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0])["step"] == 10
  job.train(again)
  steps = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
  assert steps == [10, 20, 30, 40]
