"""Do the weights go where a source helps? Both sides of Dig2DIG's bound, measured on a run whose ideal is known.

With the squared error e = |ideal - x0|^2 / N, r_k = y_k - x0 and the update x0 <- x0 + lambda sum_k w_k r_k,

  e_after  =  e_before - 2 lambda sum_k E[w_k B_k] + lambda^2 E|sum_k w_k r_k|^2,     B_k = <ideal - x0, r_k>,
           <= e_before - 2 lambda sum_k (E[w_k] E[B_k] + Cov(w_k, B_k)) + lambda^2 E max_k |r_k|^2,

means and covariances over the pixels (Dig2DIG Eq. 5 and 12 to 21; the squared error is smooth, its second order is
written out, and weights are convex). The last term has no weights in it, and only the covariance tells weights of the
same mean apart.
"""

from collections.abc import Callable

import jax.numpy as jnp

from dig2dig_jax.sampling.types import Array, Guidance, Step


def bound_probe(ideal: Array, guidance: Guidance, strength: Callable[[Step], Array | float]) -> Guidance:
  """`guidance`, and what it tells, with both sides of the bound per step.

  `diagnose` adds `error` and `corrected_error`, mean squared distances of x0 to the ideal before and after; `projected`
  [K], E[w_k] E[B_k]; `covariance` [K], Cov(w_k, B_k); `norm` [K], the root mean square of r_k; `bound`, the right side;
  `strength`, lambda; and `agreement`, the share of the weights that lies on the source with the largest B_k, from pixel
  to pixel.

  ideal: [H, W, C] in [-1, 1]. strength: lambda of a step; the weights of `guidance` are per pixel.
  """

  def init(sources):
    each, one = jnp.zeros(sources.shape[0]), jnp.zeros(())
    told = {"projected": each, "covariance": each, "norm": each}
    single = ("error", "corrected_error", "bound", "strength", "agreement")
    return guidance.init(sources), told | dict.fromkeys(single, one)

  def update(prediction, state, sources, *, weights, step, **kw):
    residuals, shares = _alignment(ideal, prediction.x0, sources)
    weight = weights[..., 0]
    mean, share = weight.mean(axis=(1, 2)), shares.mean(axis=(1, 2))
    covariance = jnp.mean((weight - mean[:, None, None]) * (shares - share[:, None, None]), axis=(1, 2))
    error = jnp.mean(jnp.square(ideal - prediction.x0))
    squares = jnp.mean(jnp.square(residuals), axis=-1)
    amount = jnp.asarray(strength(step), jnp.float32)
    bound = error - 2 * amount * jnp.sum(mean * share + covariance) + amount**2 * jnp.mean(squares.max(axis=0))
    corrected, own = guidance.update(prediction, state[0], sources, weights=weights, step=step, **kw)
    return corrected, (own, {
      "projected": mean * share,
      "covariance": covariance,
      "norm": jnp.sqrt(squares.mean(axis=(1, 2))),
      "error": error,
      "corrected_error": jnp.mean(jnp.square(ideal - corrected.x0)),
      "bound": bound,
      "strength": amount,
      "agreement": jnp.mean(jnp.sum(weight * _best(shares), axis=0)),
    })  # fmt: skip

  return Guidance(init, update, lambda state: guidance.diagnose(state[0]) | state[1])


def oracle(ideal: Array, guidance: Guidance) -> Guidance:
  """`guidance` with the weights that make sum_k w_k B_k largest: all on the source whose guidance points farthest to
  the ideal [H, W, C], at every pixel and step anew."""

  def update(prediction, state, sources, *, weights, **kw):
    _, shares = _alignment(ideal, prediction.x0, sources)
    return guidance.update(prediction, state, sources, weights=_best(shares)[..., None], **kw)

  return Guidance(guidance.init, update, guidance.diagnose)


def _alignment(ideal: Array, x0: Array, sources: Array) -> tuple[Array, Array]:
  """(r [K, H, W, C], B [K, H, W] per pixel, means over channels)."""
  toward = ideal - x0
  # Not mean(toward[None] * ..., axis=-1): XLA (JAX 0.10.2, CPU, above 128 x 128) takes the first source for all.
  residuals = sources - x0[None]
  return residuals, jnp.einsum("hwc,khwc->khw", toward, residuals, precision="highest") / toward.shape[-1]


def _best(shares: Array) -> Array:
  """[K, H, W]: 1 for the source with the largest share, in equal parts where several have it."""
  best = (shares == shares.max(axis=0, keepdims=True)).astype(shares.dtype)
  return best / jnp.sum(best, axis=0, keepdims=True)
