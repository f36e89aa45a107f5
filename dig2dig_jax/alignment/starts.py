"""Where does an alignment begin? With the best of a grid of scales and rotations, each at its best shift.

For every pair of scale and rotation the source is resampled and its structure correlated with the reference's, all
shifts at once by FFT, as a normalised correlation over what both see.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.alignment import sampling, structure, transforms
from dig2dig_jax.alignment.levels import Level
from dig2dig_jax.ops.arrays import Array

ANGLES = np.deg2rad(np.linspace(-9, 9, 7))
LOG_SCALES = np.linspace(np.log(0.72), np.log(1.39), 9)
_AROUND = 12  # pixels that structure is measured against
_OVERLAP = 0.4  # of the reference that the source has to show


def grid(*, turns: bool = True) -> np.ndarray:
  """[M, 8]: parameters of the starts, without shifts. turns: scales and rotations too, or none of them."""
  starts = np.zeros((len(ANGLES) * len(LOG_SCALES) if turns else 1, transforms.PARAMETERS), np.float32)
  if turns:
    starts[:, 2:4] = np.stack(np.meshgrid(LOG_SCALES, ANGLES), -1).reshape(-1, 2)
  return starts


@functools.partial(jax.jit, static_argnames="reach")
def search(reference: Level, source: Level, starts: Array, reach: int) -> tuple[jax.Array, jax.Array]:
  """(starts [M, 8] with their best shifts, correlations [M]).

  Args:
    reference, source: of the same padded size.
    starts: [M, 8] parameters, see `transforms`.
    reach: largest shift in either direction, in pixels.
  """
  size = reference.gray.shape[0]
  padded = size + 2 * reach
  maps = structure.orientations(reference.gray, reference.mask, around=_AROUND)
  spectrum = lambda x: jnp.fft.rfft2(x, (padded, padded), axes=(0, 1)).conj()  # noqa: E731
  of_maps, of_mask, of_energy = spectrum(maps), spectrum(reference.mask), spectrum((maps**2).sum(-1))

  def best(start):
    matrix = source.frame @ transforms.homography(start) @ jnp.linalg.inv(reference.frame)
    gray, mask = sampling.warped(source.gray, source.mask, matrix, (size, size))
    other = structure.orientations(gray, mask, around=_AROUND)
    spectrum = lambda x: jnp.fft.rfft2(x, (padded, padded), axes=(0, 1))  # noqa: E731
    products = [(of_maps * spectrum(other)).sum(-1), of_energy * spectrum(mask),
                of_mask * spectrum((other**2).sum(-1)), of_mask * spectrum(mask)]  # fmt: skip
    product, energy, other_energy, overlap = jnp.fft.irfft2(jnp.stack(products), (padded, padded))
    found = product / jnp.sqrt(jnp.maximum(energy, 1e-3) * jnp.maximum(other_energy, 1e-3))
    found = jnp.where(overlap >= _OVERLAP * reference.mask.sum(), found, -1.0)
    window = jnp.roll(found, (reach, reach), (0, 1))[: 2 * reach + 1, : 2 * reach + 1]
    at = jnp.argmax(window)
    shift = jnp.stack([at % (2 * reach + 1), at // (2 * reach + 1)]).astype(jnp.float32) - reach
    return transforms.shifted(start, shift / reference.frame[0, 0]), window.reshape(-1)[at]

  return jax.lax.map(best, starts)
