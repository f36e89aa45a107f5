"""What does DRFusion minimise? Distance of the fused image to the sources' maximum, of its edges to theirs, and of the
restored sources to the clean ones (arXiv 2604.08922; weights of the released training script).

Images are float32 [N, H, W, 1] in [0, 1].
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.ops.filters import separable_filter

PIXEL, GRADIENT, SOURCE = 5.0, 1.0, 5.0  # weights of the terms in the total

_DERIVATIVE, _AVERAGE = np.array([-1.0, 0.0, 1.0]), np.array([1.0, 2.0, 1.0])


class Losses(NamedTuple):
  """The total and its three terms, before their weights."""

  total: jax.Array
  pixel: jax.Array
  gradient: jax.Array
  source: jax.Array


def sobel_magnitude(x: jax.Array) -> jax.Array:
  """|g_x| + |g_y| of the 3 x 3 Sobel filters, zeros beyond the border: [..., H, W, C] in and out."""
  across = separable_filter(x, _AVERAGE, columns=_DERIVATIVE, border="constant")
  down = separable_filter(x, _DERIVATIVE, columns=_AVERAGE, border="constant")
  return jnp.abs(across) + jnp.abs(down)


def fusion_max(fused: jax.Array, first: jax.Array, second: jax.Array) -> tuple[jax.Array, jax.Array]:
  """(pixel, gradient): mean |f - max(a, b)|, and the same of Sobel magnitudes."""
  pixel = jnp.mean(jnp.abs(fused - jnp.maximum(first, second)))
  edges = jnp.maximum(sobel_magnitude(first), sobel_magnitude(second))
  return pixel, jnp.mean(jnp.abs(sobel_magnitude(fused) - edges))


def losses(output: jax.Array, clean: jax.Array, *, detach: bool = False) -> Losses:
  """Of the network's output [N, H, W, 3] (both sources restored, fused) and the clean sources [N, 2, H, W, 1].

  The fused image is compared with the network's own restored sources, whose gradients are kept, as published. detach:
  they are not, so that restored sources are pulled towards the clean ones alone, and not towards being easy to fuse.
  """
  first, second, fused = jnp.split(output, 3, axis=-1)
  source = jnp.mean(jnp.abs(first - clean[:, 0])) + jnp.mean(jnp.abs(second - clean[:, 1]))
  held_against = jax.lax.stop_gradient((first, second)) if detach else (first, second)
  pixel, gradient = fusion_max(fused, *held_against)
  return Losses(PIXEL * pixel + GRADIENT * gradient + SOURCE * source, pixel, gradient, source)
