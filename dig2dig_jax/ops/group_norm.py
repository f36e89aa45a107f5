"""GroupNorm, scale and shift, SiLU and the residual sum before them in one pass over memory, by a kernel of Pallas.

XLA takes three passes: one that reads for the sums, one that reads again and writes; and the residual sum is written by
the one before. Here a program holds all pixels of some whole groups, reads them once and writes once. It fits where
those lie in registers (Triton, NVIDIA) or in VMEM (Mosaic, TPU): small maps. `None` stands for everything else.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

EPSILON = 1e-5
# Numbers of a block. On a GPU they are float32 in the registers of 1024 threads, 64 each; on a TPU two buffers of input
# and output each, and what is worked out, share 16 MB.
_MOST = {"cuda": 2**16, "tpu": 2**19}
_LANES = 128  # of a TPU's vector
_SECTOR = 32  # bytes that an NVIDIA GPU reads at least


@dataclasses.dataclass(frozen=True)
class Block:
  """channels: of a program, whole groups."""

  platform: str
  channels: int
  groups: int


def block(platform: str, pixels: int, channels: int, groups: int, itemsize: int) -> Block | None:
  """How [pixels, channels] are cut on `cuda` or `tpu`; None where a program cannot hold all pixels of a group, or would
  read in pieces too small."""
  width = channels // groups
  if platform == "tpu":
    own = width if width % _LANES == 0 else _LANES if _LANES % width == 0 and channels % _LANES == 0 else channels
    fits = pixels % 8 == 0
  else:  # Triton's arrays have powers of two of numbers
    own = width
    fits = _power_of_two(pixels) and _power_of_two(own) and own * itemsize >= _SECTOR
  return Block(platform, own, own // width) if fits and pixels * own <= _MOST[platform] else None


def group_norm(x, scale, bias, modulation=None, residual=None, *, groups: int, silu: bool, interpret: bool = False):
  """(total, normalised): x + residual, and its GroupNorm with scale, shift and SiLU, both in x's dtype; None where no
  kernel of this process's platforms fits.

  x, residual: [N, H, W, C] or [N, P, C]; scale, bias: [C]; modulation: [N, 2 C], gains g and shifts b: (1 + g) y + b.
  interpret: the kernel for NVIDIA's GPUs runs as plain JAX on any device: for tests.
  """
  channels = x.shape[-1]
  pixels = math.prod(x.shape[1:-1])
  found = {platform: block(platform, pixels, channels, groups, x.dtype.itemsize) for platform in _MOST}
  fitting = {platform: one for platform, one in found.items() if one is not None}
  if interpret and fitting:
    fitting = dict(list(fitting.items())[:1])
  if not fitting:
    return None
  gains = jnp.zeros((x.shape[0], 2 * channels), jnp.float32) if modulation is None else modulation.astype(jnp.float32)
  gain, shift = jnp.split(gains, 2, axis=-1)
  rows = [jnp.broadcast_to(row.astype(jnp.float32), gain.shape) for row in (scale[None], bias[None], 1 + gain, shift)]
  flat = x.reshape(x.shape[0], pixels, channels)
  addend = None if residual is None else residual.reshape(flat.shape)
  total, normal = _normed(groups, silu, interpret, tuple(fitting.values()), flat, addend, jnp.stack(rows, axis=1))
  return (x if residual is None else total.reshape(x.shape)), normal.reshape(x.shape)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2, 3))
def _normed(groups, silu, interpret, blocks, x, addend, table):
  if interpret:
    return _call(blocks[0], silu, True, x, addend, table)
  ways = {one.platform: functools.partial(_call, one, silu, False) for one in blocks}
  default = lambda x, addend, table: reference(groups, silu, x, addend, table)  # noqa: E731
  return jax.lax.platform_dependent(x, addend, table, **ways, default=default)


def _forwards(groups, silu, interpret, blocks, x, addend, table):
  return _normed(groups, silu, interpret, blocks, x, addend, table), (x, addend, table)


def _backwards(groups, silu, interpret, blocks, kept, cotangents):
  return jax.vjp(functools.partial(reference, groups, silu), *kept)[1](cotangents)


_normed.defvjp(_forwards, _backwards)


def reference(groups: int, silu: bool, x, addend, table):
  """(total, normalised) [N, P, C] without a kernel. table: [N, 4, C], scale, bias, 1 + gain, shift."""
  total = x if addend is None else x + addend
  x32 = total.astype(jnp.float32)

  def over_group(means):  # [N, 1, C]
    of_group = means.reshape(x.shape[0], groups, -1).mean(axis=-1)
    return jnp.repeat(of_group, x.shape[2] // groups, axis=1)[:, None]

  mean = over_group(x32.mean(axis=1))
  variance = jnp.maximum(over_group(jnp.square(x32).mean(axis=1)) - jnp.square(mean), 0)
  return total, _finished(x32, mean, variance, [table[:, row, None] for row in range(4)], silu, x.dtype)


def _finished(x32, mean, variance, rows, silu: bool, dtype):
  scale, bias, gain, shift = rows
  factor = jax.lax.rsqrt(variance + EPSILON) * scale
  normal = (x32 * (factor * gain) + ((bias - mean * factor) * gain + shift)).astype(dtype)
  if not silu:
    return normal
  normal32 = normal.astype(jnp.float32)
  return (normal32 * jax.nn.sigmoid(normal32)).astype(dtype)


def _call(cut: Block, silu: bool, interpret: bool, x, addend, table):
  n, pixels, channels = x.shape
  whole = pl.BlockSpec((1, pixels, cut.channels), lambda image, part: (image, 0, part))
  rows = pl.BlockSpec((1, 4, cut.channels), lambda image, part: (image, 0, part))
  made = jax.ShapeDtypeStruct(x.shape, x.dtype)
  arrays = [x] if addend is None else [x, addend]
  # Read and written once each; the sums, the multiply-add and SiLU are some ten operations a number.
  moved = (2 * len(arrays)) * x.size * x.dtype.itemsize + table.size * table.dtype.itemsize
  out = pl.pallas_call(
    functools.partial(_kernel, cut, silu, addend is not None),
    grid=(n, channels // cut.channels),
    in_specs=[*[whole] * len(arrays), rows],
    out_specs=[whole] * len(arrays),
    out_shape=[made] * len(arrays),
    cost_estimate=pl.CostEstimate(flops=10 * x.size, bytes_accessed=moved, transcendentals=x.size if silu else 0),
    compiler_params=None if interpret else _parameters(cut, pixels),
    interpret=interpret,
    name="group_norm",
  )(*arrays, table)
  return (x, out[0]) if addend is None else tuple(out)


def _parameters(cut: Block, pixels: int):
  if cut.platform == "tpu":
    from jax.experimental.pallas import tpu

    return tpu.CompilerParams(dimension_semantics=("parallel", "parallel"))
  from jax.experimental.pallas import triton

  return triton.CompilerParams(num_warps=min(32, max(4, pixels * cut.channels // 2048)), num_stages=1)


def _kernel(cut: Block, silu: bool, summed: bool, *refs):
  x_ref, table_ref, normal_ref = refs[0], refs[1 + summed], refs[-1]
  total = x_ref[0]
  if summed:
    total = total + refs[1][0]
    refs[-2][0] = total
  x32 = total.astype(jnp.float32)
  table = None if cut.platform == "cuda" else table_ref[0]
  if cut.groups == 1:
    mean, squares = jnp.mean(x32), jnp.mean(x32 * x32)
  else:
    mean, squares = (_over_group(jnp.mean(part, axis=0, keepdims=True), cut) for part in (x32, x32 * x32))
  variance = jnp.maximum(squares - mean * mean, 0)
  # A slice of an array in registers is not to be had in Triton, nor a single row of a block in Mosaic.
  rows = [table_ref[0, row][None] if cut.platform == "cuda" else table[row : row + 1] for row in range(4)]
  normal_ref[0] = _finished(x32, mean, variance, rows, silu, normal_ref.dtype)


def _over_group(means, cut: Block):
  """[1, channels] -> the mean of each channel's group, as a product with who shares one: a reshape would move lanes."""
  width = cut.channels // cut.groups
  row, column = (
    jax.lax.div(jax.lax.broadcasted_iota(jnp.int32, (cut.channels,) * 2, axis), width) for axis in (0, 1)
  )
  shared = jnp.where(row == column, 1.0 / width, 0.0)
  return jnp.dot(means, shared, precision="highest")


def _power_of_two(number: int) -> bool:
  return number & (number - 1) == 0
