"""What does a training run need to know? Network, data, recipe and places, and what of them cannot be."""

import dataclasses
from pathlib import Path

from dig2dig_jax.data.crops import CropConfig
from dig2dig_jax.data.degraded_pairs import DegradedConfig
from dig2dig_jax.errors import UserError
from dig2dig_jax.models.config import UNetConfig
from dig2dig_jax.models.drfusion_unet import DrFusionConfig
from dig2dig_jax.models.shapes import NetworkConfig
from dig2dig_jax.models.swift import SwiftConfig
from dig2dig_jax.priors.prior import DTYPES, Prior
from dig2dig_jax.sampling.schedule import NoiseSchedule
from dig2dig_jax.training.step import StepConfig
from dig2dig_jax.training.swift_examples import CHUNK

# The compact layout of the embedded prior: a 2 x 2 space-to-depth stem halves the resolution of every convolution, and
# no block attends, so that time and memory grow with the number of pixels only.
EMBEDDED = UNetConfig(
  image_size=64,
  model_channels=64,
  out_channels=3,
  num_res_blocks=1,
  attention_ds=(),
  channel_mult=(1, 1, 2),
  patch=2,
  norm_groups=8,
  middle_attention=False,
)
NOISE = NoiseSchedule("linear", 1000)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
  """init: checkpoint folder whose weights to start from; a resumed run has its own. batch_size: of all devices of all
  processes together. sheet_every: steps between sheets; 0 writes them at the end only. sample_steps, sample_size: of
  the unconditional samples; 0 steps writes none.

  A DrFusionConfig trains DRFusion on the pairs of `folders` (data is the first) by `sources`, degraded by `degraded`,
  whose crop size is that of `crop`. recompute: its network is evaluated again for its gradient, a quarter more time
  for a third of the memory. full_every, detach: see `training.drfusion_step.make_drfusion_step`.

  A SwiftConfig trains the swift network on the estimates of `teacher` for `examples` crops of the images in data."""

  data: Path
  out: Path
  model: NetworkConfig = EMBEDDED
  folders: tuple[Path, ...] = ()
  sources: tuple[str, ...] = ("ir", "vi")
  degraded: DegradedConfig = DegradedConfig()
  crop: CropConfig = CropConfig()
  step: StepConfig = StepConfig()
  batch_size: int = 16
  dtype: str = "float32"
  recompute: bool = True
  full_every: int = 1
  detach: bool = False
  seed: int = 0
  save_every: int = 500
  log_every: int = 50
  keep: int = 2
  sheet_every: int = 0
  sample_steps: int = 100
  sample_size: int = 128
  resume: bool = False
  init: Path | None = None
  teacher: Prior | None = None
  examples: int = 3072


def noise_of(model: NetworkConfig) -> NoiseSchedule:
  """The process that the network is trained on."""
  return NoiseSchedule("learned", model.steps) if isinstance(model, DrFusionConfig) else NOISE


def validate(config: TrainConfig, devices: int) -> None:
  """Raises UserError, naming the flag, for what cannot run on `devices` devices."""
  warmup, parts = config.step.warmup_steps, config.step.accumulate
  for ok, flag, found, expected in (
    (config.step.total_steps > warmup, "steps", config.step.total_steps, f"more than the {warmup} of the warm-up"),
    (config.step.learning_rate > 0, "learning_rate", config.step.learning_rate, "above 0"),
    (parts >= 1, "accumulate", parts, "at least 1 part"),
    (config.batch_size > 0 and config.batch_size % (devices * max(parts, 1)) == 0, "batch_size", config.batch_size,
     f"a multiple of the {devices} devices times the {parts} parts of a step"),
    (config.full_every >= 1, "full_every", config.full_every, "at least 1"),
    (config.batch_size % (max(config.full_every, 1) * devices * max(parts, 1)) == 0, "batch_size", config.batch_size,
     f"a multiple of the devices times the parts times --full_every={config.full_every}"),
    (config.crop.size >= 1, "crop_size", config.crop.size, "at least 1 pixel"),
    (config.crop.size % config.model.size_multiple == 0, "crop_size", config.crop.size,
     f"a multiple of the network's {config.model.size_multiple} pixels"),
    (config.save_every >= 1, "save_every", config.save_every, "at least 1 step"),
    (config.sheet_every >= 0, "sheet_every", config.sheet_every, "at least 0 steps"),
    (config.dtype in DTYPES, "dtype", config.dtype, f"one of {', '.join(DTYPES)}"),
    (config.examples >= CHUNK and config.examples % CHUNK == 0, "examples", config.examples, f"a multiple of {CHUNK}"),
    (not isinstance(config.model, SwiftConfig) or config.dtype == "float32", "dtype", config.dtype,
     "float32 for the swift network"),
  ):  # fmt: skip
    if not ok:
      raise UserError(f"--{flag}={found}: expected {expected}")
