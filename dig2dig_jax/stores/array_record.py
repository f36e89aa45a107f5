"""How does an ArrayRecord file hold samples? A record each, a `tf.train.Example` whose fields are encoded images; the
field id, __key__, name or tfds_id names it, else its number.

The library reads local files alone: one in a store is copied into a temporary folder of this process first.
"""

import atexit
import contextlib
import shutil
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from dig2dig_jax.errors import UserError
from dig2dig_jax.stores import example
from dig2dig_jax.stores.shard import AnyPath, Kind, Member, Sample

_NAMES = ("id", "__key__", "name", "tfds_id")
_OPEN = 8  # files that are kept open, the last used
_AT_ONCE = 64  # records that an index reads
_readers: dict[str, object] = {}
_copies: dict[str, Path] = {}
_lock = threading.Lock()


def index(path: AnyPath) -> list[Sample]:
  """The samples of a file, all of which is read: names lie in the records."""
  found: list[Sample] = []
  with _lock:
    reader = _reader(path)
    if not reader.ok():
      raise ValueError("its index cannot be read")
    for start in range(0, reader.num_records(), _AT_ONCE):
      numbers = list(range(start, min(start + _AT_ONCE, reader.num_records())))
      for number, record in zip(numbers, reader.read(numbers), strict=True):
        fields = example.unpacked(record)
        name = next((fields[known].decode() for known in _NAMES if known in fields), str(number))
        found.append(Sample(name, {
          field: Member(path, f"{name}.{field}", read, (number, field), len(data))
          for field, data in fields.items() if field not in _NAMES
        }))  # fmt: skip
  return found


def read(path: AnyPath, number: int, field: str) -> bytes:
  """One field's bytes. Raises OSError."""
  with _lock:
    return example.unpacked(_reader(path).read([number])[0])[field]


def write(samples: Sequence[tuple[str, Mapping[str, bytes]]]) -> bytes:
  """A file of these samples."""
  with tempfile.TemporaryDirectory(prefix="dig2dig-") as folder:
    path = Path(folder) / "shard.array_record"
    writer = _library(path).ArrayRecordWriter(str(path), "group_size:1")  # so that one record can be read alone
    for name, fields in samples:
      named = {field.partition(".")[0]: data for field, data in fields.items()}
      writer.write(example.packed({"id": name.encode()} | named))
    writer.close()
    return path.read_bytes()


def _reader(path: AnyPath):
  found = path.stat()
  key = f"{path} {found.st_size} {getattr(found, 'st_mtime_ns', 0)}"
  if key not in _readers:
    while len(_readers) >= _OPEN:
      _forget(next(iter(_readers)))
    local = path if isinstance(path, Path) else _copied(path, key)
    _readers[key] = _library(path).ArrayRecordReader(str(local), "readahead_buffer_size:0")
  return _readers[key]


def _copied(path, key: str) -> Path:
  folder = Path(tempfile.mkdtemp(prefix="dig2dig-"))
  _copies[key] = folder
  local = folder / "shard.array_record"
  local.write_bytes(path.read_bytes())
  return local


def _forget(key: str) -> None:
  with contextlib.suppress(RuntimeError):  # of a damaged one
    _readers.pop(key).close()
  if key in _copies:
    shutil.rmtree(_copies.pop(key), ignore_errors=True)


@atexit.register
def close() -> None:
  """Closes all files and removes the copies."""
  for key in list(_readers):
    _forget(key)


def _library(path):
  try:
    from array_record.python import array_record_module
  except ImportError:
    raise UserError(f"{path}: expected array_record to read or write ArrayRecord, found it not installed; pip install "
                    "array_record") from None
  return array_record_module


KIND = Kind(".array_record", "ArrayRecord", index, write, read, (int, str))
