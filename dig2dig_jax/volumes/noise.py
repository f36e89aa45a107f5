"""How noisy are the sources of a volume? Asked once of the whole, so that no slice is smoothed and its neighbour not.

Where the noise of single images is found and removed (`restoration.blind`), a slice beside the threshold would flicker.
Here one deviation per source, the median of slices spread over the volume, decides for all of them.
"""

import dataclasses

import jax
import numpy as np

from dig2dig_jax.priors.prior import Prior
from dig2dig_jax.restoration import blind, noise_level
from dig2dig_jax.restoration.degradation import Degradation
from dig2dig_jax.restoration.restorer import Restorer
from dig2dig_jax.volumes.slices import Slices

_LOOKED_AT = 11  # slices


@dataclasses.dataclass(frozen=True)
class Denoiser:
  """restorer: of noise alone, at the deviations of the volume. shares: [K] how much of what it makes of each source is
  taken: none where there is no noise."""

  restorer: Restorer
  shares: np.ndarray

  def __call__(self, sources: np.ndarray) -> np.ndarray:
    """[K, H, W, 3] in [-1, 1] without noise. Sides are multiples of what the network takes."""
    found = sources.copy()
    for k, name in enumerate(self.restorer.degradations):
      if self.shares[k]:
        clean = self.restorer.restore(name, sources[k], sources.shape[1:3], "volume")
        found[k] += np.float32(self.shares[k]) * (clean - sources[k])
    return np.clip(found, -1, 1)


def found(slices: Slices, prior: Prior, *, seed: int) -> tuple[Denoiser | None, list[str]]:
  """What removes the noise of a volume's sources, None where there is none, and a line for each that has some."""
  estimate = jax.jit(lambda image: noise_level.estimate(image).deviation)
  covered = np.flatnonzero(slices.covered > 0)
  looked_at = covered[np.unique(np.linspace(0, len(covered) - 1, min(len(covered), _LOOKED_AT)).round().astype(int))]
  each = [[float(estimate(source[..., 1])) for source in slices.slice(int(k))] for k in looked_at]
  deviations = np.median(each, axis=0)
  shares = np.clip((deviations - blind.FROM) / (blind.TO - blind.FROM), 0, 1)
  lines = [f"{name}: noise of standard deviation {127.5 * deviation:.1f} of 255 in the volume, removed from all of its "
           "slices alike; --restore=off keeps it"
           for name, deviation, share in zip(slices.names, deviations, shares, strict=True) if share]  # fmt: skip
  if not lines:
    return None, []
  degradations = {name: Degradation((), 127.5 * float(deviation) if share else 0.0)
                  for name, deviation, share in zip(slices.names, deviations, shares, strict=True)}  # fmt: skip
  return Denoiser(Restorer(prior, degradations, seed=seed), shares), lines
