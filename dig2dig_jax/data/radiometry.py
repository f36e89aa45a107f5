"""How hot is what a thermal camera counted? Planck's law as FLIR's cameras state it, and the way to the sensor undone.

A body of temperature T (kelvin) gives S(T) = R1 / (R2 (exp(B / T) - F)) - O counts. On the way to the sensor a share of
it is lost and something is added, by the surface (emissivity), half of the air, a window, and the other half:

  S = t2 (w (t1 (e S(T) + (1 - e) S(T_reflected)) + (1 - t1) S(T_air)) + (1 - w) S(T_window)) + (1 - t2) S(T_air)

The air lets through t = X exp(-sqrt(d / 2) (a1 + b1 sqrt(h))) + (1 - X) exp(-sqrt(d / 2) (a2 + b2 sqrt(h))) of it on
half of the distance d in metres, with h the water in it: the relative humidity times
exp(1.5587 + 0.06939 T - 0.00027816 T^2 + 0.00000068455 T^3), T in degrees Celsius.

Sources: FLIR's Toolkit IC2 manual for the air; Minkina and Dudzik, Infrared Thermography (2009); the tags that ExifTool
documents.
"""

from typing import NamedTuple

import numpy as np

KELVIN = 273.15  # at 0 degrees Celsius
_WATER = (1.5587, 0.06939, -0.00027816, 0.00000068455)


class Camera(NamedTuple):
  """What a file states. r1, b, f, o, r2: of Planck's law. Temperatures in kelvin, distance in metres, humidity as a
  share, alpha, beta and x of the air. The defaults leave everything out but Planck's law."""

  r1: float
  b: float
  f: float
  o: float
  r2: float
  emissivity: float = 1.0
  reflected: float = 293.15
  distance: float = 0.0
  air: float = 293.15
  humidity: float = 0.0
  window: float = 293.15
  transmission: float = 1.0
  alpha: tuple[float, float] = (0.0, 0.0)
  beta: tuple[float, float] = (0.0, 0.0)
  x: float = 0.0

  def is_usable(self) -> bool:
    """Whether Planck's law is there and everything is a number that can be."""
    numbers = [*self[:12], *self.alpha, *self.beta, self.x]
    shares = (self.emissivity, self.transmission)
    warm = (self.reflected, self.air, self.window)
    return bool(
      np.isfinite(numbers).all() and min(self.r1, self.b, self.r2) > 0 and all(0 < share <= 1 for share in shares)
      and all(0 < kelvin < 1e5 for kelvin in warm) and self.distance >= 0 and 0 <= self.humidity <= 1
    )  # fmt: skip


def celsius(counts: np.ndarray, camera: Camera) -> np.ndarray:
  """float32 temperatures in degrees Celsius of counts of any shape; NaN where the law gives none."""
  def seen(kelvin):
    return camera.r1 / (camera.r2 * (np.exp(camera.b / kelvin) - camera.f)) - camera.o

  through, air, w, e = _through(camera), seen(camera.air), camera.transmission, camera.emissivity
  with np.errstate(all="ignore"):
    signal = (counts.astype(np.float64) - (1 - through) * air) / through
    signal = (signal - (1 - w) * seen(camera.window)) / w
    signal = (signal - (1 - through) * air) / through
    signal = (signal - (1 - e) * seen(camera.reflected)) / e
    law = np.log(camera.r1 / (camera.r2 * (signal + camera.o)) + camera.f)
    kelvin = np.where(law > 0, camera.b / law, np.nan)
  return (kelvin - KELVIN).astype(np.float32)


def _through(camera: Camera) -> float:
  """The share of the body's radiation that half of the air transmits."""
  water = camera.humidity * np.exp(np.polynomial.polynomial.polyval(camera.air - KELVIN, _WATER))
  parts = [np.exp(-np.sqrt(camera.distance / 2) * (a + b * np.sqrt(water)))
           for a, b in zip(camera.alpha, camera.beta, strict=True)]  # fmt: skip
  return float(camera.x * parts[0] + (1 - camera.x) * parts[1])
