"""One level of a pyramid in one pass over memory, by kernels of Pallas: reduced; or weighed by its bands and blended.

XLA writes what a filter makes along one axis before it filters along the other, and the bands, their energies and their
weights beside it. Here a program holds a tile with the pixels around it in registers, in which filters along an axis
are products with a banded matrix (Triton has no slices of what lies in registers). For NVIDIA's GPUs; all other
platforms take the plain form. Numbers are float32 throughout, products too.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from dig2dig_jax.ops import pyramid, sources
from dig2dig_jax.ops.arrays import Array, Image, Images, Weights
from dig2dig_jax.ops.filters import gaussian_blur, gaussian_kernel

TINY = 1e-6  # energy where no source has detail: an eighth of a grey level, squared
_TILE = 32  # pixels of a tile's side, a power of two, those around it among them
_MOST = 12  # images of one channel that a program holds: more leave no registers


class Scores(NamedTuple):
  """What decides the weights of a band. window: standard deviation in pixels over which energies are averaged. numbers
  [4]: exponent of a gain's share, what brightness adds, what the target adds, above which brightness it does.
  functional: number of the source with the target. observed: whether the gain is that of the noisy source."""

  window: float
  numbers: Array
  functional: int
  observed: bool = False


def fits(count: int, channels: int, window: float, *, observed: bool = False) -> bool:
  """Whether a program can hold a tile of all sources, and its window."""
  return count * channels * (1 + observed) <= _MOST and 4 * _radius(window) <= _TILE // 2


def reduce(x: Images, *, interpret: bool = False) -> Images:
  """`pyramid.reduce` of [K, H, W, C]."""
  by_kernel = functools.partial(_reduced, interpret)
  return by_kernel(x) if interpret else jax.lax.platform_dependent(x, cuda=by_kernel, default=pyramid.reduce)


def blend(
  content: tuple[Images, Images],
  observed: tuple[Images, Images],
  coarse: Image,
  scores: Scores,
  *,
  interpret: bool = False,
) -> Image:
  """[H, W, C]: the level of the fused image, from the one below it.

  content, observed: a level [K, H, W, C] of the sources' Gaussian pyramids and the one below it; observed counts only
  where the scores say so. coarse: the level of the fused image below.
  """
  arrays = [*content, *(observed if scores.observed else ()), coarse, scores.numbers]
  kernel, plain = (functools.partial(run, scores._replace(numbers=None)) for run in (_blended, plain_blend))
  if interpret:
    return kernel(*arrays, interpret=True)
  return jax.lax.platform_dependent(*arrays, cuda=kernel, default=plain)


def weigh(gain: Weights, bright: Weights, scores: Scores) -> Weights:
  """Weights [K, H, W, 1] of gains, not below 0, and brightness of the same shape."""
  exponent, brightness, target, middle = scores.numbers
  found = exponent * (gain / (sources.total(gain)[None] + TINY)) + brightness * bright
  shines = jnp.maximum(bright[scores.functional] - middle, 0)
  return sources.softmax(found.at[scores.functional].add(target * shines))


def plain_blend(scores: Scores, fine, below, *rest) -> Image:
  """`blend` without a kernel."""
  *observed, coarse, numbers = rest
  size = fine.shape[1:3]
  bands = fine - pyramid.expand(below, *size)
  gain = jnp.square(bands)
  if observed:
    gain += 2 * bands * (observed[0] - pyramid.expand(observed[1], *size) - bands)
  gain = jnp.maximum(gaussian_blur(gain.mean(axis=-1, keepdims=True), scores.window), 0)
  weights = weigh(gain, fine.mean(axis=-1, keepdims=True), scores._replace(numbers=numbers))
  return sources.total(weights * bands) + pyramid.expand(coarse, *size)


def _reduced(interpret: bool, x):
  count, height, width, channels = x.shape
  size, own = (-(-height // 2), -(-width // 2)), _TILE // 2 - 2  # what a tile gives, and the two pixels around it
  tiles = [math.ceil(side / own) for side in size]

  def kernel(x_ref, out_ref):
    starts = [pl.program_id(axis) * own for axis in (0, 1)]
    plane = pl.program_id(2)
    source, channel = jax.lax.div(plane, channels), jax.lax.rem(plane, channels)
    tile = _load(x_ref, (height, width, channels), source, channel, [2 * start - 2 for start in starts])
    row, column = _grid((_TILE // 2, _TILE))
    matrix = _banded(column - 2 * row, pyramid.TAPS)
    found = _both(matrix, tile, matrix)
    _store(out_ref, (*size, channels), source, channel, starts, (0, own), found)

  products = 2 * (_TILE**3 // 2 + _TILE**3 // 4)
  return _call(kernel, (*tiles, count * channels), [x], (count, *size, channels), products, interpret, "reduce_level")


def _blended(scores: Scores, fine, below, *rest, interpret: bool = False):
  *observed, coarse, numbers = rest
  count, height, width, channels = fine.shape
  radius = _radius(scores.window)
  halo = radius + radius % 2  # even, so that tiles begin at even pixels
  own = _TILE - 2 * halo
  tiles = [math.ceil(side / own) for side in (height, width)]

  def kernel(*refs):
    *pairs, coarse_ref, numbers_ref, out_ref = refs
    starts = [pl.program_id(axis) * own for axis in (0, 1)]
    enlarge = [_enlarging(start - halo, side) for start, side in zip(starts, (height, width), strict=True)]

    def enlarged(ref, k, channel):
      of_level = [(start - halo) // 2 - 1 for start in starts]
      return _both(enlarge[0], _load(ref, (*below.shape[1:3], channels), k, channel, of_level, clamp=True), enlarge[1])

    def level(ref, k, channel):
      return _load(ref, (height, width, channels), k, channel, [start - halo for start in starts])

    fines = [[level(pairs[0], k, c) for c in range(channels)] for k in range(count)]
    bands = [[fines[k][c] - enlarged(pairs[1], k, c) for c in range(channels)] for k in range(count)]
    row, column = _grid((_TILE, _TILE))
    window = _banded(column - row + radius, gaussian_kernel(scores.window)) if radius else None
    gains = []
    for k in range(count):
      gain = 0.0
      for c, band in enumerate(bands[k]):
        gain += band * band
        if scores.observed:
          gain += 2 * band * (level(pairs[2], k, c) - enlarged(pairs[3], k, c) - band)
      gain = gain / channels
      gains.append(jnp.maximum(gain if window is None else _both(window, gain, window), 0))
    bright = [sum(parts) / channels for parts in fines]
    exponent, brightness, target, middle = (numbers_ref[number] for number in range(4))
    everything = sum(gains) + TINY
    found = [exponent * (gain / everything) + brightness * light for gain, light in zip(gains, bright, strict=True)]
    found[scores.functional] += target * jnp.maximum(bright[scores.functional] - middle, 0)
    highest = functools.reduce(jnp.maximum, found)
    powers = [jnp.exp(score - highest) for score in found]
    for c in range(channels):
      total = sum(power * bands[k][c] for k, power in enumerate(powers)) / sum(powers)
      image = total + enlarged(coarse_ref, 0, c)
      _store(out_ref, (height, width, channels), 0, c, starts, (halo, own), image)

  filters = count * channels * (1 + scores.observed) + channels + (count if radius else 0)
  arrays = [fine, below, *observed, coarse, numbers]
  return _call(kernel, tiles, arrays, fine.shape[1:], 4 * filters * _TILE**3, interpret, "blend_level")


def _call(kernel, grid, arrays, shape, flops: int, interpret: bool, name: str):
  """flops: of a program. Arrays are flat within the kernel, and whole."""
  flat = [array.astype(jnp.float32).reshape(-1) for array in arrays]
  numbers = math.prod(shape)
  whole = [pl.BlockSpec(array.shape, lambda *_: (0,)) for array in flat]
  moved = 4 * (numbers + sum(array.size for array in flat))
  cost = pl.CostEstimate(flops=math.prod(grid) * flops, bytes_accessed=moved, transcendentals=0)
  parameters = None
  if not interpret:
    from jax.experimental.pallas import triton

    parameters = triton.CompilerParams(num_warps=4, num_stages=1)
  found = pl.pallas_call(
    kernel, grid=tuple(grid), in_specs=whole, out_specs=pl.BlockSpec((numbers,), lambda *_: (0,)),
    out_shape=jax.ShapeDtypeStruct((numbers,), jnp.float32), cost_estimate=cost, compiler_params=parameters,
    interpret=interpret, name=name,
  )(*flat)  # fmt: skip
  return found.reshape(shape)


def _load(ref, shape, image, channel, starts, *, clamp: bool = False):
  """A tile of one channel of `ref`, [K, H, W, C] as one row, mirrored at its borders; clamp: by one pixel only."""
  height, width, channels = shape
  rows, columns = (_inside(start + jnp.arange(_TILE), side, clamp) for start, side in zip(starts, shape, strict=False))
  return ref[((image * height + rows[:, None]) * width + columns[None, :]) * channels + channel]


def _store(ref, shape, image, channel, starts, part: tuple[int, int], tile) -> None:
  """Writes the pixels first <= i < first + own of a tile, of those that the image has, to `starts`."""
  from jax.experimental.pallas import triton

  (first, own), (height, width, channels) = part, shape
  places = [jnp.arange(side) - first for side in tile.shape]
  rows, columns = (start + place for start, place in zip(starts, places, strict=True))
  within = [(place >= 0) & (place < own) & (where < side) for place, where, side in
            zip(places, (rows, columns), shape, strict=False)]  # fmt: skip
  index = ((image * height + rows[:, None]) * width + columns[None, :]) * channels + channel
  kept = within[0][:, None] & within[1][None, :]
  # What is left out has a place of its own, past the end: by interpretation it would write back what was there before.
  triton.store(ref.at[jnp.where(kept, index, ref.shape[0])], tile, mask=kept)


def _inside(index, size: int, clamp: bool = False):
  """Pixels as `jnp.pad` of mode `symmetric` repeats them."""
  if clamp:
    return jnp.clip(index, 0, size - 1)
  index = jax.lax.rem(index + 2 * size * _TILE, 2 * size)
  return jnp.where(index < size, index, 2 * size - 1 - index)


def _grid(shape):
  return tuple(jax.lax.broadcasted_iota(jnp.int32, shape, axis) for axis in (0, 1))


def _banded(diagonal, taps):
  """The matrix that has taps[i] where `diagonal` is i, and 0 elsewhere."""
  return sum(jnp.where(diagonal == number, float(tap), 0.0) for number, tap in enumerate(taps))


def _enlarging(start, size: int):
  """The matrix of `pyramid.expand` for the pixels from `start` on, from those from start / 2 - 1 on."""
  row, column = _grid((_TILE, _TILE))
  place = _inside(start + row, size)
  half = jax.lax.div(place, 2)
  diagonal = column + start // 2 - 1 - (half - 1)
  even, odd = (_banded(diagonal, taps) for taps in ((1 / 8, 6 / 8, 1 / 8), (0, 1 / 2, 1 / 2)))
  return jnp.where(place - 2 * half == 0, even, odd)


def _both(rows, tile, columns):
  """rows tile columns^T."""
  product = functools.partial(jnp.dot, precision="highest", preferred_element_type=jnp.float32)
  return product(product(rows, tile), columns.T)


def _radius(window: float) -> int:
  return len(gaussian_kernel(window)) // 2 if window > 0 else 0
