"""How is one frame fused? By programs compiled once for all frames, which hand the weights on to the next one."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.guidance import spectrum
from dig2dig_jax.methods.base import Method
from dig2dig_jax.methods.dig2dig import rule_of
from dig2dig_jax.methods.fuse import fuse
from dig2dig_jax.methods.options import Dig2DigOptions
from dig2dig_jax.ops.arrays import Array, Image
from dig2dig_jax.restoration import blind
from dig2dig_jax.restoration.noise_level import Noise
from dig2dig_jax.sampling import schedule
from dig2dig_jax.sampling.schedule import NoiseSchedule
from dig2dig_jax.sampling.tiling import tiled
from dig2dig_jax.video import steady


class Fused(NamedTuple):
  """image: uint8 or uint16 [H, W, 3]. cut: whether a new scene begins with it."""

  image: Image
  cut: Array


Program = Callable[[Any, Sequence[np.ndarray], steady.State], tuple[Fused, steady.State]]


def is_steady(options: Any) -> bool:
  """Whether a method's options have weights that can be carried from frame to frame: gains per band, in one pass."""
  return isinstance(options, Dig2DigOptions) and options.bandwise and options.steps == 0


def program(
  method: Method,
  options: Any,
  noise_of_prior: NoiseSchedule,
  *,
  noise: Noise,
  gray: tuple[bool, ...],
  seed: int,
  share: float = steady.SHARE,
  bit_depth: int = 8,
  tile: int = 0,
  overlap: int = 0,
) -> Program:
  """`(params, images, State) -> (Fused, State)`, compiled; images: K times [H, W, 1 or 3], uint8 or floats in [-1, 1].

  Three programs in a row, since XLA makes of one, on a CPU, loops that work things out anew wherever they are read: for
  clean frames of 640 x 480 that takes twice the time.

  Args:
    method, options: what is run; of options that are not `is_steady` every frame by itself.
    noise_of_prior: what the prior was trained on.
    noise: of the sources, fields [K], for the whole sequence.
    gray: whether a source's channels are equal.
    seed: all frames draw the same noise.
    share: see `steady.carried`; 1 carries nothing.
    bit_depth: of the result, 8 or 16.
    tile, overlap: of the network's tiles, in pixels; 0 for whole images.
  """
  noisy = bool(np.any(np.asarray(noise.deviation) > blind.FROM))
  key = jax.random.key(seed)
  levels = schedule.steps_at(noise_of_prior.tables(), range(noise_of_prior.num_timesteps))
  whole = method.denoiser
  denoiser = (lambda params: tiled(whole(params), tile, min(overlap, tile // 2))) if tile else whole
  method = method.replace(denoiser=denoiser)

  @jax.jit
  def restored(params, images):
    """(all [K, H, W, 3], as observed and without noise; their luminance, of both)."""
    images = jnp.stack([_floats(image, is_gray) for image, is_gray in zip(images, gray, strict=True)])
    content = images
    if noisy:
      content = blind.known(key, images, jax.tree.map(np.asarray, noise), gray, levels, denoiser(params)).content
    return content, method.codec.to_fuse(images), method.codec.to_fuse(content)

  @jax.jit
  def alone(params, content):
    fused, _ = fuse(method, params, key, jnp.clip(content, -1, 1))
    return _quantised(fused, bit_depth)

  def independent(params, images, state: steady.State):
    return Fused(alone(params, restored(params, images)[0]), jnp.bool_(False)), state

  if not is_steady(options):
    return independent
  rule = rule_of(options)

  @jax.jit
  def weighed(observed, encoded, state: steady.State):
    weights, bands = spectrum.weigh(observed, encoded, rule)
    return bands, *steady.carried(weights, encoded, state, share=share)

  @jax.jit
  def blended(weights, bands, encoded, content):
    x0 = spectrum.blend(weights, bands, encoded, rule).image
    return _quantised(method.codec.decode(jnp.broadcast_to(x0, content.shape[1:]), content), bit_depth)

  def run(params, images, state: steady.State):
    content, observed, encoded = restored(params, images)
    bands, weights, state, cut = weighed(observed, encoded, state)
    return Fused(blended(weights, bands, encoded, content), cut), state

  return run


def _floats(image: Array, gray: bool) -> Image:
  """[H, W, 3] in [-1, 1]."""
  if image.dtype == jnp.uint8:
    image = image.astype(jnp.float32) * (1 / 127.5) - 1
  if gray and image.shape[-1] == 3:
    image = (image[..., :1] + image[..., 1:2] + image[..., 2:]) / 3
  return jnp.broadcast_to(image, (*image.shape[:2], 3))


def _quantised(image: Image, bit_depth: int) -> Array:
  top = 2**bit_depth - 1
  levels = jnp.clip(jnp.round((image + 1) * (top / 2)), 0, top)
  return levels.astype(jnp.uint8 if bit_depth == 8 else jnp.uint16)
