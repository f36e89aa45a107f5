"""What is a method? Everything that a paper fixes and no user does, and the one function that runs it."""

import numbers
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dig2dig_jax.guidance.weighting import Weighting
from dig2dig_jax.ops import color
from dig2dig_jax.sampling.sampler import Trace, sample
from dig2dig_jax.sampling.types import Denoiser, Guidance, Prediction, Reuse, Step, Transition

_SLACK = 1.001  # of values in [-1, 1]: what resampling and rounding may have done


class Codec(NamedTuple):
  """Between images and what the prior sees.

  `encode(images [K, H, W, 3]) -> sources [K, H, W, 3]`; `decode(x0 [H, W, 3], images) -> fused [H, W, 3]` in [-1, 1].
  gray: whether sources and x0 have three equal channels.
  """

  encode: Callable[[jax.Array], jax.Array]
  decode: Callable[[jax.Array, jax.Array], jax.Array]
  gray: bool = False


def _pure_noise(key, sources, steps):
  return jax.random.normal(key, sources.shape[1:])


class Method(NamedTuple):
  """One fusion method for one pair. `denoiser(params) -> Denoiser`; `steps` is None for the one-pass limit;
  `passes_per_step`: forward passes of the network that a reverse step costs; `schedule(params, steps)`: the steps where
  their noise levels are learned; `start(key, sources, steps) -> x_T`; `reuse(params) -> Reuse` where deep features are
  new at every `reuse_every`th step only."""

  codec: Codec
  denoiser: Callable[[Any], Denoiser]
  steps: Step | None
  guidance: Guidance
  weighting: Weighting
  transition: Transition
  passes_per_step: int = 1
  schedule: Callable[[Any, Step], Step] = lambda params, steps: steps
  start: Callable[[jax.Array, jax.Array, Step], jax.Array] = _pure_noise
  reuse: Callable[[Any], Reuse] | None = None
  reuse_every: int = 1


class FusionTrace(NamedTuple):
  """weights [U, K, H, W, 1] as the steps read them; steps: the sampler's diagnostics, None in the one-pass limit; noise
  [K, 2]: standard deviations, in [-1, 1], of the noise and of the stripes found in each source, None where none were
  looked for."""

  weights: jax.Array
  steps: Trace | None
  noise: jax.Array | None = None


def rgb_codec(*, stretch: bool = False) -> Codec:
  """Colour images as they are (multi-focus and multi-exposure fusion). stretch: from the darkest to the brightest
  channel of the image to all of [-1, 1]."""
  return Codec(lambda images: images, lambda x0, images: _into_range(x0, stretch))


def luminance_codec(chroma_from: int, *, stretch: bool = False) -> Codec:
  """Luminance replicated to three channels; the fused luminance receives the chroma of source number `chroma_from`.

  A gray source has no chroma, and the fused image is then gray. Range: clipped to [-1, 1]; with `stretch` the luminance
  is taken from its smallest to its largest value to all of [-1, 1], as the released DDFM and CCF write their images.
  """

  if isinstance(chroma_from, bool) or not isinstance(chroma_from, numbers.Integral):
    raise ValueError(f"chroma_from: expected the number of a source, found {chroma_from!r}; 1 is the second of two")

  def encode(images):
    if not -images.shape[0] <= chroma_from < images.shape[0]:
      raise ValueError(
        f"chroma_from={chroma_from}: expected a source of {images.shape[0]}, 0 to {images.shape[0] - 1}; the last is "
        f"luminance_codec(chroma_from={images.shape[0] - 1})"
      )
    return jnp.repeat(color.luma(images), 3, axis=-1)

  def decode(x0, images):
    chroma = color.rgb_to_ycbcr(images[chroma_from])[..., 1:]
    luma = _into_range(color.luma(x0), stretch)
    return jnp.clip(color.ycbcr_to_rgb(jnp.concatenate([luma, chroma], axis=-1)), -1, 1)

  return Codec(encode, decode, gray=True)


def _into_range(x: jax.Array, stretch: bool) -> jax.Array:
  if stretch:
    low, high = x.min(), x.max()
    # A constant image has nothing to stretch.
    x = jnp.where(high > low, (x - low) / jnp.where(high > low, high - low, 1) * 2 - 1, x)
  return jnp.clip(x, -1, 1)


