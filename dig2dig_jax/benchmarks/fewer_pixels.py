"""What is a source of fewer pixels worth when it is enlarged bicubically, and when the prior restores it?

The first source is reduced by means over areas, as a detector with larger pixels sees it, and rounded to 8 bits. Then
it is brought to its old size again, and the pair is fused. PSNR and SSIM of the source are to what it was, those of the
fused image to the fusion of the whole pair by the same rule.
"""

from collections.abc import Callable

import numpy as np

from dig2dig_jax.alignment import frames
from dig2dig_jax.benchmarks.degraded import similarity
from dig2dig_jax.benchmarks.degraded_rows import Rule
from dig2dig_jax.data.images import Image, to_uint8
from dig2dig_jax.data.pairs import LoadedPair
from dig2dig_jax.metrics import to_gray
from dig2dig_jax.restoration.blind_restorer import BlindRestorer
from dig2dig_jax.restoration.operators import average_matrix

SCALES = (1.25, 1.5, 2.0, 3.0, 4.0)
HEADER = ("times fewer pixels a side", "enlarged", "source, PSNR ↑", "source, SSIM ↑", "fused, PSNR ↑", "fused, SSIM ↑")


def rows(pairs: list[LoadedPair], rule: Rule, restorer: BlindRestorer) -> list[list[str]]:
  """A line per scale and way, means over the pairs. restorer: its `least` is the least scale that it is asked for."""
  ways: dict[str, Callable] = {
    "bicubic": lambda small, size, name: frames.resized("first", Image(small, False, 8), size)[0].pixels,
    "with the prior": lambda small, size, name: restorer.enlarged(name, 0, small, size),
  }
  whole = {pair.name: rule(pair.sources, pair.name) for pair in pairs}
  lines = []
  for scale in SCALES:
    for way, enlarge in ways.items():
      scores = []
      for pair in pairs:
        size = pair.sources.shape[1:3]
        first = enlarge(_reduced(pair.sources[0], scale), size, pair.name)
        fused = rule(np.stack([first, *pair.sources[1:]]), pair.name)
        scores.append([*_similarity(pair.sources[0], first), *_similarity(whole[pair.name], fused)])
      psnr, ssim, fused_psnr, fused_ssim = np.mean(scores, axis=0)
      lines.append([f"{scale:g}", way, f"{psnr:.2f}", f"{ssim:.3f}", f"{fused_psnr:.2f}", f"{fused_ssim:.3f}"])
  return lines


def _reduced(image: np.ndarray, scale: float) -> np.ndarray:
  """[H, W, 3] in [-1, 1] -> [h, w, 3], of whole levels; edges meet edges."""
  few = [max(1, round(side / scale)) for side in image.shape[:2]]
  rows, columns = (average_matrix(side, less, side / less) for side, less in zip(image.shape[:2], few, strict=True))
  small = np.einsum("ah,hwc,bw->abc", rows, image.astype(np.float64), columns, optimize=True)
  return np.float32(to_uint8(small) / 127.5 - 1)


def _similarity(wanted: np.ndarray, found: np.ndarray) -> tuple[float, float]:
  return similarity(to_gray(to_uint8(wanted)), to_gray(to_uint8(found)))
