"""What is a method? Everything that a paper fixes and no user does."""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax

from dig2dig_jax.guidance.weighting import Weighting
from dig2dig_jax.methods.codec import Codec
from dig2dig_jax.ops.arrays import Array, Image, Images
from dig2dig_jax.sampling.schedule import NoiseSchedule
from dig2dig_jax.sampling.types import Denoiser, Guidance, StatefulDenoiser, Step, Transition


@runtime_checkable
class PriorLike(Protocol):
  """What a method asks of a prior: the process that it was trained on, and its estimate of a clean image. One that has
  `reuse(params) -> Reuse` as well can reuse its deep features (`--reuse`)."""

  @property
  def noise(self) -> NoiseSchedule: ...

  @property
  def denoiser(self) -> Callable[[Any], Denoiser]: ...


def pure_noise(key: Array, sources: Images, steps: Step) -> Image:
  """x_T ~ N(0, I), whatever the sources."""
  return jax.random.normal(key, sources.shape[1:])


def _as_it_is(params: Any, denoise: Denoiser) -> Denoiser:
  return denoise


@dataclasses.dataclass(frozen=True)
class Reverse:
  """The reverse process of a method.

  steps: `params -> Step [S]`, noisiest first; of params, because noise levels can be learned.
  transition: how x_{t-1} is drawn.
  start: `(key, sources, steps) -> x_T`.
  predictor: `(params, denoise) -> Denoiser | StatefulDenoiser`, used at each step instead of `denoise`.
  """

  steps: Callable[[Any], Step] = dataclasses.field(repr=False)
  transition: Transition = dataclasses.field(repr=False)
  start: Callable[[Array, Images, Step], Image] = dataclasses.field(default=pure_noise, repr=False)
  predictor: Callable[[Any, Denoiser], Denoiser | StatefulDenoiser] = dataclasses.field(default=_as_it_is, repr=False)


@dataclasses.dataclass(frozen=True)
class Method:
  """One fusion method for one pair, run by `dig2dig_jax.fuse`.

  codec: converts between images and the prior's input. denoiser: `params -> Denoiser`. weighting: how much each
  source counts, computed first. guidance: how the sources correct an estimate. reverse: None for the one-pass limit.
  """

  codec: Codec
  denoiser: Callable[[Any], Denoiser] = dataclasses.field(repr=False)
  weighting: Weighting = dataclasses.field(repr=False)
  guidance: Guidance = dataclasses.field(repr=False)
  reverse: Reverse | None = None

  def replace(self, **changes: Any) -> "Method":
    """The same with other parts."""
    return dataclasses.replace(self, **changes)
