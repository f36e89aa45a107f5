"""What passes between the parts of a sampler: plain NamedTuples of arrays and of pure functions.

Everything here speaks of one pair of images; a batch axis exists in one place only, the `vmap` in `fusing/job.py`.
Shapes: K sources, S steps, U weight updates, H x W pixels, C channels; images are in [-1, 1], layout H W C, float32.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

Array = jax.Array
PyTree = Any


class Step(NamedTuple):
  """One row of the noise schedule. Stacked to [S], highest noise first, it is the `xs` of the sampler's scan."""

  index: Array  # type: ignore[assignment]  # hides tuple.index: position in the run, 0 .. S-1, 0 being the noisiest
  t: Array  # timestep that the network was trained on (int32, after respacing)
  alpha_bar: Array  # cumulative signal level at this step
  alpha_bar_prev: Array  # the next, less noisy one; 1 at the last step
  log_beta: Array  # log of the step's (respaced) beta: upper end of the learned variance range
  posterior_log_variance: Array  # log of the posterior variance, clipped as guided-diffusion does: lower end


class Prediction(NamedTuple):
  """What a denoiser says about x_t = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps."""

  x0: Array  # [H, W, C] estimate of the clean image
  eps: Array  # [H, W, C] estimate of the noise
  variance: Array | None = None  # [H, W, C] raw variance channels v in about [-1, 1] of a learned-sigma network
  mask: Array | None = None  # [H, W, 1] in [0, 1], DRFusion's share of the first source


Denoiser = Callable[[Array, Step], Prediction]  # (x_t [H, W, C], step) -> Prediction


class StatefulDenoiser(NamedTuple):
  """A denoiser that carries something from step to step.

  `init(x_T, step) -> memory`; `update(x_t, step, memory) -> (Prediction, memory)`, memory a PyTree of fixed shapes.
  """

  init: Callable[[Array, Step], PyTree]
  update: Callable[[Array, Step, PyTree], tuple[Prediction, PyTree]]


class Reuse(NamedTuple):
  """A denoiser that can take its network's deep features from an earlier step. Features are a PyTree of arrays.

  `full(x_t, step) -> (Prediction, features)`; `shallow(x_t, step, features) -> Prediction`.
  """

  full: Callable[[Array, Step], tuple[Prediction, PyTree]]
  shallow: Callable[[Array, Step, PyTree], Prediction]


class Transition(NamedTuple):
  """How x_{t-1} is drawn. `init(x_T) -> state`; `update(key, x_t, prediction, step, state) -> (x_prev, state)`."""

  init: Callable[[Array], PyTree]
  update: Callable[[Array, Array, Prediction, Step, PyTree], tuple[Array, PyTree]]


class Correction(NamedTuple):
  """What a run does to each prediction before it steps on.

  `init() -> state`; `update(key, prediction, x_t, step, state) -> (prediction, state)`;
  `diagnose(state) -> {name: array}`: what a person reads of the state after each step.
  """

  init: Callable[[], PyTree]
  update: Callable[[Array, Prediction, Array, Step, PyTree], tuple[Prediction, PyTree]]
  diagnose: Callable[[PyTree], dict[str, Array]] = lambda state: {}


class Guidance(NamedTuple):
  """What the sources say, as an optax-like pair of pure functions.

  `init(sources [K, H, W, C]) -> state`;
  `update(prediction, state, sources, *, x_t, step, key, weights, denoise) -> (prediction, state)`
  with weights [K, H, W, 1], convex over K;
  `diagnose(state) -> {name: array}`; `source_weights` [K, H, W, 1] are those that the guidance used where it has its
  own. With sources and weights it becomes a `Correction`: `guidance.guided`.
  """

  init: Callable[[Array], PyTree]
  update: Callable[..., tuple[Prediction, PyTree]]
  diagnose: Callable[[PyTree], dict[str, Array]] = lambda state: {}
