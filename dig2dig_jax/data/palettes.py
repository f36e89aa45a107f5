"""Which colours do programs give to numbers? Palettes as tables of 256 colours, the coldest first.

Those of OpenCV come from it. matplotlib's `jet`, `hot` and `rainbow` differ from OpenCV's: piecewise linear ramps and
waves, computed here from their definitions. Not there is `cividis`, whose colours are those of many landscapes.
"""

import functools
from types import MappingProxyType

import cv2
import numpy as np

_OPENCV = ("jet", "hot", "rainbow", "turbo", "inferno", "magma", "plasma", "viridis", "parula")
# matplotlib's: breakpoints and values of red, green and blue, linear between them.
_RAMPS = MappingProxyType({
  "matplotlib_jet": (((0, 0.35, 0.66, 0.89, 1), (0, 0, 1, 1, 0.5)),
                     ((0, 0.125, 0.375, 0.64, 0.91, 1), (0, 0, 1, 1, 0, 0)),
                     ((0, 0.11, 0.34, 0.65, 1), (0.5, 1, 1, 0, 0))),
  "matplotlib_hot": (((0, 0.365079, 1), (0.0416, 1, 1)), ((0, 0.365079, 0.746032, 1), (0, 0, 1, 1)),
                     ((0, 0.746032, 1), (0, 0, 1))),
})  # fmt: skip
NAMES = (*_OPENCV, *_RAMPS, "matplotlib_rainbow", "gnuplot")


@functools.lru_cache(maxsize=len(NAMES))
def table(name: str) -> np.ndarray:
  """uint8 [256, 3], RGB, of a name of `NAMES`."""
  if name in _OPENCV:
    ramp = np.arange(256, dtype=np.uint8)[:, None]
    return np.ascontiguousarray(cv2.applyColorMap(ramp, getattr(cv2, f"COLORMAP_{name.upper()}"))[:, 0, ::-1])
  x = np.linspace(0, 1, 256)
  if name in _RAMPS:
    colours = [np.interp(x, *ramp) for ramp in _RAMPS[name]]
  elif name == "gnuplot":
    colours = [np.sqrt(x), x**3, np.sin(2 * np.pi * x)]
  else:
    colours = [np.abs(2 * x - 0.5), np.sin(np.pi * x), np.cos(np.pi * x / 2)]
  return np.rint(255 * np.clip(np.stack(colours, axis=-1), 0, 1)).astype(np.uint8)
