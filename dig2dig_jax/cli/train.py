"""--job=train: a diffusion prior, DRFusion's network, or the swift one that stands in for a prior."""

import dataclasses
from pathlib import Path

from dig2dig_jax.cli import common, flags
from dig2dig_jax.cli.output import say
from dig2dig_jax.data.crops import CropConfig
from dig2dig_jax.data.degraded_pairs import FAMILIES, DegradedConfig
from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing import processes
from dig2dig_jax.models.drfusion_unet import DrFusionConfig
from dig2dig_jax.models.shapes import NetworkConfig
from dig2dig_jax.models.swift import SwiftConfig
from dig2dig_jax.training import config as train_config
from dig2dig_jax.training import job
from dig2dig_jax.training.step import StepConfig


def run() -> int:
  if flags.DISTRIBUTED.value:  # before anything else asks for devices
    processes.join(flags.COORDINATOR.value, flags.PROCESSES.value, flags.PROCESS.value)
  folders = tuple(Path(part) for part in str(common.data()).split(","))  # DRFusion learns from several data sets
  config = train_config.TrainConfig(
    data=folders[0] if flags.NETWORK.value == "drfusion" else common.data(),
    folders=folders,
    sources=tuple(flags.SOURCES.value),
    degraded=DegradedConfig(families=tuple(flags.FAMILIES_OF.value or FAMILIES)),
    out=Path(flags.OUT.value),
    model=_network(),
    crop=CropConfig(size=flags.CROP_SIZE.value),
    step=StepConfig(
      learning_rate=flags.LEARNING_RATE.value,
      total_steps=StepConfig.total_steps if flags.STEPS.value is None else flags.STEPS.value,
      decay_share=_share("decay_share", flags.DECAY_SHARE.value),
      accumulate=flags.ACCUMULATE.value,
    ),
    batch_size=flags.BATCH_SIZE.value,
    dtype=flags.DTYPE.value,
    recompute=flags.RECOMPUTE.value,
    full_every=flags.FULL_EVERY.value,
    detach=flags.DETACH.value,
    seed=flags.SEED.value,
    save_every=flags.SAVE_EVERY.value,
    sheet_every=flags.SHEET_EVERY.value,
    sample_steps=flags.SAMPLE_STEPS.value,
    sample_size=flags.SAMPLE_SIZE.value,
    resume=flags.RESUME.value,
    init=Path(flags.INIT.value) if flags.INIT.value else None,
    teacher=common.prior() if flags.NETWORK.value == "swift" else None,
    examples=flags.CACHED.value,
  )
  say(f"prior written to {job.train(config)}")
  return 0


def _network() -> NetworkConfig:
  if flags.NETWORK.value == "swift":
    return SwiftConfig()
  if flags.NETWORK.value == "drfusion":
    given = {"width": flags.WIDTH.value, "groups": flags.NORM_GROUPS.value, "dropout": flags.DROPOUT.value}
    try:
      return DrFusionConfig(**_not_none(given))
    except ValueError as error:
      raise UserError(f"--width, --norm_groups, --dropout: {error}") from error
  mults = flags.CHANNEL_MULT.value
  given = {
    "model_channels": flags.WIDTH.value,
    "channel_mult": mults and tuple(common.integer("channel_mult", mult) for mult in mults),
    "num_res_blocks": flags.BLOCKS.value,
    "patch": flags.PATCH.value,
    "middle_attention": flags.MIDDLE_ATTENTION.value,
  }
  try:
    return dataclasses.replace(train_config.EMBEDDED, **_not_none(given))
  except ValueError as error:
    raise UserError(f"--width, --channel_mult: {error}") from error


def _not_none(given: dict) -> dict:
  return {name: value for name, value in given.items() if value is not None}


def _share(flag: str, value: float) -> float:
  if not 0 < value <= 1:
    raise UserError(f"--{flag}={value}: expected above 0 and at most 1")
  return value
