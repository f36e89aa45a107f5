"""Which network fuses degraded pairs? DRFusion's: one encoder, and two decoders for the noise and the fusion mask.

Shi et al., arXiv 2604.08922. The state has three channels: both sources and the fused image. Layout N H W C; names are
those of the released weights by the rule of `models/layers.py`. Torso in `dtype`, norms and time embedding float32.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dig2dig_jax.models import bounds, known
from dig2dig_jax.models.layers import GroupNorm32, conv1x1, conv3x3, timestep_embedding

_MULT = (1, 2, 4, 8)  # the decoders are hard-wired to these four levels
_RULES = {  # of a configuration that comes from a file
  "width": bounds.whole(8, 4096),
  "steps": bounds.whole(1, 10_000),
  "groups": bounds.whole(1, 4096),
  "dropout": bounds.real(0, 0.999),
}


@dataclasses.dataclass(frozen=True)
class DrFusionConfig:
  """width: channels of the first level, a multiple of 8 and of the groups. steps: T, reverse steps whose noise levels
  are learned. dropout: in training."""

  width: int = 64
  steps: int = 3
  groups: int = 32
  dropout: float = 0.1

  def __post_init__(self):
    if not 0 <= self.dropout < 1:
      raise ValueError(f"dropout {self.dropout}: expected from 0 to less than 1")
    if self.groups < 1 or self.width % 8 or self.width % self.groups or self.width < 8:
      raise ValueError(f"width {self.width}: expected a multiple of 8 and of the {self.groups} groups of its norms")
    if self.steps < 1:
      raise ValueError(f"steps {self.steps}: expected at least 1")

  @property
  def size_multiple(self) -> int:
    """Sides must be even; other levels are cropped to fit."""
    return 2

  def to_dict(self) -> dict[str, Any]:
    """JSON-able; `network` tells it from a diffusion prior's."""
    return {"network": "drfusion", **dataclasses.asdict(self)}

  @classmethod
  def from_dict(cls, values: dict[str, Any]) -> "DrFusionConfig":
    """Inverse of `to_dict`. ValueError for what is none, and for values out of all proportion."""
    fields = {name: value for name, value in values.items() if name != "network"}
    bounds.require_fields(cls, fields, _RULES)
    return cls(**fields)


class _ResBlock(nn.Module):
  """Norm, SiLU, convolution, twice, with the time embedding added between; the skip is 1x1 where widths differ."""

  features: int
  config: DrFusionConfig
  dtype: Any

  @nn.compact
  def __call__(self, x, emb, *, train: bool):
    groups = self.config.groups
    h = conv3x3(self.features, "conv1_2", dtype=self.dtype)(nn.silu(GroupNorm32(groups, name="conv1_0")(x)))
    shift = known.Dense(self.features, dtype=jnp.float32, name="time_emb_1")(nn.silu(emb))
    h = h + shift.astype(h.dtype)[:, None, None]
    h = nn.silu(GroupNorm32(groups, name="conv2_0")(h))
    h = nn.Dropout(self.config.dropout, deterministic=not train)(h)
    h = conv3x3(self.features, "conv2_3", dtype=self.dtype)(h)
    if x.shape[-1] != self.features:
      x = conv1x1(self.features, "shortcut", dtype=self.dtype)(x)
    return x + h


class _Down(nn.Module):
  features: int
  dtype: Any

  @nn.compact
  def __call__(self, x):
    return conv3x3(self.features, "op", dtype=self.dtype, stride=2)(x)


class _Up(nn.Module):
  """PyTorch's transposed 3x3 convolution of stride 2, padding 1 and output padding 1: twice the size."""

  features: int
  dtype: Any

  @nn.compact
  def __call__(self, x):
    options = {"strides": (2, 2), "padding": ((1, 2), (1, 2)), "transpose_kernel": True, "dtype": self.dtype}
    return known.ConvTranspose(self.features, (3, 3), name="op", **options)(x)


