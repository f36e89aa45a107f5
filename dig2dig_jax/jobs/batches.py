"""In what groups do pairs of many sizes run? Buckets of equal padded size, filled as pairs arrive.

A pair's bucket depends on its own size alone, so its result does not depend on the data set around it.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from dig2dig_jax.data.padding import bucket_size, reflect_pad
from dig2dig_jax.data.pairs import LoadedPair, Pair, content_id, load_pair
from dig2dig_jax.errors import UserError


class Batch(NamedTuple):
  """images float32 [B, K, Hb, Wb, 3] and ids uint32 [B]; the first len(pairs) entries are real, the rest repeats."""

  pairs: list[LoadedPair]
  images: np.ndarray
  ids: np.ndarray


def batches(
  pairs: Iterable[Pair],
  *,
  batch_size: int,
  bucket: int,
  failed: list[str],
  load: Callable[[Pair], LoadedPair] = load_pair,
) -> Iterator[Batch]:
  """Full batches as soon as a bucket fills up, then the remainders, padded to `batch_size` by repetition.

  load: reads a pair, and restores it where its sources are degraded. A pair that cannot be read is appended to
  `failed` as one line and left out.
  """
  waiting: dict[tuple[int, ...], list[LoadedPair]] = {}
  for pair in pairs:
    try:
      loaded = load(pair)
    except UserError as error:
      failed.append(str(error))
      continue
    key = bucket_size(*loaded.sources.shape[1:3], multiple=bucket)
    waiting.setdefault(key, []).append(loaded)
    if len(waiting[key]) == batch_size:
      yield _stack(waiting.pop(key), key, batch_size)
  for key, rest in waiting.items():
    yield _stack(rest, key, batch_size)


def _stack(pairs: list[LoadedPair], size: tuple[int, int], batch_size: int) -> Batch:
  images = np.stack([reflect_pad(pair.sources, size) for pair in pairs])
  ids = np.array([content_id(pair.name) for pair in pairs], np.uint32)
  rows = np.minimum(np.arange(batch_size), len(pairs) - 1)
  return Batch(pairs, images[rows], ids[rows])
