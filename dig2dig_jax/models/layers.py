"""The blocks of the guided-diffusion networks, in Flax Linen.

Layout N H W C. Submodules carry the PyTorch names with the list indices joined by an underscore (`in_layers.2` becomes
`in_layers_2`), so that conversion is a rule. Convolutions and attention run in `dtype`; GroupNorm, softmax and the
time embedding are float32 whatever `dtype` is.
"""

import functools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dig2dig_jax.models import convolution, known
from dig2dig_jax.models.config import UNetConfig
from dig2dig_jax.ops import group_norm

# Attention logits of one image (float32) beyond which queries are taken in chunks. A 256 MB map costs a CPU or GPU
# little; a 768 x 1024 image at a factor of 8 would ask for 4.8 GB at once.
ATTENTION_BYTES = 256 * 2**20
# Of the normalisations: XLA's own, Pallas' where they fit, or those as plain JAX, for tests.
KERNELS = ("off", "on", "interpret")


def timestep_embedding(timesteps: jax.Array, width: int, *, max_period: float = 10000.0) -> jax.Array:
  """Sinusoidal embedding [N] -> [N, width], cosines first; an odd width ends in a column of zeros."""
  half = width // 2
  frequencies = jnp.exp(-math.log(max_period) * jnp.arange(half, dtype=jnp.float32) / half)
  angles = timesteps.astype(jnp.float32)[:, None] * frequencies[None]
  embedding = jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)
  return jnp.pad(embedding, ((0, 0), (0, width % 2)))


