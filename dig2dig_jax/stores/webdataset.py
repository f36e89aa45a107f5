"""How does a tar file hold samples? As WebDataset has it: members `NAME.FIELD`, those of one name behind each other.

NAME ends at the first point of a member's base name: `0001.ir.png` and `0001.vi.jpg` are the fields ir.png and vi.jpg
of 0001. Members are read by their place in the file, from a store by a request for that range.
"""

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from dig2dig_jax.stores.shard import AnyPath, Kind, Member, Sample


def index(path: AnyPath) -> list[Sample]:
  """The samples of a tar file, uncompressed. Raises OSError and tarfile.TarError."""
  found: dict[str, dict[str, Member]] = {}
  with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
    for entry in tar:
      folder, _, base = entry.name.removeprefix("./").rpartition("/")
      stem, _, field = base.partition(".")
      if not entry.isfile() or not stem:  # hidden ones have no stem
        continue
      place = entry.offset_data, entry.offset_data + entry.size
      member = Member(path, entry.name.removeprefix("./"), read, place, entry.size)
      found.setdefault(f"{folder}/{stem}" if folder else stem, {})[field] = member
  return [Sample(name, members) for name, members in found.items()]


def read(path: AnyPath, start: int, end: int) -> bytes:
  """The bytes of a member. Raises OSError."""
  if not isinstance(path, Path):
    return path.read_range(start, end)
  with path.open("rb") as file:
    file.seek(start)
    return file.read(end - start)


def write(samples: Sequence[tuple[str, Mapping[str, bytes]]]) -> bytes:
  """A tar file of these samples: the same bytes for the same samples."""
  whole = io.BytesIO()
  with tarfile.open(fileobj=whole, mode="w", format=tarfile.PAX_FORMAT) as tar:
    for name, fields in samples:
      for field, data in fields.items():
        # A point would end the name; who needs it finds it in the sample's own text.
        entry = tarfile.TarInfo(f"{name.replace('.', '_')}.{field}")
        entry.size, entry.mode = len(data), 0o644
        tar.addfile(entry, io.BytesIO(data))
  return whole.getvalue()


KIND = Kind(".tar", "WebDataset", index, write)
