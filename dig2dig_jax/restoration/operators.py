"""How was a source degraded? Linear operators A with their adjoint and their regularised inverse.

A source is observed as z = A y + n with n ~ N(0, sigma^2 I). All that guidance needs of A is
`solve(r, rho) = A^T (A A^T + rho I)^-1 r`: at rho = 0 the pseudo-inverse of r; with rho = sigma^2 / r_t^2 the step that
minimises |z - A x|^2 / sigma^2 + |x - x0|^2 / r_t^2 from x0, for r = z - A x0 (DiffPIR, arXiv 2305.08995, Eq. 12).
Images are float32 [H, W, C]; constructors take the clean image's size (H, W) and compute in float64 once. Singular
values below `CUT` of the largest count as zero: inverting them would amplify rounding errors, not detail.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.errors import UserError
from dig2dig_jax.ops.arrays import Array
from dig2dig_jax.ops.filters import gaussian_kernel

CUT = 1e-3
Size = tuple[int, int]


class Operator(NamedTuple):
  """`apply [H, W, C] -> [h, w, C]`, `adjoint [h, w, C] -> [H, W, C]`, `solve([h, w, C], rho) -> [H, W, C]`."""

  apply: Callable[[Array], Array]
  adjoint: Callable[[Array], Array]
  solve: Callable[[Array, Array | float], Array]
  size: Size  # of its input
  observed: Size  # of its output

  def pinv(self, residual: Array) -> Array:
    """The pseudo-inverse."""
    return self.solve(residual, 0.0)


def identity(size: Size) -> Operator:
  """Nothing but noise."""
  return Operator(lambda x: x, lambda z: z, lambda r, rho: r / (1 + rho), size, size)


def masked(mask: np.ndarray) -> Operator:
  """Inpainting: mask [H, W], 1 where a pixel is known, else 0. Adjoint and pseudo-inverse are the mask."""
  if not np.isin(mask, (0, 1)).all():
    raise ValueError("mask: expected zeros and ones")
  keep = jnp.asarray(mask, jnp.float32)[..., None]
  return Operator(lambda x: keep * x, lambda z: keep * z, lambda r, rho: keep * r / (1 + rho), mask.shape, mask.shape)


def dropped_lines(size: Size, *, rows: tuple[int, ...] = (), columns: tuple[int, ...] = ()) -> Operator:
  """Dead rows and columns of a detector, by index. UserError for one outside the image."""
  mask = np.ones(size)
  for axis, lines in enumerate((rows, columns)):
    for line in lines:
      if not 0 <= line < size[axis]:
        kind, word = (("rows", "row"), ("columns", "column"))[axis]
        raise UserError(f"--degradation={kind}(...): dead {word} {line}: expected 0 to {size[axis] - 1} in an image of "
                        f"{size}")  # fmt: skip
  mask[list(rows)] = 0
  mask[:, list(columns)] = 0
  return masked(mask)


class Factors(NamedTuple):
  """Singular value decompositions of R = u diag v and C, arrays: an operator's only size-dependent part, which compiled
  programs take as an argument."""

  u: Array
  v: Array
  u_c: Array
  v_c: Array
  spectrum: Array
  kept: Array


def factors(rows: np.ndarray, columns: np.ndarray) -> Factors:
  """Of A x = R x C^T with R [h, H] and C [w, W]: its singular values are the products of theirs."""
  (left, s_rows, right), (left_c, s_columns, right_c) = (
    np.linalg.svd(np.asarray(matrix, np.float64), full_matrices=False) for matrix in (rows, columns)
  )
  spectrum = s_rows[:, None] * s_columns
  kept = spectrum > CUT * spectrum.max()
  found = left, right, left_c, right_c, np.where(kept, spectrum, 0)[..., None], kept[..., None]
  return Factors(*(jnp.asarray(array, jnp.float32) for array in found))


def separable(rows: np.ndarray, columns: np.ndarray) -> Operator:
  """A x = R x C^T with R [h, H] and C [w, W]."""
  return of_factors(factors(rows, columns))


def of_factors(found: Factors) -> Operator:
  """The operator that `factors` were taken of. The cut is part of it: it has exactly the singular values that its
  inverses invert."""
  u, v, u_c, v_c, spectrum, kept = found

  def apply(x):
    return _sides(u, spectrum * _sides(v, x, v_c), u_c)

  def from_left(z):
    return _sides(u.T, z, u_c.T)

  def adjoint(z):
    return _sides(v.T, spectrum * from_left(z), v_c.T)

  def solve(r, rho):
    scale = spectrum / jnp.where(kept > 0, spectrum**2 + rho, 1)
    return _sides(v.T, scale * from_left(r), v_c.T)

  return Operator(apply, adjoint, solve, (v.shape[1], v_c.shape[1]), (u.shape[0], u_c.shape[0]))


def _sides(left: Array, x: Array, right: Array) -> Array:
  """left [a, H], x [H, W, C], right [b, W] -> left x right^T [a, b, C]."""
  y = jnp.einsum("ah,hwc->awc", left, x, precision=jax.lax.Precision.HIGHEST)
  return jnp.einsum("bw,awc->abc", right, y, precision=jax.lax.Precision.HIGHEST)


def gaussian_blur(size: Size, sigma: float) -> Operator:
  """Gaussian of standard deviation `sigma` pixels, mirrored at the borders."""
  return separable(*blur_matrices(size, sigma))


def blur_matrices(size: Size, sigma: float) -> tuple[np.ndarray, np.ndarray]:
  """R and C of `gaussian_blur`."""
  taps = gaussian_kernel(sigma)
  _check_kernel(len(taps), len(taps), size)
  return _band_matrix(taps, size[0]), _band_matrix(taps, size[1])


def _band_matrix(taps: np.ndarray, side: int) -> np.ndarray:
  radius = len(taps) // 2
  reach = np.pad(np.arange(side), radius, mode="symmetric")
  matrix = np.zeros((side, side))
  for shift, tap in enumerate(taps):
    np.add.at(matrix, (np.arange(side), reach[shift : shift + side]), tap)
  return matrix


def blur(size: Size, kernel: np.ndarray) -> Operator:
  """Any kernel [a, b] of odd sides, centred; the image repeats at its borders (circular), so that FFT is exact."""
  kernel = np.asarray(kernel, np.float64)
  if kernel.ndim != 2 or kernel.shape[0] % 2 == 0 or kernel.shape[1] % 2 == 0:
    raise UserError(f"--degradation=kernel(...): expected two odd sides, found {kernel.shape}; pad it with zeros")
  _check_kernel(kernel.shape[0], kernel.shape[1], size)
  padded = np.zeros(size)
  padded[: kernel.shape[0], : kernel.shape[1]] = kernel[::-1, ::-1]  # correlation, as filters are usually given
  response = np.fft.rfft2(np.roll(padded, (-(kernel.shape[0] // 2), -(kernel.shape[1] // 2)), axis=(0, 1)))
  large = np.abs(response) > CUT * np.abs(response).max()
  otf, kept = jnp.asarray(np.where(large, response, 0), jnp.complex64)[..., None], jnp.asarray(large)[..., None]

  def filtered(x, response):
    return jnp.fft.irfft2(response * jnp.fft.rfft2(x, axes=(0, 1)), s=size, axes=(0, 1))

  def solve(r, rho):
    return filtered(r, jnp.conj(otf) / jnp.where(kept, jnp.abs(otf) ** 2 + rho, 1))

  return Operator(lambda x: filtered(x, otf), lambda z: filtered(z, jnp.conj(otf)), solve, size, size)


def motion_blur(size: Size, length: int, angle: float) -> Operator:
  """A straight motion of `length` pixels (odd) at `angle` degrees, anticlockwise from the horizontal."""
  if length < 1 or length % 2 == 0:
    raise UserError(f"motion blur: expected an odd length in pixels, found {length}")
  import cv2  # imported here, since plain fusion does not need it

  line = np.zeros((length, length))
  line[length // 2] = 1
  turned = cv2.warpAffine(line, cv2.getRotationMatrix2D((length // 2, length // 2), angle, 1), (length, length))
  return blur(size, turned / turned.sum())


def average_downsample(size: Size, scale: float) -> Operator:
  """Means of scale x scale pixels, as a detector with larger pixels sees. Of a whole scale a last block may be smaller;
  of any other the sides are rounded, and each axis has the scale that this makes."""
  _check_scale(scale, size)
  return separable(*(average_matrix(side, *_coarse(side, scale)) for side in size))


def _coarse(side: int, scale: float) -> tuple[int, float]:
  """(pixels that are left of `side`, the exact scale along it)."""
  if float(scale).is_integer():
    return -(-side // int(scale)), float(scale)
  coarse = max(1, round(side / scale))
  return coarse, side / coarse


def average_matrix(side: int, coarse: int, scale: float) -> np.ndarray:
  """[coarse, side]: pixel i is the mean from i scale to (i + 1) scale, with fractions of pixels as weights;
  what lies beyond the side is left out."""
  edges = np.minimum(np.arange(coarse + 1) * scale, side)
  left = np.arange(side)
  shared = np.minimum(edges[1:, None], left + 1) - np.maximum(edges[:-1, None], left)
  rows = np.maximum(shared, 0)
  return rows / rows.sum(axis=1, keepdims=True)


# Kernels of enlargement: weights by the distance in coarse pixels. Keys' cubic has a = -1/2 in Pillow and MATLAB,
# -3/4 in OpenCV.
KERNELS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
  "linear": lambda distance: np.maximum(1 - distance, 0),
  "cubic": lambda distance: _keys(distance, -0.5),
  "sharp": lambda distance: _keys(distance, -0.75),
}


def enlarged(size: Size, scale: int, kernel: str = "cubic") -> Operator:
  """Means of scale x scale pixels, enlarged by one of `KERNELS` to the size that they were taken at: a small detector's
  image as it comes out of a camera that fills a larger one."""
  _check_scale(scale, size)
  return separable(*enlarged_matrices(size, scale, kernel))


def enlarged_matrices(size: Size, scale: int, kernel: str = "cubic") -> tuple[np.ndarray, np.ndarray]:
  """R and C of `enlarged`."""
  if kernel not in KERNELS:
    raise UserError(f"enlarged by {kernel}: expected one of {', '.join(KERNELS)}")
  rows, columns = (_enlarging_matrix(side, scale, kernel) @ average_matrix(side, -(-side // scale), scale)
                   for side in size)  # fmt: skip
  return rows, columns


def _enlarging_matrix(side: int, scale: int, kernel: str) -> np.ndarray:
  """[side, ceil(side / scale)], mirrored at the borders."""
  coarse = -(-side // scale)
  place = (np.arange(side) + 0.5) / scale - 0.5
  weight = KERNELS[kernel](np.abs(place[:, None] - np.arange(-2, coarse + 2)))
  weight /= weight.sum(axis=1, keepdims=True)
  matrix = np.zeros((side, coarse))
  np.add.at(matrix.T, np.pad(np.arange(coarse), 2, mode="symmetric"), weight.T)
  return matrix


def bicubic_downsample(size: Size, scale: int) -> Operator:
  """Bicubic (Keys, a = -1/2) with the kernel widened by `scale` against aliasing, mirrored at the borders."""
  _check_scale(scale, size)
  return separable(*(_bicubic_matrix(side, scale) for side in size))


def _bicubic_matrix(side: int, scale: int) -> np.ndarray:
  coarse = -(-side // scale)
  centres = (np.arange(coarse) + 0.5) * scale - 0.5
  reach = np.arange(-2 * scale, side + 2 * scale)
  weight = _keys(np.abs(centres[:, None] - reach) / scale)
  weight /= weight.sum(axis=1, keepdims=True)
  mirrored = np.pad(np.arange(side), 2 * scale, mode="symmetric")
  matrix = np.zeros((coarse, side))
  np.add.at(matrix.T, mirrored, weight.T)
  return matrix


def _keys(distance: np.ndarray, a: float = -0.5) -> np.ndarray:
  near = (a + 2) * distance**3 - (a + 3) * distance**2 + 1
  far = a * (distance**3 - 5 * distance**2 + 8 * distance - 4)
  return np.where(distance <= 1, near, np.where(distance < 2, far, 0))


def compose(*operators: Operator, iterations: int = 30) -> Operator:
  """The first operator acts first. Its inverse takes `iterations` of conjugate gradients on A A^T + rho."""
  for first, second in zip(operators, operators[1:], strict=False):
    if first.observed != second.size:
      raise ValueError(f"expected an operator on {first.observed}, found one on {second.size}")

  def apply(x):
    for operator in operators:
      x = operator.apply(x)
    return x

  def adjoint(z):
    for operator in reversed(operators):
      z = operator.adjoint(z)
    return z

  def solve(r, rho):
    normal = lambda z: apply(adjoint(z)) + rho * z  # noqa: E731
    # The start is zero but not a constant, since XLA would spend seconds folding the operator applied to a constant.
    return adjoint(jax.scipy.sparse.linalg.cg(normal, r, x0=0 * r, maxiter=iterations, tol=1e-6)[0])

  return Operator(apply, adjoint, solve, operators[0].size, operators[-1].observed)


def _check_kernel(height: int, width: int, size: Size) -> None:
  if height > size[0] or width > size[1]:
    raise UserError(f"blur: expected a kernel that fits the image of {size}, found one of {(height, width)}; shrink it")


def _check_scale(scale: float, size: Size) -> None:
  if scale < 1 or scale > min(size):
    raise UserError(f"downsampling: expected a scale from 1 to the image's smaller side {min(size)}, found {scale}")
