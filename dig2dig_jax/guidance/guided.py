"""How are a guidance, its sources and their weights combined into the correction of each prediction?"""

import jax
import jax.numpy as jnp

from dig2dig_jax.ops.arrays import Images, Rows
from dig2dig_jax.sampling.types import Correction, Denoiser, Guidance


def guided(
  guidance: Guidance, sources: Images, weights: Rows, *, denoise: Denoiser, interval: int = 1
) -> Correction:
  """Binds a guidance to its sources.

  Args:
    guidance: what corrects a prediction.
    sources: [K, H, W, C] in [-1, 1].
    weights: [U, K, H, W, 1], convex over K; step i reads row i // interval, the last row once they run out.
    denoise: for the guidance's own evaluations of the network, if it makes any.
    interval: steps from one row to the next.

  Returns:
    A `Correction` that records, besides the guidance's own diagnostics, `weight` [K], averaged over the image, and
    `residual` [K], the root mean square of y_k - x0 after it.
  """
  nothing = jnp.zeros(sources.shape[0])

  def init():
    return guidance.init(sources), {"weight": nothing, "residual": nothing}

  def update(key, prediction, x_t, step, state):
    row = weights[jnp.minimum(step.index // interval, weights.shape[0] - 1)]
    prediction, own = guidance.update(
      prediction, state[0], sources, x_t=x_t, step=step, key=key, weights=row, denoise=denoise
    )
    # The root is not differentiable at 0, and diagnostics need no gradient.
    given, x0 = jax.lax.stop_gradient((sources, prediction.x0))
    residual = jax.vmap(lambda source: jnp.sqrt(jnp.mean(jnp.square(source - x0))))(given)
    return prediction, (own, {"weight": row.mean(axis=(1, 2, 3)), "residual": residual})

  return Correction(init, update, lambda state: guidance.diagnose(state[0]) | state[1])