def fuse(method: Method, params: Any, key: jax.Array, images: jax.Array) -> tuple[jax.Array, FusionTrace]:
  """Fuses K registered images into one.

  Args:
    method: what to do; closed over under `jit`, not an argument: it holds functions.
    params: the network's parameters, an argument so that compiled programs hold no weights.
    key: all randomness of this pair; the result depends on (params, key, images) only, never on a batch around it.
    images: [K, H, W, 3] in [-1, 1], K >= 2; ValueError for others. Under `jit` shape and dtype are checked, values are
      not: they are not known there.

  Returns:
    (fused [H, W, 3] in [-1, 1], FusionTrace).
  """
  images, noise = _checked(images), None
  start_key, weight_key, run_key = jax.random.split(key, 3)
  denoise = method.denoiser(params)
  if method.weighting.compose is not None:
    composed = method.weighting.compose(weight_key, images, _encoder(method.codec), denoise)
    # What all bands make of the sources is what the steps are guided by: one source, which counts alone.
    noise = jnp.stack([composed.noise.deviation, composed.striped], axis=-1)
    images, shown, weights = composed.images, composed.weights[None], jnp.ones((1, 1, *images.shape[1:3], 1))
    sources = jnp.broadcast_to(composed.image, images.shape[1:])[None]
  else:
    sources = method.codec.encode(images)
    shown = weights = method.weighting.compute(weight_key, sources, denoise)
  if method.steps is None:
    x0 = sources[0] if method.weighting.compose else _one_pass(method, run_key, sources, weights, denoise)
    return method.codec.decode(x0, images), FusionTrace(shown, None, noise)
  steps = method.schedule(params, method.steps)
  x_0, trace = sample(
    run_key,
    method.start(start_key, sources, steps),
    sources,
    denoise=denoise,
    guidance=method.guidance,
    transition=method.transition,
    steps=steps,
    weights=weights,
    interval=method.weighting.interval,
    reuse=method.reuse(params) if method.reuse else None,
    reuse_every=method.reuse_every,
  )
  own = trace.guidance.get("source_weights", shown)[..., : images.shape[1], : images.shape[2], :]
  return method.codec.decode(x_0, images), FusionTrace(own, trace, noise)


def _encoder(codec: Codec) -> Callable[[jax.Array], jax.Array]:
  """To what is fused: one channel of three equal ones does."""
  return (lambda images: codec.encode(images)[..., :1]) if codec.gray else codec.encode


def _checked(images) -> jax.Array:
  """The images of `fuse` as one array. Values are looked at where there are any: not while a program is traced."""
  if isinstance(images, list | tuple):
    if len({jnp.shape(image) for image in images}) > 1:
      raise ValueError(f"images: expected one shape, found {[jnp.shape(image) for image in images]}; resize them first")
    images = jnp.stack(images) if images else jnp.zeros((0, 1, 1, 3))
  if not hasattr(images, "dtype") or not jnp.issubdtype(images.dtype, jnp.floating):
    found = getattr(images, "dtype", type(images).__name__)
    raise ValueError(
      f"images: expected floats in [-1, 1], found {found}; take images / 127.5 - 1 of 8-bit ones, or "
      "dig2dig_jax.fuse_images, which does"
    )
  shape = tuple(images.shape)
  if len(shape) != 4 or shape[-1] != 3 or 0 in shape[1:]:
    raise ValueError(
      f"images: expected [K, H, W, 3], found {list(shape)}; stack the sources, gray ones with their channel three times"
    )
  if shape[0] < 2:
    raise ValueError(f"images: expected two or more sources, found {shape[0]}; stack all of a scene into [K, H, W, 3]")
  if not isinstance(images, jax.core.Tracer):
    low, high = float(images.min()), float(images.max())
    if not (low >= -_SLACK and high <= _SLACK):  # written so that NaN fails too
      raise ValueError(
        f"images: expected values in [-1, 1], found {low:g} to {high:g}; scale them first: 2 * images - 1 of [0, 1], "
        "images / 127.5 - 1 of [0, 255]"
      )
  return jnp.asarray(images)


def _one_pass(method, key, sources, weights, denoise):
  """The guidance once, at the clean end of the process, on the mean of the sources: no reverse step at all."""
  x0 = sources.mean(axis=0)
  clean = Step(
    index=jnp.int32(0),
    t=jnp.int32(0),
    alpha_bar=jnp.float32(1),
    alpha_bar_prev=jnp.float32(1),
    log_beta=jnp.float32(0),
    posterior_log_variance=jnp.float32(0),
  )
  prediction, _ = method.guidance.update(
    Prediction(x0, jnp.zeros_like(x0)),
    method.guidance.init(sources),
    sources,
    x_t=x0,
    step=clean,
    key=key,
    weights=weights[-1],
    denoise=denoise,
  )
  return prediction.x0


def evaluations(method: Method, sources: int) -> int:
  """Forward passes that one pair of `sources` images costs: S x passes per step + K x (noise levels x draws). Those
  that take deep features from an earlier step count, and so do those on images made smaller."""
  steps = 0 if method.steps is None else method.steps.t.shape[0]
  return steps * method.passes_per_step + sources * method.weighting.evaluations
