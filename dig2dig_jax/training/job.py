"""The train job: learn a prior from a folder of images, restartable at any moment, and export its averaged weights.

`out/` receives `run.json` (network, schedule, recipe), `checkpoints/` (orbax, the whole training state every
`save_every` steps, never one that is not finite), `log.jsonl` (one line per `log_every` steps), `sheets/` (denoised
crops and unconditional samples) and `prior/` (the averaged weights and their card, for `--prior`).
"""

import contextlib
import dataclasses
import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from tqdm import tqdm

from dig2dig_jax.data.crops import crop_batches
from dig2dig_jax.data.degraded_pairs import degraded_batches
from dig2dig_jax.errors import UserError
from dig2dig_jax.models.drfusion_unet import DrFusionConfig, DrFusionNet
from dig2dig_jax.models.guided_unet import UNet
from dig2dig_jax.models.shapes import network
from dig2dig_jax.models.swift import SwiftConfig, SwiftNet
from dig2dig_jax.priors import card, checkpoint
from dig2dig_jax.record import make_folder
from dig2dig_jax.training import swift_examples
from dig2dig_jax.training.config import NOISE, TrainConfig, validate
from dig2dig_jax.training.distributed import Team, team
from dig2dig_jax.training.drfusion_step import initial_params, make_drfusion_step, sampler
from dig2dig_jax.training.files import LOG, cut_log, export, write_run, write_sheets
from dig2dig_jax.training.step import TrainState, init_state, make_step
from dig2dig_jax.training.swift_step import make_swift_step


def train(config: TrainConfig) -> Path:
  """Runs to `config.step.total_steps`; returns the folder of the exported prior. Raises UserError for bad input."""
  group = team()
  validate(config, group.devices)
  apply, step_fn = _compiled(config)
  make_folder(config.out)
  # A save that has returned is on disk, whatever happens next; these states are too small to save beside the steps.
  options = ocp.CheckpointManagerOptions(max_to_keep=config.keep, enable_async_checkpointing=False)
  with ocp.CheckpointManager((config.out / "checkpoints").absolute(), options=options) as manager:
    latest = _latest_step(config, manager)
    batches = _batches(config, group, first_batch=latest or 0)
    state = group.replicate(init_state(_initial_params(config), config.step))
    if latest is not None:
      abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, state._asdict())
      state = TrainState(**manager.restore(latest, args=ocp.args.StandardRestore(abstract)))
    if group.leads:
      write_run(config)
      cut_log(config.out / LOG, latest or 0)
    state = _run(config, step_fn, apply, state, batches, group, manager)
  if group.leads:
    write_sheets(config, apply, state)
    return export(config, state)
  return config.out / "prior"


def _batches(config: TrainConfig, group: Team, *, first_batch: int):
  options = {"batch_size": config.batch_size, "seed": config.seed, "first_batch": first_batch}
  options |= {"process": group.process, "processes": group.processes}
  if isinstance(config.model, DrFusionConfig):
    degraded = dataclasses.replace(config.degraded, size=config.crop.size)
    return degraded_batches(config.folders, config.sources, config=degraded, **options)
  if isinstance(config.model, SwiftConfig):
    return swift_examples.batches(examples_of(config), **options)
  return crop_batches(config.data, config=config.crop, **options)


def examples_of(config: TrainConfig) -> list[np.ndarray]:
  """Of a run of the swift network: the prior's estimates, kept in `out/examples`."""
  assert isinstance(config.model, SwiftConfig) and config.teacher is not None
  asked = swift_examples.ExamplesConfig(config.examples, config.crop.size)
  return swift_examples.examples(
    config.out / "examples", config.data, config.teacher, config.model, asked, config.seed
  )


def _compiled(config: TrainConfig):
  """(what the sheets run, the jitted step)."""
  if isinstance(config.model, SwiftConfig):
    swift = SwiftNet(config.model)
    step = make_swift_step(swift, config.step, seed=config.seed)
    return jax.jit(lambda params, *planes: swift.apply({"params": params}, *planes)), jax.jit(step, donate_argnums=0)
  if isinstance(config.model, DrFusionConfig):
    module = DrFusionNet(config.model, dtype=jnp.dtype(config.dtype))
    options = {name: getattr(config, name) for name in ("seed", "recompute", "full_every", "detach")}
    step = make_drfusion_step(module, config.step, **options)
    step_fn = jax.jit(step, donate_argnums=0)
    return jax.jit(sampler(module)), step_fn
  unet = UNet(config.model, dtype=jnp.dtype(config.dtype))
  tables = NOISE.tables()
  apply = lambda params, x, t: unet.apply({"params": params}, x, t, train=True)  # noqa: E731
  step_fn = jax.jit(make_step(apply, tables.alphas_cumprod, config.step, seed=config.seed), donate_argnums=0)
  return lambda params, x, t: unet.apply({"params": params}, x, t), step_fn


