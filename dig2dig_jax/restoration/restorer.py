"""How is a pair of degraded files prepared for fusion? Each source is restored with the prior first.

Sources may have different sizes: each operator gives the relation, or, where none reduces the resolution, the restored
sources are resampled to one frame. A source that is neither blurred, reduced, masked nor
noisy passes through untouched. One program per operator and size; the noise level is an argument.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.data import validity
from dig2dig_jax.data.pairs import LoadedPair, Pair, content_id, in_one_frame
from dig2dig_jax.errors import UserError
from dig2dig_jax.priors.prior import Prior
from dig2dig_jax.restoration import clipping
from dig2dig_jax.restoration.degradation import Degradation, target_size
from dig2dig_jax.restoration.operators import Size
from dig2dig_jax.restoration.splitting import levels, restore


class Restorer(NamedTuple):
  """degradations: of every source, in order. steps: evaluations of the prior per source with degradations other than
  noise."""

  prior: Prior  # the network that restores
  degradations: Mapping[str, Degradation]
  steps: int = 8
  seed: int = 0  # of all its noise

  @property
  def evaluations(self) -> int:
    """Of the prior, per pair."""
    return sum(0 if d.clean else self.steps if d.stages else 1 for d in self.degradations.values())

  def decisive(self) -> dict:
    """The settings that determine the result, apart from weights and images; JSON-able."""
    return {
      "degradations": {source: dataclasses.asdict(found) for source, found in self.degradations.items()},
      "steps": self.steps,
      "seed": self.seed,
    }

  def load(self, pair: Pair) -> LoadedPair:
    """Reads and restores a pair. UserError for an unreadable file, or one whose size its operator does not give."""
    loaded = pair.read()
    sizes = {source: image.pixels.shape[:2] for source, image in loaded.items()}
    scaled = any(one.scale != 1 for one in self.degradations.values())
    if scaled:
      sizes = dict.fromkeys(sizes, target_size(self.degradations, sizes))
    restored = {
      source: self.restore(
        source, image.pixels, sizes[source], pair.name, where=str(pair.files[source]), valid=image.valid
      )
      for source, image in loaded.items()
    }
    if scaled:
      return LoadedPair.of(pair.name, loaded, list(restored.values()))
    found, aligned = in_one_frame(
      pair, {source: image._replace(pixels=restored[source]) for source, image in loaded.items()}
    )
    return LoadedPair.of(pair.name, found)._replace(aligned=aligned)

  def restore(
    self, source: str, observed: np.ndarray, size: Size, name: str, *, where: str = "", valid: np.ndarray | None = None
  ) -> np.ndarray:
    """One source [H, W, 3] in [-1, 1] of an observation [h, w, 3]; `name`: of the pair, for its random key. valid: bool
    [h, w]; noise is estimated inside it only."""
    degradation = self.degradations[source]
    operator = degradation.operator(size)
    if observed.shape[:2] != operator.observed:
      raise UserError(
        f"{where or source}: expected (height, width) {operator.observed}, which its degradation gives for {size},  "
        f"found {observed.shape[:2]}; correct --degradation or register the images"
      )
    sigma = degradation.deviation(observed if valid is None or not valid.any() else observed[validity.box(valid)])
    if not degradation.stages and sigma == 0:
      return observed
    gray = bool(np.all(observed == observed[..., :1]))
    only_noise = not degradation.stages
    steps = levels(self.prior.noise, sigma=sigma, steps=self.steps, gray=gray, only_noise=only_noise)
    key = jax.random.fold_in(jax.random.key(self.seed), content_id(name))
    key = jax.random.fold_in(key, list(self.degradations).index(source))
    program = _program(self.prior.denoiser, degradation.stages, size, gray)
    return np.asarray(program(self.prior.params, key, jnp.asarray(observed), jnp.float32(sigma), steps))


@functools.lru_cache(maxsize=64)
def _program(denoiser, stages, size: Size, gray: bool):
  operator = Degradation(stages).operator(size)

  def run(params, key, observed, sigma, steps):
    restored = restore(key, observed, operator, sigma, steps, denoiser(params), gray=gray)
    return restored if stages else clipping.unclipped(restored, observed, sigma)

  return jax.jit(run)
