"""Which network stands in for the prior where it must be quick? A small U-Net at a quarter of the resolution.

It gives in one pass what one evaluation of the prior gives: the clean image behind known noise. A colour image is taken
apart into the mean over its channels, m, and two planes of colour, u = (R - B) / sqrt(2) and v = (R - 2 G + B) /
sqrt(6); noise that is independent over channels with a standard deviation of sqrt(3) d has d in m and sqrt(3) d in u
and v. The part for m sees nothing of colour, so that a gray image, whose channels are equal, needs that part alone.

No layer has a bias: of an image and a noise level both scaled, the estimate is scaled too, and levels between those
that were learned come out as they should (Mohan et al. 2020, arXiv 1906.05478). Layout N H W C.
"""

import dataclasses
import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.models import bounds, known
from dig2dig_jax.models.convolution import conv_of_frames, pointwise_conv
from dig2dig_jax.models.guided_unet import depth_to_space, space_to_depth

PATCH = 4  # pixels on a side that become channels
_RULES = {  # of a configuration that comes from a file
  "widths": bounds.some(bounds.whole(1, 512), least=3, most=3),
  "colour_widths": bounds.some(bounds.whole(1, 512), least=2, most=2),
  "least": bounds.real(0, 255, above=True),
  "most": bounds.real(0, 255, above=True),
}


@dataclasses.dataclass(frozen=True)
class SwiftConfig:
  """widths: channels at 1/4, 1/8 and 1/16 of the resolution. colour_widths: of the planes of colour, at 1/4 and 1/8.
  least, most: the noise that was learned, as the standard deviation d of the mean over channels, of 255."""

  widths: tuple[int, int, int] = (32, 64, 96)
  colour_widths: tuple[int, int] = (32, 48)
  least: float = 1.5
  most: float = 80.0

  def __post_init__(self):
    object.__setattr__(self, "widths", tuple(self.widths))
    object.__setattr__(self, "colour_widths", tuple(self.colour_widths))
    if not 0 < self.least < self.most:
      raise ValueError(f"least, most: expected rising levels of noise, found {self.least:g} and {self.most:g}")

  @property
  def size_multiple(self) -> int:
    """Heights and widths that the network takes without padding are multiples of this."""
    return 4 * PATCH

  def to_dict(self) -> dict[str, Any]:
    """JSON-able; `network` tells it from a diffusion prior's."""
    return {"network": "swift", **dataclasses.asdict(self)}

  @classmethod
  def from_dict(cls, values: dict[str, Any]) -> "SwiftConfig":
    """Inverse of `to_dict`. ValueError for what is none, and for values out of all proportion."""
    fields = {name: value for name, value in values.items() if name != "network"}
    bounds.require_fields(cls, fields, _RULES)
    return cls(**fields)


def _conv3(features: int, name: str, *, many: bool) -> known.Conv:
  way = conv_of_frames if many else jax.lax.conv_general_dilated
  return known.Conv(features, (3, 3), padding=((1, 1), (1, 1)), use_bias=False, conv_general_dilated=way,
                    kernel_init=nn.initializers.he_normal(), name=name)  # fmt: skip


def _conv1(features: int, name: str) -> known.Conv:
  return known.Conv(features, (1, 1), use_bias=False, conv_general_dilated=pointwise_conv,
                    kernel_init=nn.initializers.lecun_normal(), name=name)  # fmt: skip


class SwiftNet(nn.Module):
  """The estimate of the clean planes.

  __call__(mean [N, H, W, 1], deviation [N], colour [N, H, W, 2] or None) -> (mean, colour) without noise; mean in
  [-1, 1] and noise as they come, deviation that of the noise of `mean` in the same units. H and W are multiples of
  `config.size_multiple`. many: for so many images of one size that a longer compilation repays.
  """

  config: SwiftConfig
  many: bool = False

  @nn.compact
  def __call__(self, mean, deviation, colour=None):
    conv3 = functools.partial(_conv3, many=self.many)
    first, second, third = self.config.widths
    patches = space_to_depth(mean, PATCH)
    level = jnp.broadcast_to(deviation[:, None, None, None], (*patches.shape[:3], 1))
    a = nn.relu(conv3(first, "stem")(jnp.concatenate([patches, level], axis=-1)))
    a = a + nn.relu(conv3(first, "fine")(a))
    b = nn.relu(_conv1(second, "down")(space_to_depth(a, 2)))
    b = b + nn.relu(conv3(second, "middle")(b))
    c = nn.relu(_conv1(third, "down_2")(space_to_depth(b, 2)))
    c = c + nn.relu(conv3(third, "coarse")(c))
    c = c + nn.relu(conv3(third, "coarse_2")(c))
    b = b + depth_to_space(_conv1(4 * second, "up_2")(c), 2)
    b = b + nn.relu(conv3(second, "middle_2")(b))
    a = a + depth_to_space(_conv1(4 * first, "up")(b), 2)
    a = a + nn.relu(conv3(first, "fine_2")(a))
    clean = mean + depth_to_space(conv3(PATCH**2, "head")(a), PATCH)
    if colour is None:
      return clean, None
    return clean, colour + self._colour(colour, level, a, b)

  @nn.nowrap
  def _colour(self, colour, level, a, b):
    """What is to be added to the planes of colour, with the features of the mean over channels."""
    conv3 = functools.partial(_conv3, many=self.many)
    first, second = self.config.colour_widths
    p = nn.relu(_conv1(first, "colour_stem")(jnp.concatenate([space_to_depth(colour, PATCH), level, a], axis=-1)))
    q = nn.relu(_conv1(second, "colour_down")(jnp.concatenate([space_to_depth(p, 2), b], axis=-1)))
    q = q + nn.relu(conv3(second, "colour_middle")(q))
    q = q + nn.relu(conv3(second, "colour_middle_2")(q))
    p = p + depth_to_space(_conv1(4 * first, "colour_up")(q), 2)
    p = nn.relu(_conv1(first, "colour_fine")(p)) + p
    return depth_to_space(_conv1(2 * PATCH**2, "colour_head")(p), PATCH)


# Rows: the mean, u and v of a pixel's red, green and blue.
PLANES = np.array([[1 / 3, 1 / 3, 1 / 3], [2**-0.5, 0, -(2**-0.5)], [6**-0.5, -2 * 6**-0.5, 6**-0.5]], np.float32)
PIXELS = np.linalg.inv(PLANES.astype(np.float64)).astype(np.float32)


def planes(image: jax.Array) -> tuple[jax.Array, jax.Array]:
  """([..., 1] the mean over the channels of [..., 3], [..., 2] the planes of colour)."""
  found = _mixed(image, PLANES)
  return found[..., :1], found[..., 1:]


def pixels(mean: jax.Array, colour: jax.Array) -> jax.Array:
  """The inverse of `planes`."""
  return _mixed(jnp.concatenate([mean, colour], axis=-1), PIXELS)


def _mixed(x: jax.Array, matrix: np.ndarray) -> jax.Array:
  """Written out: a matrix product of three by three takes a CPU ten times as long."""
  a, b, c = (x[..., k] for k in range(3))
  return jnp.stack([first * a + second * b + third * c for first, second, third in matrix], axis=-1)
