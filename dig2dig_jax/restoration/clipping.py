"""How does clipping change normal noise? Moments of a censored normal distribution (Tobin 1958).

A pixel of mean m with noise of deviation s that is stored in [-1, 1] has, with a = (-1 - m) / s and b = (1 - m) / s,

  E[x]   = Phi(b) m - Phi(a) (m + 1) + s (phi(a) - phi(b)) + 1 - Phi(b),

and less variance than s^2. Where an image is dark and its noise strong, the stored values are brighter than the scene.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm
from scipy.special import ndtr  # scipy.stats takes long to import

from dig2dig_jax.ops.arrays import Array

LEVEL = 1 / 127.5  # one of 255
_REACH, _STEPS = 3.0, 601  # the table's means: [-3, 3]
_PLACES = 4097  # of [-1, 1], at which its inverse is known
# Clipped at one end, z deviations from it, in units of the deviation: the distance that is left, and the variance.
_Z = np.linspace(-1.0, 8.0, 200)
_DENSITY = np.exp(-(_Z**2) / 2) / np.sqrt(2 * np.pi)
_DISTANCE = _Z * ndtr(_Z) + _DENSITY
_VARIANCE = (_Z**2 + 1) * ndtr(_Z) + _Z * _DENSITY - _DISTANCE**2
HALFWAY = float(1 / np.sqrt(2 * np.pi))  # the distance that is left where the mean is at the end, z = 0


class Clipped(NamedTuple):
  """Tables over the same means m [N], ascending. mean: E[x] in [-1, 1], ascending. variance: of x, as a share of s^2.
  ends: the share of pixels that are stored at -1 or 1."""

  m: Array
  mean: Array
  variance: Array
  ends: Array

  def of(self, values: Array, table: Array) -> Array:
    """The table interpolated where the stored mean is `values` in [-1, 1]."""
    return jnp.interp(values, self.mean, table)


def clipped(deviation: Array) -> Clipped:
  """Of noise of this standard deviation, a scalar above 0, in the units of images in [-1, 1]."""
  m = jnp.linspace(-_REACH, _REACH, _STEPS)
  low, high = (-1 - m) / deviation, (1 - m) / deviation
  below, above = norm.cdf(low), norm.sf(high)
  inside = 1 - below - above
  # About m, so that little noise is not lost in rounding.
  shift = deviation * (norm.pdf(low) - norm.pdf(high)) - below * (1 + m) + above * (1 - m)
  square = below * (1 + m) ** 2 + above * (1 - m) ** 2
  square += deviation**2 * (inside + low * norm.pdf(low) - high * norm.pdf(high))
  return Clipped(m, m + shift, jnp.maximum(square - shift**2, 0) / deviation**2, below + above)


def alone(distance: Array, variance: Array) -> tuple[Array, Array]:
  """(share of the noise's variance that is left, share of pixels that are stored at the end), from a stored mean's
  distance to the one end and the stored variance: the ratio of the squared distance to the variance determines how
  many deviations the mean is from the end."""
  z = deviations_from_end(distance, variance)
  return jnp.interp(z, _Z, _VARIANCE), norm.sf(z)


def deviations_from_end(distance: Array, variance: Array) -> Array:
  """By how many standard deviations a mean is inside the range, at one end of which its noise is clipped; below 0
  outside. distance: of the stored mean to that end. variance: as stored."""
  return jnp.interp(jnp.square(distance) / jnp.maximum(variance, 1e-12), _DISTANCE**2 / _VARIANCE, _Z)


def unclipped(clean: Array, observed: Array, deviation: Array) -> Array:
  """A denoiser's estimate without the bias of clipped noise: the means of which `clean` has the stored means.

  observed: the image of which `clean` is the estimate; if no pixel is at an end of [-1, 1], or some are beyond, nothing
  was clipped. deviation: of its noise."""
  table = clipped(jnp.maximum(deviation, LEVEL / 10))
  # The inverse at even places first, where a pixel finds its own without a search.
  inverse = jnp.clip(table.of(jnp.linspace(-1, 1, _PLACES), table.m), -1, 1)
  farthest = jnp.maximum(jnp.max(observed), -jnp.min(observed))
  # A branch, which is given the table: of a sum of both cases a CPU's compiler works the table out for every pixel.
  return jax.lax.cond(
    (farthest > 1 - LEVEL / 2) & (farthest < 1 + LEVEL / 2), _inverted, lambda clean, _: clean, clean, inverse
  )


def _inverted(clean: Array, inverse: Array) -> Array:
  """What `inverse`, at even places of [-1, 1], has at `clean`."""
  place = (jnp.clip(clean, -1, 1) + 1) * ((_PLACES - 1) / 2)
  below = jnp.minimum(place.astype(jnp.int32), _PLACES - 2)
  return inverse[below] + (place - below) * (inverse[below + 1] - inverse[below])
