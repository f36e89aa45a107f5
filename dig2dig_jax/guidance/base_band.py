"""Which source gives the fused image its brightness? Rules that weight the sources in the coarsest band of a pyramid.

A rule: (the bands of the sources' Laplacian pyramids, the last of them the base [K, h, w, C]; the images [K, H, W, C])
-> weights that broadcast to [K, h, w, 1], convex over K.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from dig2dig_jax.ops.arrays import Array

# Scale of the softmax over brightness in [-1, 1]: a difference of it gives 0.73 and 0.27.
_TEMPERATURE = 0.02
# Of the functional source: least share of the base, steepness, and how many standard deviations above its mean the
# share is halfway between the least and 1.
_LEAST, _STEEPNESS, _MIDDLE = 0.25, 2.0, 1.0
_MIDDLE_GREY = 0.6  # standard deviation of the bell of well-exposed values around middle grey, 0

_FLAT = 1e-5  # energy that a band of any image may have: below half a grey level, squared

Rule = Callable[[list[Array], Array], Array]


def uniform(bands, images):
  """1 / K."""
  return jnp.full((images.shape[0], 1, 1, 1), 1 / images.shape[0])


def brightest(bands, images):
  """A softmax of the sources' brightness there: for images that are dark where they contain nothing, as scans."""
  return jax.nn.softmax(bands[-1].mean(axis=-1, keepdims=True) / _TEMPERATURE, axis=0)


def functional(index: int) -> Rule:
  """Source `index` where it is bright (a warm target), the others elsewhere, so that a cold sky in the infrared does
  not darken a daylight sky."""

  def rule(bands, images):
    own = bands[-1][index].mean(axis=-1, keepdims=True)
    shines = (own - own.mean()) / (own.std() + 1e-2)
    share = _LEAST + (1 - _LEAST) * jax.nn.sigmoid(_STEEPNESS * (shines - _MIDDLE))
    others = (1 - share) / max(len(images) - 1, 1)
    return jnp.stack([share if k == index else others for k in range(len(images))])

  return rule


def exposure(bands, images):
  """By how well each image is exposed, and by its contrast (two measures of Mertens et al. 2007), of the image as a
  whole: local weights would swap bright and dark. Black frames of a bracket hardly count."""
  exposed = jnp.mean(jnp.exp(-0.5 * jnp.square(images / _MIDDLE_GREY)), axis=(1, 2, 3), keepdims=True)
  energies = [jnp.mean(jnp.square(band), axis=(1, 2, 3), keepdims=True) for band in bands[:-1]]
  score = exposed * jnp.sqrt(sum(energies) / max(len(energies), 1) + _FLAT)
  return score / jnp.sum(score, axis=0, keepdims=True)
