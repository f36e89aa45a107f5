"""Which pairs does this process fuse, and in what order? Ordered by padded size, dealt out in turn.

A share is a function of the whole list of pairs, never of what is done already: processes that start at different
moments, or start again, then agree without talking to each other.
"""

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from dig2dig_jax.data.decode import read_size
from dig2dig_jax.data.padding import bucket_size
from dig2dig_jax.data.pairs import Pair

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


def manifest(planned: Iterable[Planned]) -> str:
  """A JSON line per pair: id, files, size and bucket as [height, width]. `data.datasets` reads it as --manifest."""
  lines = []
  for pair, size, bucket in planned:
    files = {source: str(path.absolute()) for source, path in pair.files.items()}
    lines.append(json.dumps({"id": pair.name, "files": files, "size": size, "bucket": bucket}, ensure_ascii=False))
  return "".join(line + "\n" for line in lines)
