"""Do gains between neighbouring steps know anything, and what do they cost? Published runs by reading and interval.

The paper loses at S = 1, where every step has gains of its own. Of the same run with S of 1, 5 and 10: how decisive its
weights are, how often the next update prefers the other source, and how often the same update does where other noise
is drawn; and what its image scores beside the run without gains. A gain that knows something agrees with itself both
times. With two sources chance is 1/2.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from dig2dig_jax import metrics
from dig2dig_jax.benchmarks.degraded_rows import Rule
from dig2dig_jax.data.images import to_uint8
from dig2dig_jax.data.pairs import LoadedPair
from dig2dig_jax.guidance.weighting import contradiction

Weights = Callable[[np.ndarray, str], np.ndarray]  # (sources [K, H, W, 3], name of the pair) -> [U, K, H, W, 1]
READINGS = ("unit", "levels", "shares", "ratio")  # of `published.READINGS`: the weights alone differ
ROWS = {1: "interval 1", 5: "interval 5", 10: "DIG-25"}  # S: its row in `published.readings`
MEASURES = ("SSIM_uniform", "MSE", "CC")  # those of the paper's table 4
HEADER = ("gains", "S", "mean of the larger weight", "next update prefers another", "other noise prefers another",
          *(f"{name}, change" for name in MEASURES))  # fmt: skip


class Way(NamedTuple):
  """A run: its weights, those of the same run where other noise is drawn, and its image."""

  weights: Weights
  other: Weights
  fused: Rule


def rows(pairs: list[LoadedPair], ways: Mapping[tuple[str, int], Way], none: Rule) -> list[list[str]]:
  """A line per reading and interval {(reading, S): Way}, means over the pairs; shares are of pixels and of all updates
  but the first, which has no gains. none: fuses without gains, from which the changes are counted."""
  found: dict[tuple[str, int], list] = {key: [] for key in ways}
  for pair in pairs:  # all of one pair in turn: the runs share what the network makes of its sources
    plain = _scores(pair, none)
    for key, way in ways.items():
      weights, other = (of(pair.sources, pair.name) for of in (way.weights, way.other))
      preferred, otherwise = (np.argmax(updates[1:], axis=1) for updates in (weights, other))
      shares = weights[1:].max(axis=1).mean(), contradiction(jnp.asarray(weights)), np.mean(preferred != otherwise)
      found[key].append([*map(float, shares), *(_scores(pair, way.fused) - plain)])
  lines = []
  for (reading, interval), of_pairs in found.items():
    *shares, ssim, mse, cc = np.mean(of_pairs, axis=0)
    lines.append([reading, str(interval), *(f"{share:.3f}" for share in shares), f"{ssim:+.4f}", f"{mse:+.1f}",
                  f"{cc:+.4f}"])  # fmt: skip
  return lines


def _scores(pair: LoadedPair, rule: Rule) -> np.ndarray:
  gray = [metrics.to_gray(to_uint8(source)) for source in pair.sources]
  found = metrics.score(gray, metrics.to_gray(to_uint8(rule(pair.sources, pair.name))), MEASURES)
  return np.array([found[name] for name in MEASURES])
