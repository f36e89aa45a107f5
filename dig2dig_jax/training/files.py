"""What does a training run write beside its checkpoints? Its record, its log, sheets to look at, and the prior."""

import dataclasses
import itertools
import json
from pathlib import Path

import jax
import numpy as np

from dig2dig_jax.data.crops import crop_batches
from dig2dig_jax.data.degraded_pairs import degraded_batches
from dig2dig_jax.data.images import write_png
from dig2dig_jax.evaluation import samples
from dig2dig_jax.files import claim
from dig2dig_jax.models import swift
from dig2dig_jax.models.drfusion_unet import DrFusionConfig
from dig2dig_jax.priors import checkpoint
from dig2dig_jax.record import explained, write_text
from dig2dig_jax.sampling.denoiser import eps_denoiser
from dig2dig_jax.training import swift_examples
from dig2dig_jax.training.config import NOISE, TrainConfig, noise_of
from dig2dig_jax.training.step import TrainState

LOG = "log.jsonl"
_SHEET_CROPS = 8


def _recipe(config: TrainConfig) -> dict:
  """What a card tells of how its weights came about."""
  if isinstance(config.model, swift.SwiftConfig):
    teacher = None if config.teacher is None else config.teacher.directory.name
    known = {"teacher": teacher, "examples": config.examples, "crop_size": config.crop.size}
    return {"data": config.data.name, **known, "batch_size": config.batch_size, "seed": config.seed,
            "step": dataclasses.asdict(config.step)}  # fmt: skip
  pairs = {
    "data": [folder.name for folder in config.folders],
    "sources": config.sources,
    "degraded": dataclasses.asdict(config.degraded),
    "full_every": config.full_every,
    "detach": config.detach,
  }
  return {
    **(pairs if isinstance(config.model, DrFusionConfig) else {"data": config.data.name}),
    "batch_size": config.batch_size,
    "dtype": config.dtype,
    "seed": config.seed,
    "init": None if config.init is None else config.init.name,
    "crop": dataclasses.asdict(config.crop),
    "step": dataclasses.asdict(config.step),
  }


def write_run(config: TrainConfig) -> None:
  """What the checkpoints are of, so that a run can serve as a prior before its end."""
  schedule = dataclasses.asdict(noise_of(config.model))
  record = {"format": 1, "config": config.model.to_dict(), "schedule": schedule, "recipe": _recipe(config)}
  write_text(config.out / "run.json", json.dumps(record, indent=1) + "\n", known=config.resume)
  with explained(config.out / LOG):
    claim(config.out / LOG, known=config.resume)


def cut_log(path: Path, step: int) -> None:
  """Drops what a killed run logged after the checkpoint that it goes on from: every step stands in the log once."""
  if path.is_file():
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
      try:
        if json.loads(line)["step"] <= step:
          kept.append(line)
      except ValueError:
        break  # the line that was being written when the run was killed
    write_text(path, "".join(kept), known=True)


def write_sheets(config: TrainConfig, apply, state: TrainState) -> None:
  """`sheets/denoised_STEP.png` (a row per crop: clean, then noisy and restored by rising noise), `samples_STEP.png`."""
  params, step = jax.device_get(state.ema), int(state.step)
  if isinstance(config.model, DrFusionConfig):
    return _write_pairs(config, apply, params, step)
  if isinstance(config.model, swift.SwiftConfig):
    return _write_estimates(config, apply, params, step)
  denoiser = lambda params: eps_denoiser(apply, params)  # noqa: E731
  one_by_one = crop_batches(config.data, config=config.crop, batch_size=1, seed=config.seed + 1)
  crops = np.concatenate(list(itertools.islice(one_by_one, _SHEET_CROPS)))
  tiles = samples.denoised(denoiser, params, NOISE, crops, seed=config.seed)
  columns = len(tiles) // len(crops)
  write_png(config.out / "sheets" / f"denoised_{step:06d}.png", samples.tiled(tiles, columns=columns))
  if config.sample_steps:
    drawn = samples.samples(
      denoiser, params, NOISE, count=4, size=config.sample_size, steps=config.sample_steps, seed=config.seed
    )
    write_png(config.out / "sheets" / f"samples_{step:06d}.png", samples.tiled(drawn, columns=2))


def _write_pairs(config: TrainConfig, apply, params, step: int) -> None:
  """`sheets/fused_STEP.png`: of held-out crops a row each: sources degraded, restored, clean, then the fused."""
  size = dataclasses.replace(config.degraded, size=config.crop.size)
  held_out = degraded_batches(
    config.folders, config.sources, config=size, batch_size=_SHEET_CROPS, seed=config.seed + 1, held_out=True
  )
  batch = next(held_out)
  output = np.clip(np.asarray(apply(params, batch[:, :2])), 0, 1)
  restored, fused = output[..., :2].transpose(0, 3, 1, 2)[..., None], output[:, None, ..., 2:]
  tiles = np.concatenate([batch[:, :2], restored, batch[:, 2:], fused], axis=1) * 2 - 1
  tiles = np.repeat(np.clip(tiles, -1, 1).reshape(-1, *tiles.shape[2:]), 3, axis=-1)
  write_png(config.out / "sheets" / f"fused_{step:06d}.png", samples.tiled(tiles, columns=7))


def _write_estimates(config: TrainConfig, apply, params, step: int) -> None:
  """`sheets/estimates_STEP.png`: of the first examples a row each: noisy, the prior's estimate, this network's."""
  asked = swift_examples.ExamplesConfig(swift_examples.CHUNK, config.crop.size)
  place = config.out / "examples", config.data
  first = swift_examples.examples(*place, config.teacher, config.model, asked, config.seed)
  batch = np.asarray(first[0][:_SHEET_CROPS], np.float32)
  found = np.concatenate(apply(params, batch[..., :1], batch[:, 0, 0, 6], batch[..., 1:3]), axis=-1)
  found[..., 1:] *= np.any(batch[..., 1:3], axis=(1, 2, 3), keepdims=True)
  tiles = [np.asarray(swift.pixels(x[..., :1], x[..., 1:])) for x in (batch[..., :3], batch[..., 3:6], found)]
  tiles = np.clip(np.stack(tiles, axis=1).reshape(-1, *batch.shape[1:3], 3), -1, 1)
  write_png(config.out / "sheets" / f"estimates_{step:06d}.png", samples.tiled(tiles, columns=3))


def export(config: TrainConfig, state: TrainState) -> Path:
  """Writes the averaged weights as a prior that `--prior=` accepts."""
  directory = config.out / "prior"
  checkpoint.save_checkpoint(
    directory,
    params=jax.device_get(state.ema),
    config=config.model,
    schedule=dataclasses.asdict(noise_of(config.model)),
    card={"trained_by": "launch.py --job=train", "recipe": {**_recipe(config), "steps_taken": int(state.step)}},
    dtype="float16",
  )
  return directory
