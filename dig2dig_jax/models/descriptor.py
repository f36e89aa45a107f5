"""The network that describes places alike whatever camera shows them."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from dig2dig_jax.ops.arrays import Array

OUT = 8
_FINE, _COARSE, _BLOCKS = 16, 24, 2  # channels at the full and at half the resolution, and residual blocks there


class DescriptorNet(nn.Module):
  """[N, H, W, C] of even sides -> [N, H, W, OUT]: a convolution at the full resolution, some at half of it."""

  @nn.compact
  def __call__(self, x: Array) -> jax.Array:
    fine = nn.gelu(nn.Conv(_FINE, (3, 3), name="fine")(x))
    coarse = nn.avg_pool(fine, (2, 2), (2, 2))
    coarse = nn.gelu(nn.Conv(_COARSE, (3, 3), name="coarse")(coarse))
    for number in range(_BLOCKS):
      coarse += nn.gelu(nn.Conv(_COARSE, (3, 3), name=f"block_{number}")(coarse))
    coarse = jax.image.resize(coarse, (*x.shape[:3], _COARSE), "linear")
    last = nn.Conv(OUT, (1, 1), kernel_init=nn.initializers.normal(0.02), name="out")
    return last(jnp.concatenate([fine, coarse], -1))
