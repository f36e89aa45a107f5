"""What is one reverse run? A `lax.scan` over the noise schedule: predict, correct, step.

Pure and free of I/O, and of fusion: what the sources say comes in as a `Correction`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dig2dig_jax.ops.arrays import Array, Image
from dig2dig_jax.sampling.types import Correction, Denoiser, StatefulDenoiser, Step, Transition


class Trace(NamedTuple):
  """What a person reads of a run: one row per step [S]."""

  t: Array  # [S] timestep of the network
  correction: Array  # [S] root mean square change of x0 by the correction
  x0_max: Array  # [S] largest |x0| after the correction; above 1 is outside the range of images
  guidance: dict[str, Array]  # [S, ...] what the correction tells of its state


class Run(NamedTuple):
  """A reverse run between two steps: all that one hands to the next."""

  x_t: Image
  memory: Any  # of a denoiser with a state
  correction: Any
  transition: Any


def sample(
  key: Array,
  x_init: Image,
  *,
  denoise: Denoiser | StatefulDenoiser,
  transition: Transition,
  steps: Step,
  correct: Correction | None = None,
  unroll: bool = False,
) -> tuple[Image, Trace]:
  """Runs all steps of the reverse process.

  Args:
    key: of the correction's and the transition's draws; step number i uses fold_in(key, i).
    x_init: [H, W, C] at the first step's noise level.
    denoise: what predicts x0 and eps at each step.
    transition: how x_{t-1} is drawn from the corrected prediction.
    steps: Step [S], noisiest first.
    correct: correction of each prediction; if None, the run samples from the prior.
    unroll: compile steps one after another instead of as a loop. On a CPU the gradient through convolutions in a loop
      is twelve times slower, because XLA does not use its fast ones there.

  Returns:
    (x_0 [H, W, C], Trace).
  """
  parts: dict[str, Any] = {"denoise": denoise, "transition": transition, "correct": correct}
  run, trace = advance(key, begin(x_init, steps=steps, **parts), steps=steps, unroll=unroll, **parts)
  return run.x_t, trace


def begin(
  x_init: Image, *, denoise: Denoiser | StatefulDenoiser, transition: Transition, steps: Step,
  correct: Correction | None = None,
) -> Run:
  """A run before its first step; arguments as of `sample`."""
  first = jax.tree.map(lambda table: table[0], steps)
  return Run(x_init, _remembering(denoise).init(x_init, first), (correct or _NOTHING).init(), transition.init(x_init))


def advance(
  key: Array, run: Run, *, denoise: Denoiser | StatefulDenoiser, transition: Transition, steps: Step,
  correct: Correction | None = None, unroll: bool = False,
) -> tuple[Run, Trace]:
  """Takes these of its steps, so that a run in parts is the run in one; arguments as of `sample`."""
  predictor, correct = _remembering(denoise), correct or _NOTHING

  def body(run: Run, step: Step):
    correction_key, transition_key = jax.random.split(jax.random.fold_in(key, step.index))
    raw, memory = predictor.update(run.x_t, step, run.memory)
    prediction, correction = correct.update(correction_key, raw, run.x_t, step, run.correction)
    x_prev, state = transition.update(transition_key, run.x_t, prediction, step, run.transition)
    trace = Trace(
      t=step.t,
      correction=jnp.sqrt(jnp.mean(jnp.square(prediction.x0 - raw.x0))),
      x0_max=jnp.max(jnp.abs(prediction.x0)),
      guidance=correct.diagnose(correction),
    )
    return Run(x_prev, memory, correction, state), trace

  # 0 unrolls all; True becomes the count of steps, and a single step would stay in a loop of one round.
  return jax.lax.scan(body, run, steps, unroll=0 if unroll else 1)


_NOTHING = Correction(lambda: (), lambda key, prediction, x_t, step, state: (prediction, state))


def _remembering(denoise: Denoiser | StatefulDenoiser) -> StatefulDenoiser:
  if isinstance(denoise, StatefulDenoiser):
    return denoise
  return StatefulDenoiser(lambda x_t, step: (), lambda x_t, step, memory: (denoise(x_t, step), memory))
