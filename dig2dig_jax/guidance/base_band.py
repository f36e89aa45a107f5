"""Whose brightness does the fused image have? Rules that weigh the sources in the coarsest band of a pyramid.

A rule: (the bands of the sources' Laplacian pyramids, the last of them the base [K, h, w, C]; the images [K, H, W, C])
-> weights that broadcast to [K, h, w, 1], convex over K.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from dig2dig_jax.ops.arrays import Array

# Of the softmax over brightness in [-1, 1]: sources this far apart share 0.73 to 0.27.
_TEMPERATURE = 0.02
# Of the functional source: least share of the base, steepness, and how many standard deviations above its mean it has
# the middle between that and all.
_LEAST, _STEEPNESS, _MIDDLE = 0.25, 2.0, 1.0
_MIDDLE_GREY = 0.6  # standard deviation of the bell of well-exposed values around middle grey, 0

_FLAT = 1e-5  # energy that a band of any image may have: below half a grey level, squared

Rule = Callable[[list[Array], Array], Array]


def uniform(bands, images):
  """1 / K."""
  return jnp.full((images.shape[0], 1, 1, 1), 1 / images.shape[0])


def brightest(bands, images):
  """A softmax of the sources' brightness there: for images that are dark where they know nothing, as medical ones."""
  return jax.nn.softmax(bands[-1].mean(axis=-1, keepdims=True) / _TEMPERATURE, axis=0)


def functional(index: int) -> Rule:
  """The source number `index` counts where it shines (a warm target), the others elsewhere: a cold sky in the infrared
  leaves the daylight of the visible one as it is."""

  def rule(bands, images):
    own = bands[-1][index].mean(axis=-1, keepdims=True)
    shines = (own - own.mean()) / (own.std() + 1e-2)
    share = _LEAST + (1 - _LEAST) * jax.nn.sigmoid(_STEEPNESS * (shines - _MIDDLE))
    others = (1 - share) / max(len(images) - 1, 1)
    return jnp.stack([share if k == index else others for k in range(len(images))])

  return rule


def exposure(bands, images):
  """By how well each image is exposed, and by its contrast (two measures of Mertens et al. 2007), of the image as a
  whole: place by place they would swap bright and dark. Of a bracket's frames, the black ones hardly count."""
  exposed = jnp.mean(jnp.exp(-0.5 * jnp.square(images / _MIDDLE_GREY)), axis=(1, 2, 3), keepdims=True)
  energies = [jnp.mean(jnp.square(band), axis=(1, 2, 3), keepdims=True) for band in bands[:-1]]
  score = exposed * jnp.sqrt(sum(energies) / max(len(energies), 1) + _FLAT)
  return score / jnp.sum(score, axis=0, keepdims=True)
