"""What is left to do for this process, and in what order? Found without holding the pairs in memory.

The pairs are dealt out as a function of their whole list alone (`shares`), then those that are done are taken away,
asked of the index in blocks. What is left are numbers, one for each pair; the pairs are made as they are due.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dig2dig_jax.data.manifest import Manifest
from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.fusing import done, files, outputs, shares
from dig2dig_jax.fusing.config import FuseConfig
from dig2dig_jax.fusing.done import Named
from dig2dig_jax.fusing.ledger import Identity
from dig2dig_jax.fusing.ledger_index import Index
from dig2dig_jax.fusing.processes import Place

_BLOCK = 5_000  # pairs that are looked for at once
_READY = 64  # pairs that are made ready at once
_SAMPLE = 64  # pairs by whose sizes it is chosen how many are read ahead, where sizes are read in windows


class Agenda:
  """The pairs of a process that are to be done. Iterating gives them in the order to do them in, each made ready by
  `prepare`; `skipped` are done, and the images of those named in `kept` have a place that a foreign file has.

  order: of all pairs, where it is known already.
  UserError for results of other flags, weights or sources, and where results would lie among sources.
  """

  def __init__(
    self,
    config: FuseConfig,
    pairs: Sequence[Pair],
    place: Place,
    prepare: Callable[[Pair], Pair],
    index: Index,
    identity: Identity,
    *,
    order: shares.Order | None = None,
    say: Callable[[str], None] = lambda line: None,
  ):
    self._config, self._pairs, self._prepare, self._index, self._identity = config, pairs, prepare, index, identity
    order = shares.order(pairs, bucket=config.bucket) if order is None else order
    share = shares.deal(order, place)
    self.share, self._padded, self.largest = len(share), order.padded, order.largest
    self.skipped, self.kept = 0, list[str]()
    only = {found.name for found in index.failed()} if config.only == "failed" else None
    self.todo = self._remaining(share, only, say)
    if self._padded is None:
      self.largest = self._sampled_largest()

  def __len__(self) -> int:
    return len(self.todo)

  def __iter__(self) -> Iterator[Pair]:
    return (pair for pair, _ in self.by_size())

  def by_size(self) -> Iterator[tuple[Pair, tuple[int, int] | None]]:
    """The same, each with its padded size, None where a header has none."""
    if self._padded is not None:
      for at in range(0, len(self.todo), _READY):
        block = self.todo[at : at + _READY]
        for pair, (height, width) in zip(self._several(block), self._padded[block].tolist(), strict=True):
          yield self._prepare(pair), (height, width) if height else None
      return
    for at in range(0, len(self.todo), shares.WINDOW):
      window = self._several(self.todo[at : at + shares.WINDOW])
      for planned in shares.plan(window, bucket=self._config.bucket):
        yield self._prepare(planned.pair), planned.bucket

  def _sampled_largest(self) -> int:
    few = np.unique(np.linspace(0, len(self.todo) - 1, min(len(self.todo), _SAMPLE)).round().astype(int))
    planned = shares.plan(self._several(self.todo[few]), bucket=self._config.bucket)
    return max((entry.size[0] * entry.size[1] for entry in planned if entry.size), default=0)

  def first(self, count: int) -> tuple[str, ...]:
    """Names of the first that are to be done, in natural order."""
    return tuple(self._pairs[number].name for number in np.sort(self.todo)[:count].tolist())

  def look_again(self, names: set[str]) -> None:
    """Takes away what another process has done since: it is among these names."""
    if names and len(self.todo):
      blocks = (self.todo[at : at + _BLOCK] for at in range(0, len(self.todo), _BLOCK))
      again = np.array([name in names for block in blocks for name in self._columns(block)[0]], bool)
      rest = self._remaining(self.todo[again], None, lambda line: None)
      self.todo = self.todo[~again | np.isin(self.todo, rest)]

  def _several(self, block: np.ndarray) -> list[Pair]:
    if isinstance(self._pairs, Manifest):
      return self._pairs.several(block)
    return [self._pairs[number] for number in block.tolist()]

  def _columns(self, block: np.ndarray) -> tuple[list[str], list[list]]:
    """(names of these pairs, their files by source)."""
    if isinstance(self._pairs, Manifest):
      return self._pairs.columns(block)
    pairs = self._several(block)
    files = zip(*(pair.files.values() for pair in pairs), strict=True)
    return [pair.name for pair in pairs], list(map(list, files))

  def _remaining(self, indices: np.ndarray, only: set[str] | None, say: Callable[[str], None]) -> np.ndarray:
    """Those of them that are to be done, in the same order. They are looked for in that of the list, in which names and
    lines of manifests lie near each other."""
    undone, ordered = list[np.ndarray](), np.sort(indices)
    for at in range(0, len(ordered), _BLOCK):
      undone.append(self._undone(ordered[at : at + _BLOCK], only))
      if at and at % (200 * _BLOCK) == 0:
        say(f"{at} of {len(indices)} pairs looked up in the log, {self.skipped} already done")
    return indices[np.isin(indices, np.concatenate(undone))] if undone else indices

  def _undone(self, block: np.ndarray, only: set[str] | None) -> np.ndarray:
    config, (names, sources) = self._config, self._columns(block)
    if only is not None:
      mine = [number for number, name in enumerate(names) if name in only]
      block, names = block[mine], [names[i] for i in mine]
      sources = [[column[i] for i in mine] for column in sources]
    marks = dict(done.at_once(names, sources, self._index, self._identity, config.out))
    if len(marks) < len(names):
      others = [pair for pair in map(Named, names, zip(*sources, strict=True)) if pair.name not in marks]
      found = done.finished(others, self._index, self._identity, config.out, overwrite=config.overwrite)
      marks |= {name: row.marks for name, row in found.items()}
    if config.maps or config.temperatures:
      marks = {name: told for name, told in marks.items() if _has_rest(config, name, told)}
    self.skipped += len(marks)
    if len(marks) == len(names):
      return block[:0]
    left = [number for number, name in enumerate(names) if name not in marks]
    outputs.refuse_files(config.out, (column[number] for number in left for column in sources))
    foreign = set(outputs.foreign(config.out, [names[number] for number in left], self._index))
    self.kept += sorted(foreign)
    return block[[number for number in left if names[number] not in foreign]]


def _has_rest(config: FuseConfig, name: str, marks: Mapping[str, Any]) -> bool:
  return files.has_maps(config, name, marks) and files.has_temperatures(config, name, marks)
