"""How does a CPU compute a convolution faster than its library does? Exact rearrangements, up to rounding.

All take the place of `jax.lax.conv_general_dilated` in a Flax convolution of stride 1 and padding 1, layout N H W C.
Other devices, whose libraries choose such algorithms themselves, run the plain convolution.
"""

import jax
import jax.numpy as jnp
import numpy as np

# Multiply-adds of a convolution of one image from which Winograd's form repays its longer compilation, about 0.2 s.
WINOGRAD_FROM = 10**9
# F(4, 3) of Lavin & Gray 2016 (arXiv 1509.09308): 4 outputs of a 3-tap filter by 6 multiplications instead of 12.
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
  if tuple(strides) != (1, 1) or not large or x.dtype != jnp.float32 or x.shape[1] % 4:
    return plain(x, kernel)
  return jax.lax.platform_dependent(x, kernel, cpu=_winograd, default=plain)


def _winograd(x, kernel):
  """F(4, 3) along the rows, and plain sums along a row: half the multiplications, and six convolutions to compile,
  where the two-dimensional form has a quarter and thirty-six, and is no faster for what its transforms move."""
  n, height, width, _ = x.shape
  rows = jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)))
  inputs = _combined(_INPUT, [rows[:, first : first + height - 3 : 4] for first in range(6)])
  taps = _combined(_KERNEL, [kernel[tap : tap + 1] for tap in range(3)])
  layout = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}
  products = [
    jax.lax.conv_general_dilated(part, tap, (1, 1), ((0, 0), (1, 1)), **layout)
    for part, tap in zip(inputs, taps, strict=True)
  ]
  return jnp.stack(_combined(_OUTPUT, products), axis=2).reshape(n, height, width, -1)


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


def upsampled_conv(x, kernel, strides, padding, **options):
  """A convolution of `nearest_upsample_2x(x)`. On a CPU, by 4/9 of the multiplications: as each output pixel sees only
  2 x 2 different inputs, the kernel's taps on equal pixels are added first."""

  def plain(x, kernel):
    return jax.lax.conv_general_dilated(nearest_upsample_2x(x), kernel, strides, padding, **options)

  return jax.lax.platform_dependent(x, kernel, cpu=_by_parity, default=plain)


def _by_parity(x, kernel):
  n, height, width, _ = x.shape
  rows = []
  for row, taps in enumerate(_taps_of_parity(kernel, axis=0)):
    columns = [
      jax.lax.conv_general_dilated(
        x, tap, (1, 1), ((1 - row, row), (1 - column, column)), dimension_numbers=("NHWC", "HWIO", "NHWC")
      )
      for column, tap in enumerate(_taps_of_parity(taps, axis=1))
    ]
    rows.append(jnp.stack(columns, axis=3))
  return jnp.stack(rows, axis=2).reshape(n, 2 * height, 2 * width, -1)


def _taps_of_parity(kernel, axis: int):
  """The two taps along `axis` for even outputs and for odd ones: (k0, k1 + k2) and (k0 + k1, k2)."""
  first, middle, last = (jax.lax.slice_in_dim(kernel, tap, tap + 1, axis=axis) for tap in range(3))
  return jnp.concatenate([first, middle + last], axis), jnp.concatenate([first + middle, last], axis)


def nearest_upsample_2x(x):
  n, h, w, c = x.shape
  return jnp.broadcast_to(x[:, :, None, :, None], (n, h, 2, w, 2, c)).reshape(n, 2 * h, 2 * w, c)
