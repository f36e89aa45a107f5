"""How does a record hold named bytes? As `tf.train.Example`: the protocol buffer that TensorFlow Datasets writes.

Example { Features features = 1; }, Features { map<string, Feature> feature = 1; }, Feature { BytesList bytes_list =
1; }, BytesList { repeated bytes value = 1; }. Of a list the first value is taken; numbers are passed over.
"""

from collections.abc import Iterator, Mapping

_BYTES = 2  # wire type of what has a length before it
_SKIPPED = {1: 8, 5: 4}  # bytes of the wire types of fixed size


def packed(fields: Mapping[str, bytes]) -> bytes:
  """A record of these fields."""
  entries = b"".join(
    _field(1, _field(1, name.encode()) + _field(2, _field(1, _field(1, data)))) for name, data in sorted(fields.items())
  )
  return _field(1, entries)


def unpacked(record: bytes) -> dict[str, bytes]:
  """The fields of bytes in a record. Raises ValueError for what is no such record."""
  found = {}
  for features in _parts(memoryview(record), 1):
    for entry in _parts(features, 1):
      name = next(_parts(entry, 1), None)
      lists = (kept for feature in _parts(entry, 2) for kept in _parts(feature, 1))
      value = next((item for kept in lists for item in _parts(kept, 1)), None)
      if name is not None and value is not None:
        found[bytes(name).decode()] = bytes(value)
  return found


def _field(number: int, data: bytes) -> bytes:
  return bytes([number << 3 | _BYTES]) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
  found = bytearray()
  while value > 127:
    found.append(value & 127 | 128)
    value >>= 7
  return bytes([*found, value])


def _parts(data: memoryview, wanted: int) -> Iterator[memoryview]:
  """The contents of the fields of this number that have a length."""
  at = 0
  while at < len(data):
    tag, at = _number(data, at)
    kind = tag & 7
    if kind == 0:
      _, at = _number(data, at)
    elif kind in _SKIPPED:
      at += _SKIPPED[kind]
    elif kind == _BYTES:
      size, at = _number(data, at)
      if at + size > len(data):
        raise ValueError("a field that reaches beyond its record")
      if tag >> 3 == wanted:
        yield data[at:at + size]
      at += size
    else:
      raise ValueError(f"a field of the unknown kind {kind}")


def _number(data: memoryview, at: int) -> tuple[int, int]:
  value = shift = 0
  while at < len(data) and shift < 64:
    value |= (data[at] & 127) << shift
    at, shift = at + 1, shift + 7
    if not data[at - 1] & 128:
      return value, at
  raise ValueError("a number without an end")
