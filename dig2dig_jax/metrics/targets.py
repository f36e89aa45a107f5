"""Does what shines in the first source, such as a person in infrared, still stand out? Is nothing darker than it was?

Every measure here takes (sources [K, H, W], fused [H, W], size) as `canvas` explains, grey levels 0..255, and gives a
scalar. The first source is the functional one: infrared, PET, SPECT.
"""

import jax
import jax.numpy as jnp

from dig2dig_jax.metrics import canvas
from dig2dig_jax.metrics.canvas import Size

_HOTTEST = 0.015  # share of the first source's pixels that are targets
_GAP, _RING = 4, 14  # pixels from a target: its surroundings begin, and end
_SEEN = 12  # grey levels


def target_contrast(sources: jax.Array, fused: jax.Array, size: Size) -> jax.Array:
  """Mean of F over the targets less that over their surroundings, as a share of the same of the first source.

  Targets are the hottest 1.5 % of the first source's pixels; surroundings lie 4 to 14 pixels (the greater of the
  distances in rows and in columns) from the nearest of them. NaN where nothing stands out in the first source, or
  nothing surrounds it.
  """
  source, within = sources[0], canvas.inside(fused.shape, size)
  rank = jnp.sort(jnp.where(within, source, -jnp.inf).ravel())
  hottest = jnp.floor(_HOTTEST * (size[0] * size[1])).astype(int)
  targets = within & (source >= rank[rank.shape[0] - jnp.maximum(hottest, 1)])
  ring = within & _grown(targets, _RING) & ~_grown(targets, _GAP - 1)

  def contrast(image):
    means = [jnp.sum(jnp.where(place, image, 0)) / jnp.sum(place) for place in (targets, ring)]
    return means[0] - means[1]

  own = contrast(source)
  return jnp.where(own > 0, contrast(fused) / jnp.where(own > 0, own, 1), jnp.nan)


def darker(sources: jax.Array, fused: jax.Array, size: Size) -> jax.Array:
  """Share 0..1 of the pixels that are more than 12 grey levels darker than in every source."""
  return canvas.mean((fused < jnp.min(sources, axis=0) - _SEEN).astype(fused.dtype), size)


def brighter(sources: jax.Array, fused: jax.Array, size: Size) -> jax.Array:
  """Share 0..1 of the pixels that are more than 12 grey levels brighter than in every source."""
  return canvas.mean((fused > jnp.max(sources, axis=0) + _SEEN).astype(fused.dtype), size)


def _grown(mask: jax.Array, margin: int) -> jax.Array:
  """The pixels within `margin` rows and columns of the mask's."""
  window = 2 * margin + 1
  return jax.lax.reduce_window(mask, False, jax.lax.bitwise_or, (window, window), (1, 1), "SAME")
