"""Full-range BT.601 RGB <-> YCbCr.

Range: RGB and Y in [-1, 1]; Cb and Cr in [-1, 1] with 0 meaning no colour (so gray keeps chroma exactly where it is).
Layout: channel last, any leading axes. Nothing is rounded or clipped: an RGB -> YCbCr -> RGB round trip costs float32
rounding only. Full range is what JPEG, Pillow and OpenCV use; it is not the 16..235 studio range of scikit-image.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np

_KR, _KG, _KB = 0.299, 0.587, 0.114
LUMA = np.array([[_KR], [_KG], [_KB]], np.float32)  # pixels [..., 3] @ LUMA are Y [..., 1], in NumPy

# Rows of the textbook equations are columns here, because the product is `pixels @ matrix`.
_TO_YCBCR = np.array([
  [_KR, _KG, _KB],  # Y
  [-_KR / 1.772, -_KG / 1.772, (1 - _KB) / 1.772],  # Cb = (B - Y) / 1.772
  [(1 - _KR) / 1.402, -_KG / 1.402, -_KB / 1.402],  # Cr = (R - Y) / 1.402
]).T

_TO_RGB = np.array([
  [1, 0, 1.402],  # R = Y + 1.402 Cr
  [1, -1.772 * _KB / _KG, -1.402 * _KR / _KG],  # G, from Y = 0.299 R + 0.587 G + 0.114 B
  [1, 1.772, 0],  # B = Y + 1.772 Cb
]).T


def rgb_to_ycbcr(rgb: jax.Array) -> jax.Array:
  """RGB [..., 3] in [-1, 1] -> Y, Cb, Cr [..., 3], each in [-1, 1]."""
  return _product(rgb, _TO_YCBCR)


def ycbcr_to_rgb(ycbcr: jax.Array) -> jax.Array:
  """Y, Cb, Cr [..., 3] -> RGB [..., 3]. A Y that was changed may give RGB outside [-1, 1]; the caller clips."""
  return _product(ycbcr, _TO_RGB)


def luma(rgb: jax.Array) -> jax.Array:
  """RGB [..., 3] in [-1, 1] -> Y = 0.299 R + 0.587 G + 0.114 B, [..., 1] in [-1, 1]."""
  return _product(rgb, _TO_YCBCR[:, :1])


# ITU-R BT.601 in studio range, which is meant for RGB in [0, 1]. Released DDFM applies it to values in [-1, 1].
_STUDIO = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]])
_STUDIO_OFFSET = np.array([16.0, 128.0, 128.0])


def released_ycbcr(rgb: jax.Array) -> jax.Array:
  """RGB [..., 3] in [-1, 1] -> the Y, Cb, Cr [..., 3] that released DDFM works on; Y in [-0.80, 0.92]."""
  return _product(rgb, _STUDIO.T / 255) + _offset(rgb, _STUDIO_OFFSET / 255)


def from_released_ycbcr(ycbcr: jax.Array) -> jax.Array:
  """Inverse of `released_ycbcr`; nothing is clipped."""
  inverse = np.linalg.inv(_STUDIO)
  return _product(ycbcr, inverse.T * 255) - _offset(ycbcr, inverse @ _STUDIO_OFFSET)


def _offset(pixels: jax.Array, values: np.ndarray) -> jax.Array:
  return jnp.broadcast_to(jnp.asarray(values, jnp.float32), pixels.shape)


def _product(pixels: jax.Array, matrix: np.ndarray) -> jax.Array:
  pixels = jnp.asarray(pixels)
  chex.assert_axis_dimension(pixels, -1, 3)
  chex.assert_type(pixels, float)  # 0..255 integers would pass through unscaled
  dtype = jnp.promote_types(pixels.dtype, jnp.float32)
  # Written out: it melts into what comes before and after, where a matrix product of three by three takes a CPU ten
  # times as long, and GPUs and TPUs round one (TF32, bfloat16) by more than an 8-bit level.
  red, green, blue = jnp.moveaxis(pixels.astype(dtype), -1, 0)
  columns = np.asarray(matrix, np.float32).T
  return jnp.stack([r * red + g * green + b * blue for r, g, b in columns], axis=-1)