class _Attention(nn.Module):
  """x times two gates in [0, 1]: per channel (of its mean and maximum) and per pixel."""

  dtype: Any

  @nn.compact
  def __call__(self, x):
    channels = x.shape[-1]
    squeeze = known.Conv(channels // 8, (1, 1), dtype=self.dtype, name="fc1")
    expand = known.Conv(channels, (1, 1), dtype=self.dtype, name="fc2")

    def gate(pooled):
      return expand(nn.relu(squeeze(pooled)))

    mean = jnp.mean(x, axis=(1, 2), keepdims=True, dtype=jnp.float32).astype(x.dtype)
    per_channel = nn.sigmoid(gate(mean) + gate(jnp.max(x, axis=(1, 2), keepdims=True)))
    per_pixel = nn.sigmoid(known.Conv(1, (1, 1), dtype=self.dtype, name="conv")(x))
    return x * (per_channel * per_pixel)


class _NoiseAndMask(nn.Module):
  config: DrFusionConfig
  dtype: Any

  @nn.compact
  def __call__(self, x, t, *, train: bool):
    width = self.config.width
    emb = timestep_embedding(t, width)
    emb = nn.silu(known.Dense(4 * width, dtype=jnp.float32, name="time_embed_0")(emb))
    emb = known.Dense(4 * width, dtype=jnp.float32, name="time_embed_2")(emb)
    h, skips = self._encode(conv3x3(width, "inBlock", dtype=self.dtype)(x.astype(self.dtype)), emb, train)
    for block in range(2):
      h = self._block(h.shape[-1], f"middleBlock_{block}_0")(h, emb, train=train)
    noise = self._decode(h, skips, emb, train, blocks="upBlock", attention="attention_block")
    mask = self._decode(h, skips, emb, train, blocks="fusionBlock", attention="attention_block_1")
    noise = self._head(noise, 3, "outBlock").astype(jnp.float32)
    return noise, nn.sigmoid(self._head(mask, 1, "fusion_outBlock").astype(jnp.float32))

  def _block(self, features: int, name: str) -> _ResBlock:
    return _ResBlock(features, self.config, self.dtype, name=name)

  def _encode(self, h, emb, train: bool):
    """Deepest feature map and the four skips, the first three taken after their level's down-sampling."""
    index, skips = 0, []
    for level, mult in enumerate(_MULT):
      for _ in range(2):
        h = self._block(mult * self.config.width, f"downBlock_{index}_0")(h, emb, train=train)
        index += 1
      if level < 3:
        h = _Down(h.shape[-1], self.dtype, name=f"downBlock_{index}_0")(h)
        index += 1
      skips.append(h)
    return h, skips

  def _decode(self, q, skips, emb, train: bool, *, blocks: str, attention: str):
    def attended(level):
      return _Attention(self.dtype, name=f"{attention}_{level}")(skips[level])

    q = q + attended(3)
    index = 0
    for level, mult in enumerate((4, 2, 1, 1)):
      for _ in range(2):
        q = self._block(mult * self.config.width, f"{blocks}_{index}_0")(q, emb, train=train)
        index += 1
      if level > 0:
        q = _Up(q.shape[-1], self.dtype, name=f"{blocks}_{index}_0")(q)
        index += 1
      if level < 3:
        skip = attended(2 - level)
        q = q[:, : skip.shape[1], : skip.shape[2]] + skip
    return q

  def _head(self, h, features: int, name: str):
    h = nn.silu(GroupNorm32(self.config.groups, name=f"{name}_0")(h))
    return conv3x3(features, f"{name}_2", dtype=self.dtype)(h)


class DrFusionNet(nn.Module):
  """(x [N, H, W, 3], timesteps [N]) -> (noise [N, H, W, 3], mask [N, H, W, 1] in [0, 1]); sides even, at least 8.

  Its parameters are those of a released checkpoint: `unet`, and `alpha` [steps], the learned signal level of each
  step relative to the one before, which the sampler reads (`sampling/joint_observation.py`).
  """

  config: DrFusionConfig
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, timesteps: jax.Array, *, train: bool = False):
    height, width = x.shape[1:3]
    if height % 2 or width % 2 or min(height, width) < 8:
      raise ValueError(f"expected even sides of at least 8 pixels, found {height}x{width}; pad the image")
    self.param("alpha", nn.initializers.constant(0.5), (self.config.steps,), jnp.float32)
    return _NoiseAndMask(self.config, self.dtype, name="unet")(x, timesteps, train=train)
