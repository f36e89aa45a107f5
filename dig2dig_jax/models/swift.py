"""Which network stands in for the prior where it must be quick? A small U-Net of separable convolutions.

It gives in one pass what one evaluation of the prior gives: the clean image behind known noise. A colour image is taken
apart into the mean over its channels, m, and two planes of colour, u = (R - B) / sqrt(2) and v = (R - 2 G + B) /
sqrt(6); noise that is independent over channels with a standard deviation of sqrt(3) d has d in m and sqrt(3) d in u
and v. The part for m sees nothing of colour, so that a gray image, whose channels are equal, needs that part alone.

Convolutions are separable: one along the image for each channel, one across the channels for each pixel. On a CPU
these take a fifth of the time of full ones.

No layer has a bias: of an image and a noise level both scaled, the estimate is scaled too, and levels between those
that were learned come out as they should (Mohan et al. 2020, arXiv 1906.05478). Layout N H W C.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.models import bounds, known
from dig2dig_jax.models.convolution import depthwise_conv, pointwise_conv, windows
from dig2dig_jax.models.guided_unet import depth_to_space, space_to_depth

PATCH, COLOUR_PATCH = 2, 4  # pixels on a side that become channels
DOWN, UP = (0, 2, 2, 2), (1, 2, 2)  # blocks at every resolution, finest first
COLOUR_BLOCKS = (1, 2, 1)  # at 1/4, 1/8 and 1/4 of the resolution
_RULES = {  # of a configuration that comes from a file
  "widths": bounds.some(bounds.whole(1, 512), least=4, most=4),
  "colour_widths": bounds.some(bounds.whole(1, 512), least=2, most=2),
  "least": bounds.real(0, 255, above=True),
  "most": bounds.real(0, 255, above=True),
}


@dataclasses.dataclass(frozen=True)
class SwiftConfig:
  """widths: channels at 1/2, 1/4, 1/8 and 1/16 of the resolution. colour_widths: of the planes of colour, at 1/4 and
  1/8. least, most: the noise that was learned, as the standard deviation d of the mean over channels, of 255."""

  widths: tuple[int, int, int, int] = (16, 64, 128, 192)
  colour_widths: tuple[int, int] = (48, 64)
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
    return PATCH * 2 ** (len(self.widths) - 1)

  def to_dict(self) -> dict[str, Any]:
    """JSON-able; `network` tells it from a diffusion prior's."""
    return {"network": "swift", **dataclasses.asdict(self)}

  @classmethod
  def from_dict(cls, values: dict[str, Any]) -> "SwiftConfig":
    """Inverse of `to_dict`. ValueError for what is none, and for values out of all proportion."""
    fields = {name: value for name, value in values.items() if name != "network"}
    bounds.require_fields(cls, fields, _RULES)
    return cls(**fields)


def _across(features: int, name: str, scale: float) -> known.Conv:
  """A convolution across channels. scale: of the initial variance of what it gives, to that of what it takes."""
  start = nn.initializers.variance_scaling(scale, "fan_in", "normal")
  return known.Conv(features, (1, 1), use_bias=False, conv_general_dilated=pointwise_conv, kernel_init=start, name=name)


def _nearly_identity(key, shape, dtype=jnp.float32):
  """A kernel along the image, [3, 3, C]."""
  return (0.15 * jax.random.normal(key, shape, dtype)).at[1, 1].add(1)


class _Block(known.Known, nn.Module):
  """[N, H, W, C]: adds a separable convolution of it, rectified."""

  @nn.compact
  def __call__(self, x):
    along = self.param("along", _nearly_identity, (3, 3, x.shape[-1]))
    return x + nn.relu(_across(x.shape[-1], "across", 0.5)(depthwise_conv(x, along)))


class _Stem(known.Known, nn.Module):
  """[N, h, w, features] of patches [N, h, w, P] and of the level: a full convolution of each patch and its neighbours.
  A matrix product, since a CPU's compiler works sums of products out anew wherever they are read."""

  features: int

  @nn.compact
  def __call__(self, patches, deviation):
    count = 9 * patches.shape[-1] + 1
    kernel = self.param("kernel", nn.initializers.variance_scaling(2.0, "fan_in", "normal"), (count, self.features))
    seen = jnp.dot(windows(patches), kernel[:-1])
    return nn.relu(seen + deviation[:, None, None, None] * kernel[-1:, None, None])


class SwiftNet(nn.Module):
  """The estimate of the clean planes.

  __call__(mean [N, H, W, 1], deviation [N], colour [N, H, W, 2] or None) -> (mean, colour) without noise; mean in
  [-1, 1] and noise as they come, deviation that of the noise of `mean` in the same units. H and W are multiples of
  `config.size_multiple`.
  """

  config: SwiftConfig

  @nn.compact
  def __call__(self, mean, deviation, colour=None):
    widths = self.config.widths
    x = _blocks(_Stem(widths[0], name="stem")(space_to_depth(mean, PATCH), deviation), "down_0", DOWN[0])
    finer = []
    for depth, width in enumerate(widths[1:], start=1):
      finer.append(x)
      x = _across(width, f"coarser_{depth}", 1.0)(_by_two(x))
      x = _blocks(x, f"down_{depth}", DOWN[depth])
    found = []
    for depth in reversed(range(len(finer))):
      x = finer[depth] + depth_to_space(_across(4 * widths[depth], f"finer_{depth}", 0.5)(x), 2)
      x = _blocks(x, f"up_{depth}", UP[depth])
      found.append(x)
    clean = mean + depth_to_space(_across(PATCH**2, "head", 0.1)(x), PATCH)
    if colour is None:
      return clean, None
    return clean, colour + self._colour(colour, deviation, *found[-2:-4:-1])

  @nn.nowrap
  def _colour(self, colour, deviation, fine, coarse):
    """What is to be added to the planes of colour, with the features of the mean over channels at 1/4 and 1/8."""
    (first, second), (before, within, after) = self.config.colour_widths, COLOUR_BLOCKS
    patches = space_to_depth(colour, COLOUR_PATCH)
    seen = jnp.concatenate([patches, _level(deviation, patches), fine], axis=-1)
    p = nn.relu(_across(first, "colour_stem", 1.0)(seen))
    p = _blocks(p, "colour_down", before)
    q = nn.relu(_across(second, "colour_coarser", 1.0)(jnp.concatenate([_by_two(p), coarse], axis=-1)))
    q = _blocks(q, "colour_coarse", within)
    p = p + depth_to_space(_across(4 * first, "colour_finer", 0.5)(q), 2)
    p = _blocks(p, "colour_up", after)
    return depth_to_space(_across(2 * COLOUR_PATCH**2, "colour_head", 0.1)(p), COLOUR_PATCH)


def _blocks(x, name: str, count: int):
  for number in range(count):
    x = _Block(name=f"{name}_{number}")(x)
  return x


def _by_two(x):
  """`space_to_depth(x, 2)`. Written for a CPU, as copies of whole rows."""
  n, h, w, c = x.shape
  rows = x.reshape(n, h // 2, 2, w // 2, 2 * c)
  return jnp.concatenate([rows[:, :, 0], rows[:, :, 1]], axis=-1)


def _level(deviation, like):
  """[N, h, w, 1], the same everywhere."""
  return jnp.broadcast_to(deviation[:, None, None, None], (*like.shape[:3], 1))


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
