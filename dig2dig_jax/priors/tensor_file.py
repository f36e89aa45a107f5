"""How do tensors go to and from one safetensors file, one at a time? No second copy of a large model is ever in memory.

The format (huggingface/safetensors): eight bytes with the length of a JSON header, the header, then the tensors' bytes.
Written here because the library takes and gives whole dictionaries, and because whatever a header of unknown origin
says is checked before anything is allocated for it.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from dig2dig_jax import strict_json

_NAMES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
_DTYPES = {name: jnp.dtype(dtype) for dtype, name in _NAMES.items()}
_ITEMSIZES = {name: jnp.dtype(dtype).itemsize for dtype, name in _NAMES.items()}
_CHUNK = 2**22
_MOST_HEADER = 2**22  # bytes: forty thousand tensors, where the largest released network has 645


class Malformed(ValueError):
  """The file is not what this module writes. The message is what was found instead, for "found ..."."""


def write(path: Path, shapes: Mapping[str, tuple[int, ...]], leaf: Callable[[str], np.ndarray], *, dtype: str) -> str:
  """Writes the tensors of `shapes`, asking `leaf(name)` for one after the other; returns the file's SHA-256.

  Raises ValueError for a tensor that is not finite in `dtype`.
  """
  size, offset, header = jnp.dtype(dtype).itemsize, 0, {}
  for name, shape in shapes.items():
    end = offset + size * int(np.prod(shape, dtype=np.int64))
    header[name] = {"dtype": _NAMES[dtype], "shape": list(shape), "data_offsets": [offset, end]}
    offset = end
  text = json.dumps(header, separators=(",", ":")).encode()
  text += b" " * (-len(text) % 8)
  digest = hashlib.sha256()
  with open(path, "wb") as file:
    for part in (len(text).to_bytes(8, "little"), text):
      file.write(part)
      digest.update(part)
    for name in shapes:
      with np.errstate(over="ignore"):
        array = np.ascontiguousarray(np.asarray(leaf(name)), dtype=jnp.dtype(dtype))
      if not np.isfinite(array).all():
        raise ValueError(f"params: {name} is not finite as {dtype}")
      data = array.reshape(-1).view(np.uint8).data
      file.write(data)
      digest.update(data)
  return digest.hexdigest()


def read(path: Path) -> tuple[dict[str, tuple[int, ...]], Iterator[tuple[str, np.ndarray]]]:
  """({name: shape}, iterator of (name, array)); arrays own their memory. Malformed if it is no such file."""
  entries, start = _header(path)

  def arrays():
    with open(path, "rb") as file:
      for name, (dtype, shape, offset) in entries.items():
        file.seek(start + offset)
        count = math.prod(shape)
        array = np.fromfile(file, _DTYPES[dtype], count)
        if array.size < count:
          raise Malformed("a file that was cut while it was read")
        yield name, array.reshape(shape)

  return {name: shape for name, (_, shape, _) in entries.items()}, arrays()


def _header(path: Path) -> tuple[dict[str, tuple[str, tuple[int, ...], int]], int]:
  """({name: (dtype, shape, offset)} in the order of the bytes, where the bytes start), all of it checked."""
  with open(path, "rb") as file:
    size = file.seek(0, 2)
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > size - 8:
      raise Malformed(f"a header of {length} bytes in a file of {size}" if size >= 8 else f"a file of {size} bytes")
    if length > _MOST_HEADER:
      raise Malformed(f"a header of {length} bytes")
    text = file.read(length)
  try:
    header = strict_json.parse(text, most=_MOST_HEADER)
  except ValueError as error:
    raise Malformed(f"a header with {error}") from error
  if not isinstance(header, dict):
    raise Malformed(f"a header that is a {type(header).__name__}")
  entries = [_entry(name, values) for name, values in header.items() if name != "__metadata__"]
  entries.sort(key=lambda entry: (entry[3], entry[4]))
  reached = 0
  for name, _, _, begin, end in entries:
    if begin != reached:
      raise Malformed(f"bytes of {name[:80]!r} that begin at {begin} and not at {reached}")
    reached = end
  if reached != size - 8 - length:
    raise Malformed(f"{reached} bytes of tensors in the header, {size - 8 - length} in the file")
  return {name: (dtype, shape, begin) for name, dtype, shape, begin, _ in entries}, 8 + length


def _entry(name: str, values: Any) -> tuple[str, str, tuple[int, ...], int, int]:
  """(name, dtype, shape, begin, end) of one tensor, which is as long as its shape says."""
  if not isinstance(values, dict) or values.keys() != {"dtype", "shape", "data_offsets"}:
    raise Malformed(f"no dtype, shape and data_offsets of {name[:80]!r}")
  dtype, shape, offsets = values["dtype"], values["shape"], values["data_offsets"]
  if not isinstance(dtype, str) or dtype not in _ITEMSIZES:
    raise Malformed(f"a dtype of {name[:80]!r} that is not among {', '.join(_ITEMSIZES)}")
  for what, numbers, most in (("shape", shape, 8), ("data_offsets", offsets, 2)):
    # No bool is a number here, and no product of the rest overflows: Python's integers do not.
    if not isinstance(numbers, list) or len(numbers) > most or any(type(x) is not int or x < 0 for x in numbers):
      raise Malformed(f"a {what} of {name[:80]!r} that is no list of at most {most} numbers from 0 up")
  if len(offsets) != 2 or offsets[1] - offsets[0] != _ITEMSIZES[dtype] * math.prod(shape):
    raise Malformed(f"data_offsets of {name[:80]!r} that are not those of its shape")
  return name, dtype, tuple(shape), *offsets


def sha256(path: Path) -> str:
  """Of a file's bytes, read in parts: a mapped file would count as memory."""
  digest = hashlib.sha256()
  with open(path, "rb") as file:
    while part := file.read(_CHUNK):
      digest.update(part)
  return digest.hexdigest()
