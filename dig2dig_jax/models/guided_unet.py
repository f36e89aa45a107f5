"""The guided-diffusion networks in Flax Linen: the U-Net in every layout that OpenAI released, the noisy classifier.

Layout N H W C. Top-level module names are PyTorch's with list indices joined (`input_blocks.1.0` becomes
`input_blocks_1_0`), so that `dig2dig_jax/porting/torch_tree.py` needs one rule and no table.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dig2dig_jax.models import known
from dig2dig_jax.models.config import UNetConfig
from dig2dig_jax.models.convolution import nearest_upsample_2x
from dig2dig_jax.models.layers import (
  AttentionBlock,
  AttentionPool,
  GroupNorm32,
  ResBlock,
  conv3x3,
  timestep_embedding,
)


def _heads(config: UNetConfig, channels: int, *, up: bool = False) -> int:
  if config.num_head_channels != -1:
    return channels // config.num_head_channels
  return config.num_heads_upsample if up and config.num_heads_upsample != -1 else config.num_heads


def space_to_depth(x, patch: int):
  n, h, w, c = x.shape
  x = x.reshape(n, h // patch, patch, w // patch, patch, c).transpose(0, 1, 3, 2, 4, 5)
  return x.reshape(n, h // patch, w // patch, patch * patch * c)


def depth_to_space(x, patch: int):
  n, h, w, c = x.shape
  x = x.reshape(n, h, w, patch, patch, c // patch**2).transpose(0, 1, 3, 2, 4, 5)
  return x.reshape(n, h * patch, w * patch, c // patch**2)


def pad_to_multiple(x, multiple: int):
  """Mirror [N, H, W, C] at the bottom and right up to multiples of `multiple`."""
  down, right = -x.shape[1] % multiple, -x.shape[2] % multiple
  if not (down or right):
    return x
  # One-pixel sides have nothing to mirror.
  mode = "reflect" if min(x.shape[1:3]) > 1 else "edge"
  return jnp.pad(x, ((0, 0), (0, down), (0, right), (0, 0)), mode=mode)


def _time_embedding(config: UNetConfig, timesteps, labels):
  width = 4 * config.model_channels
  emb = timestep_embedding(timesteps, config.model_channels)
  emb = known.Dense(width, dtype=jnp.float32, name="time_embed_0")(emb)
  emb = known.Dense(width, dtype=jnp.float32, name="time_embed_2")(nn.silu(emb))
  if config.num_classes is not None:
    emb = emb + known.Embed(config.num_classes, width, name="label_emb")(labels)
  return emb


def _encode(config: UNetConfig, x, emb, dtype, train: bool, *, shallow: bool = False, kernels: str = "off"):
  """Input and middle blocks, called inside a compact method. Returns the middle features and every input block's;
  shallow: None and those of the first level."""
  h = conv3x3(int(config.channel_mult[0] * config.model_channels), "input_blocks_0_0", dtype=dtype)(x)
  block = functools.partial(ResBlock, config, dtype=dtype, kernels=kernels)
  attention = functools.partial(AttentionBlock, config, dtype=dtype, kernels=kernels)
  features = [h]
  factor = 1
  for level, mult in enumerate(config.channel_mult):
    channels = int(mult * config.model_channels)
    for _ in range(config.num_res_blocks):
      name = f"input_blocks_{len(features)}"
      attends = factor in config.attention_ds
      h = block(channels, name=f"{name}_0")(h, emb, train=train, apart=attends)
      if attends:
        h = attention(_heads(config, channels), name=f"{name}_1")(*h)
      features.append(h)
    if shallow:
      return None, features
    if level != len(config.channel_mult) - 1:
      name = f"input_blocks_{len(features)}_0"
      if config.resblock_updown:
        h = block(channels, resample="down", name=name)(h, emb, train=train)
      else:
        h = Downsample(channels, dtype, name=name)(h)
      features.append(h)
      factor *= 2
  h = block(channels, name="middle_block_0")(h, emb, train=train, apart=config.middle_attention)
  if config.middle_attention:
    h = attention(_heads(config, channels), name="middle_block_1")(*h)
  h = block(channels, name="middle_block_2")(h, emb, train=train)
  return h, features


class Downsample(nn.Module):
  """Strided 3x3 convolution (layouts without resblock_updown)."""

  features: int
  dtype: Any

  @nn.compact
  def __call__(self, x):
    return conv3x3(self.features, "op", dtype=self.dtype, stride=2)(x)


class Upsample(nn.Module):
  """Nearest neighbour x 2, then a 3x3 convolution (layouts without resblock_updown)."""

  features: int
  dtype: Any

  @nn.compact
  def __call__(self, x):
    return conv3x3(self.features, "conv", dtype=self.dtype)(nearest_upsample_2x(x))


class UNet(nn.Module):
  """The epsilon (and variance) network.

  __call__(x [N, H, W, C], timesteps [N], labels [N] or None, low_res [N, h, w, C] or None) -> [N, H, W, out_channels]
  in float32. Any H, W: the input is mirrored up to `config.size_multiple` and the output cropped back.
  `dtype` is the torso's: float32, bfloat16 or float16. kernels: of `layers.KERNELS`.

  keep_deep: returns (output, deep features), what the levels below the first hand up to it. deep: such features of
  another call with an image of this size, in place of running those levels: most of a large network's work, whose
  result changes little from one reverse step to the next (DeepCache, arXiv 2312.00858).
  """

  config: UNetConfig
  dtype: Any = jnp.float32
  kernels: str = "off"

  @nn.compact
  def __call__(self, x, timesteps, labels=None, low_res=None, *, train: bool = False, deep=None, keep_deep=False):
    config, dtype = self.config, self.dtype
    if (labels is None) != (config.num_classes is None):
      raise ValueError(f"labels: a network with num_classes={config.num_classes} was called with labels={labels}")
    if (low_res is None) == config.super_resolution:
      raise ValueError(f"low_res: expected {'an image' if config.super_resolution else 'none'} for this network")
    if low_res is not None:
      # PyTorch's bilinear, align_corners=False, no antialiasing.
      low_res = jax.image.resize(low_res, (*x.shape[:3], low_res.shape[-1]), "bilinear", antialias=False)
      x = jnp.concatenate([x, low_res], axis=-1)
    height, width = x.shape[1:3]
    x = pad_to_multiple(x.astype(jnp.float32), config.size_multiple)
    x = space_to_depth(x, config.patch)
    emb = _time_embedding(config, timesteps, labels)
    h, skips = _encode(config, x.astype(dtype), emb, dtype, train, shallow=deep is not None,
                       kernels=self.kernels)  # fmt: skip

    of_level = functools.partial(ResBlock, config, dtype=dtype, kernels=self.kernels)
    attention = functools.partial(AttentionBlock, config, dtype=dtype, kernels=self.kernels)
    block = 0
    for level, mult in reversed(list(enumerate(config.channel_mult))):
      channels = int(mult * config.model_channels)
      if level == 0:
        h = kept = h if deep is None else deep
      elif deep is not None:
        block += config.num_res_blocks + 1
        continue
      for i in range(config.num_res_blocks + 1):
        name = f"output_blocks_{block}"
        h = jnp.concatenate([h, skips.pop()], axis=-1)
        attends = 2**level in config.attention_ds
        h = of_level(channels, name=f"{name}_0")(h, emb, train=train, apart=attends)
        child = 1
        if attends:
          h = attention(_heads(config, channels, up=True), name=f"{name}_1")(*h)
          child = 2
        if level and i == config.num_res_blocks:
          if config.resblock_updown:
            h = of_level(channels, resample="up", name=f"{name}_{child}")(h, emb, train=train)
          else:
            h = Upsample(channels, dtype, name=f"{name}_{child}")(h)
        block += 1
    h = nn.silu(GroupNorm32(config.norm_groups, name="out_0")(h.astype(jnp.float32)))
    h = conv3x3(config.out_channels * config.patch**2, "out_2", dtype=jnp.float32, zero=True)(h)
    output = depth_to_space(h, config.patch)[:, :height, :width]
    return (output, kept) if keep_deep else output


class NoisyClassifier(nn.Module):
  """guided-diffusion's EncoderUNetModel: (x [N, H, W, C], timesteps [N]) -> logits [N, out_channels], float32.

  The attention pool needs as many positions as the network was built for; sizes are multiples of
  `config.size_multiple`.
  """

  config: UNetConfig
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x, timesteps, *, train: bool = False):
    config = self.config
    emb = _time_embedding(config, timesteps, None)
    h, features = _encode(config, x.astype(self.dtype), emb, self.dtype, train)
    h = h.astype(jnp.float32)
    if config.pool in ("adaptive", "attention"):
      h = nn.silu(GroupNorm32(config.norm_groups, name="out_0")(h))
      if config.pool == "adaptive":
        return known.Conv(config.out_channels, (1, 1), name="out_3")(h.mean(axis=(1, 2), keepdims=True))[:, 0, 0]
      side = config.image_size // config.size_multiple
      return AttentionPool(side, config.num_head_channels, config.out_channels, name="out_2")(h)
    means = [block.astype(jnp.float32).mean(axis=(1, 2)) for block in (*features, h)]
    pooled = known.Dense(2048, name="out_0")(jnp.concatenate(means, axis=-1))
    if config.pool == "spatial":
      return known.Dense(config.out_channels, name="out_2")(nn.relu(pooled))
    pooled = nn.silu(GroupNorm32(config.norm_groups, name="out_1")(pooled))
    return known.Dense(config.out_channels, name="out_3")(pooled)
