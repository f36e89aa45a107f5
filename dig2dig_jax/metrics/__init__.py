"""How good is a fused image? Every measure of the field in JAX, by name, with the values of the public toolkits.

Images: gray [H, W], whole levels 0..255, as `to_gray` makes them: fractions break ties that the definitions rely on.
Sources: K >= 2 of the fused image's size. `METRICS` has all names, `PROTOCOLS` those of a table. NaN means undefined
(0/0, or an image smaller than the measure's window): count it, do not average it; a PSNR may be infinite.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.metrics import baselines
from dig2dig_jax.metrics.registry import DEFAULT, METRICS, PROTOCOLS, Metric

__all__ = ["BASELINES", "DEFAULT", "METRICS", "PROTOCOLS", "Metric", "score", "score_batch", "to_gray"]

# name as tables print it -> function(sources) -> fused
BASELINES = {
  "average": baselines.average,
  "pixel maximum": baselines.pixel_maximum,
  "Laplacian pyramid": baselines.laplacian_pyramid,
  "wavelet": baselines.wavelet,
}

_MULTIPLE = 128  # sides of the arrays that images are laid into: few programs for many sizes


def score(sources, fused, metrics: Sequence[str] = DEFAULT) -> dict[str, float]:
  """The named measures of one fused image.

  Sizes that share a multiple of 128 share a program, except for the few measures that need a size of their own
  (`Metric.fills_array`).

  Args:
    sources: sequence of K >= 2 gray arrays [H, W], levels 0 to 255.
    fused: gray [H, W], levels 0 to 255.
    metrics: names of `METRICS`.

  Returns:
    {name: value}.

  Raises:
    ValueError: unless all images are grey, of equal size, with levels 0 to 255, and all names are known.
  """
  sources = [_checked(f"source {index}", source) for index, source in enumerate(sources)]
  fused = _checked("the fused image", fused)
  if len(sources) < 2:
    raise ValueError(f"expected two or more sources, found {len(sources)}")
  for index, source in enumerate(sources):
    if source.shape != fused.shape:
      raise ValueError(f"source {index}: expected the size of the fused image {fused.shape}, found {source.shape}")
  found = score_batch(np.stack(sources)[None], fused[None], metrics)
  return {name: float(values[0]) for name, values in found.items()}


def score_batch(sources, fused, metrics: Sequence[str] = DEFAULT) -> dict[str, np.ndarray]:
  """The named measures, float64 [B], of sources [B, K, H, W] and fused [B, H, W], levels 0..255, all of one size.

  Computed in float64, whatever JAX's default is: whether a patch counts as flat, and whether two edges are equally
  strong, is decided by the definitions beyond float32. The functions of METRICS keep the dtype they are given.
  """
  if unknown := [name for name in metrics if name not in METRICS]:
    raise ValueError(f"metrics: expected names among {', '.join(METRICS)}, found {unknown[0]!r}")
  sources, fused = np.asarray(sources), np.asarray(fused)
  if sources.ndim != 4 or fused.ndim != 3 or sources.shape[0::2] != (len(fused), fused.shape[1]) or (
    sources.shape[3] != fused.shape[2]
  ):
    raise ValueError(f"expected sources [B, K, H, W] and fused [B, H, W], found {sources.shape} and {fused.shape}")
  size = fused.shape[1:]
  margins = [(0, -length % _MULTIPLE) for length in size]
  padded = tuple(name for name in metrics if not METRICS[name].fills_array)
  filling = tuple(name for name in metrics if METRICS[name].fills_array)
  found = {}
  with jax.enable_x64(True):
    # Eight bits cross to the device, and become float64 there.
    if padded:
      laid = (np.pad(x.astype(np.uint8), [(0, 0)] * (x.ndim - 2) + margins) for x in (sources, fused))
      found |= _padded(padded)(*laid, np.array(size, np.int32))
    if filling:
      found |= _filling(filling)(sources.astype(np.uint8), fused.astype(np.uint8))
    found = jax.device_get(found)
  return {name: np.asarray(found[name], np.float64) for name in metrics}


@functools.cache
def _padded(names: tuple[str, ...]):
  def one(sources, fused, size):
    sources, fused = sources.astype(jnp.float64), fused.astype(jnp.float64)
    return {name: METRICS[name].function(sources, fused, (size[0], size[1])) for name in names}

  return jax.jit(jax.vmap(one, in_axes=(0, 0, None)))


@functools.cache
def _filling(names: tuple[str, ...]):
  def one(sources, fused):
    sources, fused = sources.astype(jnp.float64), fused.astype(jnp.float64)
    return {name: METRICS[name].function(sources, fused, fused.shape) for name in names}

  return jax.jit(jax.vmap(one))


def to_gray(image) -> np.ndarray:
  """RGB [H, W, 3] or gray [H, W] or [H, W, 1], uint8 or float, both in 0..255 -> float64 [H, W], whole levels 0..255.

  0.299 R + 0.587 G + 0.114 B, rounded, halves to even. ValueError for another shape or range (a [-1, 1] image, NaN).
  """
  image = np.asarray(image)
  if not (image.ndim == 2 or (image.ndim == 3 and image.shape[-1] in (1, 3))) or not image.size:
    raise ValueError(f"expected an image [H, W], [H, W, 1] or [H, W, 3], found shape {image.shape}")
  image = image.astype(np.float64)
  if not (image.min() >= 0 and image.max() <= 255):  # written so that NaN fails too
    raise ValueError(f"expected values 0..255, found [{image.min():g}, {image.max():g}]")
  if image.ndim == 3:
    # In thousandths the sum is exact, and so is every tie of the rounding.
    image = image @ [299.0, 587.0, 114.0] / 1000 if image.shape[-1] == 3 else image[..., 0]
  return np.rint(image)


def _checked(name: str, image) -> np.ndarray:
  image = np.asarray(image, np.float64)
  if image.ndim != 2 or not image.size:
    raise ValueError(f"{name}: expected a gray image [H, W], found shape {image.shape}")
  if not (image.min() >= 0 and image.max() <= 255) or np.any(image != np.rint(image)):
    raise ValueError(f"{name}: expected whole levels 0..255, found other values; pass it through to_gray")
  return image
