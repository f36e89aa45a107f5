"""How does a tar file hold samples? As WebDataset has it: members `NAME.FIELD`, those of one name behind each other.

NAME ends at the first point of a member's base name: `0001.ir.png` and `0001.vi.jpg` are the fields ir.png and vi.jpg
of 0001. Members are read by their place in the file; from a store in blocks, of which the last are kept, since small
members would cost a request each.
"""

import io
import tarfile
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path

from dig2dig_jax.stores.shard import AnyPath, Kind, Member, Sample

_BLOCK, _KEPT = 4 << 20, 16  # bytes; blocks
_blocks: OrderedDict[tuple[str, int, int], bytes] = OrderedDict()
_lock = threading.Lock()


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
      tar.members.clear()  # which it would keep, whole headers of them
  return [Sample(name, members) for name, members in found.items()]


def read(path: AnyPath, start: int, end: int) -> bytes:
  """The bytes of a member. Raises OSError, and tarfile.TarError where there is none of that size."""
  header, end = max(0, start - tarfile.BLOCKSIZE), min(end, path.stat().st_size)
  if not isinstance(path, Path):
    found = path.read_range(header, end) if end - header >= _BLOCK else _of_blocks(path, header, end)
  else:
    with path.open("rb") as file:
      file.seek(header)
      found = file.read(end - header)
  told = tarfile.TarInfo.frombuf(found[: start - header], "utf-8", "surrogateescape")
  if told.size not in (end - start, 0):  # 0 where a header before it has it
    raise tarfile.ReadError("a member of another size")
  return found[start - header :]


def _of_blocks(path, start: int, end: int) -> bytes:
  size = path.stat().st_size
  parts = []
  for number in range(start // _BLOCK, (max(end, start + 1) - 1) // _BLOCK + 1):
    key = str(path), size, number
    with _lock:
      block = _blocks.get(key)
    if block is None:
      block = path.read_range(number * _BLOCK, min((number + 1) * _BLOCK, size))
    with _lock:
      _blocks[key] = block
      _blocks.move_to_end(key)
      while len(_blocks) > _KEPT:
        _blocks.popitem(last=False)
    begin = number * _BLOCK
    parts.append(block[max(0, start - begin):end - begin])
  return b"".join(parts)


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


KIND = Kind(".tar", "WebDataset", index, write, read, (int, int))
