"""Which network does a job run? A checkpoint folder as a denoiser constructor and its parameters."""

import dataclasses
import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from dig2dig_jax.assets import DRFUSION
from dig2dig_jax.errors import UserError
from dig2dig_jax.models.config import UNetConfig
from dig2dig_jax.models.drfusion_unet import DrFusionConfig, DrFusionNet
from dig2dig_jax.models.guided_unet import UNet
from dig2dig_jax.models.layers import KERNELS
from dig2dig_jax.models.shapes import parameter_shapes
from dig2dig_jax.models.swift import SwiftConfig
from dig2dig_jax.priors import card, checkpoint
from dig2dig_jax.sampling import schedule
from dig2dig_jax.sampling.denoiser import network_denoiser, network_reuse
from dig2dig_jax.sampling.joint_observation import noise_and_mask_denoiser
from dig2dig_jax.sampling.parametrisation import Parametrisation
from dig2dig_jax.sampling.schedule import NoiseSchedule
from dig2dig_jax.sampling.types import Denoiser, Reuse

DTYPES = ("float32", "bfloat16", "float16")
_TORSO = ("input_blocks", "middle_block", "output_blocks")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Prior:
  """A diffusion network and its weights. `denoiser(params) -> Denoiser`; `noise`: the noise process on which it was
  trained; `label`: class that a class-conditional network is asked for, else None; `parametrisation`: what its output
  means; `kernels`: of `models.layers.KERNELS`, whether normalisations run as Pallas' kernels where they fit.
  Equal to itself alone, and hashed so."""

  params: dict  # nested, of arrays
  config: UNetConfig  # the network's shape
  noise: NoiseSchedule
  dtype: str  # of the torso
  directory: Path  # where it was read from, for messages
  label: int | None = None
  parametrisation: Parametrisation = Parametrisation()
  kernels: str = "off"

  def __repr__(self) -> str:
    return _shown(self)

  def denoiser(self, params) -> Denoiser:
    return network_denoiser(self._apply, params, self.parametrisation)

  def reuse(self, params) -> Reuse:
    """For `--reuse`. UserError for a network of one level, which has nothing deeper to reuse."""
    if len(self.config.channel_mult) == 1:
      raise UserError(f"--reuse: {self.directory} has only one level and nothing deeper to reuse; leave it out")
    full = functools.partial(self._apply, keep_deep=True)
    shallow = lambda weights, x, t, deep: self._apply(weights, x, t, deep=deep)  # noqa: E731
    return network_reuse(full, shallow, params, self.parametrisation)

  def _apply(self, weights, x, t, **options):
    network = UNet(self.config, jnp.dtype(self.dtype), self.kernels)
    labels = None if self.label is None else jnp.full(x.shape[:1], self.label)
    return network.apply({"params": weights}, x, t, labels=labels, **options)


def _shown(network: "Prior | DrFusionNetwork") -> str:
  """One short line: neither weights nor the layout."""
  count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(network.params))
  steps = f"{network.noise.num_timesteps} {network.noise.name} timesteps"
  own = getattr(network, "parametrisation", Parametrisation())
  told = "" if own.name == "eps" else f", predicts {own.name}"
  return f"{type(network).__name__}({str(network.directory)!r}, {count:,} parameters, {network.dtype}, {steps}{told})"


def random_prior(
  config: UNetConfig, noise: NoiseSchedule, *, name: str, dtype: str = "float32", seed: int = 0, kernels: str = "off"
) -> Prior:
  """A prior of random weights, normal with variance 1 / fan-in: for measuring time and memory of a layout, which do not
  depend on the weights. name: stands in place of the folder."""
  random = np.random.default_rng(seed)
  flat = {}
  for path, shape in parameter_shapes(config).items():
    scale = np.float32(1 / math.sqrt(max(1, math.prod(shape[:-1]))))
    values = random.standard_normal(shape, np.float32) * scale
    flat[path] = jax.device_put(values.astype(jnp.dtype(kept_dtype(path, dtype)), copy=False))
  return Prior(traverse_util.unflatten_dict(flat, sep="/"), config, noise, dtype, Path(name), kernels=kernels)


def kept_dtype(path: str, dtype: str) -> str:
  """Of the parameter at this path, where the torso computes in `dtype`."""
  convolution = path.endswith("/kernel") and path.startswith(_TORSO) and "emb_layers" not in path
  return dtype if convolution else "float32"


