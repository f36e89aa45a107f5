"""Does DRFusion learn: from pairs held apart by image, degraded as said, its loss falling, its run exported?"""

import itertools
import json
from pathlib import Path

import jax
import numpy as np
import pytest
import scenes

from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.errors import UserError
from dig2dig_jax.jobs import train
from dig2dig_jax.jobs.train_config import TrainConfig
from dig2dig_jax.models.drfusion_unet import DrFusionConfig
from dig2dig_jax.prior import load_drfusion
from dig2dig_jax.training import degraded_pairs
from dig2dig_jax.training.data import CropConfig
from dig2dig_jax.training.degraded_pairs import DegradedConfig, degrade, degraded_batches, split
from dig2dig_jax.training.step import StepConfig

pytestmark = pytest.mark.usefixtures("quick_compile")

CONFIG = DegradedConfig(size=16)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  folder = tmp_path_factory.mktemp("pairs")
  for index in range(6):
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
  else:
    np.testing.assert_allclose(flat, 0.5, atol=1e-2)
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


def test_a_run_lowers_its_loss_and_exports_what_the_method_takes(data, tmp_path):
  count = jax.local_device_count()
  config = TrainConfig(
    data=data,
    out=tmp_path,
    model=DrFusionConfig(width=8, groups=4, dropout=0.0),
    folders=(data,),
    crop=CropConfig(size=16),
    degraded=DegradedConfig(families=("noise",)),
    step=StepConfig(warmup_steps=2, total_steps=30, learning_rate=3e-3, weight_decay=0.0),
    batch_size=2 * count,
    save_every=15,
    log_every=5,
  )
  prior = load_drfusion(train.train(config))
  assert prior.config == config.model and prior.noise == {"name": "learned", "num_timesteps": 3}
  rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
  assert rows[-1]["loss"] < 0.7 * rows[0]["loss"]
  assert np.abs(np.asarray(prior.params["alpha"]) - 0.5).max() > 1e-3, "the levels must learn too"
  assert (tmp_path / "sheets" / "fused_000030.png").is_file()
  record = json.loads((tmp_path / "run.json").read_text())
  assert record["recipe"]["sources"] == ["ir", "vi"]
