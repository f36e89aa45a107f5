"""How blurred, or how much enlarged, is a source? Estimated from its power spectrum.

Scenes have spectra near a / f^b with b about 2.5 (Field 1987; van der Schaaf and van Hateren 1996). A Gaussian blur of
s pixels multiplies that by exp(-4 pi^2 s^2 f^2); enlarging from a coarser grid cuts it off at the coarser grid's limit,
with its mirror image beyond. A scene that was soft before it was enlarged has both. The highest frequencies contain
only noise, or the rounding to whole levels. Each candidate thus predicts a curve, and the closest one is taken if it is
clearly the closest; NumPy, once per image.
"""

import functools
from typing import NamedTuple

import numpy as np
from scipy.fft import dctn

from dig2dig_jax.restoration.operators import KERNELS, enlarged_matrices

_BINS = 40  # of the frequencies 0 to 1/2 per pixel
_LEAST_SIDE = 96  # pixels, for sufficiently smooth curves
_LOWEST = 0.03  # frequency: below, a scene's composition counts
_FALL = np.linspace(1.5, 3.5, 11)  # b
_USUAL, _UNUSUAL = 2.5, 0.05  # b, and what its square distance costs
_FAR = 2.0  # natural logarithm of a power, at which distances saturate
_OWN_BLUR = 0.6  # pixels: blur of a sharp camera image
_LEAST_BLUR = 1.25  # pixels, beyond that
_SCALES = (2, 3, 4)
_SOFT = (0.0, 0.6, 0.9, 1.2, 1.5, 1.8)  # pixels: blur of a scene before it was enlarged
_UNLIKELY = 0.35  # what the square of that costs, in coarser pixels
_QUIET = 1.0  # squared levels of 255: with more noise, nothing is detected
_BLOCKY = 1.15  # step across a border of blocks to those within
_SURE = 0.7  # error of the nearest enlargement to that of the nearest blur, at most
_RATHER = 0.9  # error of the nearest blur to that of the nearest enlargement, at most
_CLOSE = 0.2  # error of either, at most


class Lost(NamedTuple):
  """blur: standard deviation of a Gaussian, pixels; 0 for none. scale: the image was enlarged by it with `kernel`; 1
  for none. sigma: standard deviation of the noise in it, [-1, 1], the rounding's at least."""

  blur: float = 0.0
  scale: int = 1
  kernel: str = ""
  sigma: float = 0.0

  @property
  def stages(self) -> str:
    """In the syntax of `--degradation`; empty where nothing was lost."""
    return f"blur({self.blur:g})" if self.blur else f"enlarged({self.scale},{self.kernel})" if self.scale > 1 else ""


def estimate(image: np.ndarray) -> Lost:
  """Of an image [H, W] in [-1, 1]. Nothing if it is too small, too noisy, or no curve is clearly the closest."""
  if min(image.shape) < _LEAST_SIDE:
    return Lost()
  # In whole levels, as most images are stored: finer values depend on the format and carry no information.
  levels = np.rint(127.5 * (np.asarray(image, np.float64) + 1))
  power = _radial(levels)
  floor = float(np.median(power[-4:]))
  if not np.all(power > 0) or floor > _QUIET:
    return Lost()
  floor = max(min(floor, power[_known()].min()), 1 / 12)
  names, curves, costs = _candidates()
  errors = _errors(np.log(power), curves, floor) + costs
  kinds = np.array([name[0] for name in names])
  found, other = (np.where(kinds == kind, errors, np.inf) for kind in ("blur", "scale"))
  sigma = np.sqrt(floor) / 127.5
  if other.min() < min(_SURE * found.min(), _CLOSE) and not _is_blocky(levels):
    _, scale, kernel, _ = names[other.argmin()]
    return Lost(scale=scale, kernel=kernel, sigma=sigma)
  blur = names[found.argmin()][1]
  beyond = np.sqrt(max(blur**2 - _OWN_BLUR**2, 0))
  if beyond >= _LEAST_BLUR and found.min() < min(_RATHER * other.min(), _CLOSE):
    return Lost(blur=round(float(beyond), 2), sigma=sigma)
  return Lost()


