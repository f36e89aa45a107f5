"""What is DDFM's correction? An expectation-maximization step on the luminance of the clean estimate.

arXiv 2303.06840. The fused luminance f lies between two sources I and V with Laplacian differences, whose latent
variances the E-step takes from the present estimate; the M-step blends the sources by them, under a total-variation
prior that half-quadratic splitting solves by FFT. Images are [..., H, W, 1]; the released code is followed, and its
quirks are named.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from dig2dig_jax.errors import UserError
from dig2dig_jax.ops import color
from dig2dig_jax.ops.arrays import Array
from dig2dig_jax.sampling.types import Guidance

COLOURS = ("corrected", "released", "channels")
ROLES = ("paper", "released")


class EMState(NamedTuple):
  """The state between steps: auxiliary gradients [..., H, W, 1] and the two scales."""

  f1: Array
  f2: Array
  tau_a: Array
  tau_b: Array


class EMStep(NamedTuple):
  """A step's latent inverse deviations of I - f (c) and f - V (d), and the smoothed difference h; [..., H, W, 1]."""

  c: Array
  d: Array
  h: Array


def initial_state(shape: tuple[int, ...]) -> EMState:
  """Before the first step, for luminances of `shape` [..., H, W, 1]."""
  return EMState(jnp.zeros(shape), jnp.zeros(shape), jnp.ones(()), jnp.ones(()))


def em_step(
  state: EMState,
  f: Array,
  first: Array,
  second: Array,
  *,
  lamb: float = 0.5,
  rho: float = 1e-3,
  weights: Array | None = None,
) -> tuple[Array, EMState, EMStep]:
  """One E-step and one M-step: (fused [..., H, W, 1], state, latent variables).

  f: luminance of the clean estimate; first, second: the sources I and V, all [..., H, W, 1] on one scale.
  weights: [2, H, W, 1], convex: scale the fidelities to I and V by 2 w_1 and 2 w_2; None or 1/2 is DDFM. As rho -> 0,
    fused = (w_1 d I + w_2 c V) / (w_1 d + w_2 c).
  The scales tau are means over all of f, leading axes included.
  """
  difference, x = first - second, f - second
  residual = difference - x
  d = jnp.sqrt(2 / state.tau_b / (x**2 + 1e-6))
  c = jnp.sqrt(2 / state.tau_a / (residual + 1e-6) ** 2)  # the released code guards this one inside the square
  d = jnp.minimum(d, 2 * c)
  # Without the last axis, since a CPU sums along an axis of one element slowly.
  tau_b = jnp.mean(1 / (d[..., 0] + 1e-10)) + state.tau_b / 2
  tau_a = jnp.mean(1 / (c[..., 0] + 1e-10)) + state.tau_a / 2
  h = smooth(residual, state.f1, state.f2)
  shrink = rho / (2 * lamb + rho)
  f1, f2 = shrink * _forward_difference(h, axis=-2), shrink * _forward_difference(h, axis=-3)
  to_first, to_second = (d, c) if weights is None else (2 * weights[0] * d, 2 * weights[1] * c)
  x = (2 * to_second * difference + rho * (difference - h)) / (2 * to_second + 2 * to_first + rho)
  return first - x, EMState(f1, f2, tau_a, tau_b), EMStep(c, d, h)


