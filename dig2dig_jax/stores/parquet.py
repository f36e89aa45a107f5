"""How does a Parquet file hold samples? A row each; columns of bytes, or of {bytes, path} as Hugging Face's data sets
have images, are its fields. The first of the columns id, __key__, name and filename that is there names it."""

import io
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from dig2dig_jax.errors import UserError
from dig2dig_jax.stores.shard import AnyPath, Kind, Member, Sample

_NAMES = ("id", "__key__", "name", "filename")
_KEPT = 4  # row groups of a column that are kept in memory: neighbours are asked for after each other
_groups: OrderedDict[tuple, list] = OrderedDict()
_lock = threading.Lock()


def index(path: AnyPath) -> list[Sample]:
  """The samples of a file. Images are not read."""
  pq = _library(path)
  with path.open("rb") as file:
    table = pq.ParquetFile(file)
    schema = table.schema_arrow
    columns = [field.name for field in schema if _is_kept(field.type)]
    named = next((name for name in _NAMES if name in schema.names), None)
    columns = [column for column in columns if column != named]
    found: list[Sample] = []
    for group in range(table.num_row_groups):
      count = table.metadata.row_group(group).num_rows
      numbers = range(len(found), len(found) + count)
      names = table.read_row_group(group, [named])[named].to_pylist() if named else numbers
      for row, name in enumerate(names):
        name = PurePosixPath(str(name)).stem if named == "filename" else str(name)
        found.append(Sample(name, {
          column: Member(path, f"{name}.{column}", read, (group, row, column), None) for column in columns
        }))  # fmt: skip
  return found


def read(path: AnyPath, group: int, row: int, column: str) -> bytes:
  """One image's bytes. Raises OSError, and ValueError for a row without one."""
  stat = path.stat()
  key = str(path), stat.st_size, getattr(stat, "st_mtime_ns", 0), group, column
  with _lock:
    cells = _groups.get(key)
    if cells is None:
      with path.open("rb") as file:
        cells = _library(path).ParquetFile(file).read_row_group(group, [column])[column].to_pylist()
      _groups[key] = cells
    _groups.move_to_end(key)
    while len(_groups) > _KEPT:
      _groups.popitem(last=False)
  cell = cells[row]
  data = cell.get("bytes") if isinstance(cell, dict) else cell
  if data is None:
    raise OSError(0, "an empty cell")
  return data.encode() if isinstance(data, str) else data


def write(samples: Sequence[tuple[str, Mapping[str, bytes]]]) -> bytes:
  """A file of these samples: columns {bytes, path}, strings for text, as Hugging Face's data sets read them."""
  import pyarrow as pa
  import pyarrow.parquet as pq

  fields = list(dict.fromkeys(field for _, fields in samples for field in fields))
  columns: dict[str, pa.Array] = {"id": pa.array([name for name, _ in samples])}
  for field in fields:
    cells = [found.get(field) for _, found in samples]
    stem, _, suffix = field.rpartition(".")
    if suffix == "json":
      columns[stem or field] = pa.array([None if cell is None else cell.decode() for cell in cells], pa.string())
      continue
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = [None if cell is None else {"bytes": cell, "path": f"{name}.{suffix}"}
            for (name, _), cell in zip(samples, cells, strict=True)]  # fmt: skip
    columns[stem or field] = pa.array(rows, kind)
  whole = io.BytesIO()
  pq.write_table(pa.table(columns), whole, row_group_size=100, compression="none")  # images are compressed already
  return whole.getvalue()


def _is_kept(kind) -> bool:
  import pyarrow as pa

  if pa.types.is_struct(kind):
    return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
  tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_string, pa.types.is_large_string)
  return any(test(kind) for test in tests)


def _library(path):
  try:
    import pyarrow.parquet
  except ImportError:
    raise UserError(f"{path}: expected pyarrow to read or write Parquet, found it not installed; pip install "
                    "dig2dig_jax[cloud]") from None
  return pyarrow.parquet


KIND = Kind(".parquet", "Parquet", index, write, read, (int, int, str))
