"""How is one pair fused? Weights first, then the reverse process, or one pass without it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.guidance.guided import guided
from dig2dig_jax.methods.base import Method, Reverse
from dig2dig_jax.ops.arrays import Array, Image, Images, Rows
from dig2dig_jax.sampling.sampler import Trace, sample
from dig2dig_jax.sampling.types import Denoiser, Prediction, Step

_SLACK = 1.001  # of values in [-1, 1]: what resampling and rounding may have done


class FusionTrace(NamedTuple):
  """weights [U, K, H, W, 1] as the steps read them; steps: the sampler's diagnostics, None in the one-pass limit; noise
  [K, 2]: standard deviations, in [-1, 1], of the noise and of the stripes detected in each source, None where none were
  looked for."""

  weights: Rows
  steps: Trace | None
  noise: Array | None = None


class _Weighted(NamedTuple):
  """images [K, H, W, 3]: as they were restored; sources and weights [U, K, H, W, 1]: of the guidance; shown: the
  weights for display; blended: whether the weights have made one source of all."""

  images: Images
  sources: Images
  weights: Rows
  shown: Rows
  blended: bool = False
  noise: Array | None = None


def fuse(method: Method, params: Any, key: Array, images: Images) -> tuple[Image, FusionTrace]:
  """Fuses K registered images into one.

  Args:
    method: what to do; closed over under `jit`, or one of its `static_argnums`.
    params: the network's parameters, an argument so that compiled programs hold no weights.
    key: source of all random numbers of this pair; the result depends on (params, key, images) only, never on a batch
      around it.
    images: [K, H, W, 3] floats in [-1, 1], K >= 2, taken as float32.

  Returns:
    (fused [H, W, 3] in [-1, 1], FusionTrace).

  Raises:
    ValueError: for other images. Under `jit` shape and dtype are checked, values are not: they are not known there.
  """
  start_key, weight_key, run_key = keys(key)
  denoise = method.denoiser(params)
  found = _weighted(method, weight_key, _checked(images), denoise)
  if method.reverse is None:
    x0 = found.sources[0] if found.blended else _one_pass(method, run_key, found, denoise)
    return method.codec.decode(x0, found.images), FusionTrace(found.shown, None, found.noise)
  x0, trace = _reversed(method, method.reverse, params, (start_key, run_key), found, denoise)
  shown = trace.guidance.get("source_weights", found.shown)[..., : images.shape[1], : images.shape[2], :]
  return method.codec.decode(x0, found.images), FusionTrace(shown, trace, found.noise)


def keys(key: Array) -> Array:
  """[3], of a pair's key: for the first x_t, for the weights, for the steps."""
  return jax.random.split(key, 3)


def _weighted(method: Method, key: Array, images: Images, denoise: Denoiser) -> _Weighted:
  if method.weighting.compose is None:
    sources = method.codec.encode(images)
    weights = method.weighting.compute(key, sources, denoise)
    return _Weighted(images, sources, weights, weights)
  composed = method.weighting.compose(key, images, method.codec.to_fuse, denoise)
  # What all bands make of the sources is what the steps are guided by: one source, which counts alone.
  return _Weighted(
    images=composed.images,
    sources=jnp.broadcast_to(composed.image, images.shape[1:])[None],
    weights=jnp.ones((1, 1, *images.shape[1:3], 1)),
    shown=composed.weights[None],
    blended=True,
    noise=jnp.stack([composed.noise.deviation, composed.striped], axis=-1),
  )


def _reversed(method: Method, reverse: Reverse, params, keys, found: _Weighted, denoise: Denoiser):
  """The sampler's (x_0, Trace)."""
  steps = reverse.steps(params)
  made = parts(method, reverse, params, found.sources, found.weights, denoise)
  start = reverse.start(keys[0], found.sources, steps)
  return sample(keys[1], start, steps=steps, **made)


def parts(
  method: Method, reverse: Reverse, params: Any, sources: Images, weights: Rows, denoise: Denoiser
) -> dict[str, Any]:
  """What a reverse run consists of beside its start and its steps, by the names that `sampling.sampler` gives them."""
  correct = guided(method.guidance, sources, weights, denoise=denoise, interval=method.weighting.interval)
  return {"denoise": reverse.predictor(params, denoise), "correct": correct, "transition": reverse.transition}


def _one_pass(method: Method, key: Array, found: _Weighted, denoise: Denoiser) -> Image:
  """The guidance once, at the clean end of the process, on the mean of the sources: no reverse step at all."""
  x0 = found.sources.mean(axis=0)
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
    method.guidance.init(found.sources),
    found.sources,
    x_t=x0,
    step=clean,
    key=key,
    weights=found.weights[-1],
    denoise=denoise,
  )
  return prediction.x0


def _checked(images) -> Images:
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
    values = np.asarray(images)  # NumPy's extremes are NaN where one value is; XLA's on a CPU need not be
    low, high = float(values.min()), float(values.max())
    if not (low >= -_SLACK and high <= _SLACK):  # so that NaN fails too
      raise ValueError(
        f"images: expected values in [-1, 1], found {low:g} to {high:g}; scale them first: 2 * images - 1 of [0, 1], "
        "images / 127.5 - 1 of [0, 255]"
      )
  return jnp.asarray(images, jnp.float32)
