"""Which network does a configuration describe, and which parameters has it? Nothing is allocated to answer."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import traverse_util

from dig2dig_jax.models import bounds, known
from dig2dig_jax.models.config import UNetConfig
from dig2dig_jax.models.drfusion_unet import DrFusionConfig, DrFusionNet
from dig2dig_jax.models.guided_unet import NoisyClassifier, UNet
from dig2dig_jax.models.swift import SwiftConfig, SwiftNet

NetworkConfig = UNetConfig | DrFusionConfig | SwiftConfig
_NAMED = {"drfusion": DrFusionConfig, "swift": SwiftConfig}  # what their cards say


def config_from_dict(values: dict[str, Any]) -> NetworkConfig:
  """The configuration that `to_dict` of any kind wrote. KeyError, TypeError or ValueError for what is none."""
  if not isinstance(values, dict):
    raise TypeError(f"network configuration: expected fields by name, found {bounds.shown(values)}")
  name = values.get("network")
  return (_NAMED.get(name, UNetConfig) if isinstance(name, str) else UNetConfig).from_dict(values)


def network(config: NetworkConfig, *, dtype: Any = jnp.float32) -> UNet | NoisyClassifier | DrFusionNet | SwiftNet:
  """The module of a configuration: DRFusion's, the swift one, a classifier where it has a pool, else a U-Net. `dtype`
  is the torso's; the swift one is float32."""
  if isinstance(config, SwiftConfig):
    return SwiftNet(config)
  if isinstance(config, DrFusionConfig):
    return DrFusionNet(config, dtype)
  return (UNet if config.pool is None else NoisyClassifier)(config, dtype)


@functools.lru_cache(maxsize=32)
def _flat_shapes(config: NetworkConfig) -> tuple[tuple[str, tuple[int, ...]], ...]:
  def struct(shape, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(shape, dtype)

  if isinstance(config, DrFusionConfig):
    inputs: dict[str, Any] = {"x": struct((1, 8, 8, 3)), "timesteps": struct((1,))}
  elif isinstance(config, SwiftConfig):
    side = config.size_multiple
    inputs = {"mean": struct((1, side, side, 1)), "deviation": struct((1,)), "colour": struct((1, side, side, 2))}
  else:
    # A U-Net's parameters do not depend on the image; an attention pool's belong to one size.
    size = config.size_multiple if config.pool is None else config.image_size
    inputs = {"x": struct((1, size, size, config.in_channels)), "timesteps": struct((1,))}
    if config.num_classes is not None:
      inputs["labels"] = struct((1,), jnp.int32)
    if config.super_resolution:
      inputs["low_res"] = inputs["x"]
  with known.blank():
    variables = jax.eval_shape(network(config).init, jax.eval_shape(lambda: jax.random.key(0)), **inputs)
  flat = traverse_util.flatten_dict(variables["params"], sep="/")
  return tuple((path, leaf.shape) for path, leaf in flat.items())


def parameter_shapes(config: NetworkConfig) -> dict[str, tuple[int, ...]]:
  """{"input_blocks_0_0/kernel": (3, 3, 3, 256), ...} of the network, by abstract evaluation."""
  return dict(_flat_shapes(config))


def least_parameters(config: NetworkConfig) -> tuple[int, int]:
  """The network has at least so many (tensors, numbers in them): known at once, unlike its shapes.

  Held against a file before the network is looked at: of each residual block its ten tensors, and the numbers of its
  second 3x3 convolution.
  """
  if isinstance(config, DrFusionConfig):
    return 300, 2 * 9 * (8 * config.width) ** 2
  if isinstance(config, SwiftConfig):
    return 30, sum(2 * width**2 for width in config.widths)
  blocks = config.num_res_blocks + (0 if config.pool else config.num_res_blocks + 1)
  widths = [int(mult * config.model_channels) for mult in config.channel_mult]
  return 10 * config.blocks, 9 * (sum(blocks * width**2 for width in widths) + 2 * widths[-1] ** 2)
