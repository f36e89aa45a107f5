"""Is an image a number in the colours of a palette, and which number is it? Thermal cameras save what they show.

Where its colours lie on the curve that a known palette is in the space of colours, each pixel gets the place on the
curve that is nearest to it. Distances are of luminance and, for what a JPEG loses of it, of 0.6 of chroma.
Photographs are told from it by how close nearly all of their pixels would have to lie, and by how much of the curve
they would have to cover, its hue turning. How close is asked of the flatter half: a JPEG's chroma of half the size
mixes colours across edges.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from dig2dig_jax.data import palettes
from dig2dig_jax.errors import UserError

WORDS = ("auto", "off")
_FEATURES = np.float32([[0.299, 0.587, 0.114], [-0.1013, -0.1988, 0.3], [0.3, -0.2512, -0.0488]]).T
_LOOKED_AT = 3000  # pixels, evenly over the image
_COLOURED, _SHARE = 24, 0.25  # levels between the channels of a pixel, and of the pixels that have as much
_MEDIAN, _NEARLY_ALL = 4, 13  # levels of 255: the largest distance of half, and of nine tenths, of the coloured pixels
_WITH_EDGES = 40  # levels: the same of nine tenths of all coloured pixels, the flat ones and those at edges
_OTHERS = 24  # levels: the same of nine tenths of all pixels: the gray ends of a palette belong to it
_COVERED = 0.35  # of the curve, between what 2 % of the coloured pixels lie below and above,
_HUES = np.radians(45)  # that its hue turns by there: red light in the dark runs from black by red to orange
_PLACES, _FEWEST = 16, 6  # parts of the curve, and how many of them have coloured pixels
_CHUNK = 1 << 14  # colours compared at once


def to_values(samples: np.ndarray, how: str) -> tuple[np.ndarray, str]:
  """(the values behind the palette, uint8 [H, W, 1], or the samples as they were; what was done, a clause for the user,
  empty for nothing). samples: [H, W, C] of any type, of which 8-bit colour alone can be of a palette. how: `auto`,
  `off`, or a palette's name."""
  if how == "off" or samples.dtype != np.uint8 or samples.shape[-1] != 3:
    return samples, ""
  if how != "auto":
    return _inverted(samples, how), f"taken back through the palette {how}, as asked"
  colours, spreads = _sampled(samples)
  if np.mean(_is_coloured(colours)) < _SHARE:
    return samples, ""
  name = _recognised(colours, spreads)
  if name is None:
    return samples, "in colours of no palette that is known, and read by luminance (--palette= names one)"
  return _inverted(samples, name), f"in the colours of the palette {name}, and read as the values behind them"


def recognise(samples: np.ndarray) -> str | None:
  """The palette's name; None for gray, for colours of another kind, and for what is not uint8 [H, W, 3]."""
  if samples.dtype != np.uint8 or samples.shape[-1] != 3:
    return None
  return _recognised(*_sampled(samples))


def parse(text: str, sources: Sequence[str], shown: Sequence[str]) -> dict[str, str]:
  """{source: `auto` or a palette's name}, of the sources whose palette is looked for. text: `auto`, `off`, a name, for
  the sources `shown`; or SOURCE:... for any. UserError for what cannot be read."""
  found: dict[str, str] = {}
  for entry in filter(None, (part.strip() for part in text.split(","))):
    source, colon, value = entry.partition(":")
    names = [source] if colon and source in sources else list(shown)
    value = value if colon and source in sources else entry
    if value not in (*WORDS, *palettes.NAMES):
      raise UserError(f"--palette={entry}: expected auto, off or one of {', '.join(palettes.NAMES)}, alone or as "
                      f"SOURCE:... with a source of {', '.join(sources)}")  # fmt: skip
    if not names and value not in WORDS:
      raise UserError(f"--palette={entry}: expected the source that uses it, found none known to be thermal;  "
                      f"write --palette={sources[0]}:{value}")
    found |= dict.fromkeys(names, value)
  return {source: how for source, how in found.items() if how != "off"}


def _sampled(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """(colours [N, 3], by how many levels the 3 x 3 pixels around each differ [N])."""
  step = max(1, int(np.sqrt(samples[..., 0].size / _LOOKED_AT)))
  around = np.ones((3, 3), np.uint8)
  spread = (cv2.dilate(samples, around).astype(np.int16) - cv2.erode(samples, around)).max(axis=-1)
  colours, spreads = (one[step // 2 :: step, step // 2 :: step] for one in (samples, spread))
  return colours.reshape(-1, 3), spreads.ravel()


def _is_coloured(colours: np.ndarray) -> np.ndarray:
  return colours.max(axis=-1).astype(np.int16) - colours.min(axis=-1) > _COLOURED


def _recognised(colours: np.ndarray, spreads: np.ndarray) -> str | None:
  coloured = _is_coloured(colours)
  if not coloured.size or coloured.mean() < _SHARE:
    return None
  flat = spreads <= np.median(spreads[coloured])
  fits = []
  for name in palettes.NAMES:
    places, distances = _nearest(colours, name)
    own, where = distances[coloured & flat], places[coloured]
    median, most = np.quantile(own, [0.5, 0.9])
    low, high = np.quantile(where, [0.02, 0.98])
    parts = np.bincount(where * _PLACES // 256, minlength=_PLACES) > 0.004 * len(where)
    if (median <= _MEDIAN and most <= _NEARLY_ALL
        and np.quantile(distances[coloured], 0.9) <= _WITH_EDGES and np.quantile(distances[flat], 0.9) <= _OTHERS
        and high - low >= 255 * _COVERED and parts.sum() >= _FEWEST and _turn(name, low, high) >= _HUES):  # fmt: skip
      fits.append((float(distances[flat].mean()), name))
  return min(fits)[1] if fits else None


def _turn(name: str, low: float, high: float) -> float:
  """By how much the hue of a palette turns between two places, in radians."""
  _, blue, red = (palettes.table(name)[int(low) : int(high) + 1].astype(np.float32) @ _FEATURES).T
  coloured = np.hypot(blue, red) > 1
  return float(np.abs(np.diff(np.unwrap(np.arctan2(red, blue)[coloured]))).sum()) if coloured.sum() > 1 else 0.0


def _nearest(colours: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
  """(the nearest place in the palette's table, its distance) of colours uint8 [N, 3]."""
  own, table = (one.astype(np.float32) @ _FEATURES for one in (colours, palettes.table(name)))
  squares = (own**2).sum(axis=-1)[:, None] - 2 * own @ table.T + (table**2).sum(axis=-1)
  places = squares.argmin(axis=-1)
  return places, np.sqrt(np.maximum(np.take_along_axis(squares, places[:, None], axis=-1)[:, 0], 0))


def _inverted(samples: np.ndarray, name: str) -> np.ndarray:
  packed = samples.astype(np.uint32) @ np.uint32([1 << 16, 1 << 8, 1])
  found, of_pixel = np.unique(packed, return_inverse=True)
  colours = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=-1).astype(np.uint8)
  values = np.concatenate([_nearest(colours[at : at + _CHUNK], name)[0] for at in range(0, len(colours), _CHUNK)])
  return values.astype(np.uint8)[of_pixel].reshape(*samples.shape[:2], 1)
