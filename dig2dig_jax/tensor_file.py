"""How do tensors go to and from one safetensors file, one at a time? No second copy of a large model is ever in memory.

The format (huggingface/safetensors): eight bytes with the length of a JSON header, the header, then the tensors' bytes.
Written here because the library takes and gives whole dictionaries; its reader checks every header.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import safetensors

_NAMES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
_DTYPES = {name: jnp.dtype(dtype) for dtype, name in _NAMES.items()}
_CHUNK = 2**22


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
      data = memoryview(array.reshape(-1).view(np.uint8))
      file.write(data)
      digest.update(data)
  return digest.hexdigest()


def read(path: Path) -> tuple[dict[str, tuple[int, ...]], Iterator[tuple[str, np.ndarray]]]:
  """({name: shape}, iterator of (name, array)); arrays own their memory. safetensors.SafetensorError if it is none."""
  with safetensors.safe_open(path, framework="np") as checked:
    shapes = {name: tuple(checked.get_slice(name).get_shape()) for name in checked.keys()}

  def arrays():
    with open(path, "rb") as file:
      length = int.from_bytes(file.read(8), "little")
      header = json.loads(file.read(length))
      for name in sorted(shapes, key=lambda name: header[name]["data_offsets"][0]):
        file.seek(8 + length + header[name]["data_offsets"][0])
        count = int(np.prod(shapes[name], dtype=np.int64))
        yield name, np.fromfile(file, _DTYPES[header[name]["dtype"]], count).reshape(shapes[name])

  return shapes, arrays()


def sha256(path: Path) -> str:
  """Of a file's bytes, read in parts: a mapped file would count as memory."""
  digest = hashlib.sha256()
  with open(path, "rb") as file:
    while part := file.read(_CHUNK):
      digest.update(part)
  return digest.hexdigest()