def load_prior(
  directory: Path, *, dtype: str = "float32", label: int | None = None, kernels: str = "off"
) -> Prior:
  """Reads a checkpoint folder, parameter by parameter onto the default device.

  Args:
    directory: the prior's folder.
    dtype: of the torso. Its convolutions' kernels are kept in it, which computes the same and halves their memory; all
      other parameters are float32.
    label: class of a class-conditional network.
    kernels: of `models.layers.KERNELS`.

  Returns:
    A `Prior`.

  Raises:
    UserError: for a damaged folder, a network that is not a diffusion prior, and an unknown word.
  """
  if dtype not in DTYPES:
    raise UserError(f"--dtype={dtype}: expected one of {', '.join(DTYPES)}")
  if kernels not in KERNELS:
    raise UserError(f"--kernels={kernels}: expected one of {', '.join(KERNELS)}")

  def place(path: str, array: np.ndarray) -> Any:
    return jax.device_put(array.astype(jnp.dtype(kept_dtype(path, dtype)), copy=False))

  loaded = checkpoint.load_checkpoint(directory, place=place)
  config = loaded.config
  if isinstance(config, DrFusionConfig):
    raise UserError(f"{directory}: expected a diffusion model, found DRFusion's network; use --method=drfusion")
  if isinstance(config, SwiftConfig):
    raise UserError(f"{directory}: expected a diffusion model, found a swift network, which replaces one; "
                    "--gains=swift takes it")  # fmt: skip
  for wrong, kind in ((config.pool is not None, "a classifier"), (config.super_resolution, "a super-resolution model")):
    if wrong:
      raise UserError(f"{directory}: expected a diffusion model of whole images, found {kind}; choose another --prior")
  if config.num_classes is None and label is not None:
    raise UserError(f"--class_label={label}: {directory} is not class-conditional; leave it out")
  if config.num_classes is not None and (label is None or not 0 <= label < config.num_classes):
    found = "none" if label is None else label
    raise UserError(
      f"{directory}: a class-conditional model takes --class_label=0 to {config.num_classes - 1}, found {found}"
    )
  try:
    noise = NoiseSchedule(**loaded.schedule)
    schedule.betas(noise.name, noise.num_timesteps)
  except UserError as error:
    raise UserError(f"{directory}: {error}") from error
  return Prior(loaded.params, config, noise, dtype, Path(directory), label, card.parametrisation(loaded.card), kernels)


@dataclasses.dataclass(frozen=True, eq=False)
class CustomPrior:
  """A user-defined prior: `denoiser(params) -> Denoiser` of a network trained on the noise process `noise`. If it
  exposes its deep features, `reuse(params) -> Reuse`."""

  denoiser: Callable[[Any], Denoiser] = dataclasses.field(repr=False)
  noise: NoiseSchedule
  reuse: Callable[[Any], Reuse] | None = dataclasses.field(default=None, repr=False)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class DrFusionNetwork:
  """The network of `--method=drfusion`, with the fields and the `denoiser` of a `Prior`; noise.num_timesteps: its T."""

  params: dict  # nested, of arrays; `alpha` [T] among them
  config: DrFusionConfig  # the network's shape
  noise: NoiseSchedule
  dtype: str  # of the torso
  directory: Path  # where it was read from, for messages

  def __repr__(self) -> str:
    return _shown(self)

  def denoiser(self, params) -> Denoiser:
    network = DrFusionNet(self.config, dtype=jnp.dtype(self.dtype))
    return noise_and_mask_denoiser(lambda weights, x, t: network.apply({"params": weights}, x, t), params)


def load_drfusion(directory: Path = DRFUSION, *, dtype: str = "float32") -> DrFusionNetwork:
  """Reads a DRFusion checkpoint folder, trained or converted.

  Args:
    directory: the folder; the embedded network by default.
    dtype: of the torso.

  Returns:
    A `DrFusionNetwork`.

  Raises:
    UserError: for any other folder.
  """
  if dtype not in DTYPES:
    raise UserError(f"--dtype={dtype}: expected one of {', '.join(DTYPES)}")
  if directory == DRFUSION and not directory.is_dir():
    raise UserError(
      f"--method=drfusion: expected its weights in {DRFUSION}, found none; train them with "
      "--flagfile=train_drfusion.flags or convert released ones with dig2dig convert drfusion, then --prior=FOLDER"
    )
  loaded = checkpoint.load_checkpoint(directory, place=lambda path, array: jax.device_put(array.astype(jnp.float32)))
  if (found := card.parametrisation(loaded.card)).name != "eps":
    raise UserError(f"{directory}: expected DRFusion's network, found one that predicts {found.name}; convert again")
  if not isinstance(loaded.config, DrFusionConfig):
    raise UserError(f"{directory}: expected DRFusion's network, found a diffusion prior; use another --method")
  if loaded.schedule["num_timesteps"] != loaded.config.steps:
    raise UserError(
      f"{directory}: expected a schedule of the network's {loaded.config.steps} steps, found "
      f"{loaded.schedule['num_timesteps']}; convert again"
    )
  return DrFusionNetwork(loaded.params, loaded.config, NoiseSchedule(**loaded.schedule), dtype, Path(directory))
