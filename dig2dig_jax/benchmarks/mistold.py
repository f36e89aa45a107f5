"""What does it cost to be told the wrong noise, or the wrong blur? Both sources degraded alike, the restoration misled.

PSNR and SSIM to Dig2DIG's fusion of the clean sources, beside what is found without being told.
"""

from collections.abc import Callable

import numpy as np

from dig2dig_jax import metrics
from dig2dig_jax.benchmarks.damage import KINDS
from dig2dig_jax.benchmarks.degraded import similarity
from dig2dig_jax.benchmarks.degraded_rows import Rule
from dig2dig_jax.data.images import to_uint8
from dig2dig_jax.data.pairs import LoadedPair, content_id
from dig2dig_jax.restoration.degradation import Degradation, parse
from dig2dig_jax.restoration.restorer import Restorer

FACTORS = (0.5, 0.8, 1.0, 1.25, 2.0)  # told / true
NOISE, BLUR = 25, 2.5  # grey levels of 255; pixels
_ROUNDING = 1 / np.sqrt(12)  # grey levels, of a blurred image in 8 bits
HEADER = ("degraded by", "specified", "PSNR to clean ↑", "SSIM to clean ↑")


def rows(
  pairs: list[LoadedPair],
  plain: Rule,
  blind: Rule,
  restorer_of: Callable[[dict[str, Degradation]], Restorer],
  sources: tuple[str, ...],
  seed: int,
) -> list[list[str]]:
  """Lines of both degradations: not restored, found, and told at each of FACTORS. plain: fuses what it is given;
  blind: finds what happened to it first."""
  lines = []
  clean = {pair.name: metrics.to_gray(to_uint8(plain(pair.sources, pair.name))) for pair in pairs}
  for kind, label, told in (
    (f"noise{NOISE}", f"noise of sigma {NOISE}", lambda factor: ("none", NOISE * factor)),
    (f"blur{BLUR}", f"blur of {BLUR} px", lambda factor: (f"blur({BLUR * factor:g})", _ROUNDING)),
  ):
    observed = {pair.name: _observed(pair, kind, seed) for pair in pairs}
    ways: dict[str, Rule] = {"nothing, not restored": plain, "nothing, detected": blind}
    for factor in FACTORS:
      stages, sigma = told(factor)
      known = parse(",".join(f"{s}:{stages}" for s in sources), ",".join(f"{s}:{sigma}" for s in sources), sources)
      ways[f"{factor:g} of the truth"] = _told(restorer_of(known), plain, sources)
    for way, rule in ways.items():
      scores = [
        similarity(clean[pair.name], metrics.to_gray(to_uint8(rule(observed[pair.name], pair.name)))) for pair in pairs
      ]
      psnr, ssim = np.mean(scores, axis=0)
      lines.append([label, way, f"{psnr:.2f}", f"{ssim:.4f}"])
  return lines


def _told(restorer: Restorer, plain: Rule, sources: tuple[str, ...]) -> Rule:
  def rule(observed, name):
    size = observed.shape[1:3]
    return plain(np.stack([restorer.restore(s, z, size, name) for s, z in zip(sources, observed, strict=True)]), name)

  return rule


def _observed(pair: LoadedPair, kind: str, seed: int) -> np.ndarray:
  rng = np.random.default_rng([seed, content_id(pair.name), content_id(kind)])
  return np.stack([KINDS[kind](source, rng) for source in pair.sources])
