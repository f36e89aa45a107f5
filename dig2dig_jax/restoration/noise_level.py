"""How noisy is a source, and how? Estimated from the image itself: its pixels, and whether noise depends on the signal.

Images are float32 [H, W] in [-1, 1]; standard deviations are in the same units. Everything is jittable, and does not
depend on the origin of the noise. Deviations are estimated from the finest diagonal band of the Haar transform, where
images have the least energy: from small blocks, of which the quieter quarter contains little but noise (the idea of
Donoho's median absolute deviation, on blocks, so that texture and quantisation to whole levels bias it less). An
image that is full of texture has no quiet blocks; there the next coarser band decides, since texture grows with scale
and noise does not.
"""

from typing import NamedTuple

import jax.numpy as jnp
from scipy.special import gammaincinv  # scipy.stats takes long to import

from dig2dig_jax.ops.arrays import Array
from dig2dig_jax.restoration import clipping
from dig2dig_jax.restoration.clipping import LEVEL

_BLOCK = 8  # coefficients on a side, which is 16 pixels
LEAST = 2 * _BLOCK  # pixels of a side, below which nothing is found
_QUARTER = 0.25
# That quantile of a mean of squares of normal coefficients.
_OF_QUARTER = 2 * gammaincinv(_BLOCK**2 / 2, _QUARTER) / _BLOCK**2
_ENDS = 0.75  # share of clipped pixels above which a block is not used
_BY_SCENE = 0.1  # of a block's pixels, clipped by the scene rather than the noise: a lamp, a black border
_SHARE = 0.2  # of the noise's variance that clipping must have left in a block
_FLAT = 0.25  # share of exactly flat squares of 2 x 2 pixels, more than any noisy image has
_ROUNDS = 6  # of the correction for clipping
# Where a scene is exactly black or white, the stored mean alone tells the deviation of noise: clipped halfway. These
# are how far, in deviations, such blocks may seem to be from the end, and by what share the two estimates may differ.
_AT_END, _AGREE = 0.05, 0.06
# Energy of the second diagonal band in the quiet blocks, in units of the first: 1 of white noise, 3.5 of noise that a
# camera has interpolated (bilinear demosaicing), 4.6 of a spectrum that falls as 1 / f^2.5, as those of scenes do
# before a lens takes more of the finer band. In between, it is both.
_NOISE, _TEXTURE = 3.5, 5.0
_GROUPS = 8  # of blocks by brightness, through which variance is fitted as a line
_SCENE = 7.0  # what coarser energy is in units of finer in groups of blocks without any noise; most are above
_RATIO = 1.35  # of variances, bright to dark, from which noise counts as dependent on the signal
_ENOUGH = 1.5  # groups, of the brighter half, that have to contain noise


class Noise(NamedTuple):
  """deviation: of the noise at the image's mean grey. slope, offset: variance = slope (x + 1) / 2 + offset; slope 0
  where the noise does not depend on the signal."""

  deviation: Array
  slope: Array
  offset: Array


def estimate(image: Array) -> Noise:
  """The noise of an image [H, W]. 0 where a quarter of it is exactly flat, which noise rules out (but shot noise alone
  on black does not), and where a side is below 16 pixels, a block. Clipping of strong noise is corrected for
  (`clipping`); areas that the scene itself clips count where they are exactly at the end of the range."""
  if min(image.shape) < LEAST:
    return Noise(*3 * [jnp.float32(0)])
  squares = _squares(image)
  a, b, c, d = squares
  flat = jnp.mean(jnp.stack(squares).min(axis=0) == jnp.stack(squares).max(axis=0)) > _FLAT
  at_end = jnp.mean(jnp.stack([jnp.abs(x) > 1 - LEVEL / 2 for x in squares]).astype(jnp.float32), axis=0)
  grey = (a + b + c + d) / 4
  energy, mean, ends, coarser = _blocks(jnp.square(a - b - c + d) / 4, grey, at_end, _coarser(grey))

  def variance_of(energy, good):
    ascending = jnp.sort(jnp.where(good, energy, jnp.inf))
    return jnp.where(flat | ~good.any(), 0.0, _quantile(ascending, good.sum()) / _OF_QUARTER)

  # Each block on its own first, as if clipped only at its nearer end; then all blocks with the estimated deviation.
  share, clipped_away = clipping.alone(1 - jnp.abs(mean), energy)
  good = (ends <= _ENDS) & (jnp.abs(ends - clipped_away) < _BY_SCENE)
  alone = _PerBlock(energy / share, coarser / jnp.maximum(share, _SHARE), (mean + 1) / 2, good)
  variance = variance_of(alone.energy, good)
  for _ in range(_ROUNDS):
    table = clipping.clipped(jnp.maximum(jnp.sqrt(variance), LEVEL / 100))
    share = table.of(mean, table.variance)
    good = (share >= _SHARE) & (ends <= table.of(mean, table.ends) + _BY_SCENE)
    whole = energy / jnp.maximum(share, _SHARE)
    variance = variance_of(whole, good)
  variance = _with_ends(squares, variance)
  quiet = good & (whole <= variance * _OF_QUARTER)
  grows = jnp.sum(jnp.where(quiet, coarser / jnp.maximum(share, _SHARE), 0)) / (quiet.sum() * variance + 1e-12)
  noise = jnp.clip((_TEXTURE - grows) / (_TEXTURE - _NOISE), 0, 1)  # the part of the energy that is not texture
  # The blocks one by one again: noise that depends on the signal is not of one deviation everywhere.
  slope, offset = _line(alone, grows)
  few = good.sum() < jnp.maximum(4, good.size / 16)
  slope = jnp.where(flat | few, 0.0, noise * slope)
  offset = noise * jnp.where(slope > 0, offset, variance)
  return Noise(jnp.sqrt(slope * (image.mean() + 1) / 2 + offset), slope, offset)


