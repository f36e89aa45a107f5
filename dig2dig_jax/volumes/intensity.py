"""Which values of a volume are black and white? Decided once for the whole of it, so that its slices do not flicker.

| volume | black and white |
|---|---|
| CT, MR, and whatever has one | the window of its header, where it is one for all slices and meets the values |
| PET, SPECT | 0 and a robust extreme |
| others | robust extremes |
| RGB | 0 and 255 |
"""

from collections.abc import Mapping

import numpy as np

from dig2dig_jax.data import ranges
from dig2dig_jax.data.ranges import Setting
from dig2dig_jax.data.scaling import Range
from dig2dig_jax.errors import UserError
from dig2dig_jax.volumes.volume import FUNCTIONAL, Volume

_SAMPLES = 2**21  # voxels that extremes are found in, evenly over the volume
_CONSTANT = 1e-9  # of the larger of two values that count as one
_OF_COLOUR = Range(0.0, 255.0)


def of_volumes(volumes: Mapping[str, Volume], settings: Mapping[str, Setting]) -> tuple[dict[str, Range], list[str]]:
  """{source: Range}, and a line about each. settings: of `data.ranges`. UserError for `shared`, which volumes in units
  of their own cannot have."""
  found, lines = {}, []
  for source, volume in volumes.items():
    setting = settings.get(source)
    if setting == "shared":
      raise UserError("--range=shared: expected auto, full or LOW:HIGH of volumes, whose units differ, found shared")
    found[source], why = _of(volume, setting)
    if why:
      unit = f" {volume.unit}" if volume.unit else ""
      low, high = found[source][:2]
      lines.append(f"range of {source}: {low:g} to {high:g}{unit}, {why}; --range={source}:LOW:HIGH sets another")
  return found, lines


def _of(volume: Volume, setting: Setting | None) -> tuple[Range, str]:
  if isinstance(setting, Range):
    return setting, "as given"
  if volume.is_colour:
    return _OF_COLOUR, ""
  if setting == "full":
    low, high = float(volume.voxels.min()), float(volume.voxels.max())
    return _apart(low, high), "its least and largest value"
  low, high = robust(volume.voxels)
  if setting == "auto":
    return Range(low, high), "robust extremes of the whole volume"
  if volume.modality in FUNCTIONAL:
    return _apart(0.0, high), "from nothing to a robust extreme of the whole volume"
  if volume.window is None:
    return Range(low, high), "robust extremes of the whole volume"
  if volume.window[0] >= volume.voxels.max() or volume.window[1] <= volume.voxels.min():
    return Range(low, high), "robust extremes of the whole volume, whose window holds none of its values"
  return Range(*volume.window), "the window of its header"


def robust(voxels: np.ndarray) -> tuple[float, float]:
  """Extremes as `data.ranges` finds those of images, in voxels spread evenly over the volume."""
  step = -(-voxels.size // _SAMPLES) | 1  # odd, so that it goes through all columns
  found, _ = ranges.of_arrays({"volume": voxels.reshape(-1)[::step]}, {"volume": "auto"})
  low, high = found["volume"][0][:2] if found["volume"] else (float(voxels.min()), float(voxels.max()))
  return _apart(low, high)[:2]


def _apart(low: float, high: float) -> Range:
  """Of values that are all one: black."""
  if high - low > _CONSTANT * max(abs(low), abs(high), 1e-20):
    return Range(low, high)
  return Range(low, low + max(1.0, abs(low)))
