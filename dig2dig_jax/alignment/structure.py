"""What of an image survives a change of modality? Where it has edges, and which way they run.

Channel features of orientated gradients (Ye et al., "Fast and Robust Matching for Multimodal Remote Sensing Images",
2019): the strength of the gradient along a few directions without its sign, smoothed in space and over directions, and
normalised in every pixel. Hot on cold and dark on bright then look the same.
"""

import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.ops.arrays import Array
from dig2dig_jax.ops.filters import gaussian_kernel, separable_filter

DIRECTIONS = 8
_BLUR, _SPREAD = 1.0, 1.5  # pixels: standard deviations that gradients are taken at, and smoothed with
_FLOOR = 0.3  # of the mean strength around: gradients well below count as noise
_LEAST = 0.1  # of the mean of the whole image, below which that mean around does not fall


def orientations(gray: Array, mask: Array, *, around: int = 0) -> jax.Array:
  """Orientated structure: [H, W, DIRECTIONS], of length 1 at most, its mean over the image subtracted; 0 outside.

  Args:
    gray: [H, W].
    mask: [H, W], 1 where the image is valid and 0 elsewhere. What touches its border is left out.
    around: pixels to each side that strength is measured against; 0 takes the whole image.
  """
  mask, taps = mask[..., None], gaussian_kernel(_BLUR)
  weight = separable_filter(mask, taps, border="constant")
  smooth = separable_filter(gray[..., None] * mask, taps, border="constant") / jnp.maximum(weight, 1e-3)
  inside = _inside(weight).astype(gray.dtype)
  across = 0.5 * (jnp.roll(smooth, -1, 1) - jnp.roll(smooth, 1, 1)) * inside
  down = 0.5 * (jnp.roll(smooth, -1, 0) - jnp.roll(smooth, 1, 0)) * inside
  angles = np.arange(DIRECTIONS).reshape(1, 1, -1) * np.pi / DIRECTIONS
  along = jnp.abs(across * np.float32(np.cos(angles)) + down * np.float32(np.sin(angles)))
  along = separable_filter(along, gaussian_kernel(_SPREAD), border="constant")
  along = 0.5 * along + 0.25 * (jnp.roll(along, 1, -1) + jnp.roll(along, -1, -1))  # directions are periodic
  strength = jnp.sqrt((along**2).sum(-1, keepdims=True))
  usual = strength.sum((0, 1), keepdims=True) / jnp.maximum(inside.sum((0, 1), keepdims=True), 1)
  if around:
    box = np.ones(2 * around + 1)
    area = jnp.maximum(separable_filter(inside, box, border="constant"), 1)
    usual = jnp.maximum(separable_filter(strength * inside, box, border="constant") / area, _LEAST * usual)
  maps = along / jnp.sqrt(strength**2 + (_FLOOR * usual) ** 2 + 1e-12)
  return centred(maps, inside)


def centred(maps: Array, inside: Array) -> jax.Array:
  """[H, W, C] less its mean where `inside` [H, W, 1] is 1, and 0 elsewhere."""
  mean = (maps * inside).sum((0, 1), keepdims=True) / jnp.maximum(inside.sum((0, 1), keepdims=True), 1)
  return (maps - mean) * inside


def usable(mask: Array) -> jax.Array:
  """Where structure is found, [H, W, 1] of 0 and 1, of a mask [H, W, 1]."""
  return _inside(separable_filter(mask, gaussian_kernel(_BLUR), border="constant")).astype(mask.dtype)


def _inside(weight: Array) -> jax.Array:
  """bool [H, W, 1], of smoothed masks: less a pixel at its border and at the frame's."""
  inside = weight[..., 0] > 0.99
  inside &= jnp.roll(inside, 1, 0) & jnp.roll(inside, -1, 0) & jnp.roll(inside, 1, 1) & jnp.roll(inside, -1, 1)
  return inside.at[jnp.array([0, -1])].set(False).at[:, jnp.array([0, -1])].set(False)[..., None]
