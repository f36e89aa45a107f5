"""Which pairs does this process fuse, and in what order? Ordered by padded size, dealt out in turn.

A share is a function of the whole list of pairs, never of what is done already: processes that start at different
moments, or start again, then agree without talking to each other. Where there are so many that reading all their sizes
would take minutes, and the manifest does not tell them, they are dealt out in an order of chance instead.
"""

import json
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from dig2dig_jax.data.decode import read_size
from dig2dig_jax.data.manifest import Manifest
from dig2dig_jax.data.padding import bucket_size
from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.fusing.processes import Place

FEW = 20_000  # pairs whose sizes every process reads at its start, where nobody tells them
_LARGEST = 2**30  # of a side, for planning
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


def share(planned: Sequence[Planned], process: int, processes: int) -> list[Planned]:
  """Every `processes`-th, from number `process` on: as much work for each, and each pair in one share."""
  return list(planned[process::processes])


class Order(NamedTuple):
  """All pairs by their numbers in the list, in the order that they are dealt out in, int64 [N]; pixels of the largest,
  0 where that is not known; padded sizes by the pairs' numbers, int64 [N, 2], None where they are not known."""

  indices: np.ndarray
  largest: int
  padded: np.ndarray | None

  @property
  def by_size(self) -> bool:
    """Whether it is the order to do them in, equal padded sizes together."""
    return self.padded is not None


def deal(order: Order, place: Place) -> np.ndarray:
  """The share of a process, int64 [n]: in the order to do it in, or in that of the list."""
  mine = order.indices[place.process :: place.processes]
  return mine if order.by_size else np.sort(mine)


def order(pairs: Sequence[Pair], *, bucket: int) -> Order:
  """Of all pairs. Reads the headers of all files where sizes are not told and the pairs are few (`FEW`)."""
  if isinstance(pairs, Manifest) and pairs.sizes is not None:
    return _by_size(pairs.sizes, bucket)
  if len(pairs) <= FEW:
    with ThreadPoolExecutor(_READERS) as pool:
      planned = pool.map(lambda pair: _planned(pair, bucket), pairs)
      sizes = [[min(side, _LARGEST) for side in entry.size or (0, 0)] for entry in planned]
    return _by_size(np.array(sizes, np.int64).reshape(-1, 2), bucket)
  if isinstance(pairs, Manifest):
    hashes = pairs.hashes
  else:
    hashes = np.array([zlib.crc32(pair.name.encode("utf-8", "surrogatepass")) for pair in pairs], np.uint32)
  return Order(np.argsort(hashes, kind="stable"), 0, None)


def _by_size(sizes: np.ndarray, bucket: int) -> Order:
  """sizes [N, 2], 0 where a header has none: those come last, and before them the largest padded size first."""
  height, width = np.asarray(sizes, np.int64).T
  known = (height > 0) & (width > 0)
  padded = np.stack([-(-np.where(known, side, 0) // bucket) * bucket for side in (height, width)], axis=1)
  indices = np.lexsort((padded[:, 0], -padded[:, 0] * padded[:, 1]))
  return Order(indices, int((height * width).max(initial=0)), padded)


def manifest(planned: Iterable[Planned]) -> str:
  """A JSON line per pair: id, files, size and bucket as [height, width]. `data.datasets` reads it as --manifest."""
  lines = []
  for pair, size, bucket in planned:
    files = {source: str(path.absolute()) for source, path in pair.files.items()}
    lines.append(json.dumps({"id": pair.name, "files": files, "size": size, "bucket": bucket}, ensure_ascii=False))
  return "".join(line + "\n" for line in lines)
