"""How are lost sharpness and resolution restored that were not specified? They are detected, then restored.

`restoration/sharpness.py` finds a blur or an enlargement; the restoration of degraded sources undoes it with the prior.
A source for which the detection is not certain is left unchanged. For a source with fewer pixels than the others the
loss is known: each of its pixels is a mean of theirs. One program per padded size: the operator is an argument.
"""

import functools
import threading
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.data.padding import bucket_size, crop, reflect_pad
from dig2dig_jax.data.pairs import LoadedPair, Pair, content_id, load_pair
from dig2dig_jax.ops.arrays import Array
from dig2dig_jax.priors.prior import Prior
from dig2dig_jax.restoration import blind, noise_level, operators, sharpness
from dig2dig_jax.restoration.sharpness import Lost
from dig2dig_jax.restoration.splitting import levels, restore

_ONE = threading.Lock()  # threads read pairs; the device restores one at a time
# Range of enlargements for which the prior is used: from where it is better than bicubic, as far as it was measured
# (docs/cameras.md). Beyond that, enlargement is bicubic.
LEAST_SCALE, MOST_SCALE = 1.2, 4.0
MOST_PIXELS = 2**21  # of the enlarged image: minutes of a processor's time
_ROUNDING = 1 / np.sqrt(12) / 127.5  # standard deviation of whole levels of 8 bits, [-1, 1]


