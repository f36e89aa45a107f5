"""What befalls a file: bytes at random, and edits that keep the checksums, so that the decoders are reached."""

import struct
import zlib

import numpy as np

from . import _image_files

_ABSURD = (0, 1, 2, 3, 7, 8, 15, 16, 17, 24, 32, 64, 127, 128, 255, 256, 4096, 32767, 32768, 65535, 65536, 10**6, 10**8,
           2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63, 2**64 - 1)


def mutate(rng, made) -> tuple[str, bytes]:
  """(name of the mutation, the bytes). What comes of a mutation called "too few ..." must not pass for an image."""
  chance = rng.random()
  if chance < 0.1:
    return "whole", made.data
  own = {"png": _png_chunks, "tiff": _tiff_tags, "jpeg": _jpeg_segments, "bmp": _bmp_header, "webp": _riff_chunks}
  if chance < 0.6 and made.format in own:
    return own[made.format](rng, made.data)
  return _bytes(rng, made.data)


def _bytes(rng, data):
  how = str(rng.choice(["bits", "cut", "insert", "repeat", "remove", "overwrite", "splice"]))
  a, b = sorted(int(n) for n in rng.integers(0, len(data) + 1, 2))
  b = min(b, a + 64)
  if how == "bits":
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 12))):
      at = int(rng.integers(len(data) if rng.random() < 0.5 else min(len(data), 300)))
      changed[at] ^= 1 << int(rng.integers(8))
    return how, bytes(changed)
  other = _image_files.make(rng).data if how == "splice" else b""
  filler = rng.choice(np.array([0, 255], np.uint8)).tobytes() * (b - a) if rng.random() < 0.5 else rng.bytes(b - a)
  return how, {
    "cut": data[:a], "insert": data[:a] + filler + data[a:], "repeat": data[:b] + data[a:],
    "remove": data[:a] + data[b:], "overwrite": data[:a] + filler + data[b:], "splice": data[:a] + other[a:],
  }[how]


def _absurd(rng, bits):
  return (_ABSURD[rng.integers(len(_ABSURD))] if rng.random() < 0.7 else int(rng.integers(1 << 16))) % (1 << bits)


def _png_chunks(rng, data):
  chunks, at = [], 8
  while at < len(data):
    (length,) = struct.unpack_from(">I", data, at)
    chunks.append([data[at + 4:at + 8], data[at + 8:at + 8 + length]])
    at += 12 + length
  how = str(rng.choice(["size", "header", "rows", "body", "drop", "double", "swap", "new"]))
  pick = int(rng.integers(len(chunks)))
  if how in ("size", "header"):
    fields = list(struct.unpack(">IIBBBBB", chunks[0][1]))
    field = int(rng.integers(0, 2) if how == "size" else rng.integers(2, 7))
    fields[field] = _absurd(rng, 32 if field < 2 else 8)
    chunks[0][1] = struct.pack(">IIBBBBB", *fields)
  elif how == "rows":
    rows = zlib.decompress(b"".join(body for name, body in chunks if name == b"IDAT"))
    how, rows = ("too few rows", rows[:int(rng.integers(len(rows)))]) if rng.random() < 0.8 else (
      how, rows + rng.bytes(99))
    at = next(i for i, (name, _) in enumerate(chunks) if name == b"IDAT")
    chunks = [each for each in chunks if each[0] != b"IDAT"]
    chunks.insert(at, [b"IDAT", zlib.compress(rows)])
  elif how == "body" and chunks[pick][1]:
    body = bytearray(chunks[pick][1])
    body[rng.integers(len(body))] = rng.integers(256)
    chunks[pick][1] = bytes(body)
  elif how == "drop":
    del chunks[pick]
  elif how == "double":
    chunks.insert(pick, chunks[pick])
  elif how == "swap":
    other = int(rng.integers(len(chunks)))
    chunks[pick], chunks[other] = chunks[other], chunks[pick]
  else:
    name = str(rng.choice(["eXIf", "iCCP", "acTL", "fcTL", "fdAT", "tRNS", "PLTE", "gAMA", "cHRM", "zTXt", "ABCD"]))
    chunks.insert(pick, [name.encode(), rng.bytes(int(rng.integers(60)))])
  changed = data[:8] + b"".join(_image_files.chunk(*each) for each in chunks)
  return how if how == "too few rows" else f"chunk {how}", changed


