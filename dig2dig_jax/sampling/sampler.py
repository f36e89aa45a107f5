"""What is one reverse run? A `lax.scan` over the noise schedule: predict, let the sources correct, step.

Pure and free of I/O: the caller gives the key, the first image, the schedule and the weights.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from dig2dig_jax.sampling.denoiser import reusing
from dig2dig_jax.sampling.types import Denoiser, Guidance, Reuse, Step, Transition


class Trace(NamedTuple):
  """What a person reads of a run: one row per step [S], K sources."""

  t: jax.Array  # [S] timestep of the network
  correction: jax.Array  # [S] root mean square change of x0 by the guidance
  residual: jax.Array  # [S, K] root mean square of y_k - x0 after the guidance
  weight: jax.Array  # [S, K] weights averaged over the image
  x0_max: jax.Array  # [S] largest |x0| after the guidance; above 1 is outside the range of images
  guidance: dict[str, jax.Array]  # [S, ...] what the guidance tells of its state


def sample(
  key: jax.Array,
  x_init: jax.Array,
  sources: jax.Array,
  *,
  denoise: Denoiser,
  guidance: Guidance,
  transition: Transition,
  steps: Step,
  weights: jax.Array,
  interval: int,
  reuse: Reuse | None = None,
  reuse_every: int = 1,
  unroll: bool = False,
) -> tuple[jax.Array, Trace]:
  """Runs all steps and returns (x_0 [H, W, C], Trace).

  Args:
    key: of the guidance's and the transition's draws; step number i uses fold_in(key, i).
    x_init: [H, W, C] at the first step's noise level.
    sources: [K, H, W, C] in [-1, 1].
    steps: Step [S], noisiest first.
    weights: [U, K, H, W, 1]; step i reads row i // interval, the last row once they run out.
    reuse, reuse_every: the denoiser of the steps where it is the whole network at every so manieth step only; the
      guidance's own calls, if it makes any, are `denoise`.
    unroll: steps are compiled one after the other instead of as a loop. A CPU takes the gradient through a loop's
      convolutions twelve times slower, as XLA's fast ones are not to be had inside one.
  """

  if reuse is None:
    predict, features = lambda x_t, step, features: (denoise(x_t, step), features), ()
  else:
    predict = reusing(reuse, reuse_every)
    first = jax.tree.map(lambda table: table[0], steps)
    _, shapes = jax.eval_shape(reuse.full, x_init, first)
    features = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

  def body(carry, step: Step):
    x_t, guidance_state, transition_state, features = carry
    guidance_key, transition_key = jax.random.split(jax.random.fold_in(key, step.index))
    row = weights[jnp.minimum(step.index // interval, weights.shape[0] - 1)]
    raw, features = predict(x_t, step, features)
    prediction, guidance_state = guidance.update(
      raw, guidance_state, sources, x_t=x_t, step=step, key=guidance_key, weights=row, denoise=denoise
    )
    x_prev, transition_state = transition.update(transition_key, x_t, prediction, step, transition_state)
    trace = Trace(
      t=step.t,
      correction=_rms(prediction.x0 - raw.x0),
      residual=jax.vmap(lambda source: _rms(source - prediction.x0))(sources),
      weight=row.mean(axis=(1, 2, 3)),
      x0_max=jnp.max(jnp.abs(prediction.x0)),
      guidance=guidance.diagnose(guidance_state),
    )
    return (x_prev, guidance_state, transition_state, features), trace

  carry = (x_init, guidance.init(sources), transition.init(x_init), features)
  # 0 unrolls all; True becomes the count of steps, and a single step would stay in a loop of one round.
  (x_0, *_), trace = jax.lax.scan(body, carry, steps, unroll=0 if unroll else 1)
  return x_0, trace


def _rms(x):
  return jnp.sqrt(jnp.mean(jnp.square(x)))
