"""Did the edges of the sources arrive in the fused image, in strength and in direction? Hong's Qabf, Petrovic's triple.

Every measure here takes (sources [K, H, W], fused [H, W], size) as `canvas` explains, whole levels 0..255 (not 0..1:
the rules for equal strengths and the threshold depend on the scale), and gives a scalar. Qabf: Xydeas and
Petrovic 2000, as in Hong's program; the triple: Petrovic and Xydeas 2005.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dig2dig_jax.metrics import canvas
from dig2dig_jax.metrics.canvas import Size


def q_abf(sources: jax.Array, fused: jax.Array, size: Size) -> jax.Array:
  """Sum over sources and pixels of Q_k g_k, divided by that of g_k: 0 (no edge kept) to about 0.975 (all of them).

  g is the Sobel strength of source k. Q_k multiplies two sigmoids, of how well strength and angle are kept. The frame
  counts as black, so that flat grey images have edges there; NaN (0/0) when no source has any edge: black images.
  """
  images = jnp.concatenate([sources, fused[None]])
  across, down = canvas.sobel(images, size, "zero")
  strengths = jnp.sqrt(across**2 + down**2)
  upright = across == 0
  angles = jnp.where(upright, math.pi / 2, jnp.arctan(-down / jnp.where(upright, 1, across)))
  source, strength = strengths[:-1], jnp.broadcast_to(strengths[-1:], sources.shape)
  larger = jnp.maximum(source, strength)
  # Equal strengths give the strength itself rather than 1. An accident of the original code that every toolkit has.
  equal = source == strength
  ratio = jnp.where(equal, strength, jnp.minimum(source, strength) / jnp.where(equal, 1, larger))
  agreement = 1 - jnp.abs(angles[:-1] - angles[-1:]) / (math.pi / 2)  # not wrapped: -90 and 90 degrees are opposite
  quality = _sigmoid(ratio, 0.9994, 15, 0.5) * _sigmoid(agreement, 0.9879, 22, 0.8)
  return jnp.sum(canvas.total(quality * source, size)) / jnp.sum(canvas.total(source, size))


class Petrovic(NamedTuple):
  """What became of the sources' edges, as shares of their weight: kept + lost + artifacts = 1.

  kept: Q_ABF; lost: L_ABF; artifacts: N_ABF as Kumar amended it (2013); artifacts_petrovic: Petrovic's own, larger."""

  kept: jax.Array
  lost: jax.Array
  artifacts: jax.Array
  artifacts_petrovic: jax.Array


def petrovic(sources: jax.Array, fused: jax.Array, size: Size) -> Petrovic:
  """Objective assessment of edges (Petrovic and Xydeas 2005), with Sobel / 8 and a mirrored border.

  Per source Q = sqrt of two sigmoids, of strengths (smaller / larger) and orientations; weight g^1.5, or 0.001 where
  g < 2. An edge stronger in F than in every source is an artifact.
  """
  images = jnp.concatenate([sources, fused[None]])
  across, down = canvas.sobel(images, size, "mirror")
  across, down = across / 8, down / 8
  strengths = jnp.sqrt(across**2 + down**2)
  # atan(0 / 0) counts as 0 and atan(x / 0) as +- 90 degrees.
  level = jnp.where(across == 0, 0, jnp.sign(across) * (math.pi / 2))
  angles = jnp.where(down == 0, level, jnp.arctan(across / jnp.where(down == 0, 1, down)))
  source, strength = strengths[:-1], jnp.broadcast_to(strengths[-1:], sources.shape)
  nothing = jnp.logical_or(source == 0, strength == 0)
  ratio = jnp.minimum(source, strength) / jnp.where(nothing, 1, jnp.maximum(source, strength))
  ratio = jnp.where(nothing, 0, ratio)
  orientation = jnp.abs(jnp.abs(angles[:-1] - angles[-1:]) - math.pi / 2) * (2 / math.pi)
  quality = jnp.sqrt(_sigmoid(ratio, 0.9999, 19, 0.5) * _sigmoid(orientation, 0.9995, 22, 0.5))
  weight = jnp.where(source >= 2, source**1.5, 0.001)
  artifact = jnp.all(strength > source, axis=0)
  missing = jnp.sum((1 - quality) * weight, axis=0)
  everything = jnp.sum(weight, axis=0)
  scale = canvas.total(everything, size)
  original = jnp.sum(1 - quality, axis=0) * everything
  return Petrovic(
    kept=canvas.total(jnp.sum(quality * weight, axis=0), size) / scale,
    lost=canvas.total(jnp.where(artifact, 0, missing), size) / scale,
    artifacts=canvas.total(jnp.where(artifact, missing, 0), size) / scale,
    artifacts_petrovic=canvas.total(jnp.where(artifact, original, 0), size) / scale,
  )


def _sigmoid(value: jax.Array, gain: float, slope: float, centre: float) -> jax.Array:
  return gain / (1 + jnp.exp(-slope * (value - centre)))
