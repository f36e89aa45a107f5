"""Which pairs does a data set have? Found by the reader of its layout or named in a manifest; all, or a split's."""

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from dig2dig_jax.data import many_pairs
from dig2dig_jax.data.manifest import Manifest
from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.data.ranges import Setting, settle
from dig2dig_jax.data.readers import READERS, Found
from dig2dig_jax.data.splits import SPLITS, choose, names_in
from dig2dig_jax.errors import UserError
from dig2dig_jax.files import as_path, what_lies_at


@dataclasses.dataclass(frozen=True)
class DataConfig:
  """The settings of every job that takes pairs: the arguments of `find`, settings of `data.ranges`, a word of
  `data.validity`, what brings sources of other sizes, or that do not lie on each other, into one frame (`Pair.align`),
  and of which palettes the colours of sources may be (`data.palette`)."""

  data: Path
  sources: tuple[str, ...]
  dataset: str = "folders"
  split: str | None = None
  manifest: Path | None = None
  ranges: Mapping[str, Setting] = dataclasses.field(default_factory=dict)
  valid: str = "auto"
  frames: Callable | None = None
  palettes: Mapping[str, str] = dataclasses.field(default_factory=dict)

  def find(self) -> Found:
    """The pairs as they are to be read, and a line for each file that is in none and about each range. UserError where
    there are none."""
    found, left_out = self.find_files()
    found, told = self.prepared(found)
    return found, left_out + told

  def find_files(self) -> Found:
    """The same without ranges and as they are stored: no file is read."""
    pairs, left_out = self.list_files()
    return list(pairs), left_out

  def list_files(self) -> tuple[Sequence[Pair], list[str]]:
    """The same; the pairs of manifests, shards, and large folders per source stay in a file: they may be more than
    memory holds."""
    return list_pairs(self.data, self.sources, dataset=self.dataset, split=self.split, manifest=self.manifest)

  def prepared(self, found: list[Pair]) -> Found:
    """These pairs with the ranges and the way that they are to be read in, and a line about each range. What of them is
    valid is found as they are read: it would take a look at every file."""
    prepare, told = self.preparing(found)
    return [prepare(pair) for pair in found], told

  def preparing(self, found: Sequence[Pair]) -> tuple[Callable[[Pair], Pair], list[str]]:
    """(what makes one of these pairs ready, the lines)."""
    ranges, told = settle(found, self.ranges, self.palettes)
    own = {"palettes": self.palettes, "ranges": ranges, "valid": self.valid, "align": self.frames}
    return lambda pair: pair._replace(**own), told

  @property
  def place(self) -> Path:
    """Where the pairs are from, for messages."""
    return self.manifest or self.data


def find(
  root: str | os.PathLike,
  sources: Sequence[str],
  *,
  dataset: str = "folders",
  split: str | None = None,
  manifest: str | os.PathLike | None = None,
) -> Found:
  """The pairs of a data set in natural order, and one line per file that is in none.

  Args:
    root: where it was unpacked. Not looked at with a manifest.
    sources: names of two or more sources, see the table of `readers`.
    dataset: a name of `READERS`.
    split: of the set's own parts (train, test, ...), or a list of `SPLITS`, or a file with a pair's name per line.
    manifest: file with a line per pair, see `Manifest`, instead of a reader.

  Raises UserError where the layout is not found, or a split or manifest names what is not there.
  """
  found, left_out = list_pairs(root, sources, dataset=dataset, split=split, manifest=manifest)
  return list(found), left_out


def list_pairs(root, sources: Sequence[str], *, dataset: str, split: str | None, manifest) -> Found:
  """`find`, whose pairs stay in a file where there may be many."""
  if dataset not in READERS:
    raise UserError(f"--dataset={dataset}: expected one of {', '.join(READERS)}")
  if len(sources) < 2:
    raise UserError(f"{root}: expected at least two sources to fuse, found {len(sources)}; "
                    "name them with --sources=A,B")
  reader, own = READERS[dataset]
  if manifest is None and split in own:
    return _named_once(*reader(as_path(root), tuple(sources), split), root)
  place, own = (f"--dataset={dataset}", own) if manifest is None else ("a manifest", ())
  names = None if split is None else _names(dataset, split, own, place=place)
  many, lines = None, list[str]()
  if manifest is not None:
    many = Manifest(as_path(manifest), sources)
  elif dataset == "folders":
    many, lines = many_pairs.find(as_path(root), sources)
  if many is None:
    found, left_out = _named_once(*reader(as_path(root), tuple(sources), None), root)
    lines = lines + left_out
  else:
    found = many
  return (found if names is None else choose(found, names, where=f"--split={split}")), lines


def _named_once(found: Sequence[Pair], left_out: list[str], root) -> Found:
  """Without the pairs whose name another has too: their results would take each other's place."""
  if isinstance(found, Manifest):  # of shards, which have seen to that
    return found, left_out
  of_name: dict[str, list[Pair]] = {}
  for pair in found:
    of_name.setdefault(pair.name.casefold(), []).append(pair)
  once = [pair for pair in found if len(of_name[pair.name.casefold()]) == 1]
  lines = [
    f"{next(iter(pair.files.values()))}: expected one pair named '{pair.name}' under {root}, found {len(pairs)}; left "
    "out, choose one part of the set with --split or --data"
    for pairs in of_name.values() if len(pairs) > 1 for pair in pairs
  ]  # fmt: skip
  if not once and lines:
    raise UserError(f"{root}: expected pairs of different names, found none; {lines[0]}")
  return once, left_out + lines


def _names(dataset: str, split: str, own: Sequence[str], *, place: str) -> Iterable[str]:
  """Of the pairs in a split that is a list. For the message alone, own: the parts that the set itself is divided into;
  place: where the pairs are from."""
  if names := SPLITS.get((dataset, split)):
    return names
  there = what_lies_at(Path(split))
  if there == "a file":
    return names_in(Path(split))
  known = [*own, *(name for of, name in SPLITS if of == dataset)]
  parts = f"one of {', '.join(known)} (of --dataset={dataset}), or " if known else ""
  none = "" if known else f" ({place} has no splits of its own)"
  raise UserError(f"--split={split}: expected {parts}a file with a name per line{none}, found {there}")
