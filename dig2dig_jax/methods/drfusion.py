"""What is DRFusion? A small trained network that restores two degraded sources and fuses them in three steps.

arXiv 2604.08922. Not training-free: its prior is a checkpoint of `--job=train --network=drfusion`, or a converted one.
It takes luminance of any size; odd sides are mirrored by a pixel and cropped.
"""

import jax
import jax.numpy as jnp

from dig2dig_jax.errors import UserError
from dig2dig_jax.guidance import weighting
from dig2dig_jax.methods.base import Method, PriorLike, Reverse
from dig2dig_jax.methods.codec import Codec
from dig2dig_jax.methods.option import of_kind
from dig2dig_jax.methods.options import DrFusionOptions
from dig2dig_jax.sampling import joint_observation as joint
from dig2dig_jax.sampling.transition import ddim
from dig2dig_jax.sampling.types import Denoiser

_LEAST = 8  # pixels: three halvings
CHANNELS = ("first", "second", "fused")  # of its state
_MIRRORS = ((), (0,), (1,), (0, 1))  # axes that an ensemble's images are flipped along


def drfusion(prior: PriorLike, codec: Codec, *, options: DrFusionOptions) -> Method:
  """DRFusion as one `Method` for two sources.

  Args:
    prior: such as `load_drfusion` gives: predicts noise and mask, of params with `alpha` [T].
    codec: converts between images and the network's input; must be grey.
    options: see `DrFusionOptions`.

  Returns:
    A `Method`, for `fuse`.

  Raises:
    UserError: for options out of bounds, and for a colour codec.
  """
  of_kind(options, DrFusionOptions)
  options.validate()
  if not codec.gray:
    raise UserError("--method=drfusion fuses luminance, found --colour=rgb; use --colour=luminance")
  return Method(
    codec=Codec(
      lambda images: _encode(codec, images), lambda x, images: _decode(codec, x, images, options.output), gray=True
    ),
    denoiser=prior.denoiser,
    weighting=weighting.uniform(),
    guidance=joint.joint_observation(options.sigma_y, correct=options.correct),
    reverse=Reverse(
      steps=lambda params: joint.learned_steps(params["alpha"]),
      transition=ddim(),
      start=lambda key, sources, steps: joint.start(sources, steps),
      predictor=lambda params, denoise: _mirrored(denoise) if options.ensemble else denoise,
    ),
  )


def _mirrored(denoise: Denoiser) -> Denoiser:
  """Self-ensemble (Lim et al. 2017, arXiv 1707.02921), of mirror images only, which keep the sides of the image."""

  def mean(x_t, step):
    found = jax.vmap(lambda x: denoise(x, step))(jnp.stack([jnp.flip(x_t, axes) for axes in _MIRRORS]))
    back = lambda leaf: sum(jnp.flip(image, axes) for image, axes in zip(leaf, _MIRRORS, strict=True))  # noqa: E731
    return jax.tree.map(lambda leaf: back(leaf) / len(_MIRRORS), found)

  return mean


def _encode(codec: Codec, images):
  """[K, H, W, 3] in [-1, 1] -> [K, H, W, 1] in [0, 1] of even sides."""
  height, width = images.shape[1:3]
  if min(height, width) < _LEAST:
    raise UserError(f"--method=drfusion: expected images of at least {_LEAST} pixels a side, found {height}x{width}")
  sources = (codec.encode(images)[..., :1] + 1) / 2
  return jnp.pad(sources, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="reflect")


def _decode(codec: Codec, x, images, output: str):
  height, width = images.shape[1:3]
  x = x[:height, :width] * 2 - 1
  if output == "channels":
    return x
  shown = x[..., CHANNELS.index(output), None]
  return codec.decode(jnp.repeat(shown, 3, axis=-1), images)
