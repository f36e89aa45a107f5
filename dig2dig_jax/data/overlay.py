"""How does a functional source that is gray come to show its colour in a fused image? As an overlay does it.

The fused luminance stays. The colour of each pixel moves from the fused image's to that which a palette gives to the
source's value there, the more the larger the value: what is cold or takes up nothing keeps its own. A colour that the
luminance does not allow is made paler, until it does.
"""

from collections.abc import Sequence

import numpy as np

from dig2dig_jax.data import palettes
from dig2dig_jax.errors import UserError
from dig2dig_jax.ops import color


def laid_over(fused: np.ndarray, source: np.ndarray, name: str, valid: np.ndarray | None = None) -> np.ndarray:
  """float32 [H, W, 3] in [-1, 1].

  Args:
    fused: [H, W, 1 or 3] in [-1, 1].
    source: [H, W, 3] of three equal channels in [-1, 1].
    name: of `palettes.NAMES`.
    valid: bool [H, W], where the source holds anything; None for everywhere.
  """
  rgb = np.repeat(fused, 3 // fused.shape[-1], axis=-1).astype(np.float32) / 2 + 0.5
  value = np.clip(source[..., :1].astype(np.float32) / 2 + 0.5, 0, 1)
  strength = value if valid is None else value * valid[..., None]
  table = palettes.table(name).astype(np.float32) / 255
  place = np.linspace(0, 1, len(table))
  coloured = np.stack([np.interp(value[..., 0], place, table[:, channel]) for channel in range(3)], axis=-1)
  luminance = rgb @ color.LUMA
  chroma = (1 - strength) * (rgb - luminance) + strength * (coloured - coloured @ color.LUMA)
  room = np.where(chroma > 0, 1 - luminance, luminance) / np.maximum(np.abs(chroma), 1e-6)
  return (2 * (luminance + np.minimum(room.min(axis=-1, keepdims=True), 1) * chroma) - 1).astype(np.float32)


def parse(text: str, sources: Sequence[str], functional: str) -> tuple[str, str] | None:
  """(source, palette) of `--colormap`; None for none. text: a palette's name, for the source `functional`, or
  SOURCE:NAME. UserError for what cannot be read."""
  if not text:
    return None
  source, colon, name = text.partition(":")
  if not colon:
    source, name = functional, text
  if source not in sources or name not in palettes.NAMES:
    raise UserError(f"--colormap={text}: expected one of {', '.join(palettes.NAMES)}, alone or as SOURCE:NAME with a "
                    f"source of {', '.join(sources)}")  # fmt: skip
  return source, name
