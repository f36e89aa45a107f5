"""What lies inside the image? Windows, borders and sums for images that fill only a corner of their array.

Pictures of a data set have many sizes, and XLA compiles one program per shape. So an image of h x w lies in the upper
left corner of a larger array [..., H, W], its true size a traced pair (h, w), and everything here gives exactly what
the h x w image alone would: a few array shapes serve all sizes. What lies outside the corner is arbitrary but finite.
Everything keeps the dtype of what it is given: float64 is what `metrics.score` gives.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

Size = tuple[jax.Array | int, jax.Array | int]  # height and width of the image in its array


def inside(shape: Sequence[int], size: Size) -> jax.Array:
  """[H, W] of an array of that `shape` [..., H, W]: true where the image is."""
  rows, columns = jnp.arange(shape[-2])[:, None] < size[0], jnp.arange(shape[-1])[None] < size[1]
  return jnp.logical_and(jnp.broadcast_to(rows, shape[-2:]), jnp.broadcast_to(columns, shape[-2:]))


def total(x: jax.Array, size: Size) -> jax.Array:
  """Sum over the image: [..., H, W] -> [...]; 0 when nothing is inside."""
  return jnp.sum(x, axis=(-2, -1), where=jnp.broadcast_to(inside(x.shape, size), x.shape))


def mean(x: jax.Array, size: Size) -> jax.Array:
  """Mean over the image: [..., H, W] -> [...]; NaN (0/0) when nothing is inside."""
  count = jnp.maximum(jnp.asarray(size[0]), 0) * jnp.maximum(jnp.asarray(size[1]), 0)
  return total(x, size) / count.astype(x.dtype)


def low(x: jax.Array, size: Size) -> jax.Array:
  """Smallest value of the image: [..., H, W] -> [...]."""
  return jnp.min(x, axis=(-2, -1), where=jnp.broadcast_to(inside(x.shape, size), x.shape), initial=jnp.inf)


def high(x: jax.Array, size: Size) -> jax.Array:
  """Largest value of the image: [..., H, W] -> [...]."""
  return -low(-x, size)


def centred(x: jax.Array, size: Size) -> jax.Array:
  """The image minus the whole level next to its mean: E[x^2] - E[x]^2 cancels least there, and integers stay exact."""
  return x - jnp.rint(mean(x, size))[..., None, None]


def fitting(size: Size, window: int) -> Size:
  """Size of what a window of that side leaves when it must lie wholly inside: (h - window + 1, w - window + 1)."""
  return size[0] - window + 1, size[1] - window + 1


def correlate(x: jax.Array, taps: np.ndarray) -> jax.Array:
  """Rows and columns weighted by `taps`, where they fit: [..., H, W] -> [..., H - n + 1, W - n + 1], maybe empty."""
  if min(x.shape[-2:]) < len(taps):
    return jnp.zeros((*x.shape[:-2], 0, 0), x.dtype)
  return _along(_along(x, taps, x.ndim - 2), taps, x.ndim - 1)


def _along(x: jax.Array, taps: np.ndarray, axis: int) -> jax.Array:
  # Shifted slices fuse into one loop; the barrier keeps XLA from computing the rows anew for every column's tap.
  size = x.shape[axis] - len(taps) + 1
  shifted = (float(tap) * jax.lax.slice_in_dim(x, i, i + size, axis=axis) for i, tap in enumerate(taps))
  return jax.lax.optimization_barrier(sum(shifted))


def framed(x: jax.Array, size: Size, border: str, margin: int = 1) -> jax.Array:
  """The image with a frame of `margin` pixels: [..., H, W] -> [..., H + 2 margin, W + 2 margin], image from there on.

  border: "zero", "edge" (the outermost pixel again) or "mirror" (about the outermost pixel, which is not repeated).
  """
  for axis, length in ((x.ndim - 2, size[0]), (x.ndim - 1, size[1])):
    index = jnp.arange(-margin, x.shape[axis] + margin)
    if border == "mirror":
      index = jnp.abs(index)
      index = length - 1 - jnp.abs(length - 1 - index)
    elif border not in ("edge", "zero"):
      raise ValueError(f"border: expected zero, edge or mirror, found {border!r}")
    taken = jnp.take(x, jnp.clip(index, 0, length - 1), axis=axis)
    if border == "zero":
      kept = jnp.logical_and(index >= 0, index < length).astype(x.dtype)
      taken = taken * jnp.expand_dims(kept, [i for i in range(x.ndim) if i != axis])
    x = taken
  return x


def sobel(x: jax.Array, size: Size, border: str) -> tuple[jax.Array, jax.Array]:
  """Sobel responses without normalisation, to the right and downwards; same shape as x. border: see `framed`."""
  frame = framed(x, size, border)
  across, down = frame[..., :, 2:] - frame[..., :, :-2], frame[..., 2:, :] - frame[..., :-2, :]
  across = across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]
  down = down[..., :, :-2] + 2 * down[..., :, 1:-1] + down[..., :, 2:]
  return across, down


def gaussian(side: int, sigma: float) -> np.ndarray:
  """Normalised taps [side], side odd."""
  weights = np.exp(-((np.arange(side) - side // 2) ** 2) / (2 * sigma**2))
  return weights / weights.sum()
