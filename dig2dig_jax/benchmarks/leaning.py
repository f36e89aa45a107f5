"""Does a weighting lean to the source that is noisy? Its mean weight, as noise is added to the first source alone.

Weights are per pixel; those of bands as `Weighting.compute` sums them up. A source with noise knows less, so that its
weight should fall. Sources are given as they are, without restoration: it is the weights that are asked.
"""

from collections.abc import Callable, Mapping

import numpy as np

from dig2dig_jax.benchmarks.damage import KINDS
from dig2dig_jax.data.pairs import LoadedPair, content_id

SIGMAS = (5, 10, 25, 50)  # grey levels of 255
Weights = Callable[[np.ndarray, str], np.ndarray]  # (sources [K, H, W, 3], name of the pair) -> [U, K, H, W, 1]
HEADER = ("weights", "for the clean source", *(f"change at sigma {sigma}" for sigma in SIGMAS), "favours noise")


def rows(pairs: list[LoadedPair], weightings: Mapping[str, Weights], seed: int) -> list[list[str]]:
  """A line per weighting: the first source's mean weight on clean pairs, how it changes with its noise, and whether it
  grows at any level."""
  lines = []
  for name, weights in weightings.items():
    clean = np.array([_first(weights(pair.sources, pair.name)) for pair in pairs])
    changes = []
    for sigma in SIGMAS:
      noisy = [_first(weights(_noisy(pair, sigma, seed), pair.name)) for pair in pairs]
      changes.append(float(np.mean(np.array(noisy) - clean)))
    told = [f"{change:+.3f}" for change in changes]
    lines.append([name, f"{clean.mean():.3f}", *told, "yes" if max(changes) > 0.005 else "no"])
  return lines


def _first(weights: np.ndarray) -> float:
  """The mean weight of the first source over all updates but a first one that is uniform by definition."""
  updates = weights[1:] if len(weights) > 1 else weights
  return float(np.mean(updates[:, 0]))


def _noisy(pair: LoadedPair, sigma: int, seed: int) -> np.ndarray:
  rng = np.random.default_rng([seed, content_id(pair.name), sigma])
  return np.stack([KINDS[f"noise{sigma}"](pair.sources[0], rng), *pair.sources[1:]])