class BlindRestorer(NamedTuple):
  """steps: evaluations of the prior per blurred or low-resolution source. bucket: sides are padded to multiples of
  it. least: by how much a source is enlarged at least before the prior does it."""

  prior: Prior  # the network that restores
  steps: int = 8
  seed: int = 0  # of all its noise
  bucket: int = 128
  least: float = LEAST_SCALE

  def decisive(self) -> dict:
    """The settings that determine the result, apart from weights and images; JSON-able."""
    return {"found": "blur, resolution", "steps": self.steps, "seed": self.seed}

  def load(self, pair: Pair) -> LoadedPair:
    """Reads a pair and restores it. UserError as of `load_pair`."""
    sources = list(pair.files)
    loaded = load_pair(pair, lambda source, *image: self.enlarged(pair.name, sources.index(source), *image))
    known = [loaded.aligned.get(source, {}).get("restored", False) for source in sources]
    restored, lost = self.restored(loaded.sources, loaded.name, loaded.valid, known)
    return loaded._replace(sources=restored, lost=lost)

  def enlarged(self, name: str, number: int, pixels: np.ndarray, size: operators.Size) -> np.ndarray | None:
    """A source [h, w, 3] in [-1, 1] in more pixels, [*size, 3], restored with the prior; None where bicubic
    enlargement is as good, or the image too large. name, number: the pair's and the source's, for the random key."""
    height, width = pixels.shape[:2]
    scale = float(np.sqrt(size[0] / height * size[1] / width))
    finer = size if scale <= MOST_SCALE else (round(MOST_SCALE * height), round(MOST_SCALE * width))
    if scale < self.least or min(size[0] / height, size[1] / width) < 1 or finer[0] * finer[1] > MOST_PIXELS:
      return None
    padded = self._padded(finer)
    scales = finer[0] / height, finer[1] / width
    coarse = int(np.ceil(padded[0] / scales[0])), int(np.ceil(padded[1] / scales[1]))
    noise = float(_noise(pixels[..., 1]))
    sigma = noise if noise > blind.TO else _ROUNDING  # below, it may be aliased texture
    # At the padded size, so that it shares its program with detected losses: no operator reads the padding.
    observed = np.full((*padded, 3), pixels.mean(axis=(0, 1)), np.float32)
    observed[: coarse[0], : coarse[1]] = reflect_pad(pixels, coarse)
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(self.seed), content_id(name)), number)
    found = self._run(key, observed, _averaging(padded, coarse, scales), sigma, finer)
    found = found if finer == size else cv2.resize(found, size[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(found, -1, 1)

  def restored(
    self, sources: np.ndarray, name: str, valid: Sequence[float | None] = (), known: Sequence[bool] = ()
  ) -> tuple[np.ndarray, tuple[str, ...]]:
    """(sources [K, H, W, 3] in [-1, 1] restored, the detected loss in the syntax of `--degradation`, empty for none).

    name: of the pair, for its random key. valid: share of each source that is valid; nothing is detected in a source
    that is not valid everywhere. known: of which it was known, and is restored already."""
    whole = [not share for share in valid or [None] * len(sources)]
    whole = [one and not done for one, done in zip(whole, known or [False] * len(sources), strict=True)]
    found = [sharpness.estimate(source[..., 1]) if all_valid else Lost()
             for source, all_valid in zip(sources, whole, strict=True)]  # fmt: skip
    if not any(one.stages for one in found):
      return sources, tuple(one.stages for one in found)
    key = jax.random.fold_in(jax.random.key(self.seed), content_id(name))
    new = [self._restored(jax.random.fold_in(key, number), source, one) if one.stages else source
           for number, (source, one) in enumerate(zip(sources, found, strict=True))]  # fmt: skip
    return np.clip(np.stack(new), -1, 1), tuple(one.stages for one in found)

  def _restored(self, key: Array, source: np.ndarray, lost: Lost) -> np.ndarray:
    size = self._padded(source.shape[:2])
    return self._run(key, reflect_pad(source, size), _factors(size, lost), lost.sigma, source.shape[:2])

  def _padded(self, size: operators.Size) -> operators.Size:
    multiple = self.prior.config.size_multiple
    return bucket_size(*size, multiple=max(self.bucket // multiple, 1) * multiple)

  def _run(
    self, key: Array, observed: np.ndarray, factors: operators.Factors, sigma: float, size: operators.Size
  ) -> np.ndarray:
    """What was observed [Hb, Wb, 3] with the operator of `factors` and noise sigma, restored, its corner of `size`."""
    gray = bool(np.all(observed == observed[..., :1]))
    steps = levels(self.prior.noise, sigma=sigma, steps=self.steps, gray=gray, only_noise=False)
    program = _program(self.prior.denoiser, gray)
    with _ONE:
      return crop(np.asarray(program(self.prior.params, key, observed, factors, jnp.float32(sigma), steps)), size)


def told(sources: Sequence[str], found: Sequence[Sequence[str]], *, way_out: str = "--restore=noise") -> list[str]:
  """A line per source in whose images a loss was detected. found: of every pair what `restored` says."""
  lines = []
  for number, source in enumerate(sources):
    own = [stages[number] for stages in found if stages and stages[number]]
    for kind, words in (("blur", "blurred by {} pixels"), ("enlarged", "enlarged {} times from fewer pixels")):
      amounts = [float(stage[len(kind) + 1 : -1].split(",")[0]) for stage in own if stage.startswith(kind)]
      if amounts:
        low, high = min(amounts), max(amounts)
        span = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        lines.append(f"{source}: {words.format(span)} in {len(amounts)} of {len(found)} images, restored before "
                     f"fusion; {way_out} leaves it")
  return lines


@functools.lru_cache(maxsize=16)
def _factors(size: operators.Size, lost: Lost) -> operators.Factors:
  if lost.blur:
    return operators.factors(*operators.blur_matrices(size, lost.blur))
  return operators.factors(*operators.enlarged_matrices(size, lost.scale, lost.kernel))


@functools.lru_cache(maxsize=16)
def _averaging(size: operators.Size, coarse: operators.Size, scales: tuple[float, float]) -> operators.Factors:
  """Of means of so many pixels, as rows and columns of an image of `size` of which `coarse` are used."""
  matrices = [np.pad(operators.average_matrix(side, few, scale), ((0, side - few), (0, 0)))
              for side, few, scale in zip(size, coarse, scales, strict=True)]  # fmt: skip
  return operators.factors(*matrices)


@jax.jit
def _noise(image: Array) -> Array:
  return noise_level.estimate(image).deviation


@functools.lru_cache(maxsize=8)
def _program(denoiser, gray: bool):
  def run(params, key, observed, factors, sigma, steps):
    operator = operators.of_factors(factors)
    return restore(key, observed, operator, sigma, steps, denoiser(params), gray=gray)

  return jax.jit(run)
