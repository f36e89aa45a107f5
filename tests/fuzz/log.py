"""Does a log of finished pairs that somebody or something has changed ever end in more than a line?"""

import hashlib
import json
import pathlib
import shutil

import numpy as np

from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing import done as results
from dig2dig_jax.fusing import ledger
from dig2dig_jax.fusing.ledger_index import Index

FLAGS = {"strength": 0.9, "sources": ["ir", "vi"], "options": {"steps": 10, "bands": 6}}
RUN = ledger.identity(FLAGS, {"a": np.arange(4, dtype=np.float32)})
NAMES = ("p", "q", "r")
VALUES = (None, True, False, 0, -1, 2**63, 10**400, 1e308, float("nan"), float("inf"), "", "p", "\ud800", "\n\x1b[31m",
          "x" * 9000, [], ["p"], {}, {"p": None}, [[[]]], {"a": {"b": {}}})  # fmt: skip


def check(rng: np.random.Generator, folder: pathlib.Path) -> str:
  """One mutated log in `folder`, read and asked what is done: "read", or "refused" by one line."""
  data, out = folder / "data", folder / "out"
  shutil.rmtree(out, ignore_errors=True)
  (out / ledger.FOLDER).mkdir(parents=True)
  pairs = [_pair(data, name) for name in NAMES]
  lines = []
  for pair in pairs:
    image = out / f"{pair.name}.png"
    image.write_bytes(b"image of " + pair.name.encode())
    lines.append(_line(pair, image))
  content = b"".join(line + b"\n" for line in lines)
  for _ in range(rng.integers(1, 4)):
    content = _KINDS[rng.integers(len(_KINDS))](rng, content)
  path = out / ledger.FOLDER / f"{rng.integers(3)}-of-3.jsonl"
  path.write_bytes(content)
  notes: list[str] = []
  try:
    entries = ledger.read(out, notes)
    for entry in (entry for found in entries.values() for entry in found):
      assert type(entry["bytes"]) is int and isinstance(entry["flags"], dict)
    named = [results.Named(pair.name, list(pair.files.values())) for pair in pairs]
    with Index(out) as index:
      done = set(results.finished(named, index, RUN, out, overwrite=bool(rng.integers(2))))
    assert done <= set(NAMES)
    # What is said to be done has a line that says so: the image's size, this run, these sources.
    lines = [entries[name] for name in done if name in entries]
    assert all(any(entry["fingerprint"] == RUN.fingerprint for entry in found) for found in lines)
    found = "read"
  except UserError as error:
    notes.append(str(error))
    found = "refused"
  assert len([note for note in notes if str(path) in note]) <= 2, notes
  for note in notes:
    assert note.isprintable() and len(note) < 10_000, f"not one line: {note[:200]!r}"
  before = path.read_bytes()
  try:
    with ledger.Ledger(out, process=int(path.name[0]), processes=3) as log:
      log.append({"id": "new", "sha256": 64 * "0", "bytes": 1, "sources": {}, **RUN._asdict()})
  except UserError as error:  # nothing in it is left that tells it from somebody else's file
    assert "\n" not in str(error) and path.read_bytes() == before, "a file that is refused stays"
    return "refused"
  assert json.loads(path.read_bytes().splitlines()[-1])["id"] == "new", "the next line is whole"
  return found


def _pair(data: pathlib.Path, name: str) -> Pair:
  files = {}
  for source in ("ir", "vi"):
    files[source] = data / source / f"{name}.png"
    files[source].parent.mkdir(parents=True, exist_ok=True)
    files[source].write_bytes(source.encode())
  return Pair(name, files)


def _line(pair: Pair, image: pathlib.Path) -> bytes:
  return json.dumps({
    "id": pair.name, "seed": 0, "fingerprint": RUN.fingerprint, "bytes": image.stat().st_size, "size": [24, 28],
    "sha256": hashlib.sha256(image.read_bytes()).hexdigest(), "sources": ledger.source_bytes(pair),
    "curves": {"t": [9, 0], "weight": [[0.5, 0.5]] * 2, "residual": [[1, 2]] * 2},
    "weights": RUN.weights, "flags": RUN.flags,
  }).encode()  # fmt: skip


def _value(rng, content):
  """A value somewhere in a line becomes another."""
  lines = content.split(b"\n")
  at = rng.integers(len(lines))
  try:
    entry = json.loads(lines[at])
    inner = entry
    for _ in range(rng.integers(3)):
      below = [value for value in inner.values() if isinstance(value, dict) and value]
      inner = below[rng.integers(len(below))] if below else inner
    inner[list(inner)[rng.integers(len(inner))]] = VALUES[rng.integers(len(VALUES))]
    lines[at] = json.dumps(entry).encode()
  except (ValueError, RecursionError, AttributeError, TypeError):
    pass  # no entry any more
  return b"\n".join(lines)


def _structure(rng, content):
  """A line becomes JSON of another shape, or of none."""
  lines = content.split(b"\n")
  depth = int(rng.choice([3, 40, 900, 1100, 100_000]))
  others = [
    b"null", b"[]", b'"text"', b"{}", b"1" * 5000, b"[" * depth, b"[" * depth + b"]" * depth, b'{"id":' * depth,
    b'{"flags":' * depth + b"1" + b"}" * depth, lines[0].replace(b'"flags": {', b'"flags": {"a":' + b"[" * depth
    + b"]" * depth + b",", 1), b'[' + lines[0] + b"]", lines[0] + lines[0],
  ]  # fmt: skip
  lines[rng.integers(len(lines))] = others[rng.integers(len(others))]
  return b"\n".join(lines)


def _bytes(rng, content):
  changed = bytearray(content)
  for _ in range(rng.integers(1, 30)):
    if changed:
      changed[rng.integers(len(changed))] = rng.integers(256)
  return bytes(changed)


def _cut(rng, content):
  return content[: rng.integers(len(content) + 1)]


def _doubled(rng, content):
  """As by two processes that wrote at once, or an editor that pasted."""
  begin, end = sorted(rng.integers(len(content) + 1, size=2))
  at = rng.integers(len(content) + 1)
  return content[:at] + content[begin:end] + content[at:]


def _ends(rng, content):
  return content.replace(b"\n", [b"\r\n", b"\r", b"\0", b"\n\n", b""][rng.integers(5)])


_KINDS = (_value, _value, _structure, _bytes, _cut, _doubled, _ends)
