"""Which pairs are scored already? One JSON line per pair with the scores of all rows, written as they come.

A line tells by a fingerprint what decided its scores (measures, rows and their options, weights, seed, versions), and
by sizes and times of which files it is. The same command again skips the pairs whose last line is of its fingerprint
and of the files as they are now. A file that was touched is scored again, with all in a shard that was; nothing is read
to find out. In stores the sizes alone tell.
"""

import hashlib
import importlib.resources
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dig2dig_jax import strict_json
from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.evaluation.compare_table import plain
from dig2dig_jax.fusing import ledger
from dig2dig_jax.line_file import LineFile
from dig2dig_jax.record import explained

FILE = "scores.jsonl"
_LONGEST = 2**26  # bytes of a line
_WORDS = {"Infinity": math.inf, "-Infinity": -math.inf}

Stamp = list[int | float]  # bytes, nanoseconds of the last change, and for sources the range that they are read in
Row = dict[str, float]  # {measure: value}


def stamps(pair: Pair, fused: Mapping[str, Path] = MappingProxyType({})) -> dict[str, Stamp]:
  """{label: stamp} of the files that a pair's scores come from; -1, -1 for one that is not there."""
  own = {f"source {name}": [*_stamp(path), *_numbers(pair.ranges.get(name, ()))] for name, path in pair.files.items()}
  return own | {f"fused {method}": _stamp(path) for method, path in fused.items()}


def measures_version() -> str:
  """Of the code that computes the measures: 16 hex digits that every change of it changes."""
  digest = hashlib.sha256()
  sources = importlib.resources.files("dig2dig_jax.metrics")
  for source in sorted((entry for entry in sources.iterdir() if entry.name.endswith(".py")), key=lambda e: e.name):
    digest.update(source.name.encode() + b"\0" + source.read_bytes())
  return digest.hexdigest()[:16]


class Scores(LineFile):
  """The file of one run, to be used as a context. `notes` grows by a line where lines are no scores.

  UserError where another run writes the file, or it cannot be written."""

  def __init__(self, folder: Path, settings: Mapping[str, Any], columns: Mapping[str, Sequence[str]]):
    """settings: all that decides scores but the images; JSON-able. columns: {row: names of its scores}."""
    super().__init__(folder / FILE, remedy="wait for it or change --out")
    self.notes: list[str] = []
    self._columns = {row: frozenset(names) for row, names in columns.items()}
    own = {"settings": settings, "columns": {row: list(names) for row, names in columns.items()},
           "measures": measures_version(), "versions": ledger.versions()}  # fmt: skip
    text = json.dumps(own, sort_keys=True, default=str)
    self.fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]

  def done(self, wanted: Mapping[str, Mapping[str, Stamp]]) -> set[str]:
    """Of the pairs {name: stamps of its files}, those with scores of this very run from these very files."""
    last: dict[str, dict] = {}
    strange = 0
    for entry in self._entries():
      if entry is None:
        strange += 1
      elif entry["fingerprint"] == self.fingerprint and entry["id"] in wanted:
        last[entry["id"]] = entry["files"]
    if strange:
      lines = "1 line is" if strange == 1 else f"{strange} lines are"
      self.notes.append(f"{self.path}: {lines} no scores of a pair; set aside")
    found = {name for name, files in last.items() if files == wanted[name]}
    if found:
      self.notes.append(f"{self.path}: {len(found)} of {len(wanted)} pairs had already been scored with the same "
                        "settings")
    return found

  def append(
    self,
    name: str,
    files: Mapping[str, Stamp],
    rows: Mapping[str, Row],
    signs: Mapping[str, Sequence[str]] = MappingProxyType({}),
  ) -> None:
    """One line, by one write, handed to the operating system before it returns. signs: {row: words on its image}, see
    `evaluation.signs`."""
    scores = {row: {column: plain(value) for column, value in found.items()} for row, found in rows.items()}
    entry = {"id": name, "fingerprint": self.fingerprint, "files": files, "scores": scores}
    entry |= {"signs": {row: list(words) for row, words in signs.items()}} if signs else {}
    self.write_line(json.dumps(entry, allow_nan=False))

  def load(self, names: Sequence[str]) -> dict[str, list[Row]]:
    """{row: its scores of each of these pairs, all of which are done or were appended}."""
    found: dict[str, dict[str, Row]] = dict.fromkeys(names, {})
    for entry in self._entries():
      if entry is not None and entry["fingerprint"] == self.fingerprint and entry["id"] in found:
        found[entry["id"]] = entry["scores"]
    return {row: [found[name][row] for name in names] for row in self._columns}

  def signs(self, names: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    """{pair: {row: words on its image}} of pairs as in `load`."""
    found: dict[str, dict[str, list[str]]] = {name: {} for name in names}
    for entry in self._entries():
      if entry is not None and entry["fingerprint"] == self.fingerprint and entry["id"] in found:
        found[entry["id"]] = entry["signs"]
    return found

  def _entries(self) -> Iterable[dict | None]:
    """Every line: what it holds, of any run; None for what is no line of scores."""
    with explained(self.path), open(self.path, "rb") as file:
      for line in file:
        yield self._entry(line)

  def _entry(self, line: bytes) -> dict | None:
    try:
      entry = strict_json.parse(line, most=_LONGEST)
      name, fingerprint, files, scores = (entry[field] for field in ("id", "fingerprint", "files", "scores"))
      if not (isinstance(name, str) and isinstance(fingerprint, str) and isinstance(files, dict)):
        return None
      signs = {row: [str(word) for word in words] for row, words in entry.get("signs", {}).items()}
      rows = {row: {column: _value(value) for column, value in found.items()} for row, found in scores.items()}
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
      return None  # edited by hand
    if fingerprint == self.fingerprint and {row: frozenset(found) for row, found in rows.items()} != self._columns:
      return None
    return {"id": name, "fingerprint": fingerprint, "files": files, "scores": rows, "signs": signs}


def _value(value: Any) -> float:
  """Of strict JSON, as `compare_table.plain` writes it."""
  if value is None:
    return math.nan
  if isinstance(value, str):
    return _WORDS[value]
  if isinstance(value, bool) or not math.isfinite(value):
    raise ValueError(f"expected a score, found {value}")
  return float(value)


def _numbers(ranges: Sequence[Sequence[Any]]) -> list:
  """As JSON reads them back."""
  return json.loads(json.dumps([list(found) for found in ranges], default=str))


def _stamp(path: Path) -> Stamp:
  try:
    size, of_file = path.stat().st_size, getattr(path, "shard", path).stat()
  except OSError:
    return [-1, -1]
  return [size, getattr(of_file, "st_mtime_ns", 0)]  # stores do not tell
