"""Which transform do the blocks agree on? Expectation maximisation over their surfaces, from coarse to fine.

Each block is a mixture: it follows the transform, with the likelihood that its surface gives to the displacement there,
or it is an outlier, anywhere within reach. The E-step looks at each surface through a Gaussian window around the
present displacement, whose width falls from step to step; mean and covariance of what it sees are a Gaussian
approximation of the block's likelihood. The M-step is Gauss-Newton on those, with a prior on the parameters.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dig2dig_jax.alignment import sampling, transforms
from dig2dig_jax.alignment.surfaces import Surfaces
from dig2dig_jax.ops.arrays import Array

_OUTLIERS = 0.3  # share of the blocks, beforehand
_INEXACT = 3.0  # pixels^2: variance of every block about the transform: scenes are not flat, sensors differ
_DAMPING = 0.02


class Fit(NamedTuple):
  """parameters: [8], or as many as there are. gain: [N], by how much, in nats, each block's likelihood at its place
  exceeds that of guessing, of blocks too that were not fitted."""

  parameters: Array
  gain: Array


@jax.jit
def fit(
  surfaces: Surfaces, frame: Array, start: Array, around: Array, deviations: Array, widths: Array, among: Array
) -> Fit:
  """Parameters that maximise the likelihood of blocks.

  Args:
    surfaces: measured around the transform of parameters `around`.
    frame: [3, 3], normalised coordinates -> pixels of the reference's level.
    start: [8], where the search begins.
    around: [8].
    deviations: [8], standard deviation of each parameter from 0 beforehand; infinite where nothing is known, and 0
      holds a parameter where it starts.
    widths: [T], standard deviations of the window in pixels, one per step.
    among: [N], 1 for the blocks that are fitted, and 0.
  """
  unit, points = frame[0, 0], (surfaces.centres - frame[None, :2, 2]) / frame[0, 0]
  back = jnp.linalg.inv(transforms.homography(around))

  def displacement(parameters):
    return (transforms.apply(back @ transforms.homography(parameters), points) - points) * unit

  free = (deviations > 0).astype(jnp.float32)
  precision = jnp.diag(free / jnp.maximum(deviations, 1e-6) ** 2)
  return maximised(surfaces, displacement, start, precision, free, widths, among)


def maximised(
  surfaces: Surfaces, displacement: Callable[[Array], Array], start: Array, precision: Array, free: Array,
  widths: Array, among: Array,
) -> Fit:  # fmt: skip
  """The same for displacements of the blocks, [N, 2] pixels, as any function of parameters [K].

  Args:
    precision: [K, K], of the parameters about 0 beforehand.
    free: [K], 0 for parameters that are held.
  """
  count, side, _ = surfaces.log_likelihood.shape
  offsets = _offsets(side)
  likelihood = jnp.exp(surfaces.log_likelihood).reshape(count, -1)

  def seen(at, width):
    mass, density = _through_window(likelihood, side, at, width)
    mass /= jnp.maximum(mass.sum(-1, keepdims=True), 1e-30)
    mean = mass @ offsets[0]
    away = offsets - mean[:, None]
    covariance = jnp.einsum("ns,nsi,nsj->nij", mass, away, away) + _INEXACT * jnp.eye(2)[None]
    return density, mean, covariance

  def step(parameters, width):
    at, jacobian = displacement(parameters), jax.jacfwd(displacement)(parameters)
    density, mean_of_block, covariance = seen(at, width)
    follows = (1 - _OUTLIERS) * density
    follows = among * follows / (follows + _OUTLIERS / side**2)
    inverse = jnp.linalg.inv(covariance)
    # What the window itself contributes is no evidence.
    values, vectors = jnp.linalg.eigh(inverse - jnp.eye(2)[None] / (width**2 + _INEXACT))
    evidence = (vectors * jnp.maximum(values, 0)[:, None, :]) @ jnp.swapaxes(vectors, -1, -2)
    pull = jnp.einsum("nij,nj->ni", inverse, mean_of_block - at)
    gradient = jnp.einsum("n,nik,ni->k", follows, jacobian, pull) - precision @ parameters
    damping = _DAMPING / width**2 * jnp.eye(2)[None]
    curvature = jnp.einsum("n,nik,nij,njl->kl", follows, jacobian, evidence + damping, jacobian) + precision
    curvature = curvature * free[:, None] * free[None] + jnp.diag(1 - free)
    return parameters + jnp.linalg.solve(curvature, gradient * free), None

  parameters, _ = jax.lax.scan(step, start, widths)
  return Fit(parameters, gains(surfaces.log_likelihood, displacement(parameters), widths[-1]))


def gains(log_likelihood: Array, at: Array, width: Array | float) -> jax.Array:
  """[N] nats, by how much the likelihood of blocks at a displacement exceeds that of guessing.

  Args:
    log_likelihood: [N, S, S], of `Surfaces`.
    at: [N, 2] pixels.
    width: standard deviation in pixels of the window that likelihood is averaged in.
  """
  likelihood = jnp.exp(log_likelihood).reshape(at.shape[0], -1)
  _, density = _through_window(likelihood, log_likelihood.shape[-1], at, width)
  return jnp.log((1 - _OUTLIERS) * density * log_likelihood[0].size + _OUTLIERS)


def _through_window(likelihood: Array, side: int, at: Array, width: Array | float) -> tuple[jax.Array, jax.Array]:
  """(likelihood [N, side^2] of displacements, weighted by a Gaussian window around [N, 2], its mean there [N])."""
  mass = likelihood * jnp.exp(-0.5 * ((_offsets(side) - at[:, None]) ** 2).sum(-1) / width**2)
  return mass, mass.sum(-1) / (2 * jnp.pi * width**2)


def _offsets(side: int) -> jax.Array:
  """[1, side^2, 2]: the displacements of a surface, (x, y)."""
  return sampling.grid(side, side).reshape(1, -1, 2) - side // 2
