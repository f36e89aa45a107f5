"""How does a network see an image that is too large for it? In overlapping tiles, whose predictions are blended.

Only the network is called in tiles. Guidance, gains and transitions act on the whole image, on the blended prediction,
so that nothing downstream has a seam to follow. Blending predictions step by step is MultiDiffusion (Bar-Tal et al.
2023, arXiv 2302.08113).
"""

import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.ops.arrays import Image
from dig2dig_jax.sampling.types import Denoiser, Step


def tiled(denoise: Denoiser, size: int, overlap: int, *, align: int = 64) -> Denoiser:
  """The denoiser that calls `denoise` on tiles [<= size, <= size, C] of x_t, one after the other, and blends.

  size, overlap: side of a tile and least overlap of neighbours, in pixels; overlap at most size / 2. align: tiles begin
  at multiples of it (the last at the image's end), so that a network which samples down sees the same grid in all.
  An image that fits one tile goes to `denoise` as it is.
  """
  if not 0 <= overlap <= size // 2:
    raise ValueError(f"overlap: expected 0 to {size // 2}, half a tile, found {overlap}")

  def call(x_t: Image, step: Step):
    height, width, channels = x_t.shape
    if height <= size and width <= size:
      return denoise(x_t, step)
    rows, of_rows = axis_tiles(height, size, overlap, align)
    columns, of_columns = axis_tiles(width, size, overlap, align)
    shape = of_rows.shape[1], of_columns.shape[1], channels
    down, right = (grid.ravel() for grid in np.meshgrid(range(len(rows)), range(len(columns)), indexing="ij"))
    tops, lefts = jnp.asarray(rows), jnp.asarray(columns)
    row_weights, column_weights = jnp.asarray(of_rows), jnp.asarray(of_columns)

    def add(total, tile):
      i, j = tile
      corner = tops[i], lefts[j], 0
      found = denoise(jax.lax.dynamic_slice(x_t, corner, shape), step)
      weight = row_weights[i][:, None, None] * column_weights[j][None, :, None]

      def put(whole, part):
        there = jax.lax.dynamic_slice(whole, corner, part.shape)
        return jax.lax.dynamic_update_slice(whole, there + weight * part, corner)

      return jax.tree.map(put, total, found), None

    part = jax.eval_shape(denoise, jax.ShapeDtypeStruct(shape, x_t.dtype), step)
    empty = jax.tree.map(lambda leaf: jnp.zeros((height, width, leaf.shape[-1]), leaf.dtype), part)
    total, _ = jax.lax.scan(add, empty, (jnp.asarray(down), jnp.asarray(right)))
    return total

  return call


def axis_tiles(length: int, size: int, overlap: int, align: int) -> tuple[np.ndarray, np.ndarray]:
  """(starts int32 [N], weights float32 [N, tile]) of the tiles along one axis; weights add up to 1 at every pixel.

  A weight rises as a squared sine over the middle half of the overlap: the outer quarter, where a network sees the
  tile's end instead of the image, does not count. At the image's own border weights are full.
  """
  if length <= size:
    return np.zeros(1, np.int32), np.ones((1, length), np.float32)
  stride = max(1, (size - overlap) // align * align) if size - overlap >= align else size - overlap
  starts = np.append(np.arange(0, length - size, stride), length - size).astype(np.int32)
  inside = np.arange(size) + 0.5
  total, weights = np.zeros(length), []
  for start in starts:
    weight = np.ones(size)
    if start > 0:
      weight *= _rise(inside, overlap)
    if start + size < length:
      weight *= _rise(size - inside, overlap)
    weights.append(weight)
    total[start : start + size] += weight
  shares = [weight / total[start : start + size] for start, weight in zip(starts, weights, strict=True)]
  return starts, np.stack(shares).astype(np.float32)


def _rise(distance: np.ndarray, overlap: int) -> np.ndarray:
  """From 0 at a quarter of the overlap to 1 at three quarters; the smallest weight is above 0, as a divisor."""
  share = np.clip((distance - overlap / 4) / max(overlap / 2, 1e-6), 0, 1)
  return np.maximum(np.sin(np.pi / 2 * share) ** 2, 1e-6)