def _tiff_tags(rng, data):
  order = "<" if data[:2] == b"II" else ">"
  big = data[2:4] in (b"+\0", b"\0+")
  word, entry, half = ("Q", 20, "Q") if big else ("I", 12, "H")
  (start,) = struct.unpack_from(order + word, data, 8 if big else 4)
  (count,) = struct.unpack_from(order + half, data, start)
  first, changed = start + struct.calcsize(half), bytearray(data)
  where = {struct.unpack_from(order + "H", data, first + i * entry)[0]: first + i * entry for i in range(count)}
  how = str(rng.choice(["value", "type", "count", "code", "drop", "next", "tables", "length", "pair"]))
  at = where[int(rng.choice(list(where)))]
  if how == "tables":
    at = where[int(rng.choice([code for code in (273, 279, 324, 325, 278, 322, 323) if code in where]))]
  if how == "length":
    at = where[int(rng.choice([256, 257]))]
  width = {3: 2, 4: 4, 16: 8, 1: 1}.get(struct.unpack_from(order + "H", data, at + 2)[0], 4)
  value = at + (12 if big else 8)
  if how in ("value", "length") or how == "tables" and rng.random() < 0.5:
    changed[value:value + width] = _absurd(rng, 8 * width).to_bytes(width, "little" if order == "<" else "big")
  elif how == "type":
    struct.pack_into(order + "H", changed, at + 2, _absurd(rng, 16) if rng.random() < 0.3 else rng.integers(19))
  elif how in ("count", "tables"):
    (old,) = struct.unpack_from(order + word, data, at + 4)
    new = int(rng.integers(old + 1)) if rng.random() < 0.6 else _absurd(rng, 64 if big else 32)
    struct.pack_into(order + word, changed, at + 4, new)
    if new < old and struct.unpack_from(order + "H", data, at)[0] in (273, 279, 324, 325) and old > 1:
      how = "too few strips"
  elif how == "code":
    codes = (254, 255, 258, 259, 262, 266, 274, 277, 284, 317, 320, 322, 330, 338, 339, 34675, 34665, 50706, 65000)
    struct.pack_into(order + "H", changed, at, int(rng.choice(codes)))
  elif how == "pair":
    for code, choices in {259: (1, 5, 7, 8, 32773, 34887, 50000), 262: range(10), 317: (1, 2, 3), 284: (1, 2),
                          266: (1, 2), 258: (1, 4, 8, 12, 16, 32), 339: (1, 2, 3, 6)}.items():
      if code in where and rng.random() < 0.4:
        struct.pack_into(order + "H", changed, where[code] + (12 if big else 8), int(rng.choice(choices)))
  elif how == "drop":
    struct.pack_into(order + "H", changed, at, 60000)
  elif how == "next":
    target = start if rng.random() < 0.5 else int(rng.integers(len(data)))
    struct.pack_into(order + word, changed, first + count * entry, target)
  return how if how == "too few strips" else f"tag {how}", bytes(changed)


def _jpeg_segments(rng, data):
  segments, at = [], 2
  while data[at + 1] != 0xDA:
    (length,) = struct.unpack_from(">H", data, at + 2)
    segments.append(data[at:at + 2 + length])
    at += 2 + length
  scan = data[at:]
  how = str(rng.choice(["size", "frame", "drop", "double", "body", "scan", "restart", "new"]))
  pick = int(rng.integers(len(segments)))
  frame = next(i for i, each in enumerate(segments) if each[1] in (0xC0, 0xC2))
  if how in ("size", "frame"):
    changed = bytearray(segments[frame])
    at = int(rng.integers(5, 9) if how == "size" else rng.integers(4, len(changed)))
    changed[at] = rng.integers(256)
    segments[frame] = bytes(changed)
  elif how == "drop":
    del segments[pick]
  elif how == "double":
    segments.insert(pick, segments[int(rng.integers(len(segments)))])
  elif how == "body":
    changed = bytearray(segments[pick])
    changed[rng.integers(2, len(changed))] = rng.integers(256)
    segments[pick] = bytes(changed)
  elif how == "scan":
    scan = scan[:int(rng.integers(len(scan)))] + b"\xff\xd9"
  elif how == "restart":
    segments.append(b"\xff\xdd\0\4" + struct.pack(">H", _absurd(rng, 16)))
  else:
    marker = int(rng.integers(0xC0, 0xFF))
    body = [b"", b"Exif\0\0", b"ICC_PROFILE\0\1\1", b"Adobe\0", b"MPF\0"][rng.integers(5)]
    body += rng.bytes(int(rng.integers(40)))
    segments.insert(pick, bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body)
  return f"segment {how}", data[:2] + b"".join(segments) + scan


def _bmp_header(rng, data):
  fields = {10: "I", 14: "I", 18: "I", 22: "I", 26: "H", 28: "H", 30: "I", 34: "I", 46: "I", 50: "I"}
  at = int(rng.choice(list(fields)))
  changed = bytearray(data)
  value = _absurd(rng, 32 if fields[at] == "I" else 16)
  if at == 22 and rng.random() < 0.3:
    value = (1 << 32) - struct.unpack_from("<I", data, 22)[0]  # the rows from the top
  struct.pack_into("<" + fields[at], changed, at, value)
  return f"header {at}", bytes(changed)


def _riff_chunks(rng, data):
  places, at = [], 12
  while at + 8 <= len(data):
    places.append(at)
    (length,) = struct.unpack_from("<I", data, at + 4)
    at += 8 + length + length % 2
  changed = bytearray(data)
  at = int(rng.choice(places))
  how = str(rng.choice(["length", "body", "riff", "drop"]))
  if how == "length":
    struct.pack_into("<I", changed, at + 4, _absurd(rng, 32))
  elif how == "riff":
    struct.pack_into("<I", changed, 4, _absurd(rng, 32))
  elif how == "body" and at + 8 < len(data):
    changed[int(rng.integers(at + 8, min(at + 24, len(data))))] = rng.integers(256)
  else:
    (length,) = struct.unpack_from("<I", data, at + 4)
    del changed[at:at + 8 + length + length % 2]
  return f"chunk {how}", bytes(changed)