def _latest_step(config: TrainConfig, manager: ocp.CheckpointManager) -> int | None:
  latest = manager.latest_step()
  if latest is not None and not config.resume:
    raise UserError(f"{config.out}: expected a new folder, found a run at step {latest}; add --resume or change --out")
  if latest is None and config.resume:
    raise UserError(f"{config.out}: expected a run to resume, found no checkpoint; drop --resume")
  record = config.out / "run.json"
  if latest is not None and record.is_file():
    if card.described(record, card.read(record))[0] != config.model:
      raise UserError(f"{record}: expected the network of this run, found another; give the flags with which it "
                      "was started")
  return latest


def _initial_params(config: TrainConfig):
  if config.init is not None:
    loaded = checkpoint.load_checkpoint(config.init)
    if (found := card.parametrisation(loaded.card)).name != "eps":
      raise UserError(f"{config.init}: expected a network that predicts noise, as training requires, found "
                      f"{found.name}; "
                      "change --init")  # fmt: skip
    if loaded.config != config.model:
      raise UserError(f"{config.init}: expected the network to train, found another configuration; change --init")
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), loaded.params)
  if isinstance(config.model, DrFusionConfig):
    return initial_params(config.model, seed=config.seed)
  size = config.model.size_multiple
  if isinstance(config.model, SwiftConfig):
    planes = jnp.zeros((1, size, size, 1)), jnp.zeros((1,)), jnp.zeros((1, size, size, 2))
    return jax.jit(network(config.model).init)(jax.random.key(config.seed), *planes)["params"]
  x = jnp.zeros((1, size, size, 3))
  return jax.jit(UNet(config.model).init)(jax.random.key(config.seed), x, jnp.zeros((1,), jnp.int32))["params"]


def _run(config: TrainConfig, step_fn, apply, state: TrainState, batches, group: Team, manager) -> TrainState:
  total, first = config.step.total_steps, int(state.step)
  losses, since = [], time.monotonic()
  progress = tqdm(total=total, initial=first, unit="step", mininterval=5, disable=None if group.leads else True)
  # The others write nothing, and must not make the file before the first has claimed its name.
  with (config.out / LOG).open("a") if group.leads else contextlib.nullcontext() as log, progress as bar:
    for step in range(first + 1, total + 1):
      state, metrics = step_fn(state, group.shard(next(batches)))
      losses.append(metrics["loss"])
      bar.update()
      if step % config.log_every == 0 or step == total:
        loss = float(np.mean(jax.device_get(losses)))
        rate = len(losses) * config.batch_size / (time.monotonic() - since)
        losses, since = [], time.monotonic()
        if not np.isfinite(loss):
          raise _diverged(config, manager, step)
        row = {"step": step, "loss": round(loss, 6), "gradient_norm": round(float(metrics["gradient_norm"]), 4)}
        if group.leads:
          log.write(json.dumps({**row, "images_per_second": round(rate, 2)}) + "\n")
          log.flush()
        bar.set_postfix(loss=f"{loss:.4f}", images_per_s=f"{rate:.1f}")
      if step % config.save_every == 0 or step == total:
        if not _finite(state):
          raise _diverged(config, manager, step)
        manager.save(step, args=ocp.args.StandardSave(state._asdict()))
      if config.sheet_every and step % config.sheet_every == 0 and step < total and group.leads:
        write_sheets(config, apply, state)
  return state


def _finite(state: TrainState) -> bool:
  return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.device_get(state)))


def _diverged(config: TrainConfig, manager: ocp.CheckpointManager, step: int) -> UserError:
  again = "run again" if manager.latest_step() is None else f"--resume from step {manager.latest_step()}"
  return UserError(
    f"{config.out}: expected a finite loss and finite weights, found others by step {step}; lower --learning_rate and "
    f"{again}"
  )
