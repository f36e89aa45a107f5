"""How busy is the fused image? Spatial frequency, average gradient and edge intensity, which know nothing of sources.

Every measure here takes (sources [K, H, W], fused [H, W], size) as `canvas` explains, grey levels 0..255, and gives a
scalar. Noise raises all of them: report them, never headline them.
"""

import jax
import jax.numpy as jnp

from dig2dig_jax.metrics import canvas
from dig2dig_jax.metrics.canvas import Size


def spatial_frequency(sources: jax.Array, fused: jax.Array, size: Size, *, divide: str = "differences") -> jax.Array:
  """SF = sqrt(mean dx^2 + mean dy^2) of neighbour differences, averaged over the differences that exist (CDD, Tang) or
  over all `"pixels"` (VIFB, MEFB: less by a fraction of a percent)."""
  del sources
  h, w = size
  across = canvas.total((fused[:, 1:] - fused[:, :-1]) ** 2, (h, w - 1))
  down = canvas.total((fused[1:] - fused[:-1]) ** 2, (h - 1, w))
  columns, rows = _divisors(size, divide)
  return jnp.sqrt(across / jnp.asarray(h * columns) + down / jnp.asarray(rows * w))


def _divisors(size, divide):
  if divide not in ("differences", "pixels"):
    raise ValueError(f'divide: expected "differences" or "pixels", found {divide!r}')
  h, w = size
  return (w - 1, h - 1) if divide == "differences" else (w, h)


def average_gradient(sources: jax.Array, fused: jax.Array, size: Size, *, divide: str = "pixels") -> jax.Array:
  """AG = mean sqrt((gx^2 + gy^2) / 2) of central differences, one-sided at the border; its sum divided by h w (CDD)
  or, for `"differences"`, by (h - 1)(w - 1) (Tang, VIFB, MEFB)."""
  del sources
  frame = canvas.framed(fused, size, "edge")
  across, down = frame[1:-1, 2:] - frame[1:-1, :-2], frame[2:, 1:-1] - frame[:-2, 1:-1]
  across = across * _half_inside(size[1], fused.shape[1], fused.dtype)[None]
  down = down * _half_inside(size[0], fused.shape[0], fused.dtype)[:, None]
  columns, rows = _divisors(size, divide)
  return canvas.total(jnp.sqrt((across**2 + down**2) / 2), size) / jnp.asarray(columns * rows)


def _half_inside(length, extent: int, dtype) -> jax.Array:
  """1/2, for a step of two pixels; 1 at both ends, where the frame repeats the pixel and the step is one."""
  index = jnp.arange(extent)
  return jnp.where(jnp.logical_or(index == 0, index == length - 1), 1, 0.5).astype(dtype)


def average_gradient_forward(sources: jax.Array, fused: jax.Array, size: Size) -> jax.Array:
  """AG of forward differences on the (h - 1)(w - 1) pixels that have both (thfylsty's "Definition")."""
  del sources
  across, down = fused[:-1, 1:] - fused[:-1, :-1], fused[1:, :-1] - fused[:-1, :-1]
  return canvas.mean(jnp.sqrt((across**2 + down**2) / 2), (size[0] - 1, size[1] - 1))


def edge_intensity(
  sources: jax.Array, fused: jax.Array, size: Size, *, border: str = "edge", gain: float = 1
) -> jax.Array:
  """EI: mean strength of the Sobel gradient [1 2 1] x [-1 0 1]. gain 1/4: scikit-image; border "zero": IVIF_ZOO."""
  del sources
  across, down = canvas.sobel(fused, size, border)
  return gain * canvas.mean(jnp.sqrt(across**2 + down**2), size)
