"""How does a source get back the sharpness and the resolution that nobody said it lost? Found, then restored.

`restoration/sharpness.py` finds a blur or an enlargement; the restoration of degraded sources undoes it with the prior.
A source in which nothing is sure stays as it is. One program per padded size: the operator is an argument.
"""

import functools
import threading
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.data.padding import bucket_size, crop, reflect_pad
from dig2dig_jax.data.pairs import LoadedPair, Pair, content_id, load_pair
from dig2dig_jax.ops.arrays import Array
from dig2dig_jax.priors.prior import Prior
from dig2dig_jax.restoration import operators, sharpness
from dig2dig_jax.restoration.sharpness import Lost
from dig2dig_jax.restoration.splitting import levels, restore

_ONE = threading.Lock()  # threads read pairs; the device restores one at a time


class BlindRestorer(NamedTuple):
  """steps: evaluations of the prior per source that lost something. bucket: padded sides are multiples of it."""

  prior: Prior
  steps: int = 8
  seed: int = 0
  bucket: int = 128

  def decisive(self) -> dict:
    """What decides pixels but weights and images, JSON-able."""
    return {"found": "blur, resolution", "steps": self.steps, "seed": self.seed}

  def load(self, pair: Pair) -> LoadedPair:
    """Reads a pair and restores it. UserError as of `load_pair`."""
    loaded = load_pair(pair)
    sources, lost = self.restored(loaded.sources, loaded.name, loaded.valid)
    return loaded._replace(sources=sources, lost=lost)

  def restored(
    self, sources: np.ndarray, name: str, valid: Sequence[float | None] = ()
  ) -> tuple[np.ndarray, tuple[str, ...]]:
    """(sources [K, H, W, 3] in [-1, 1] with what they lost, that in the words of `--degradation`, empty for nothing).

    name: of the pair, for its random key. valid: share of each source that holds something; of one that is not valid
    everywhere nothing is found."""
    whole = [not share for share in valid or [None] * len(sources)]
    found = [sharpness.estimate(source[..., 1]) if all_valid else Lost()
             for source, all_valid in zip(sources, whole, strict=True)]  # fmt: skip
    if not any(one.stages for one in found):
      return sources, tuple(one.stages for one in found)
    key = jax.random.fold_in(jax.random.key(self.seed), content_id(name))
    new = [self._restored(jax.random.fold_in(key, number), source, one) if one.stages else source
           for number, (source, one) in enumerate(zip(sources, found, strict=True))]  # fmt: skip
    return np.clip(np.stack(new), -1, 1), tuple(one.stages for one in found)

  def _restored(self, key: Array, source: np.ndarray, lost: Lost) -> np.ndarray:
    height, width = source.shape[:2]
    multiple = self.prior.config.size_multiple
    size = bucket_size(height, width, multiple=max(self.bucket // multiple, 1) * multiple)
    gray = bool(np.all(source == source[..., :1]))
    factors = _factors(size, lost)
    steps = levels(self.prior.noise, sigma=lost.sigma, steps=self.steps, gray=gray, only_noise=False)
    program = _program(self.prior.denoiser, gray)
    with _ONE:
      found = program(self.prior.params, key, reflect_pad(source, size), factors, jnp.float32(lost.sigma), steps)
      return crop(np.asarray(found), (height, width))


def told(sources: Sequence[str], found: Sequence[Sequence[str]], *, way_out: str = "--restore=noise") -> list[str]:
  """A line per source in whose images something lost was found. found: of every pair what `restored` says."""
  lines = []
  for number, source in enumerate(sources):
    own = [stages[number] for stages in found if stages and stages[number]]
    for kind, words in (("blur", "blurred by {} pixels"), ("enlarged", "enlarged {} times from fewer pixels")):
      amounts = [float(stage[len(kind) + 1 : -1].split(",")[0]) for stage in own if stage.startswith(kind)]
      if amounts:
        low, high = min(amounts), max(amounts)
        span = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        lines.append(f"{source}: {words.format(span)} in {len(amounts)} of {len(found)} images, restored before they "
                     f"were fused; {way_out} leaves it")
  return lines


@functools.lru_cache(maxsize=16)
def _factors(size: operators.Size, lost: Lost) -> operators.Factors:
  if lost.blur:
    return operators.factors(*operators.blur_matrices(size, lost.blur))
  return operators.factors(*operators.enlarged_matrices(size, lost.scale, lost.kernel))


@functools.lru_cache(maxsize=8)
def _program(denoiser, gray: bool):
  def run(params, key, observed, factors, sigma, steps):
    operator = operators.of_factors(factors)
    return restore(key, observed, operator, sigma, steps, denoiser(params), gray=gray)

  return jax.jit(run)
