"""What comes of an image file, before any value of it is changed."""

from typing import NamedTuple

import numpy as np

from dig2dig_jax.data.kept import NOTHING, Kept


class Decoded(NamedTuple):
  """`samples` [H, W, 1] (gray) or [H, W, 3] (RGB); `alpha` [H, W] of uint8, uint16 or float, None where there is
  none: a channel of that name, a transparent palette entry, or a colour that stands for transparent. `told`: how it was
  read, a clause for the user, where that was decided here; empty where not. `kept`: see there. `celsius`: whether the
  samples are temperatures in degrees Celsius."""

  samples: np.ndarray
  alpha: np.ndarray | None = None
  told: str = ""
  kept: Kept = NOTHING
  celsius: bool = False


def upright(samples: np.ndarray, orientation: int) -> np.ndarray:
  """Undo a camera's EXIF orientation (1..8; anything else counts as 1, upright)."""
  flipped = samples[:, ::-1] if orientation in (2, 4, 5, 7) else samples
  return np.rot90(flipped, {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0))
