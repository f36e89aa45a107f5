"""A prior whose estimates are those of a small network, wherever that has learned to give them.

The network (`models.swift`) was taught by a prior. It is asked at the levels of noise that it was taught at, the prior
itself at all others; whoever knows the level beforehand compiles the one that is asked, and not both.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.assets import SWIFT
from dig2dig_jax.errors import UserError
from dig2dig_jax.models import swift
from dig2dig_jax.models.guided_unet import pad_to_multiple
from dig2dig_jax.models.swift import SwiftConfig, SwiftNet
from dig2dig_jax.ops.arrays import Array, Image
from dig2dig_jax.priors import checkpoint
from dig2dig_jax.priors.prior import Prior
from dig2dig_jax.sampling import process
from dig2dig_jax.sampling.types import Denoiser, Prediction, Step

_LEVEL = 1 / 127.5  # one of 255, of images in [-1, 1]


@dataclasses.dataclass(frozen=True, eq=False)
class SwiftDenoiser:
  """A `Denoiser`, and `sampling.types.GrayDenoiser`. prior: evaluated at other levels. always: the network is
  evaluated at all levels."""

  config: SwiftConfig
  params: Any
  prior: Denoiser
  always: bool = False

  def __call__(self, x_t: Image, step: Step) -> Prediction:
    def by_network():
      x0 = self._estimate(x_t / jnp.sqrt(step.alpha_bar), step, gray=False)
      return Prediction(x0, process.eps_from_x0(x_t, x0, step.alpha_bar))

    return self._chosen(step, by_network, lambda: Prediction(*self.prior(x_t, step)[:2]))

  def estimate(
    self, image: Image, step: Step, *, gray: bool | Array, otherwise: Callable[[Denoiser], Image]
  ) -> Image:
    """See `GrayDenoiser`."""
    return self._chosen(step, lambda: self._estimate(image, step, gray=gray), lambda: otherwise(self.prior))

  def at(self, deviation: float) -> Denoiser:
    """For noise of a level that is known now: that of independent channels, standard deviation in [-1, 1]."""
    return dataclasses.replace(self, always=True) if knows(self.config, deviation) else self.prior

  def _chosen(self, step: Step, network: Callable, prior: Callable):
    if self.always:
      return network()
    deviation = _deviation(step)
    low, high = _bounds(self.config)
    return jax.lax.cond((deviation >= low) & (deviation <= high), network, prior)

  def _estimate(self, image: Image, step: Step, *, gray: bool | Array) -> Image:
    level = _deviation(step) / np.sqrt(3)
    return estimate(self.config, self.params, image, level, gray=gray)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Swift(Prior):
  """A `Prior` whose `params` are {"prior": those of `whole`, "swift": the network's}."""

  whole: Prior | None = None
  quick: SwiftConfig = SwiftConfig()  # shape of the swift network, and which noise it knows

  def denoiser(self, params) -> SwiftDenoiser:
    assert self.whole is not None
    return SwiftDenoiser(self.quick, params["swift"], self.whole.denoiser(params["prior"]))

  def reuse(self, params):
    assert self.whole is not None
    return self.whole.reuse(params["prior"])


def estimate(config: SwiftConfig, params: Any, image: Image, deviation: Array, *, gray: bool | Array) -> Image:
  """The clean image [H, W, 3] in [-1, 1] behind a noisy one. deviation: of the noise in the mean over the channels,
  which are equal where gray."""
  net, variables, level = SwiftNet(config), {"params": params}, deviation[None]
  mean: Any
  colour: Any
  height, width = image.shape[:2]
  image = pad_to_multiple(image[None], config.size_multiple)
  if isinstance(gray, bool) and gray:
    mean, _ = net.apply(variables, image[..., :1], level)
    found = jnp.repeat(mean, 3, axis=-1)
  else:
    mean, colour = swift.planes(image)
    mean, colour = net.apply(variables, mean, level, colour)
    found = jnp.where(jnp.asarray(gray), jnp.repeat(mean, 3, axis=-1), swift.pixels(mean, colour))
  return jnp.clip(found[0, :height, :width], -1, 1)


def with_swift(prior: Prior, directory: Path = SWIFT) -> Swift:
  """Combines a prior with the swift network of a folder.

  Args:
    prior: used outside the training range of the swift network.
    directory: the swift network's folder; the embedded one by default.

  Returns:
    A `Swift`, a prior like any other.

  Raises:
    UserError: for a folder without a swift network.
  """
  if directory == SWIFT and not directory.is_dir():
    raise UserError(f"--gains=swift: expected its network in {directory}, found none; train it with "
                    "--flagfile=train_swift.flags, or leave --gains out")  # fmt: skip
  loaded = checkpoint.load_checkpoint(directory, place=lambda path, array: jax.device_put(array.astype(jnp.float32)))
  if not isinstance(loaded.config, SwiftConfig):
    raise UserError(f"{directory}: expected a swift network, found another; give it as --prior")
  fields = {field.name: getattr(prior, field.name) for field in dataclasses.fields(Prior)}
  params = {"prior": prior.params, "swift": loaded.params}
  return Swift(**{**fields, "params": params}, whole=prior, quick=loaded.config)


def knows(config: SwiftConfig, deviation: float) -> bool:
  """Whether it has learned noise of this standard deviation in independent channels, in [-1, 1]."""
  low, high = _bounds(config)
  return low <= deviation <= high


def told(config: SwiftConfig, source: str, deviation: float) -> str:
  """The line for a source, gray or not, with noise of `deviation` per channel that it has not learned."""
  return (f"{source}: noise of standard deviation {deviation / _LEVEL:.1f} of 255 is outside the training range of "
          f"--gains=swift ({config.least:g} to {config.most:g}); the prior is used there")  # fmt: skip


def _bounds(config: SwiftConfig) -> tuple[float, float]:
  """Of noise in independent channels, which is sqrt(3) of their mean's; a step of the schedule may be a little off."""
  return 0.98 * np.sqrt(3) * config.least * _LEVEL, 1.02 * np.sqrt(3) * config.most * _LEVEL


def _deviation(step: Step) -> Array:
  return jnp.sqrt((1 - step.alpha_bar) / step.alpha_bar)