def _with_ends(squares: list[Array], variance: Array) -> Array:
  """The variance of noise, from the stored mean at either end of the range too, if a quarter of the blocks seem to
  show a scene that is exactly there.

  squares: see `_squares`. variance: as estimated."""
  a, b, c, d = squares
  # Blocks are chosen by one pixel of each square and measured by the others, whose noise did not choose them.
  chosen, rest, energy = _blocks(a, (b + c + d) / 3, jnp.square(b - c) / 2)
  count = max(int(_QUARTER * chosen.size), 1)
  for end in (-1, 1):
    index = jnp.argsort(-end * chosen)[:count]
    distance, of_energy = jnp.mean(1 - end * rest[index]), jnp.mean(energy[index])
    own = jnp.square(distance / clipping.HALFWAY)
    away = clipping.deviations_from_end(distance, of_energy)
    alike = jnp.abs(jnp.log(own) - jnp.log(jnp.maximum(variance, 1e-12))) < 2 * _AGREE
    variance = jnp.where((jnp.abs(away) < _AT_END) & alike, jnp.sqrt(own * variance), variance)
  return variance


class _PerBlock(NamedTuple):
  """[N] each. energy: of the finest band, as it was before clipping. coarser: of the next. grey: mean, in [0, 1].
  good: whether the block is used."""

  energy: Array
  coarser: Array
  grey: Array
  good: Array


def _squares(image: Array) -> list[Array]:
  """The four pixels of every square of 2 x 2, row by row, [H // 2, W // 2] each; an odd last row or column is left."""
  height, width = (side // 2 * 2 for side in image.shape)
  return [image[row:height:2, column:width:2] for row in (0, 1) for column in (0, 1)]


def _coarser(grey: Array) -> Array:
  """Energy of the second diagonal Haar band, on the grid of the first: [h, w] from the means of squares [h, w]."""
  if min(grey.shape) < 2:
    return jnp.zeros_like(grey)
  a, b, c, d = _squares(grey)
  energy = jnp.square(a - b - c + d).repeat(2, axis=0).repeat(2, axis=1)
  return jnp.pad(energy, [(0, own - other) for own, other in zip(grey.shape, energy.shape, strict=True)], mode="edge")


def _blocks(*images):
  """Means [N] of each image over blocks."""
  height, width = (max(side // _BLOCK, 1) for side in images[0].shape)
  block = [min(_BLOCK, side) for side in images[0].shape]

  def laid(x):
    x = x[: height * block[0], : width * block[1]].reshape(height, block[0], width, block[1])
    return x.mean(axis=(1, 3)).ravel()

  return [laid(image) for image in images]


def _quantile(ascending: Array, count: Array) -> Array:
  """The quarter of the first `count` of sorted values."""
  return ascending[jnp.int32(_QUARTER * jnp.maximum(count - 1, 0))]


def _line(blocks: _PerBlock, grows: Array) -> tuple[Array, Array]:
  """(slope, offset at least 0) of variance over grey in [0, 1]: a line through groups of blocks of similar brightness;
  (0, 0) where it hardly rises. grows: coarser energy of the quiet blocks, in units of their variance."""
  size = blocks.energy.shape[0] // _GROUPS
  if size < _GROUPS:
    return jnp.float32(0), jnp.float32(0)
  order = jnp.argsort(jnp.where(blocks.good, blocks.grey, jnp.inf))
  # The groups divide the usable blocks: positions are scaled to their number.
  index = (jnp.arange(_GROUPS * size) * blocks.good.sum() // (_GROUPS * size)).reshape(_GROUPS, size)
  energy, coarser, grey = (part[order][index] for part in blocks[:3])
  limit = jnp.sort(energy, axis=1)[:, int(_QUARTER * (size - 1)), None]
  quiet, variance = energy <= limit, limit[:, 0] / _OF_QUARTER
  grey = (quiet * grey).sum(axis=1) / quiet.sum(axis=1)  # of a group half of which is black, the quiet part is
  # Texture, which grows more from band to band than the noise does, is no evidence of noise.
  grows_here = (quiet * coarser).sum(axis=1) / (quiet.sum(axis=1) * variance + 1e-12)
  noise = jnp.clip((_SCENE - grows_here) / (_SCENE - jnp.clip(grows, 1, _NOISE)), 0, 1)
  # Texture can raise the variance of a group but not lower it: of each pair of neighbours the quieter counts.
  variance = jnp.minimum(variance, jnp.concatenate([variance[1:], variance[-1:]]))
  weight = noise / (jnp.square(variance) + 1e-12)  # an estimated variance is as uncertain as it is large
  total = weight.sum() + 1e-12
  middle, mean = (weight * grey).sum() / total, (weight * variance).sum() / total
  slope = (weight * (grey - middle) * variance).sum() / jnp.maximum((weight * jnp.square(grey - middle)).sum(), 1e-9)
  offset = mean - slope * middle
  through_zero = (weight * grey * variance).sum() / jnp.maximum((weight * jnp.square(grey)).sum(), 1e-9)
  slope = jnp.where(offset < 0, through_zero, slope)
  half = _GROUPS // 2
  dark, bright = ((noise * noise * variance)[part].sum() / jnp.maximum(noise[part].sum(), 1e-9)
                  for part in (slice(half), slice(half, None)))  # fmt: skip
  rises = (bright > _RATIO * dark) & (noise[half:].sum() >= _ENOUGH) & (slope > 0)
  return jnp.where(rises, slope, 0.0), jnp.where(rises, jnp.maximum(offset, 0), 0.0)
