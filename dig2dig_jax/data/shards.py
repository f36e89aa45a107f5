"""Which pairs do shards hold? Samples of tar, Parquet or ArrayRecord files whose fields are called like the sources.

The field of a source begins with its name: `ir.png`, `ir`. A pair is named as its sample, a folder before it by `_`.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from dig2dig_jax.data import images
from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.errors import UserError
from dig2dig_jax.stores import array_record, parquet, webdataset
from dig2dig_jax.stores.shard import Kind, Sample, samples

KINDS = {"webdataset": webdataset.KIND, "parquet": parquet.KIND, "array_record": array_record.KIND}
_BRACES = re.compile(r"(.*)\{(\d+)\.\.(\d+)\}(.*)")


def find(root: Path, sources: Sequence[str], kind: Kind) -> tuple[list[Pair], list[str]]:
  """The pairs of a shard, of all in a folder, or of `NAME-{000..009}.tar`, in their order, and a line for each sample
  without one of the sources. UserError for none."""
  found, left_out = [], []
  for file in files(root, kind):
    for sample in samples(file, kind):
      own = {source: _field(sample, source) for source in sources}
      name = re.sub(r"[/\\\0]", "_", sample.name).lstrip(".") or "sample"
      if missing := [source for source, member in own.items() if member is None]:
        there = ", ".join(sample.members) or "nothing"
        left_out.append(f"{file}: sample {name}: expected the fields {', '.join(sources)}, found {there}; left out for "
                        f"want of {', '.join(missing)}")
      else:
        found.append(Pair(name, own))
  if not found:
    raise UserError(f"{root}: expected {kind.title} samples with the fields {', '.join(sources)}, found none"
                    f"{f'; {left_out[0]}' if left_out else ''}; check --data and --sources")
  return found, left_out


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
