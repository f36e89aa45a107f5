"""Do the weights go where a source helps? What Dig2DIG's bound speaks of, measured on a run whose ideal is known."""

import jax.numpy as jnp

from dig2dig_jax.sampling.types import Array, Guidance


def covariance_probe(ideal: Array) -> Guidance:
  """Changes nothing; `diagnose` tells, per step, `covariance` [K] and `error` before the guidance.

  B_k = <ideal - x0, y_k - x0> at every pixel (mean over channels) is how far source k's guidance points to the ideal
  image; Cov(w_k, B_k) is taken over the pixels. The generalisation error of the paper is bounded by a constant minus
  the sum of these over steps and sources (Dig2DIG Eq. 5, appendix A): uniform weights have none. `error` is the mean
  squared distance of x0 to the ideal. ideal: [H, W, C] in [-1, 1].
  """

  def init(sources):
    return {"covariance": jnp.zeros(sources.shape[0]), "error": jnp.zeros(())}

  def update(prediction, state, sources, *, weights, **kw):
    toward = ideal - prediction.x0
    # Not mean(toward[None] * ..., axis=-1): XLA (JAX 0.10.2, CPU, above 128 x 128) takes the first source for all.
    residuals = sources - prediction.x0[None]
    share = jnp.einsum("hwc,khwc->khw", toward, residuals, precision="highest") / toward.shape[-1]  # B_k
    weight = weights[..., 0]
    weight = weight - weight.mean(axis=(1, 2), keepdims=True)
    covariance = jnp.mean(weight * (share - share.mean(axis=(1, 2), keepdims=True)), axis=(1, 2))
    return prediction, {"covariance": covariance, "error": jnp.mean(jnp.square(toward))}

  return Guidance(init, update, lambda state: state)


def error_probe(ideal: Array) -> Guidance:
  """Changes nothing; `diagnose` tells `corrected_error`, the mean squared distance of x0 to the ideal [H, W, C]."""

  def update(prediction, state, sources, **kw):
    return prediction, jnp.mean(jnp.square(ideal - prediction.x0))

  return Guidance(lambda sources: jnp.zeros(()), update, lambda state: {"corrected_error": state})