def _is_blocky(levels: np.ndarray) -> bool:
  """Whether neighbours differ more across the borders of 8 x 8 blocks: JPEG, which cuts high frequencies off itself."""
  for axis in (0, 1):
    steps = np.abs(np.diff(levels, axis=axis)).mean(axis=1 - axis)
    # Half a block away, which is the same phase of any enlargement by 2 or 4.
    across, within = (steps[first::8].mean() for first in (7, 3))
    if across > _BLOCKY * within:
      return True
  return False


def _frequencies() -> np.ndarray:
  return (np.arange(_BINS) + 0.5) / (2 * _BINS)


def _known() -> np.ndarray:
  return _frequencies() > _LOWEST


def _radial(levels: np.ndarray) -> np.ndarray:
  """[_BINS] mean power of the cosine transform, in which noise of variance v has v, by frequency."""
  return _by_frequency(np.square(dctn(levels - levels.mean(), norm="ortho")))


def _by_frequency(power: np.ndarray) -> np.ndarray:
  """[_BINS] means of the power [H, W] of a cosine transform."""
  index = np.minimum(_of_coefficients(power.shape) * 2 * _BINS, _BINS).astype(int).ravel()
  total, count = (np.bincount(index, weights, _BINS + 1)[:_BINS] for weights in (power.ravel(), None))
  return total / np.maximum(count, 1)


def _of_coefficients(size: tuple[int, ...]) -> np.ndarray:
  """The frequency of each coefficient of a cosine transform."""
  rows, columns = (np.arange(side) / (2 * side) for side in size)
  return np.hypot(rows[:, None], columns)


@functools.cache
def _candidates() -> tuple[list[tuple], np.ndarray, np.ndarray]:
  """Names (kind, amount, ...), the logarithms [C, _BINS] of what each multiplies a spectrum by, and what each costs [C]
  for being unusual."""
  names: list[tuple] = [("blur", blur) for blur in np.round(np.arange(0, 4.55, 0.1), 1)]
  curves, costs = [_blurring(blur, _frequencies()) for _, blur in names], [0.0] * len(names)
  for scale in _SCALES:
    for kernel in KERNELS:
      names += [("scale", scale, kernel, soft) for soft in _SOFT]
      curves += _enlarging(scale, kernel)
      costs += [_UNLIKELY * (soft / scale) ** 2 for soft in _SOFT]
  return names, np.stack(curves), np.array(costs)


def _blurring(blur: float, frequency: np.ndarray) -> np.ndarray:
  return -4 * np.pi**2 * blur**2 * frequency**2


def _enlarging(scale: int, kernel: str, side: int = 288) -> list[np.ndarray]:
  """Of an enlargement after each blur of `_SOFT`, the expected power of random fields with the spectrum of scenes:
  their coefficients are independent."""
  rows, columns = (np.square(dctn(matrix, norm="ortho")) for matrix in enlarged_matrices((side, side), scale, kernel))
  frequency = _of_coefficients((side, side))
  scene = np.maximum(frequency, 1 / (2 * side)) ** -_USUAL
  scene[0, 0] = 0
  return [np.log(_by_frequency(rows @ (scene * np.exp(_blurring(soft, frequency))) @ columns.T) / _by_frequency(scene))
          for soft in _SOFT]  # fmt: skip


def _errors(power: np.ndarray, curves: np.ndarray, floor: float) -> np.ndarray:
  """[C] mean squared distance of the logarithms at the best a and b; infinite where too little is above the floor."""
  known = _known()
  model = curves[:, None] - _FALL[:, None] * np.log(_frequencies())  # [C, B, _BINS]
  above = known & (power > np.log(3 * floor))
  if above.sum() < 5:
    return np.full(len(curves), np.inf)
  level = np.median((power - model)[..., above], axis=-1, keepdims=True)
  distance = np.clip(power - np.logaddexp(model + level, np.log(floor)), -_FAR, _FAR)[..., known]
  return (np.mean(np.square(distance), axis=-1) + _UNUSUAL * np.square(_FALL - _USUAL)).min(axis=-1)
