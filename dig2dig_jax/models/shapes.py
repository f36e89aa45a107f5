"""Which network does a configuration describe, and which parameters has it? Nothing is allocated to answer."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import traverse_util

from dig2dig_jax.models.config import UNetConfig
from dig2dig_jax.models.drfusion_unet import DrFusionConfig, DrFusionNet
from dig2dig_jax.models.guided_unet import NoisyClassifier, UNet

NetworkConfig = UNetConfig | DrFusionConfig


def config_from_dict(values: dict[str, Any]) -> NetworkConfig:
  """The configuration that `to_dict` of either kind wrote. KeyError, TypeError or ValueError for what is none."""
  if not isinstance(values, dict):
    raise TypeError(f"network configuration: expected fields by name, found {values!r}")
  return (DrFusionConfig if values.get("network") == "drfusion" else UNetConfig).from_dict(values)


def network(config: NetworkConfig, *, dtype: Any = jnp.float32) -> UNet | NoisyClassifier | DrFusionNet:
  """The module of a configuration: DRFusion's, a classifier where it has a pool, else a U-Net. `dtype` is the
  torso's."""
  if isinstance(config, DrFusionConfig):
    return DrFusionNet(config, dtype)
  return (UNet if config.pool is None else NoisyClassifier)(config, dtype)


@functools.lru_cache(maxsize=32)
def _flat_shapes(config: NetworkConfig) -> tuple[tuple[str, tuple[int, ...]], ...]:
  def struct(shape, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(shape, dtype)

  if isinstance(config, DrFusionConfig):
    inputs: dict[str, Any] = {"x": struct((1, 8, 8, 3)), "timesteps": struct((1,))}
  else:
    # A U-Net's parameters do not depend on the image; an attention pool's belong to one size.
    size = config.size_multiple if config.pool is None else config.image_size
    inputs = {"x": struct((1, size, size, config.in_channels)), "timesteps": struct((1,))}
    if config.num_classes is not None:
      inputs["labels"] = struct((1,), jnp.int32)
    if config.super_resolution:
      inputs["low_res"] = inputs["x"]
  variables = jax.eval_shape(network(config).init, jax.eval_shape(lambda: jax.random.key(0)), **inputs)
  flat = traverse_util.flatten_dict(variables["params"], sep="/")
  return tuple((path, leaf.shape) for path, leaf in flat.items())


def parameter_shapes(config: NetworkConfig) -> dict[str, tuple[int, ...]]:
  """{"input_blocks_0_0/kernel": (3, 3, 3, 256), ...} of the network, by abstract evaluation."""
  return dict(_flat_shapes(config))
