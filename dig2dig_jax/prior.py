"""Which network does a job run? A checkpoint folder as a denoiser constructor and its parameters."""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dig2dig_jax import checkpoint
from dig2dig_jax.errors import UserError
from dig2dig_jax.models.config import UNetConfig
from dig2dig_jax.models.guided_unet import UNet
from dig2dig_jax.sampling.denoiser import eps_denoiser
from dig2dig_jax.sampling.types import Denoiser

DTYPES = ("float32", "bfloat16", "float16")


class Prior(NamedTuple):
  """`denoiser(params) -> Denoiser`; `noise`: {"name", "num_timesteps"} of the process it was trained on."""

  params: dict
  config: UNetConfig
  noise: dict
  dtype: str
  directory: Path

  def denoiser(self, params) -> Denoiser:
    network = UNet(self.config, dtype=jnp.dtype(self.dtype))
    return eps_denoiser(lambda weights, x, t: network.apply({"params": weights}, x, t), params)


def load_prior(directory: Path, *, dtype: str = "float32") -> Prior:
  """Reads a checkpoint folder. Raises UserError for a damaged one, and for a network that is no unconditional prior."""
  if dtype not in DTYPES:
    raise UserError(f"--dtype={dtype}: expected one of {', '.join(DTYPES)}")
  loaded = checkpoint.load_checkpoint(directory)
  config = loaded.config
  for wrong, kind in (
    (config.pool is not None, "a classifier"),
    (config.num_classes is not None, "a class-conditional model"),
    (config.super_resolution, "a super-resolution model"),
  ):
    if wrong:
      raise UserError(f"{directory}: expected an unconditional diffusion model, found {kind}; choose another --prior")
  return Prior(jax.device_put(loaded.params), config, loaded.schedule, dtype, Path(directory))
