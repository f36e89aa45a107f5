"""How does a CPU compute a convolution faster than its library does? Exact rearrangements, up to rounding.

All take the place of `jax.lax.conv_general_dilated` in a Flax convolution that keeps the sides, layout N H W C.
Other devices, whose libraries choose such algorithms themselves, run the plain convolution.
"""

import jax
import jax.numpy as jnp
import numpy as np

# Multiply-adds of a convolution of one image from which Winograd's form repays its longer compilation, about 0.2 s.
WINOGRAD_FROM = 10**9
# F(4, 3) of Lavin & Gray 2016 (arXiv 1509.09308): 4 outputs of a 3-tap filter by 6 multiplications instead of 12; along
# rows and columns 16 outputs by 36 instead of 144.
_INPUT = np.array(
  [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0], [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0],
   [0, 4, 0, -5, 0, 1]], np.float32)  # fmt: skip
_KERNEL = np.array(
  [[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6], [1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6],
   [0, 0, 1]], np.float32)  # fmt: skip
_OUTPUT = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], np.float32)


def conv(x, kernel, strides, padding, **options):
  """A convolution [N, H, W, C] by [3, 3, C, O], padding 1; large ones in float32 by Winograd's form on a CPU."""

  def plain(x, kernel):
    return jax.lax.conv_general_dilated(x, kernel, strides, padding, **options)

  large = x.shape[1] * x.shape[2] * kernel.size >= WINOGRAD_FROM
  if tuple(strides) != (1, 1) or not large or x.dtype != jnp.float32 or x.shape[1] % 4 or x.shape[2] % 4:
    return plain(x, kernel)
  return jax.lax.platform_dependent(x, kernel, cpu=_winograd, default=plain)


def _winograd(x, kernel):
  """F(4 x 4, 3 x 3), along rows, then columns. What XLA makes of it on a CPU decides its form: a stack writes down
  what would otherwise be worked out anew wherever it is read, and six products fill more cores than one of 36."""
  n, height, width, channels = x.shape
  padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
  columns = jnp.stack(_combined(_INPUT, [padded[:, :, first : first + width - 3 : 4] for first in range(6)]))
  inputs = _combined(_INPUT, [columns[:, :, first : first + height - 3 : 4] for first in range(6)])
  taps = jnp.dot(np.kron(_KERNEL, _KERNEL), kernel.reshape(9, -1)).reshape(6, 6, channels, -1)
  products = [jnp.einsum("qnhwc,qco->qnhwo", part, tap) for part, tap in zip(inputs, taps, strict=True)]
  rows = jnp.stack(_combined(_OUTPUT, products), axis=3)  # [6, N, H / 4, 4, W / 4, O]
  weights = _OUTPUT.T.reshape(6, 1, 1, 1, 1, 4, 1)
  tiles = sum(weight * part for weight, part in zip(weights, rows[..., None, :], strict=True))
  return tiles.reshape(n, height, width, -1)


def _combined(matrix: np.ndarray, parts: list) -> list:
  """Linear combinations, one for each row of `matrix`; zeros cost nothing."""
  return [sum(float(factor) * part for factor, part in zip(row, parts, strict=True) if factor) for row in matrix]


def pointwise_conv(x, kernel, strides, padding, **options):
  """A convolution by [1, 1, C, O] of stride 1. On a CPU as the matrix product that it is, at twice the speed."""

  def plain(x, kernel):
    return jax.lax.conv_general_dilated(x, kernel, strides, padding, **options)

  def product(x, kernel):
    return jnp.dot(x, kernel[0, 0], precision=options.get("precision"))

  return jax.lax.platform_dependent(x, kernel, cpu=product, default=plain)


def neighbours(x) -> list[jax.Array]:
  """Nine times [N, H, W, C]: each pixel's neighbours in rows of three, zeros beyond the border."""
  height, width = x.shape[1:3]
  padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
  return [jax.lax.slice(padded, (0, top, left, 0), (x.shape[0], top + height, left + width, x.shape[3]))
          for top in range(3) for left in range(3)]  # fmt: skip


def windows(x) -> jax.Array:
  """[N, H, W, 9 C]: the nine of `neighbours` as channels, put together in columns, then in rows: fewer and longer
  copies."""
  height, width = x.shape[1:3]
  padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
  rows = jnp.concatenate([padded[:, :, left : left + width] for left in range(3)], axis=-1)
  return jnp.concatenate([rows[:, top : top + height] for top in range(3)], axis=-1)


@jax.custom_vjp
def depthwise_conv(x, kernel):
  """A convolution [N, H, W, C] by [3, 3, C], each channel by its own, padding 1. As a sum of shifted products, which a
  CPU computes in a tenth of the time of its library's, and its gradient in a third of what XLA derives."""
  return sum(part * tap for part, tap in zip(neighbours(x), kernel.reshape(9, 1, 1, 1, -1), strict=True))


def _depthwise_forward(x, kernel):
  return depthwise_conv(x, kernel), (x, kernel)


def _depthwise_backward(kept, gradient):
  x, kernel = kept
  # Summed over images first, in whole rows; the barrier keeps XLA from making one slow sum of both.
  taps = [sum(one * other for one, other in zip(part, gradient, strict=True)) for part in neighbours(x)]
  of_kernel = jnp.sum(jax.lax.optimization_barrier(jnp.stack(taps)), axis=(1, 2))
  return depthwise_conv(gradient, kernel[::-1, ::-1]), of_kernel.reshape(kernel.shape)


depthwise_conv.defvjp(_depthwise_forward, _depthwise_backward)


def nearest_upsample_2x(x):
  n, h, w, c = x.shape
  return jnp.broadcast_to(x[:, :, None, :, None], (n, h, 2, w, 2, c)).reshape(n, 2 * h, 2 * w, c)
