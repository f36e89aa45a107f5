"""What of an image is fused? Colours as they are, or luminance, whose fused image takes the colour of one source."""

import dataclasses
import numbers
from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Float

from dig2dig_jax.ops import color
from dig2dig_jax.ops.arrays import Array, Image, Images


@dataclasses.dataclass(frozen=True)
class Codec:
  """Converts between images and the input of the prior.

  `encode(images [K, H, W, 3]) -> sources [K, H, W, 3]`; `decode(x0 [H, W, 3], images) -> fused [H, W, 3]` in [-1, 1].
  gray: whether sources and x0 have three equal channels.
  """

  encode: Callable[[Images], Images] = dataclasses.field(repr=False)
  decode: Callable[[Image, Images], Image] = dataclasses.field(repr=False)
  gray: bool = False

  def to_fuse(self, images: Images) -> Float[Array, "K H W _"]:
    """Sources [K, H, W, C] without what is there three times: C is 1 for gray ones."""
    sources = self.encode(images)
    return sources[..., :1] if self.gray else sources


def rgb_codec(*, stretch: bool = False) -> Codec:
  """Unchanged colour images (multi-focus and multi-exposure fusion).

  Args:
    stretch: stretch from the minimum and maximum over all channels to [-1, 1].

  Returns:
    A `Codec`.
  """
  return Codec(lambda images: images, lambda x0, images: _into_range(x0, stretch))


def luminance_codec(chroma_from: int, *, stretch: bool = False) -> Codec:
  """Luminance replicated to three channels; the fused luminance receives the chroma of one source.

  A gray source has no chroma, and the fused image is then gray.

  Args:
    chroma_from: number of that source, from 0.
    stretch: stretch the luminance from its minimum and maximum to [-1, 1], as the released DDFM and
      CCF write their images; else it is clipped to [-1, 1].

  Returns:
    A `Codec`, which raises ValueError for images without a source of that number.

  Raises:
    ValueError: for a number that is no source's.
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
    # Of one chroma, two colours differ by their luminance in every channel.
    coloured = images[chroma_from]
    luma = _into_range(color.luma(x0), stretch)
    return jnp.clip(coloured + (luma - color.luma(coloured)), -1, 1)

  return Codec(encode, decode, gray=True)


def _into_range(x: Array, stretch: bool) -> Array:
  if stretch:
    low, high = x.min(), x.max()
    # A constant image has nothing to stretch.
    x = jnp.where(high > low, (x - low) / jnp.where(high > low, high - low, 1) * 2 - 1, x)
  return jnp.clip(x, -1, 1)
