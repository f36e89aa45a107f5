"""How noisy is a source, and how? Estimated from the image itself: pixels, dependence on the signal, stripes.

Images are float32 [H, W] in [-1, 1]; standard deviations are in the same units. Everything is jittable, and blind to
what the noise was made by. Deviations come from the finest diagonal band of the Haar transform, where an image has
least: its energy in small blocks, of which the quieter quarter holds little but noise (the idea of Donoho's median
absolute deviation, on blocks, so that texture and quantisation to whole levels shift it less).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm
from scipy.special import gammaincinv, ndtr  # scipy.stats, which has distributions, takes long to import

from dig2dig_jax.ops.arrays import Array
from dig2dig_jax.ops.filters import gaussian_kernel, separable_filter

LEVEL = 1 / 127.5  # one of 255
_BLOCK = 8  # coefficients on a side, which is 16 pixels
_QUARTER = 0.25
# That quantile of a mean of squares of normal coefficients.
_OF_QUARTER = 2 * gammaincinv(_BLOCK**2 / 2, _QUARTER) / _BLOCK**2
_KNOWN = 0.75  # share of a block that must not be clipped
_FLAT = 0.25  # share of exactly flat squares of 2 x 2 pixels that no image with noise all over has
_ROUNDS = 3  # of the correction for clipping
_GROUPS = 8  # of blocks by brightness, through which variance is fitted as a line
_RATIO = 1.5  # of variances, bright to dark, from which noise counts as dependent on the signal
_NEIGHBOURHOOD = 5.0  # pixels, standard deviation, against which a column's offset is found
_BISECTIONS = 14  # of [-1, 1], to find a median to a hundredth of a grey level
_STRIPES = 2 * LEVEL  # deviation of the offsets from which they count as stripes
_INDEPENDENT = 0.35  # correlation of neighbouring offsets: 0 for stripes, above 0.5 for columns of a scene


class Noise(NamedTuple):
  """deviation: of the noise at the image's mean grey. slope, offset: variance = slope (x + 1) / 2 + offset; slope 0
  where the noise does not depend on the signal."""

  deviation: Array
  slope: Array
  offset: Array


def estimate(image: Array) -> Noise:
  """The noise of an image [H, W]. 0 where a quarter of it is exactly flat and not clipped: no noise leaves that; and
  where a side is below 2 pixels. Clipped pixels do not count."""
  if min(image.shape) < 2:
    return Noise(*3 * [jnp.float32(0)])
  squares = [image[row : row + _even(image, 0) - 1 : 2, column : column + _even(image, 1) - 1 : 2]
             for row in (0, 1) for column in (0, 1)]  # fmt: skip
  a, b, c, d = squares
  low, high = (jnp.stack(squares).min(axis=0), jnp.stack(squares).max(axis=0))
  known = ((low > -1 + LEVEL / 2) & (high < 1 - LEVEL / 2)).astype(jnp.float32)
  energy, count, mean = _blocks(jnp.square(a - b - c + d) / 4, known, (a + b + c + d) / 4)
  good = count >= _KNOWN * _BLOCK**2
  energy = jnp.where(good, energy, jnp.inf)
  flat = jnp.mean(low == high) > _FLAT

  def variance_of(energy):
    return jnp.where(flat | ~good.any(), 0.0, _quantile(jnp.sort(energy), good.sum()) / _OF_QUARTER)

  variance = variance_of(energy)
  for _ in range(_ROUNDS):  # what of loud noise was clipped does not count, and would have been the loudest
    variance = variance_of(energy / _left_by_clipping(mean, variance))
  energy = energy / _left_by_clipping(mean, variance)
  slope = jnp.where(flat, 0.0, _slope(energy, mean, good))
  few = good.sum() < jnp.maximum(4, good.size / 16)  # a night in loud noise: nearly every block is clipped somewhere
  clipped = _variance_of_clipped(squares)
  variance, slope = jnp.where(flat, 0.0, jnp.where(few, clipped, variance)), jnp.where(few, 0.0, slope)
  grey = (image.mean() + 1) / 2
  slope = jnp.minimum(slope, variance / jnp.maximum(grey, 1e-3))  # so that no grey has a variance below zero
  return Noise(jnp.sqrt(variance), slope, variance - slope * grey)


def _variance_of_clipped(squares: list[Array]) -> Array:
  """The noise's variance from blocks of which up to three quarters are clipped at the nearer end, pixels there and all.

  A normal of mean m and deviation s, clipped at a, has the mean a + s (z P + p) and the variance
  s^2 ((z^2 + 1) P + z p - (z P + p)^2), with z = (m - a) / s, P and p its distribution and density (Tobin 1958): the
  ratio of the squared mean to the variance tells z."""
  a, b, c, d = squares
  at_end = jnp.mean(jnp.stack([jnp.abs(x) > 1 - LEVEL / 2 for x in squares]).astype(jnp.float32), axis=0)
  energy, _, mean = _blocks(jnp.square(a - b - c + d) / 4, jnp.ones_like(a), (a + b + c + d) / 4)
  share, _, _ = _blocks(at_end, jnp.ones_like(a), at_end)
  above = 1 - jnp.abs(mean)  # of the nearer end
  z = np.linspace(-1.0, 8, 200)
  density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
  first = z * ndtr(z) + density
  second = (z**2 + 1) * ndtr(z) + z * density - first**2
  found = jnp.interp(jnp.square(above) / jnp.maximum(energy, 1e-12), first**2 / second, z)
  whole = jnp.square(above / jnp.interp(found, z, first))
  usable = (share <= 0.75) & (energy > 0)
  ascending = jnp.sort(jnp.where(usable, whole, jnp.inf))
  return jnp.where(usable.any(), _quantile(ascending, usable.sum()) / _OF_QUARTER, 0.0)


def _left_by_clipping(mean: Array, variance: Array) -> Array:
  """Share of a normal distribution's variance that is left of it within [-1, 1]."""
  deviation = jnp.sqrt(variance) + 1e-6
  low, high = (-1 - mean) / deviation, (1 - mean) / deviation
  inside = norm.cdf(high) - norm.cdf(low) + 1e-6
  shift = (norm.pdf(low) - norm.pdf(high)) / inside
  share = 1 + (low * norm.pdf(low) - high * norm.pdf(high)) / inside - jnp.square(shift)
  return jnp.clip(share, 0.3, 1)


