"""What would a model of contrast vision say? Chen and Blum's Qcb (2009), Chen and Varshney's Qcv (2007).

Both filter the whole image in the frequency domain, whose grid depends on the size: unlike the other measures these
take (sources [K, H, W], fused [H, W]) that fill their arrays, and one program is compiled per size. Grey levels 0..255;
each image is stretched to that range first, so that a flat one gives NaN (0/0), a black one only in Qcb.
"""

import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.metrics import canvas
from dig2dig_jax.metrics.canvas import Size

_BLOCK = 16  # Qcv: side of the blocks that are compared


def q_cb(sources: jax.Array, fused: jax.Array, size: Size) -> jax.Array:
  """Qcb, 0..1: agreement of local contrast, each source weighted by its own squared contrast.

  Contrast |G_2 * x / G_4 * x - 1| of the image filtered by exp(-(r/15.387)^2) - 0.7622 exp(-(r/1.3456)^2), masked by
  c^3 / (c^2 + 1e-4).
  """
  images = _stretched(sources, fused, size)
  radius = _radius(images.shape, 30)
  images = _in_frequency(images, np.exp(-((radius / 15.387) ** 2)) - 0.7622 * np.exp(-((radius / 1.3456) ** 2)))
  padded = jnp.pad(images, ((0, 0), (15, 15), (15, 15)))
  offset = np.arange(-15, 16)
  # Not normalised over the window, as the original: the Gaussians' ratio at the border is part of the definition.
  fine, coarse = (
    canvas.correlate(padded, np.exp(-(offset**2) / (2 * s**2)) / (np.sqrt(2 * np.pi) * s)) for s in (2, 4)
  )
  contrast = jnp.abs(fine / coarse - 1)
  masked = contrast**3 / (contrast**2 + 1e-4)
  source, target = masked[:-1], masked[-1:]
  kept = jnp.where(source < target, source / target, target / source)
  weight = source**2
  return jnp.mean(jnp.sum(weight * kept, axis=0) / jnp.sum(weight, axis=0))


def q_cv(sources: jax.Array, fused: jax.Array, size: Size) -> jax.Array:
  """Qcv, 0 for the sources themselves, unbounded: mean square of the difference X - F as the eye filters it, over
  16 x 16 blocks (the last ones filled with zeros), weighted by the block's sum of Sobel strength^5."""
  images = _stretched(sources, fused, size)
  across, down = canvas.sobel(images[:-1], size, "zero")
  saliency = _blocks(jnp.sqrt(across**2 + down**2) ** 5)
  radius = _radius(images.shape, 8)
  sensitivity = 2.6 * (0.0192 + 0.144 * radius) * np.exp(-((0.144 * radius) ** 1.1))
  distance = _blocks(_in_frequency(images[:-1] - images[-1:], sensitivity) ** 2) / _BLOCK**2
  return jnp.sum(saliency * distance) / jnp.sum(saliency)


def _stretched(sources: jax.Array, fused: jax.Array, size: Size) -> jax.Array:
  """[K + 1, H, W]: each image from its smallest to its largest value to 0..255, rounded."""
  if size != fused.shape:
    raise ValueError(f"expected images that fill their arrays {fused.shape}, found the size {size}")
  images = jnp.concatenate([sources, fused[None]])
  lowest, highest = images.min(axis=(1, 2), keepdims=True), images.max(axis=(1, 2), keepdims=True)
  # MATLAB rounds halves up, after a true division: without the first barrier XLA multiplies by the reciprocal, without
  # the second it may add the half before the product is rounded, and ties fall the other way.
  span = jax.lax.optimization_barrier(jnp.broadcast_to(highest - lowest, images.shape))
  stretched = jax.lax.optimization_barrier((images - lowest) / span * 255)
  return jnp.where(highest == 0, 0, jnp.floor(stretched + 0.5))


def _radius(shape: tuple[int, ...], divisor: float) -> np.ndarray:
  """Distance from zero frequency in the order of the FFT, the Nyquist frequency of a side n at n / divisor."""
  rows, columns = (np.fft.fftfreq(n) * 2 * n / divisor for n in shape[-2:])
  return np.hypot(rows[:, None], columns[None])


def _in_frequency(images: jax.Array, gain: np.ndarray) -> jax.Array:
  spectrum = jnp.fft.fft2(images)
  return jnp.fft.ifft2(spectrum * jnp.asarray(gain, images.dtype)[None]).real


def _blocks(x: jax.Array) -> jax.Array:
  """Sums over blocks: [K, H, W] -> [K, rows, columns]."""
  rows, columns = (-(-n // _BLOCK) for n in x.shape[1:])
  x = jnp.pad(x, ((0, 0), (0, rows * _BLOCK - x.shape[1]), (0, columns * _BLOCK - x.shape[2])))
  return x.reshape(x.shape[0], rows, _BLOCK, columns, _BLOCK).sum(axis=(2, 4))
