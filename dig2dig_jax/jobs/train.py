"""The train job: learn a prior from a folder of images, restartable at any moment, and export its averaged weights.

`out/` receives `checkpoints/` (orbax, the whole training state every `save_every` steps, never one that is not
finite), `log.jsonl` (one line per `log_every` steps) and `prior/` (the averaged weights and their card, for `--prior`).
"""

import dataclasses
import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from tqdm import tqdm

from dig2dig_jax import checkpoint
from dig2dig_jax.errors import UserError
from dig2dig_jax.jobs.record import make_folder
from dig2dig_jax.models.config import UNetConfig
from dig2dig_jax.models.guided_unet import UNet
from dig2dig_jax.prior import DTYPES
from dig2dig_jax.sampling import schedule
from dig2dig_jax.training.data import CropConfig, crop_batches
from dig2dig_jax.training.step import StepConfig, TrainState, init_state, make_step

# The compact layout of the embedded prior: a 2 x 2 space-to-depth stem halves the resolution of every convolution, and
# no block attends, so that time and memory grow with the number of pixels only.
EMBEDDED = UNetConfig(
  image_size=64,
  model_channels=32,
  out_channels=3,
  num_res_blocks=1,
  attention_ds=(),
  channel_mult=(1, 2, 3, 4),
  patch=2,
  norm_groups=8,
  middle_attention=False,
)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
  data: Path
  out: Path
  model: UNetConfig = EMBEDDED
  crop: CropConfig = CropConfig()
  step: StepConfig = StepConfig()
  batch_size: int = 16
  dtype: str = "float32"
  seed: int = 0
  save_every: int = 500
  log_every: int = 50
  keep: int = 2
  resume: bool = False


def _validate(config: TrainConfig, devices: int) -> None:
  warmup = config.step.warmup_steps
  for ok, flag, found, expected in (
    (config.step.total_steps > warmup, "steps", config.step.total_steps, f"more than the {warmup} of the warm-up"),
    (config.step.learning_rate > 0, "learning_rate", config.step.learning_rate, "above 0"),
    (config.batch_size > 0 and config.batch_size % devices == 0, "batch_size", config.batch_size,
     f"a multiple of the {devices} local devices"),
    (config.crop.size >= 1, "crop_size", config.crop.size, "at least 1 pixel"),
    (config.save_every >= 1, "save_every", config.save_every, "at least 1 step"),
    (config.dtype in DTYPES, "dtype", config.dtype, f"one of {', '.join(DTYPES)}"),
  ):
    if not ok:
      raise UserError(f"--{flag}={found}: expected {expected}")


def _latest_step(config: TrainConfig, manager: ocp.CheckpointManager) -> int | None:
  latest = manager.latest_step()
  if latest is not None and not config.resume:
    raise UserError(f"{config.out}: expected a new folder, found a run at step {latest}; add --resume or change --out")
  if latest is None and config.resume:
    raise UserError(f"{config.out}: expected a run to resume, found no checkpoint; drop --resume")
  return latest


def _initial_params(config: TrainConfig):
  network = UNet(config.model)
  size = config.model.size_multiple
  x = jnp.zeros((1, size, size, 3))
  return jax.jit(network.init)(jax.random.key(config.seed), x, jnp.zeros((1,), jnp.int32))["params"]


def train(config: TrainConfig) -> Path:
  """Runs to `config.step.total_steps`; returns the folder of the exported prior. Raises UserError for bad input."""
  devices = jax.local_devices()
  _validate(config, len(devices))
  mesh = jax.make_mesh((len(devices),), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
  by_example = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
  replicated = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())

  network = UNet(config.model, dtype=jnp.dtype(config.dtype))
  tables = schedule.make_schedule("linear", num_timesteps=1000)
  apply = lambda params, x, t: network.apply({"params": params}, x, t, train=True)  # noqa: E731
  step_fn = jax.jit(make_step(apply, tables.alphas_cumprod, config.step, seed=config.seed), donate_argnums=0)

  make_folder(config.out)
  # A save that has returned is on disk, whatever happens next; these states are too small to save beside the steps.
  options = ocp.CheckpointManagerOptions(max_to_keep=config.keep, enable_async_checkpointing=False)
  with ocp.CheckpointManager((config.out / "checkpoints").absolute(), options=options) as manager:
    latest = _latest_step(config, manager)
    batches = crop_batches(
      config.data, config=config.crop, batch_size=config.batch_size, seed=config.seed, first_batch=latest or 0
    )
    state = jax.device_put(init_state(_initial_params(config), config.step), replicated)
    if latest is not None:
      abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, state._asdict())
      state = TrainState(**manager.restore(latest, args=ocp.args.StandardRestore(abstract)))
    state = _run(config, step_fn, state, batches, by_example, manager)
  return _export(config, state)


def _run(config: TrainConfig, step_fn, state: TrainState, batches, sharding, manager) -> TrainState:
  total, first = config.step.total_steps, int(state.step)
  losses, since = [], time.monotonic()
  progress = tqdm(total=total, initial=first, unit="step", mininterval=5, disable=None)
  with (config.out / "log.jsonl").open("a") as log, progress as bar:
    for step in range(first + 1, total + 1):
      state, metrics = step_fn(state, jax.device_put(next(batches), sharding))
      losses.append(metrics["loss"])
      bar.update()
      if step % config.log_every == 0 or step == total:
        loss = float(np.mean(jax.device_get(losses)))
        rate = len(losses) * config.batch_size / (time.monotonic() - since)
        losses, since = [], time.monotonic()
        if not np.isfinite(loss):
          raise _diverged(config, manager, step)
        row = {"step": step, "loss": round(loss, 6), "gradient_norm": round(float(metrics["gradient_norm"]), 4)}
        log.write(json.dumps({**row, "images_per_second": round(rate, 2)}) + "\n")
        log.flush()
        bar.set_postfix(loss=f"{loss:.4f}", images_per_s=f"{rate:.1f}")
      if step % config.save_every == 0 or step == total:
        if not _finite(state):
          raise _diverged(config, manager, step)
        manager.save(step, args=ocp.args.StandardSave(state._asdict()))
  return state


def _finite(state: TrainState) -> bool:
  return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.device_get(state)))


def _diverged(config: TrainConfig, manager: ocp.CheckpointManager, step: int) -> UserError:
  again = "run again" if manager.latest_step() is None else f"--resume from step {manager.latest_step()}"
  return UserError(
    f"{config.out}: expected a finite loss and finite weights, found others by step {step}; lower --learning_rate and "
    f"{again}"
  )


def _export(config: TrainConfig, state: TrainState) -> Path:
  """Writes the averaged weights as a prior that `--prior=` accepts."""
  directory = config.out / "prior"
  recipe = {
    "data": config.data.name,
    "batch_size": config.batch_size,
    "dtype": config.dtype,
    "seed": config.seed,
    "crop": dataclasses.asdict(config.crop),
    "step": dataclasses.asdict(config.step),
    "steps_taken": int(state.step),
  }
  checkpoint.save_checkpoint(
    directory,
    params=jax.device_get(state.ema),
    config=config.model,
    schedule={"name": "linear", "num_timesteps": 1000},
    card={"trained_by": "launch.py --flagfile=train.flags", "recipe": recipe},
    dtype="float16",
  )
  return directory