def _even(image, axis: int) -> int:
  return image.shape[axis] // 2 * 2


def _blocks(squared, known, mean):
  """Means over blocks [N] of the squared coefficients that are known, how many are, and the mean grey."""
  height, width = (max(side // _BLOCK, 1) for side in squared.shape)
  block = [min(_BLOCK, side) for side in squared.shape]

  def laid(x):
    x = x[: height * block[0], : width * block[1]].reshape(height, block[0], width, block[1])
    return x.sum(axis=(1, 3)).ravel()

  scale = _BLOCK**2 / (block[0] * block[1])
  count = laid(known)
  return laid(squared * known) / jnp.maximum(count, 1), count * scale, laid(mean) / (block[0] * block[1])


def _quantile(ascending: Array, count: Array) -> Array:
  """The quarter of the first `count` of sorted values."""
  return ascending[jnp.int32(_QUARTER * jnp.maximum(count - 1, 0))]


def _slope(energy, mean, good) -> Array:
  """d variance / d ((x + 1) / 2): a line through groups of blocks of like brightness, 0 where it hardly rises."""
  if energy.shape[0] < _GROUPS**2:
    return jnp.float32(0)
  order = jnp.argsort(jnp.where(good, mean, jnp.inf))
  # The groups part the good blocks: positions are scaled to their number.
  size = energy.shape[0] // _GROUPS
  index = (jnp.arange(_GROUPS * size) * good.sum() // (_GROUPS * size)).reshape(_GROUPS, size)
  energy, mean = energy[order][index], mean[order][index]
  variance = jnp.sort(energy, axis=1)[:, int(_QUARTER * (size - 1))] / _OF_QUARTER
  grey = (mean.mean(axis=1) + 1) / 2
  # Texture makes single groups loud, never quiet: of each pair of neighbours the quieter counts.
  variance = jnp.minimum(variance, jnp.concatenate([variance[1:], variance[-1:]]))
  centred = grey - grey.mean()
  slope = jnp.sum(centred * variance) / jnp.maximum(jnp.sum(jnp.square(centred)), 1e-6)
  half = _GROUPS // 2
  rises = variance[half:].mean() > _RATIO * variance[:half].mean()
  return jnp.where(rises & jnp.isfinite(slope), jnp.maximum(slope, 0), 0.0)


def stripes(image: Array, deviation: Array) -> Array:
  """[1, W] what a detector adds to its columns, in an image [H, W] with noise of this deviation: zeros where there are
  no stripes. The rows' are those of the image transposed.

  A column's offset is the median over rows of the difference to the neighbourhood. Stripes differ from column to
  column without order; the edges of a scene that follow columns are wide, so that neighbours agree.
  """
  # The neighbourhood holds a part of the offsets: what is found is taken off, and the rest is found again.
  taps = gaussian_kernel(_NEIGHBOURHOOD)

  def again(_, found):
    rest = image - found
    detail = rest - separable_filter(rest[..., None], np.ones(1), columns=taps)[..., 0]
    found += _median(detail)
    return found - found.mean()

  found = jax.lax.fori_loop(0, 3, again, jnp.zeros((1, image.shape[1]), image.dtype))
  limit = 3 * jnp.mean(jnp.abs(found)) + 1e-9
  clipped = jnp.clip(found, -limit, limit)
  power = jnp.mean(jnp.square(clipped))
  alike = jnp.mean(clipped[:, 1:] * clipped[:, :-1]) / (power + 1e-12)
  # White noise alone leaves its deviation / sqrt(H) in every offset.
  white = jnp.square(deviation) * (np.pi / 2) / image.shape[0]
  are = (jnp.sqrt(jnp.maximum(power - white, 0)) > _STRIPES) & (alike < _INDEPENDENT)
  return jnp.where(are, found, 0.0)


def _median(x: Array) -> Array:
  """Over the first axis of values in [-1, 1], [1, W]: by bisection, as sorting takes XLA's CPU fifty times as long."""

  def halve(_, bounds):
    low, high = bounds
    middle = (low + high) / 2
    above = jnp.mean(x > middle, axis=0, keepdims=True) > 0.5
    return jnp.where(above, middle, low), jnp.where(above, high, middle)

  low, high = jax.lax.fori_loop(0, _BISECTIONS, halve, (jnp.full_like(x[:1], -1), jnp.full_like(x[:1], 1)))
  return (low + high) / 2


def stabilise(x: Array, noise: Noise) -> tuple[Array, Array]:
  """(x with noise of one deviation everywhere and still in [-1, 1], that deviation): the generalised Anscombe
  transform, written so that a slope of 0 leaves x as it is. `restabilise` is its inverse.

  With s(g) = sqrt(slope g + offset) and g0 the middle, u = 2 (g - g0) / (s(g) + s(g0)) has noise of deviation 1.
  """
  low, high = _stable(jnp.float32(0), noise), _stable(jnp.float32(1), noise)
  return 2 * (_stable((x + 1) / 2, noise) - low) / (high - low) - 1, 2 / (high - low)


def restabilise(y: Array, noise: Noise) -> Array:
  """The inverse of `stabilise`: g = g0 + u s(g0) + slope u^2 / 4."""
  low, high = _stable(jnp.float32(0), noise), _stable(jnp.float32(1), noise)
  u = low + (y + 1) / 2 * (high - low)
  grey = 0.5 + u * _spread(jnp.float32(0.5), noise) + _quarter(noise) * u**2 / 4
  return 2 * grey - 1


def _quarter(noise: Noise) -> Array:
  return noise.slope / 4  # of [0, 1], where `slope` is of [-1, 1]: a variance is 4 times smaller there


def _spread(grey: Array, noise: Noise) -> Array:
  """Deviation of the noise at a grey in [0, 1], in [0, 1]."""
  variance = (noise.slope * grey + noise.offset) / 4 + 3 / 8 * _quarter(noise) ** 2
  return jnp.sqrt(jnp.maximum(variance, (LEVEL / 20) ** 2))


def _stable(grey: Array, noise: Noise) -> Array:
  return 2 * (grey - 0.5) / (_spread(grey, noise) + _spread(jnp.float32(0.5), noise))