class GroupNorm32(known.Known, nn.Module):
  """GroupNorm computed in float32 and returned in the input's dtype. epsilon is PyTorch's 1e-5, not Flax's 1e-6."""

  groups: int
  kernels: str = "off"

  @nn.compact
  def __call__(self, x, modulation=None, *, residual=None, silu: bool = False):
    """x: [N, ..., C]. modulation: [N, 2 C], scales s and shifts b of each image: norm(x) * (1 + s) + b. silu: of what
    comes out. residual: is added before; returned is then (sum, norm of the sum).

    kernels: of `KERNELS`. With `on`, small maps take one pass over memory where a GPU or TPU can (ops/group_norm.py).
    """
    if self.kernels != "off" and (found := self._by_kernel(x, modulation, residual, silu)) is not None:
      return found[1] if residual is None else found
    total = x if residual is None else x + residual
    normal = self._plain(total, modulation)
    normal = nn.silu(normal) if silu else normal
    return normal if residual is None else (total, normal)

  def _by_kernel(self, x, modulation, residual, silu: bool):
    return group_norm.group_norm(
      x, *self._own(x.shape[-1]), modulation, residual, groups=self.groups, silu=silu,
      interpret=self.kernels == "interpret",
    )  # fmt: skip

  def _own(self, channels: int):
    scale = self.param("scale", nn.initializers.ones, (channels,), jnp.float32)
    return scale, self.param("bias", nn.initializers.zeros, (channels,), jnp.float32)

  def _plain(self, x, modulation):
    channels = x.shape[-1]
    scale, bias = self._own(channels)
    x32 = x.astype(jnp.float32)
    spatial = tuple(range(1, x.ndim - 1))

    def over_group(per_channel):  # [N, C] means of the pixels -> the mean of each channel's group
      means = per_channel.reshape(-1, self.groups, channels // self.groups).mean(axis=-1)
      return jnp.repeat(means, channels // self.groups, axis=1)

    # Per channel, then over its group: sums run along memory, both in one pass (E[x^2] - E[x]^2, as PyTorch's). One
    # multiply-add per element fuses with what follows.
    mean = over_group(x32.mean(axis=spatial))
    variance = jnp.maximum(over_group(jnp.square(x32).mean(axis=spatial)) - jnp.square(mean), 0)
    factor = jax.lax.rsqrt(variance + 1e-5) * scale.astype(jnp.float32)[None]
    offset = bias.astype(jnp.float32)[None] - mean * factor
    if modulation is not None:
      gain, shift = jnp.split(modulation.astype(jnp.float32), 2, axis=-1)
      factor, offset = factor * (1 + gain), offset * (1 + gain) + shift
    # Kept as one array: a CPU's compiler would work both out anew for every pixel, which takes ten times as long.
    both = jax.lax.optimization_barrier(jnp.stack([factor, offset]))
    factor, offset = both.reshape(2, -1, *(1,) * len(spatial), channels)
    return (x32 * factor + offset).astype(x.dtype)


def conv3x3(features: int, name: str, *, dtype, stride: int = 1, zero: bool = False) -> known.Conv:
  """PyTorch's 3x3 convolution with padding 1. (SAME padding would shift a strided convolution by one pixel.)"""
  return known.Conv(
    features,
    (3, 3),
    strides=(stride, stride),
    padding=((1, 1), (1, 1)),
    dtype=dtype,
    kernel_init=nn.initializers.zeros if zero else nn.initializers.lecun_normal(),
    conv_general_dilated=convolution.conv,
    name=name,
  )


def conv1x1(features: int, name: str, *, dtype) -> known.Conv:
  """A linear map of every pixel's channels, with PyTorch's kernel of a 1x1 convolution."""
  return known.Conv(features, (1, 1), dtype=dtype, conv_general_dilated=convolution.pointwise_conv, name=name)


def average_pool_2x2(x):
  n, h, w, c = x.shape
  return jnp.mean(x.reshape(n, h // 2, 2, w // 2, 2, c), axis=(2, 4), dtype=jnp.float32).astype(x.dtype)


class ResBlock(nn.Module):
  """Residual block with a time embedding; `resample` 'up' or 'down' acts before the first convolution and on the
  skip."""

  config: UNetConfig
  features: int
  dtype: Any
  resample: str | None = None
  kernels: str = "off"

  @nn.compact
  def __call__(self, x, emb, *, train: bool = False, apart: bool = False):
    """apart: the two terms whose sum the block is, for a normalisation that adds them itself."""
    config = self.config
    norm = functools.partial(GroupNorm32, config.norm_groups, self.kernels)
    h = norm(name="in_layers_0")(x, silu=True)
    if self.resample == "down":
      h, x = average_pool_2x2(h), average_pool_2x2(x)
    elif self.resample == "up":
      h, x = convolution.nearest_upsample_2x(h), convolution.nearest_upsample_2x(x)
    h = conv3x3(self.features, "in_layers_2", dtype=self.dtype)(h)
    width = 2 * self.features if config.use_scale_shift_norm else self.features
    emb_out = known.Dense(width, dtype=jnp.float32, name="emb_layers_1")(nn.silu(emb))
    if not config.use_scale_shift_norm:
      h, emb_out = h + emb_out.astype(h.dtype)[:, None, None], None
    h = norm(name="out_layers_0")(h, emb_out, silu=True)
    h = nn.Dropout(config.dropout, deterministic=not train)(h)
    h = conv3x3(self.features, "out_layers_3", dtype=self.dtype, zero=True)(h)
    if x.shape[-1] != self.features:
      x = conv1x1(self.features, "skip_connection", dtype=self.dtype)(x)
    return (x, h) if apart else x + h


@functools.cache
def has_fused_attention() -> bool:
  """Whether this process's accelerator runs cuDNN's fused attention: an NVIDIA GPU from Ampere up, and cuDNN 9."""
  if jax.default_backend() != "gpu":
    return False
  heads = jax.ShapeDtypeStruct((1, 64, 1, 64), jnp.bfloat16)
  try:
    jax.jit(_fused_attention).lower(heads, heads, heads).compile()
  except (RuntimeError, ValueError, NotImplementedError):  # what JAX and XLA raise where cuDNN does not serve
    return False
  return True


def _fused_attention(query, key, value):
  return jax.nn.dot_product_attention(query, key, value, implementation="cudnn")


def _softmax_attention(query, key, value):
  if query.dtype != jnp.float16:
    return jax.nn.dot_product_attention(query, key, value)
  # In float16 it asks for a precision (F16_F16_F32) that does not lower on CPU or TPU; the same by hand:
  logits = jnp.einsum("nqhd,nkhd->nhqk", query, key, preferred_element_type=jnp.float32)
  weights = jax.nn.softmax(logits / math.sqrt(query.shape[-1]), axis=-1).astype(value.dtype)
  return jnp.einsum("nhqk,nkhd->nqhd", weights, value)


def attend(query, key, value):
  """Softmax attention [N, T, heads, d] with float32 logits, in chunks of queries when the map would not fit."""
  n, tokens, heads, depth = query.shape
  if query.dtype in (jnp.bfloat16, jnp.float16) and depth % 8 == 0 and depth <= 128 and has_fused_attention():
    return _fused_attention(query, key, value)  # never holds a map, so that nothing need be chunked
  rows = max(1, ATTENTION_BYTES // (4 * n * heads * tokens))
  if rows >= tokens:
    return _softmax_attention(query, key, value)
  chunks = -(-tokens // rows)
  rows = -(-tokens // chunks)  # even chunks: less padding
  padded = jnp.pad(query, ((0, 0), (0, chunks * rows - tokens), (0, 0), (0, 0)))
  padded = padded.reshape(n, chunks, rows, heads, depth).swapaxes(0, 1)
  out = jax.lax.map(lambda part: _softmax_attention(part, key, value), padded)
  return out.swapaxes(0, 1).reshape(n, chunks * rows, heads, depth)[:, :tokens]


class AttentionBlock(nn.Module):
  """Self-attention over all pixels. The 3C channels of `qkv` are ordered [head, (q, k, v), d] in the legacy order and
  [(q, k, v), head, d] in the new one."""

  config: UNetConfig
  heads: int
  dtype: Any
  kernels: str = "off"

  @nn.compact
  def __call__(self, x, residual):
    """Of x + residual [N, H, W, C]."""
    n, h, w, channels = x.shape
    x, normal = GroupNorm32(self.config.norm_groups, self.kernels, name="norm")(x, residual=residual)
    tokens = normal.reshape(n, h * w, channels)
    qkv = known.Dense(3 * channels, dtype=self.dtype, name="qkv")(tokens)
    depth = channels // self.heads
    if self.config.use_new_attention_order:
      query, key, value = jnp.unstack(qkv.reshape(n, h * w, 3, self.heads, depth), axis=2)
    else:
      query, key, value = jnp.unstack(qkv.reshape(n, h * w, self.heads, 3, depth), axis=3)
    out = attend(query, key, value).reshape(n, h * w, channels)
    out = known.Dense(channels, dtype=self.dtype, kernel_init=nn.initializers.zeros, name="proj_out")(out)
    return x + out.reshape(x.shape)


class AttentionPool(known.Known, nn.Module):
  """CLIP-style pooling: the mean token attends to all pixels; the input must have `side` x `side` pixels in all."""

  side: int
  head_channels: int
  features: int

  @nn.compact
  def __call__(self, x):
    n, h, w, channels = x.shape
    if h * w != self.side**2:
      raise ValueError(f"attention pool: expected {self.side**2} positions, found {h} x {w}; resize the image")
    tokens = x.reshape(n, h * w, channels)
    tokens = jnp.concatenate([tokens.mean(axis=1, keepdims=True), tokens], axis=1)
    init = nn.initializers.normal(channels**-0.5)
    positions = self.param("positional_embedding", init, (channels, self.side**2 + 1), jnp.float32)
    tokens = tokens + positions.T[None]
    qkv = known.Dense(3 * channels, name="qkv_proj")(tokens)
    heads = channels // self.head_channels
    query, key, value = jnp.unstack(qkv.reshape(n, h * w + 1, 3, heads, self.head_channels), axis=2)
    pooled = attend(query, key, value).reshape(n, h * w + 1, channels)
    return known.Dense(self.features, name="c_proj")(pooled)[:, 0]
