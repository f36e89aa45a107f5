"""Which pairs does this process fuse, and in what order? Ordered by padded size, dealt out in turn.

A share is a function of the whole list of pairs, never of what is done already: processes that start at different
moments, or start again, then agree without talking to each other. Where there are so many that reading all their sizes
would take minutes, and the manifest does not tell them, they are dealt out in an order of chance instead.
"""

import json
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from dig2dig_jax.data import manifest_files
from dig2dig_jax.data.decode import read_size
from dig2dig_jax.data.manifest import Manifest
from dig2dig_jax.data.padding import bucket_size
from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.fusing.processes import Place
from dig2dig_jax.stores.shard import Member

FEW = 20_000  # most pairs whose sizes every process reads at its start, if the manifest does not have them
_RUN = 64  # pairs of a shard that go to one process: it is read in blocks, of many images where they are small
_RUNS = 100  # of each process at least, that one may have by one more than another
_LARGEST = 2**30  # of a side, for planning
WINDOW = 8_192  # pairs whose sizes are read at once
_READERS = 8  # headers wait for disks and networks, not for the processor


class Planned(NamedTuple):
  """A pair with the (height, width) of its largest image and that after padding, both None where a header has none."""

  pair: Pair
  size: tuple[int, int] | None
  bucket: tuple[int, int] | None


def plan(pairs: Sequence[Pair], *, bucket: int) -> list[Planned]:
  """All pairs, equal padded sizes together, the largest first, each size in the given order; the unreadable come last.

  The largest first, so that what the memory cannot hold is known at once. Reads the headers of all files.
  """
  with ThreadPoolExecutor(_READERS) as pool:
    return sorted(pool.map(lambda pair: _planned(pair, bucket), pairs), key=_largest_first)


def _planned(pair: Pair, bucket: int) -> Planned:
  try:
    sizes = [read_size(path) for path in pair.files.values()]
    size = None if None in sizes else max(filter(None, sizes), key=lambda size: size[0] * size[1])
    return Planned(pair, size, size and bucket_size(*size, multiple=bucket))
  except Exception:  # whatever a damaged header makes of a size: who loads the file tells what is wrong with it
    return Planned(pair, None, None)


def _largest_first(planned: Planned):
  if planned.bucket is None:
    return (1,)
  height, width = planned.bucket
  return (0, -height * width, height)


class Order(NamedTuple):
  """All pairs by their numbers in the list, in the order that they are dealt out in, int64 [N]; pixels of the largest,
  0 where that is not known; padded sizes by the pairs' numbers, int64 [N, 2], None where they are not known; run: pairs
  that should stay together, since they are in one shard."""

  indices: np.ndarray
  largest: int
  padded: np.ndarray | None
  run: int = 1

  @property
  def by_size(self) -> bool:
    """Whether it is the order to do them in, equal padded sizes together."""
    return self.padded is not None


def deal(order: Order, place: Place) -> np.ndarray:
  """The share of a process, int64 [n]: in the order to do it in, or in that of the list. Every so manieth pair,
  or run of them, so that each process has as much work, and each pair is in one share."""
  count = len(order.indices)
  run = max(1, min(order.run, count // (_RUNS * place.processes)))
  mine = order.indices[np.arange(count) // run % place.processes == place.process]
  return mine if order.by_size else np.sort(mine)


def order(pairs: Sequence[Pair], *, bucket: int) -> Order:
  """Of all pairs. Reads the headers of all files where sizes are not told and the pairs are few (`FEW`)."""
  run = _RUN if len(pairs) and isinstance(next(iter(pairs[0].files.values())), Member) else 1
  if len(pairs) <= FEW or isinstance(pairs, Manifest) and pairs.sizes is not None:
    return _by_size(_sizes(pairs), bucket)._replace(run=run)
  if isinstance(pairs, Manifest):
    hashes = pairs.hashes
  else:
    hashes = np.array([zlib.crc32(pair.name.encode("utf-8", "surrogatepass")) for pair in pairs], np.uint32)
  hashes = hashes[np.arange(len(pairs)) // run * run]  # the first one's stands for its run
  return Order(np.argsort(hashes, kind="stable"), 0, None, run)


def _sizes(pairs: Sequence[Pair]) -> np.ndarray:
  """Height and width of each, 0 where a header has none, int64 [N, 2]: as a manifest tells, or read from all files."""
  if isinstance(pairs, Manifest) and pairs.sizes is not None:
    return np.asarray(pairs.sizes, np.int64)
  found = np.zeros((len(pairs), 2), np.int64)
  with ThreadPoolExecutor(_READERS) as pool:
    for at in range(0, len(pairs), WINDOW):
      for number, entry in enumerate(pool.map(lambda pair: _planned(pair, 1), pairs[at : at + WINDOW]), at):
        found[number] = [min(side, _LARGEST) for side in entry.size or (0, 0)]
  return found


def _by_size(sizes: np.ndarray, bucket: int) -> Order:
  """sizes [N, 2], 0 where a header has none: those come last, and before them the largest padded size first."""
  height, width = np.asarray(sizes, np.int64).T
  known = (height > 0) & (width > 0)
  padded = np.stack([-(-np.where(known, side, 0) // bucket) * bucket for side in (height, width)], axis=1)
  indices = np.lexsort((padded[:, 0], -padded[:, 0] * padded[:, 1]))
  return Order(indices, int((height * width).max(initial=0)), padded)


def manifest(pairs: Sequence[Pair], *, bucket: int) -> Iterator[str]:
  """JSON lines, many at once, one per pair, the largest first: id, files, size and bucket as [height, width].
  `data.datasets` reads them as --manifest. Where sizes are not told, reads the headers of all files; 60 bytes a pair
  are in memory."""
  sizes = _sizes(pairs)
  found = _by_size(sizes, bucket)
  assert found.padded is not None
  for at in range(0, len(pairs), WINDOW):
    block = found.indices[at : at + WINDOW]
    several = pairs.several(block) if isinstance(pairs, Manifest) else [pairs[number] for number in block.tolist()]
    lines = []
    for pair, size, padded in zip(several, sizes[block].tolist(), found.padded[block].tolist(), strict=True):
      files = {source: manifest_files.text_of(path) for source, path in pair.files.items()}
      entry = {"id": pair.name, "files": files, "size": size if all(size) else None}
      lines.append(json.dumps(entry | {"bucket": padded if all(size) else None}, ensure_ascii=False) + "\n")
    yield "".join(lines)
