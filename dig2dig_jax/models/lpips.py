"""How far apart do two images look to AlexNet? LPIPS, version 0.1 (Zhang et al. 2018).

Five feature maps of each image are scaled to unit length per pixel; their squared difference is weighted per channel
("heads"), averaged over pixels and summed over the maps.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from dig2dig_jax.models import known

# name of the convolution in torchvision's `features` -> (channels, side, stride, padding)
LAYERS = {
  "features_0": (64, 11, 4, 2),
  "features_3": (192, 5, 1, 2),
  "features_6": (384, 3, 1, 1),
  "features_8": (256, 3, 1, 1),
  "features_10": (256, 3, 1, 1),
}
_POOLED = ("features_0", "features_3")  # a maximum over 3 x 3 with stride 2 follows
SMALLEST = 31  # pixels of a side: one less, and a pool has nothing to take a maximum of
# What the authors call shift and scale: ImageNet's means and deviations on [-1, 1].
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


class AlexFeatures(nn.Module):
  """[N, H, W, 3], shifted and scaled -> the five maps after ReLU, [N, h, w, C]."""

  @nn.compact
  def __call__(self, x):
    maps = []
    for name, (channels, side, stride, padding) in LAYERS.items():
      x = known.Conv(channels, (side, side), (stride, stride), ((padding, padding),) * 2, name=name)(x)
      x = nn.relu(x)
      maps.append(x)
      if name in _POOLED:
        x = nn.max_pool(x, (3, 3), (2, 2))
    return maps


def shapes() -> dict[str, tuple[int, ...]]:
  """{path: shape} of all parameters: `alex/LAYER/kernel`, `alex/LAYER/bias`, and `heads/NUMBER` [C]."""
  found: dict[str, tuple[int, ...]] = {}
  below = 3
  for name, (channels, side, _, _) in LAYERS.items():
    found[f"alex/{name}/kernel"] = (side, side, below, channels)
    found[f"alex/{name}/bias"] = (channels,)
    below = channels
  for number, (channels, *_) in enumerate(LAYERS.values()):
    found[f"heads/{number}"] = (channels,)
  return found


def distance(params, a: jax.Array, b: jax.Array) -> jax.Array:
  """[N] distances, 0 for equal images, of images [N, H, W, 3] in [-1, 1], sides of at least SMALLEST.

  params: {"alex": {layer: {"kernel", "bias"}}, "heads": {"0": [C], ...}}.
  """
  shift, scale = (jnp.asarray(values, a.dtype).reshape(1, 1, 1, 3) for values in (_SHIFT, _SCALE))
  network = AlexFeatures()
  first, second = (network.apply({"params": params["alex"]}, (x - shift) / scale) for x in (a, b))
  total = jnp.zeros(a.shape[0], a.dtype)
  for number, (x, y) in enumerate(zip(first, second, strict=True)):
    head = params["heads"][str(number)].reshape(1, 1, 1, -1)
    total += jnp.mean(jnp.sum((_unit(x) - _unit(y)) ** 2 * head, axis=-1), axis=(1, 2))
  return total


def _unit(x: jax.Array) -> jax.Array:
  squares = jnp.sum(x * x, axis=-1, keepdims=True)
  # Where all channels are 0 the length is 0 and so is the vector; the root's gradient there would be infinite.
  length = jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1)), 0)
  return x / (length + 1e-10)
