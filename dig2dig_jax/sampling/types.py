"""What passes between the parts of a sampler: plain NamedTuples of arrays and of pure functions.

Everything here speaks of one pair of images; a batch axis exists in one place only, the `vmap` in `fusing/fuser.py`.
Shapes: K sources, S steps, U weight updates, H x W pixels, C channels; images are in [-1, 1], layout H W C, float32.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

from dig2dig_jax.ops.arrays import Array, Image, Images, Map

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
  """Output of a denoiser for x_t = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps."""

  x0: Image  # estimate of the clean image
  eps: Image  # estimate of the noise
  variance: Image | None = None  # raw variance channels v in about [-1, 1] of a learned-sigma network
  mask: Map | None = None  # in [0, 1], DRFusion's share of the first source


Denoiser = Callable[[Image, Step], Prediction]  # (x_t, step) -> Prediction


@runtime_checkable
class GrayDenoiser(Protocol):
  """A denoiser that takes gray images as they are, three equal channels with equal noise.

  `estimate(image [H, W, 3], step, gray=..., otherwise=...) -> x0 [H, W, 3]` of an image with noise of the step's level,
  of that level / sqrt(3) where gray; `otherwise(denoiser)` is the way of a denoiser that does not, for where it asks
  one. `at(deviation) -> Denoiser`: for a level that is known before anything is compiled.
  """

  def __call__(self, x_t: Image, step: Step) -> Prediction: ...

  def estimate(
    self, image: Image, step: Step, *, gray: bool | Array, otherwise: Callable[[Denoiser], Image]
  ) -> Image: ...

  def at(self, deviation: float) -> Denoiser: ...


class StatefulDenoiser(NamedTuple):
  """A denoiser that carries state from step to step.

  `init(x_T, step) -> memory`; `update(x_t, step, memory) -> (Prediction, memory)`, memory a PyTree of fixed shapes.
  """

  init: Callable[[Image, Step], PyTree]
  update: Callable[[Image, Step, PyTree], tuple[Prediction, PyTree]]


class Reuse(NamedTuple):
  """A denoiser that can take its network's deep features from an earlier step. Features are a PyTree of arrays.

  `full(x_t, step) -> (Prediction, features)`; `shallow(x_t, step, features) -> Prediction`.
  """

  full: Callable[[Image, Step], tuple[Prediction, PyTree]]
  shallow: Callable[[Image, Step, PyTree], Prediction]


class Transition(NamedTuple):
  """How x_{t-1} is drawn. `init(x_T) -> state`; `update(key, x_t, prediction, step, state) -> (x_prev, state)`."""

  init: Callable[[Image], PyTree]
  update: Callable[[Array, Image, Prediction, Step, PyTree], tuple[Image, PyTree]]


class Correction(NamedTuple):
  """What a run does to each prediction before the reverse step.

  `init() -> state`; `update(key, prediction, x_t, step, state) -> (prediction, state)`;
  `diagnose(state) -> {name: array}`: summary of the state for the user after each step.
  """

  init: Callable[[], PyTree]
  update: Callable[[Array, Prediction, Image, Step, PyTree], tuple[Prediction, PyTree]]
  diagnose: Callable[[PyTree], dict[str, Array]] = lambda state: {}


class Guidance(NamedTuple):
  """Information from the sources, as an optax-like pair of pure functions.

  `init(sources [K, H, W, C]) -> state`;
  `update(prediction, state, sources, *, x_t, step, key, weights, denoise) -> (prediction, state)`
  with weights [K, H, W, 1], convex over K;
  `diagnose(state) -> {name: array}`; `source_weights` [K, H, W, 1] are those that the guidance used where it has its
  own. With sources and weights it becomes a `Correction`: `guidance.guided`.
  """

  init: Callable[[Images], PyTree]
  update: Callable[..., tuple[Prediction, PyTree]]
  diagnose: Callable[[PyTree], dict[str, Array]] = lambda state: {}
