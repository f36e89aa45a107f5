"""What would another sensor, another focal plane or another exposure show of an image? Made of it, registered to the
pixel."""

import cv2
import numpy as np

_BUMPS = 4  # of a smooth random field, along each side
_KNOTS = 5  # of a tone curve
_BLEND = 4.0  # how sharply one curve gives way to another along it
_EDGE = 12.0  # how sharply focus changes along it
_DEFOCUS = 0.004, 0.012  # radius of the disc, a share of the longer side
_STOPS = 1.0, 2.5  # an exposure is longer or shorter by
_GAMMA, _NOISE = 2.2, 0.002  # of the sensor, noise as a share of its range


def sensor(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  """What another sensor might see of uint8 [H, W], registered to the pixel: two tone curves that rise and fall, each
  where a smooth random field says, softer edges, noise."""
  tones = np.linspace(0, 255, _KNOTS)
  curves = [np.interp(image, tones, rng.uniform(0, 255, _KNOTS)) for _ in range(2)]
  share = 1 / (1 + np.exp(-_BLEND * _field(image.shape, rng)))
  made = cv2.GaussianBlur(share * curves[0] + (1 - share) * curves[1], (0, 0), rng.uniform(0.7, 1.8))
  return digital(made + rng.normal(scale=3, size=made.shape))


def focal_planes(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
  """uint8 [H, W] twice: what is in focus in one is blurred by a disc in the other, as a smooth random field says."""
  share, radius = 1 / (1 + np.exp(-_EDGE * _field(image.shape, rng))), rng.uniform(*_DEFOCUS) * max(image.shape)
  reach = np.arange(-np.ceil(radius), np.ceil(radius) + 1)
  disc = np.clip(radius + 0.5 - np.hypot(reach, reach[:, None]), 0, 1)
  blurred = cv2.filter2D(np.float32(image), -1, disc / disc.sum(), borderType=cv2.BORDER_REFLECT)
  first, second = (digital(part * image + (1 - part) * blurred + rng.normal(size=image.shape))
                   for part in (share, 1 - share))  # fmt: skip
  return first, second


def exposures(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
  """uint8 [H, W] twice: as many stops above the image's own exposure and below, clipped, with the noise of each."""
  light, factor = (image / 255.0) ** _GAMMA, 2 ** rng.uniform(*_STOPS)
  noisy = (np.clip(gain * light + rng.normal(scale=_NOISE, size=image.shape), 0, 1) for gain in (factor, 1 / factor))
  longer, shorter = (digital(255 * one ** (1 / _GAMMA)) for one in noisy)
  return longer, shorter


def digital(image: np.ndarray) -> np.ndarray:
  """Rounded and clipped to uint8."""
  return np.uint8(np.clip(np.rint(image), 0, 255))


def _field(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
  """Float32 [H, W]: smooth and random."""
  bumps = rng.normal(size=(_BUMPS, _BUMPS)).astype(np.float32)
  return cv2.resize(bumps, size[::-1], interpolation=cv2.INTER_CUBIC)
