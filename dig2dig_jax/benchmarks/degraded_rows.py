"""Which ways of fusing a degraded pair are compared? Plain, restored classically or by the prior, and DRFusion.

Images are float32 [H, W, 3] in [-1, 1], gray in three equal channels.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dig2dig_jax.benchmarks.stepwise import Stepwise
from dig2dig_jax.data.padding import bucket_size, crop, reflect_pad
from dig2dig_jax.data.pairs import LoadedPair, content_id
from dig2dig_jax.fusing.fuser import Fuser
from dig2dig_jax.restoration import classical
from dig2dig_jax.restoration.restorer import Restorer

Rule = Callable[[np.ndarray, str], np.ndarray]  # (sources [K, H, W, 3], name of the pair) -> fused [H, W, 3]
DIG, MEAN, TRAINED = "Dig2DIG", "average", "DRFusion"  # rules of fusion
PLAIN, OURS = "Dig2DIG on the degraded sources", "Dig2DIG, training-free restoration"


class Row(NamedTuple):
  """rule: what fused: DIG, MEAN or TRAINED. inputs: [K, H, W, 3] that it fused, or restored on its way."""

  rule: str
  fused: np.ndarray
  inputs: np.ndarray
  seconds: float


class Runner(NamedTuple):
  """A method compiled, with its seed and padding: (sources [K, H, W, 3], name) -> fused [H, W, 3]."""

  fuser: Fuser | Stepwise
  bucket: int

  def __call__(self, sources: np.ndarray, name: str) -> np.ndarray:
    size = sources.shape[1:3]
    padded = reflect_pad(sources, bucket_size(*size, multiple=self.bucket))
    return crop(self.fuser(padded[None], np.array([content_id(name)], np.uint32))[0][0], size)


class Fusers(NamedTuple):
  """What fuses: Dig2DIG, and DRFusion with its two restored sources where it is there."""

  dig2dig: Runner
  trained: Runner | None  # with `channels` as its output

  def rules(self, name: str) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """{rule: sources [K, H, W, 3] -> fused [H, W, 3]} for the pair of that name."""
    rules = {DIG: lambda sources: self.dig2dig(sources, name), MEAN: lambda sources: sources.mean(axis=0)}
    if self.trained is not None:
      rules[TRAINED] = lambda sources: self.restored_and_fused(sources, name)[2]
    return rules

  def restored_and_fused(self, sources: np.ndarray, name: str) -> np.ndarray:
    """[3, H, W, 3]: both sources as DRFusion restores them on its way, and what it fuses."""
    channels = np.moveaxis(self.trained(sources, name), -1, 0)
    return np.repeat(np.clip(channels, -1, 1)[..., None], 3, axis=-1)


def rows_of(pair: LoadedPair, case: str, restorer: Restorer, fusers: Fusers, seed: int) -> dict[str, Row]:
  """By name, the pair degraded as `restorer` knows, restored and fused; the noise depends on pair, case and seed."""
  size = pair.sources.shape[1:3]
  observed = _observed(pair, case, restorer.degradations, seed)
  enlarged = np.stack([classical.enlarged(z, size) for z in observed.values()])
  rules = fusers.rules(pair.name)
  rows: dict[str, Row] = {}

  def timed(run: Callable, *arguments) -> tuple[np.ndarray, float]:
    start = time.monotonic()
    return run(*arguments), time.monotonic() - start

  def add(name: str, rule: str, inputs: np.ndarray, before: float = 0.0) -> None:
    fused, seconds = timed(rules[rule], inputs)
    rows[name] = Row(rule, fused, inputs, before + seconds)

  def add_both(name: str, inputs: np.ndarray, before: float) -> None:
    add(f"{name}, then Dig2DIG", DIG, inputs, before)
    add(f"{name}, then average", MEAN, inputs, before)

  add(PLAIN, DIG, enlarged)
  for name, denoise in classical.DENOISERS.items():
    add_both(name, *timed(_classically, observed, restorer.degradations, size, denoise))
  ours = timed(lambda: np.stack([restorer.restore(source, z, size, pair.name) for source, z in observed.items()]))
  add(f"{OURS}, average", MEAN, *ours)
  add(OURS, DIG, *ours)
  if TRAINED in rules:
    (*inputs, fused), seconds = timed(fusers.restored_and_fused, enlarged, pair.name)
    restored = np.stack(inputs)
    # It fuses towards the maximum: by the rules of the rows above, its restoration alone is compared.
    add_both(f"{TRAINED}'s restored sources", restored, seconds)
    rows[TRAINED] = Row(TRAINED, fused, restored, seconds)
  return rows


def _classically(observed: dict[str, np.ndarray], degradations, size: tuple[int, int], denoise: Callable) -> np.ndarray:
  return np.stack([classical.restored(z, degradations[source], size, denoise) for source, z in observed.items()])


def _observed(pair: LoadedPair, case: str, degradations, seed: int) -> dict[str, np.ndarray]:
  """Of every source, with noise that depends on the pair, the case and the source alone."""
  observed = {}
  for number, (source, degradation) in enumerate(degradations.items()):
    clean = pair.sources[number]
    rng = np.random.default_rng([seed, content_id(pair.name), content_id(case), number])
    z = np.asarray(degradation.operator(clean.shape[:2]).apply(clean))
    noise = rng.normal(size=(*z.shape[:2], 1)) * degradation.deviation(z)
    observed[source] = (z + noise).astype(np.float32)
  return observed
