"""Which pairs do shards hold? Samples of tar, Parquet or ArrayRecord files whose fields are called like the sources.

The field of a source begins with its name: `ir.png`, `ir`. A pair is named as its sample, a folder before it by `_`.
They are listed into a file that goes away with its last reader: however many shards there are, the samples of one are
in memory, and 20 bytes a pair.
"""

import json
import re
import tempfile
import zlib
from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dig2dig_jax.data import images, manifest_files
from dig2dig_jax.data.manifest import Manifest
from dig2dig_jax.errors import UserError
from dig2dig_jax.files import temporary_room
from dig2dig_jax.stores.kinds import KINDS as KINDS
from dig2dig_jax.stores.kinds import reference
from dig2dig_jax.stores.shard import Kind, Member, Sample, samples

MOST_LINES = 1000  # about samples that are left out: of more, how many there are
_BRACES = re.compile(r"(.*)\{(\d+)\.\.(\d+)\}(.*)")


def find(root: Path, sources: Sequence[str], kind: Kind) -> tuple[Manifest, list[str]]:
  """The pairs of a shard, of all in a folder, or of `NAME-{000..009}.tar`, in their order, and a line for each sample
  that is left out: without one of the sources, or of a name that another has too. UserError for none."""
  shards = files(root, kind)
  keys, left_out, more = array("I"), list[str](), 0
  with temporary_room("a list of pairs"), tempfile.TemporaryDirectory(prefix="dig2dig-") as folder:
    listed = Path(folder) / "pairs.jsonl"
    with listed.open("w") as lines:
      for number, file in enumerate(shards):
        for sample in samples(file, kind):
          own = [_field(sample, source) for source in sources]
          name = re.sub(r"[/\\\0]", "_", sample.name).lstrip(".") or "sample"
          there = [reference(member, f"{number}{kind.suffix}") for member in own if member is not None]
          if len(there) == len(sources):
            entry = {"id": name, "files": dict(zip(sources, there, strict=True))}
            lines.write(json.dumps(entry) + "\n")
            keys.append(_key(name))
          elif len(left_out) < MOST_LINES:
            left_out.append(_without(file, sample, name, dict(zip(sources, own, strict=True))))
          else:
            more += 1
    if not keys:
      raise UserError(f"{root}: expected {kind.title} samples with the fields {', '.join(sources)}, found none"
                      f"{f'; {left_out[0]}' if left_out else ''}; check --data and --sources")
    found = Manifest(listed, sources, files=manifest_files.within(shards), named_once=False)
  if more:
    left_out.append(f"{root}: {more} more samples without one of the fields {', '.join(sources)}; left out")
  return _named_once(found, np.frombuffer(keys, np.uint32), left_out, root)


def _key(name: str) -> int:
  return zlib.crc32(name.casefold().encode("utf-8", "surrogatepass"))


def _without(file, sample: Sample, name: str, own: dict[str, Member | None]) -> str:
  missing = [source for source, member in own.items() if member is None]
  there = ", ".join(sample.members) or "nothing"
  return (f"{file}: sample {name}: expected the fields {', '.join(own)}, found {there}; left out for want of "
          f"{', '.join(missing)}")  # fmt: skip


def _named_once(found: Manifest, keys: np.ndarray, left_out: list[str], root) -> tuple[Manifest, list[str]]:
  """Without the pairs whose name another has too: their results would take each other's place. keys: `_key` of each."""
  ordered = np.sort(keys)
  shared = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])  # by names, or by chance
  alike = np.flatnonzero(np.isin(keys, shared))
  of_name: dict[str, list[int]] = {}
  for number, (name, _) in zip(alike.tolist(), found.entries(alike), strict=True):
    of_name.setdefault(name.casefold(), []).append(number)
  twice = sorted(number for several in of_name.values() if len(several) > 1 for number in several)
  if not twice:
    return found, left_out
  for name, places in found.entries(np.array(twice[:MOST_LINES])):
    count = len(of_name[name.casefold()])
    left_out.append(f"{places[0]}: expected one pair named '{name}' under {root}, found {count}; left out, choose one "
                    "part of the set with --split or --data")  # fmt: skip
  if len(twice) > MOST_LINES:
    left_out.append(f"{root}: {len(twice) - MOST_LINES} more pairs of a name that another has too; left out")
  if len(twice) == len(found):
    raise UserError(f"{root}: expected pairs of different names, found none; {left_out[-1]}")
  return found.part(np.setdiff1d(np.arange(len(found)), twice)), left_out


def files(root: Path, kind: Kind) -> list[Path]:
  """The shards that `root` means, in natural order. UserError for none."""
  if match := _BRACES.fullmatch(root.name):
    before, first, last, behind = match.groups()
    numbers = range(int(first), int(last) + 1)
    return [root.with_name(f"{before}{number:0{len(first)}d}{behind}") for number in numbers]
  if root.suffix.lower() == kind.suffix:
    return [root]
  try:
    found = images.natural_sort(path for path in root.iterdir() if path.suffix.lower() == kind.suffix)
  except OSError as error:
    raise UserError(f"{root}: expected a {kind.title} file or a folder of them, found {error.strerror}; check "
                    "--data") from error
  if not found:
    raise UserError(f"{root}: expected files *{kind.suffix} in it, found none; check --data and --dataset")
  return found


def _field(sample: Sample, source: str):
  """The member whose name, up to its first point, is the source's: in any case of letters."""
  wanted = source.casefold()
  return next((member for field, member in sample.members.items() if field.casefold().split(".")[0] == wanted), None)
