"""How is noise that grows with the signal brought to one deviation? By the generalised Anscombe transform.

Of a signal g in [0, 1] with noise of variance `slope g + offset` (`noise_level.Noise`), after Murtagh, Starck and
Bijaoui (1995).
"""

import jax
import jax.numpy as jnp

from dig2dig_jax.ops.arrays import Array
from dig2dig_jax.restoration.clipping import LEVEL
from dig2dig_jax.restoration.noise_level import Noise


def stabilise(x: Array, noise: Noise) -> tuple[Array, Array]:
  """(x with noise of one deviation everywhere and still in [-1, 1], that deviation): the generalised Anscombe
  transform, written so that a slope of 0 leaves x as it is. `restabilise` is its inverse.

  With s(g) = sqrt(slope g + offset) and g0 the middle, u = 2 (g - g0) / (s(g) + s(g0)) has noise of deviation 1.
  """
  if _even(noise):
    return x, 2 * _spread(jnp.float32(0.5), noise)
  low, high = _stable(jnp.float32(0), noise), _stable(jnp.float32(1), noise)
  return 2 * (_stable((x + 1) / 2, noise) - low) / (high - low) - 1, 2 / (high - low)


def restabilise(y: Array, noise: Noise) -> Array:
  """The inverse of `stabilise`: g = g0 + u s(g0) + slope u^2 / 4."""
  if _even(noise):
    return y
  low, high = _stable(jnp.float32(0), noise), _stable(jnp.float32(1), noise)
  u = low + (y + 1) / 2 * (high - low)
  grey = 0.5 + u * _spread(jnp.float32(0.5), noise) + _quarter(noise) * u**2 / 4
  return 2 * grey - 1


def _even(noise: Noise) -> bool:
  """Whether it is known before a program runs that the noise is the same at every grey, as of a sequence's frames."""
  return not isinstance(noise.slope, jax.core.Tracer) and float(noise.slope) == 0


def _quarter(noise: Noise) -> Array:
  return noise.slope / 4  # of [0, 1], where `slope` is of [-1, 1]: a variance is 4 times smaller there


def _spread(grey: Array, noise: Noise) -> Array:
  """Deviation of the noise at a grey in [0, 1], in [0, 1]."""
  variance = (noise.slope * grey + noise.offset) / 4 + 3 / 8 * _quarter(noise) ** 2
  return jnp.sqrt(jnp.maximum(variance, (LEVEL / 20) ** 2))


def _stable(grey: Array, noise: Noise) -> Array:
  return 2 * (grey - 0.5) / (_spread(grey, noise) + _spread(jnp.float32(0.5), noise))