def smooth(residual: Array, f1: Array, f2: Array) -> Array:
  """argmin_h |h - r|^2 + |k1 * h - f1|^2 + |k2 * h - f2|^2 by FFT; k1, k2: periodic differences along W and H."""
  height, width = residual.shape[-3:-1]
  # |k|^2 = 2 - 2 cos. All is real, so half of the spectrum suffices; the adjoint differences need none of their own.
  k1 = (2 - 2 * jnp.cos(2 * jnp.pi * jnp.arange(width // 2 + 1) / width)).reshape(1, -1, 1)
  k2 = (2 - 2 * jnp.cos(2 * jnp.pi * jnp.arange(height) / height)).reshape(-1, 1, 1)
  right = residual + (jnp.roll(f1, 1, axis=-2) - f1) + (jnp.roll(f2, 1, axis=-3) - f2)
  spectrum = jnp.fft.rfft2(right, axes=(-3, -2))
  spectrum /= jnp.broadcast_to(1 + k1 + k2, spectrum.shape)
  return jnp.fft.irfft2(spectrum, s=(height, width), axes=(-3, -2))


def _forward_difference(h: Array, *, axis: int) -> Array:
  """h[j] - h[j + 1]; beyond the border is zero, so that the last line keeps h itself."""
  size = h.shape[axis]
  pad = [(0, 0)] * h.ndim
  pad[axis] = (0, 1)
  return h - jax.lax.slice_in_dim(jnp.pad(h, pad), 1, size + 1, axis=axis)


def expectation_maximization(
  *, lamb: float = 0.5, rho: float = 1e-3, colour: str = "corrected", roles: str = "paper"
) -> Guidance:
  """DDFM's guidance for two sources [2, H, W, 3] in [-1, 1]; eps is left to `consistent_eps`.

  Args:
    lamb: lambda, weight of the total-variation prior; above 0.
    rho: penalty of the splitting of the total variation; above 0.
    colour: `corrected` takes the luminance on the sources' own scale; `released` takes a studio-range YCbCr of values
      in [-1, 1], whose Y runs from -0.80 to 0.92 while the sources run from -1 to 1. Both leave the chroma of the
      estimate as it is, and are for sources of replicated luminance. `channels` is for colour, of which the papers
      fuse the luminance: R, G and B each take the step, with common scales tau.
    roles: `paper` has I = the first source (infrared) and V = the second (visible); `released` swaps them, because the
      released script reads its two folders crosswise.

  Returns:
    A `Guidance`, which raises UserError for another number of sources.

  Raises:
    ValueError: for an unknown `colour` or `roles`.
  """
  if colour not in COLOURS or roles not in ROLES:
    raise ValueError(f"colour, roles: expected one of {COLOURS} and of {ROLES}, found {colour!r} and {roles!r}")

  def init(sources):
    if sources.shape[0] != 2:
      raise UserError(f"--method=ddfm fuses two sources, found {sources.shape[0]}; use --method=dig2dig or ccf")
    planes = (sources.shape[-1],) if colour == "channels" else ()
    return initial_state((*planes, *sources.shape[1:3], 1))

  def update(prediction, state, sources, *, weights, **kw):
    order = slice(None) if roles == "paper" else slice(None, None, -1)
    weights = weights[order]
    if colour == "channels":
      (first, second), x0 = _planes(sources[order]), _planes(prediction.x0)
      fused, state, _ = em_step(state, x0, first, second, lamb=lamb, rho=rho, weights=weights[:, None])
      return prediction._replace(x0=jnp.moveaxis(fused[..., 0], 0, -1)), state
    first, second = color.luma(sources)[order]
    if colour == "released":
      ycbcr = color.released_ycbcr(prediction.x0)
      fused, state, _ = em_step(state, ycbcr[..., :1], first, second, lamb=lamb, rho=rho, weights=weights)
      x0 = color.from_released_ycbcr(jnp.concatenate([fused, ycbcr[..., 1:]], axis=-1))
    else:
      y = color.luma(prediction.x0)
      fused, state, _ = em_step(state, y, first, second, lamb=lamb, rho=rho, weights=weights)
      x0 = prediction.x0 + (fused - y)  # a change of Y at the same chroma changes R, G and B equally
    return prediction._replace(x0=x0), state

  return Guidance(init, update, lambda state: {"tau_a": state.tau_a, "tau_b": state.tau_b})


def _planes(images: Array) -> Array:
  """[..., H, W, C] -> [..., C, H, W, 1]."""
  return jnp.moveaxis(images, -1, -3)[..., None]
