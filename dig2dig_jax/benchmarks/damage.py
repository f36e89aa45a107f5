"""Which unannounced degradations are benchmarked? Noise, stripes, blur and lost resolution, applied to clean images.

Images are float32 [H, W, 3] in [-1, 1], gray in three equal channels. Results are clipped and rounded to 8 bits, as in
a camera's file.
"""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

_GAIN, _READ = 0.6, 9.0  # of Poisson-Gaussian noise: variance = gain x level + read, in levels of 255


class Damage(NamedTuple):
  """make: (levels [H, W] 0..255, generator) -> levels. sigma: of its noise, if a single number describes it; else None.
  stages: in the syntax of `--degradation`."""

  make: Callable[[np.ndarray, np.random.Generator], np.ndarray]
  sigma: float | None = None
  stages: str = "none"

  def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    levels = np.clip(np.rint(self.make((image[..., 0].astype(np.float64) + 1) * 127.5, rng)), 0, 255)
    return np.repeat((levels / 127.5 - 1)[..., None], 3, axis=-1).astype(np.float32)


def _noise(sigma: float) -> Damage:
  return Damage(lambda g, rng: g + rng.normal(size=g.shape) * sigma, sigma=sigma)


def _blurred(sigma: float) -> Damage:
  return Damage(
    lambda g, _: cv2.GaussianBlur(g, (0, 0), sigma, borderType=cv2.BORDER_REFLECT), stages=f"blur({sigma:g})"
  )


def _smaller(scale: int) -> Damage:
  def make(g, _):
    size = g.shape[1], g.shape[0]
    small = cv2.resize(g, (-(-size[0] // scale), -(-size[1] // scale)), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, size, interpolation=cv2.INTER_CUBIC)

  return Damage(make, stages=f"enlarged({scale},sharp)")


KINDS: dict[str, Damage] = {
  "none": Damage(lambda g, _: g, sigma=0.0),
  **{f"noise{sigma}": _noise(sigma) for sigma in (5, 10, 15, 25, 50)},
  "poisson_gaussian": Damage(lambda g, rng: g + rng.normal(size=g.shape) * np.sqrt(_GAIN * np.maximum(g, 0) + _READ)),
  "columns": Damage(lambda g, rng: g + rng.normal(size=(1, g.shape[1])) * 8),
  "blur1.5": _blurred(1.5),
  "blur2.5": _blurred(2.5),
  "half": _smaller(2),
  "quarter": _smaller(4),
}
