"""What is left where no plane explains it? A smooth displacement of the reference's points before its transform.

Parallax and distortion move the parts of an image differently. The control points of a spline are fitted to the blocks'
surfaces as a transform is (`fit`), with a bending energy as their prior, if that predicts blocks it has not seen
(`evidence`). It is then measured where it has brought the source, and fitted once more.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.alignment import evidence, spline
from dig2dig_jax.alignment.descriptor import Params
from dig2dig_jax.alignment.fit import Fit, maximised
from dig2dig_jax.alignment.levels import Level
from dig2dig_jax.alignment.surfaces import Surfaces, measure
from dig2dig_jax.ops.arrays import Array

GRID = 7, 9  # control points down and across
NONE = np.zeros((*GRID, 2), np.float32)
# Beforehand, of a displacement in half diagonals: standard deviations of its second derivatives, root mean square over
# the frame, and of its control points.
_BENDING, _LENGTH = 0.1, 0.06
_WIDE = np.float32([6, 5, 4, 3, 3, 2.5, 2, 2, 1.5, 1.5, 1.5])  # of the fit's windows, in pixels
_NARROW = np.float32([4, 4, 3, 3, 3, 2.5, 2, 2, 1.5, 1.5, 1.5])  # as many: one program


class Flow(NamedTuple):
  """grid: [*GRID, 2], displacements in half diagonals, see `spline`. bounded: what it was multiplied by to keep its
  gradient below `spline.STEEPEST`; 1 where it is as it was found."""

  grid: np.ndarray
  bounded: float


def find(
  params: Params | None, reference: Level, source: Level, parameters: np.ndarray, size: tuple[int, int], reach: int
) -> Flow | None:
  """The displacement that is left by a transform; None where none is supported by what it was not fitted to.

  Args:
    params: of the descriptor, see `descriptor.maps`.
    reference, source: of one padded size.
    parameters: [8], see `transforms`.
    size: height and width of the reference within its padded square.
    reach: largest displacement of a block, in pixels.
  """
  look = functools.partial(measure, params, reference, source, parameters, size=np.float32(size), reach=reach)
  unit, prior = float(reference.frame[0, 0]), _prior(size[0] / size[1])
  fitted = functools.partial(_fitted, size=np.float32(size), unit=unit, prior=prior)
  surfaces = look(flow=NONE)
  as_it_is = fitted(surfaces, NONE, widths=_WIDE, among=evidence.ALL, free=0.0)
  halves = evidence.halves(lambda half: fitted(surfaces, NONE, widths=_WIDE, among=half, free=1.0))
  if not evidence.is_better(evidence.predicted(halves), as_it_is.gain):
    return None
  grid = fitted(surfaces, NONE, widths=_WIDE, among=evidence.ALL, free=1.0).parameters
  grid = fitted(look(flow=grid), grid, widths=_NARROW, among=evidence.ALL, free=1.0).parameters
  return bounded(np.asarray(grid, np.float64), size)


def bounded(grid: np.ndarray, size: tuple[int, int]) -> Flow:
  """A displacement in half diagonals, multiplied by what keeps an image of `size` from tearing."""
  steepest = spline.steepest(0.5 * np.hypot(*size) * grid, size)
  factor = min(1.0, spline.STEEPEST / max(steepest, 1e-9))
  return Flow(factor * grid, factor)


@jax.jit
def _fitted(
  surfaces: Surfaces, around: Array, size: Array, unit: Array, prior: Array, widths: Array, among: Array, free: Array
) -> Fit:
  """See `fit.fit`; free: 0 holds everything where there is no displacement."""
  down, across = (spline.basis(surfaces.centres[:, axis] / jnp.maximum(size[1 - axis] - 1, 1), GRID[1 - axis], jnp)
                  for axis in (1, 0))  # fmt: skip
  weights = jnp.einsum("nr,nk->nrk", down, across).reshape(len(surfaces.centres), -1)

  def displacement(parameters):
    return unit * weights @ (parameters - jnp.ravel(around)).reshape(-1, 2)

  free = free * jnp.ones(around.size)
  found = maximised(surfaces, displacement, jnp.ravel(around), prior, free, widths, among)
  return found._replace(parameters=found.parameters.reshape(around.shape))


@functools.lru_cache(maxsize=64)
def _prior(aspect: float) -> np.ndarray:
  """[K, K], the precision of the control points, x and y in turn. aspect: height / width."""
  half = 0.5 * np.hypot(aspect, 1)
  one = spline.bending(*GRID, aspect / half, 1 / half) / _BENDING**2
  return np.float32(np.kron(one + np.eye(len(one)) / _LENGTH**2, np.eye(2)))
