"""How does a CPU compute a convolution faster than its library does? Exact rearrangements, up to rounding.

All take the place of `jax.lax.conv_general_dilated` in a Flax convolution that keeps the sides, layout N H W C.
Other devices, whose libraries choose such algorithms themselves, run the plain convolution.
"""

import jax
import jax.numpy as jnp
import numpy as np

# Multiply-adds of a convolution of one image from which Winograd's form repays its longer compilation, about 0.2 s.
WINOGRAD_FROM = 10**9
# The same where a small network is evaluated frame by frame: from so many, and from so many channels, below which the
# transforms take what the products save.
FRAMES_FROM, _CHANNELS = 9 * 10**7, 48
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


def conv_of_frames(x, kernel, strides, padding, **options):
  """`conv` for a small network that many frames pass: by Winograd's form where it takes less, at any sides that are
  known while the program is traced."""
  height, width = x.shape[1:3]
  known = isinstance(height, int) and isinstance(width, int)
  worth = min(kernel.shape[2:]) >= _CHANNELS and known and height * width * kernel.size >= FRAMES_FROM

  def plain(x, kernel):
    return jax.lax.conv_general_dilated(x, kernel, strides, padding, **options)

  def winograd(x, kernel):
    whole = jnp.pad(x, ((0, 0), (0, -height % 4), (0, -width % 4), (0, 0)))
    return _winograd(whole, kernel)[:, :height, :width]

  if tuple(strides) != (1, 1) or not worth or x.dtype != jnp.float32:
    return plain(x, kernel)
  return jax.lax.platform_dependent(x, kernel, cpu=winograd, default=plain)


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


def nearest_upsample_2x(x):
  n, h, w, c = x.shape
  return jnp.broadcast_to(x[:, :, None, :, None], (n, h, 2, w, 2, c)).reshape(n, 2 * h, 2 * w, c)
