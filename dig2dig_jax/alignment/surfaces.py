"""How well does each part of the reference fit the source, for every small displacement?

Blocks of the reference's structure, spread over its frame, are correlated with the source's around the place where a
transform puts them. One correlation per displacement becomes a probability, so that a block on one edge says that it
may slide along the edge, and a block on nothing says nothing.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.alignment import descriptor, sampling, spline, transforms
from dig2dig_jax.alignment.levels import Level
from dig2dig_jax.ops.arrays import Array

BLOCKS = 7, 9  # down and across
WINDOW = 64  # pixels that a block is wide
_TEMPERATURE = 0.03  # of correlations: what is so much lower is e times less likely
_FLOOR = 0.02  # of the mean energy that an empty block counts as having
_TOGETHER = 21  # blocks at once


class Surfaces(NamedTuple):
  """centres: [N, 2] pixels of the reference's level as (x, y). log_likelihood: [N, S, S] of displacements, down and
  across, -reach ... reach; each block's sums to one."""

  centres: Array
  log_likelihood: Array


@functools.partial(jax.jit, static_argnames="reach")
def measure(
  params: descriptor.Params | None, reference: Level, source: Level, parameters: Array, flow: Array, size: Array,
  reach: int,
) -> Surfaces:  # fmt: skip
  """The surfaces around a transform of displaced points.

  Args:
    params: of the descriptor, see `descriptor.maps`.
    reference, source: of the same padded size, `WINDOW` at least.
    parameters: [8], see `transforms`.
    flow: [R, K, 2], displacements of the reference's points in half diagonals, see `spline`.
    size: [2], height and width of the reference within its padded square.
    reach: largest displacement in either direction, in pixels.
  """
  padded = reference.gray.shape[0]
  matrix = source.frame @ transforms.homography(parameters) @ jnp.linalg.inv(reference.frame)
  rows, columns = (jnp.arange(padded) / jnp.maximum(side - 1, 1) for side in (size[0], size[1]))
  points = sampling.grid(padded, padded) + reference.frame[0, 0] * spline.dense(flow, rows, columns, jnp)
  gray, mask = sampling.seen(source.gray, source.mask, transforms.apply(matrix, points))
  maps, other = descriptor.maps(params, reference.gray, reference.mask), descriptor.maps(params, gray, mask)
  down, across = (jnp.round(jnp.linspace(0.0, 1.0, count) * jnp.maximum(side - WINDOW, 0.0))
                  for count, side in zip(BLOCKS, (size[0], size[1]), strict=True))  # fmt: skip
  corners = jnp.stack(jnp.meshgrid(across, down), -1).reshape(-1, 2)
  return Surfaces(corners + WINDOW // 2, correlated(maps, other, mask, corners, reach))


def correlated(maps: Array, other: Array, mask: Array, corners: Array, reach: int) -> jax.Array:
  """log_likelihood [N, S, S] of blocks of `maps` among `other`.

  Args:
    maps, other: [P, P, C], of the reference and of the source as it is placed.
    mask: [P, P], where the source is valid.
    corners: [N, 2], the upper left corners (x, y) of the blocks.
    reach: as in `measure`.
  """
  other = jnp.concatenate([other, mask[..., None]], -1)
  other = jnp.pad(other, ((reach, reach), (reach, reach), (0, 0)))
  full = WINDOW + 2 * reach
  taper = np.hanning(WINDOW + 2)[1:-1]
  taper = np.float32(np.outer(taper, taper) / taper.sum() ** 2)
  spectrum = lambda x: jnp.fft.rfft2(x, (full, full), axes=(0, 1))  # noqa: E731
  of_taper = spectrum(jnp.asarray(taper)).conj()

  def correlate(corner):
    x, y = corner.astype(jnp.int32)
    block = jax.lax.dynamic_slice(maps, (y, x, 0), (WINDOW, WINDOW, maps.shape[-1]))
    area = jax.lax.dynamic_slice(other, (y, x, 0), (full, full, other.shape[-1]))
    area, seen = area[..., :-1], spectrum(area[..., -1])
    weighted = block * taper[..., None]
    of_energy = spectrum((block * weighted).sum(-1)).conj()
    products = [(spectrum(weighted).conj() * spectrum(area)).sum(-1), of_energy * seen,
                of_taper * spectrum((area**2).sum(-1)), of_taper * seen]  # fmt: skip
    found = jnp.fft.irfft2(jnp.stack(products), (full, full))[:, : 2 * reach + 1, : 2 * reach + 1]
    product, energy, other_energy, overlap = found
    score = product / jnp.sqrt((jnp.maximum(energy, 0) + _FLOOR) * (jnp.maximum(other_energy, 0) + _FLOOR))
    score = jnp.where(overlap > 0.5, score, score.min())
    return jax.nn.log_softmax(score.reshape(-1) / _TEMPERATURE).reshape(score.shape)

  return jax.lax.map(correlate, corners, batch_size=_TOGETHER)
