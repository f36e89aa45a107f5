"""What of a method's options is decided for a whole sequence, of frames or of slices, and not image by image?"""

import dataclasses
from typing import Any

from dig2dig_jax.methods.options import Dig2DigOptions


def looks_for_noise(options: Any) -> bool:
  """Whether they ask for it."""
  return isinstance(options, Dig2DigOptions) and options.bandwise and options.restore != "off"


def without_restoring(options: Any) -> Any:
  """The same for images whose noise is known, and removed before."""
  return dataclasses.replace(options, restore="off") if isinstance(options, Dig2DigOptions) else options
