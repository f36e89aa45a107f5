"""What does a detector add to its columns, or to its rows? Thermal cameras leave such stripes in every frame.

Images are float32 [H, W] in [-1, 1]. Everything is jittable.
"""

import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.ops.arrays import Array
from dig2dig_jax.ops.filters import gaussian_kernel, separable_filter
from dig2dig_jax.restoration.clipping import LEVEL
from dig2dig_jax.restoration.noise_level import LEAST

_NEIGHBOURHOOD = 3.0  # pixels, standard deviation, against which a column's offset is found
_BISECTIONS = 14  # of [-1, 1], to find a median to a hundredth of a grey level
_OFFSETS = 2 * LEVEL  # deviation of the offsets from which they count as stripes
_INDEPENDENT = 0.35  # correlation of neighbouring offsets: 0 for stripes, above 0.5 for columns of a scene


def find(image: Array, deviation: Array) -> Array:
  """[1, W] offsets that a detector adds to its columns, in an image [H, W] with noise of this deviation; zeros if there
  are no stripes, or a side is below 16 pixels. For rows, transpose the image.

  A column's offset is the median over rows of the difference to the neighbourhood. Stripes differ from column to
  column without order; the edges of a scene that follow columns are wide, so that neighbours agree.
  """
  if min(image.shape) < LEAST:
    return jnp.zeros((1, image.shape[1]), image.dtype)
  # The neighbourhood contains part of the offsets: found offsets are subtracted, and the rest is estimated again.
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
  # White noise alone leaves its deviation / sqrt(H) in every offset: in strong noise, columns of a scene would pass
  # for independent if their correlation were not compared with the power that remains without it.
  white = jnp.square(deviation) * (np.pi / 2) / image.shape[0]
  left = jnp.maximum(power - white, 0)
  alike = jnp.mean(clipped[:, 1:] * clipped[:, :-1]) / (left + 1e-12)
  are = (jnp.sqrt(left) > _OFFSETS) & (alike < _INDEPENDENT)
  return jnp.where(are, found, 0.0)


def _median(x: Array) -> Array:
  """Over the first axis of values in [-1, 1], [1, W]: by bisection, since sorting is much slower with XLA on a CPU."""

  def halve(_, bounds):
    low, high = bounds
    middle = (low + high) / 2
    above = jnp.mean(x > middle, axis=0, keepdims=True) > 0.5
    return jnp.where(above, middle, low), jnp.where(above, high, middle)

  low, high = jax.lax.fori_loop(0, _BISECTIONS, halve, (jnp.full_like(x[:1], -1), jnp.full_like(x[:1], 1)))
  return (low + high) / 2
