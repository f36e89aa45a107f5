"""In what groups do pairs of many sizes run? Buckets of equal padded size, filled as pairs arrive.

A pair's bucket depends on its own size alone, so its result does not depend on the data set around it.
"""

import collections
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from dig2dig_jax.data.padding import bucket_size, reflect_pad
from dig2dig_jax.data.pairs import LoadedPair, Pair, content_id, load_pair
from dig2dig_jax.errors import UserError, one_line
from dig2dig_jax.fusing.faults import Failure

_READERS = 4


class Batch(NamedTuple):
  """images float32 [B, K, Hb, Wb, 3] and ids uint32 [B]; the first len(pairs) entries are real, the rest repeats."""

  pairs: list[LoadedPair]
  images: np.ndarray
  ids: np.ndarray


def batches(
  pairs: Iterable[Pair],
  *,
  batch_size: int | Callable[[tuple[int, int, int]], int],
  bucket: int,
  failed: list[str],
  ahead: int = 0,
  in_order: bool = False,
  load: Callable[[Pair], LoadedPair] = load_pair,
) -> Iterator[Batch]:
  """Full batches as soon as a bucket fills up, then the remainders, padded to the batch size by repetition.

  A pair that cannot be read is appended to `failed` as one line and left out.

  Args:
    pairs: what to read.
    batch_size: of every bucket, or a function of (sources, height, width) after padding; where it raises, the
      bucket's pairs fail with what it says.
    bucket: padded sides are multiples of it.
    failed: grows.
    ahead: pairs that threads read in advance.
    load: reads a pair, and restores it where its sources are degraded.
    in_order: pairs come ordered by bucket, so that a remainder is given out when the next bucket begins.

  Raises UserError where the folder that a pair was found in is gone: all that follow would be too.
  """
  waiting: dict[tuple[int, int], list[LoadedPair]] = {}
  sizes: dict[tuple[int, int], int] = {}
  refused: dict[tuple[int, int], str] = {}
  for loaded in _read(pairs, ahead, load):
    if isinstance(loaded, str):
      failed.append(loaded)
      continue
    count, height, width = loaded.sources.shape[:3]
    key = bucket_size(height, width, multiple=bucket)
    if key not in sizes:
      try:
        sizes[key] = batch_size((count, *key)) if callable(batch_size) else batch_size
      except Exception as error:  # of this size of images alone: no program can be made for it
        refused[key] = one_line(error)
    if key in refused:
      failed.append(Failure(loaded.name, "refused", f"{loaded.name}: {refused[key]}"))
      continue
    if in_order:
      for other in [other for other in waiting if other != key]:
        yield from _stacked(waiting.pop(other), other, sizes[other], failed)
    waiting.setdefault(key, []).append(loaded)
    if len(waiting[key]) >= sizes[key]:
      yield from _stacked(waiting.pop(key), key, sizes[key], failed)
  for key, rest in waiting.items():
    yield from _stacked(rest, key, sizes[key], failed)


def _read(pairs: Iterable[Pair], ahead: int, load: Callable[[Pair], LoadedPair]) -> Iterator[LoadedPair | Failure]:
  """The pairs in their order, or one line about why not."""
  if not ahead:
    yield from (_load(pair, load) for pair in pairs)
    return
  with ThreadPoolExecutor(_READERS) as pool:
    reading: collections.deque = collections.deque()
    try:
      for pair in pairs:
        reading.append(pool.submit(_load, pair, load))
        if len(reading) > ahead:
          yield reading.popleft().result()
      while reading:
        yield reading.popleft().result()
    finally:  # also where the reader stops early
      for future in reading:
        future.cancel()


def _load(pair: Pair, load: Callable[[Pair], LoadedPair]) -> LoadedPair | Failure:
  try:
    return load(pair)
  except Exception as error:  # a file can only fail alone, whatever a decoder makes of its bytes
    for path in pair.files.values():
      if not path.parent.is_dir():
        raise UserError(f"{path.parent}: expected the folder in which pairs were found, found it gone; restore it "
                        "and run again, finished pairs are kept") from error
    if isinstance(error, UserError):
      return Failure(pair.name, "unreadable", str(error))
    files = " and ".join(str(path) for path in pair.files.values())
    why = f"{files}: expected images that can be read, found {one_line(error)}; copy or export them again"
    return Failure(pair.name, "unreadable", why)


def _stacked(pairs: list[LoadedPair], size: tuple[int, int], batch_size: int, failed: list[str]) -> Iterator[Batch]:
  try:
    batch = _stack(pairs, size, batch_size)
  except Exception as error:  # most of all: no memory for images of this size
    why = f"expected to pad it to {size[0]}x{size[1]}, found {one_line(error)}; lower --batch_size"
    failed += [Failure(pair.name, "memory", f"{pair.name}: {why}") for pair in pairs]
    return
  yield batch


def _stack(pairs: list[LoadedPair], size: tuple[int, int], batch_size: int) -> Batch:
  images = np.stack([reflect_pad(pair.sources, size) for pair in pairs])
  ids = np.array([content_id(pair.name) for pair in pairs], np.uint32)
  rows = np.minimum(np.arange(batch_size), len(pairs) - 1)
  return Batch(pairs, images[rows], ids[rows])
