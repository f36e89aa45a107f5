"""How does the index store the logs? As tables of SQLite, with lines of a log as their rows.

Names are stored as bytes (file names need not be UTF-8), and of a pair's sources a hash of their sizes. The hash of its
image is not stored, since it is rarely needed and the log has it. A pair thus takes its name and about 25 bytes.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dig2dig_jax.fusing import ledger_lines

_MARK = 0x64326466  # SQLite's application id: d2df
_VERSION = 1
_FACTOR, _BITS = 0x5DEECE66D, 2**48 - 1
_NOTHING: dict[str, Any] = {}
_FLUSH = 20_000  # rows that are buffered before they are inserted
_SCHEMA = """
CREATE TABLE {0}.logs (number INTEGER PRIMARY KEY, name BLOB, size INTEGER, probe BLOB, lines INTEGER, bad INTEGER,
                       first_bad INTEGER);
CREATE TABLE {0}.runs (number INTEGER PRIMARY KEY, fingerprint TEXT, head TEXT);
CREATE TABLE {0}.starts (log INTEGER, offset INTEGER, run INTEGER, at INTEGER, told TEXT, done INTEGER, failed INTEGER,
                         seconds REAL, last INTEGER, PRIMARY KEY (log, offset)) WITHOUT ROWID;
CREATE TABLE {0}.done (id BLOB, log INTEGER, offset INTEGER, bytes INTEGER, run INTEGER, sources INTEGER,
                       marks INTEGER, PRIMARY KEY (id, log, offset)) WITHOUT ROWID;
CREATE TABLE {0}.failed (id BLOB, log INTEGER, offset INTEGER, run INTEGER, kind TEXT, at INTEGER,
                         PRIMARY KEY (id, log, offset)) WITHOUT ROWID;
"""
_SMALL = ("logs", "runs", "starts")  # tables that each process keeps in memory
_MAPS, _ASKED_CELSIUS, _HAS_CELSIUS = 1, 2, 4  # of a row's marks


class Row(NamedTuple):
  """A line about a finished pair. log: the file's name; offset: where in it; bytes: of the image; run: the fingerprint;
  sources: `digest` of their sizes; marks: what else was written, as the line has it."""

  log: str
  offset: int
  bytes: int
  run: str
  sources: int
  marks: dict[str, Any]


class Failed(NamedTuple):
  """A line about a pair that failed. at: seconds since 1970."""

  name: str
  log: str
  offset: int
  run: str
  kind: str
  at: int


class Start(NamedTuple):
  """What a process did from one start to the next. at, last: seconds since 1970, of the start and of the last pair;
  told: pairs in all, and other figures of the start; seconds: that its devices took."""

  log: str
  run: str
  at: int
  last: int
  told: dict[str, Any]
  done: int
  failed: int
  seconds: float


def digest(sizes: Iterable[int]) -> int:
  """48 bits of the sizes of a pair's sources, in their order: it detects changed files and is no security measure."""
  value = 0
  for size in sizes:
    value = (value + size + 2) * _FACTOR & _BITS
  return value


def digests(sizes: np.ndarray) -> np.ndarray:
  """`digest` of many pairs' sizes: int64 [N, K] -> int64 [N]."""
  value = np.zeros(len(sizes), np.uint64)
  for column in np.asarray(sizes, np.int64).astype(np.uint64).T:
    value = (value + column + np.uint64(2)) * np.uint64(_FACTOR) & np.uint64(_BITS)  # 2^64, where it wraps, is no fault
  return value.astype(np.int64)


def key(name: str) -> bytes:
  return name.encode("utf-8", "surrogatepass")


def name(key: bytes) -> str:
  return key.decode("utf-8", "surrogatepass")


def make(connection: sqlite3.Connection, schema: str) -> None:
  connection.execute(f"PRAGMA {schema}.application_id={_MARK}")
  connection.execute(f"PRAGMA {schema}.user_version={_VERSION}")
  for statement in filter(str.strip, _SCHEMA.format(schema).split(";")):
    connection.execute(statement)


def is_index(path: Path) -> bool:
  """Whether a file is an index of this version: read from its first bytes, and not through a link."""
  return _version(path) == _VERSION


def is_free(path: Path) -> bool:
  """Whether an index may be written there: it replaces an index of any version, or an empty file, which a
  disk may leave after a failure."""
  if path.is_symlink():
    return False
  return not path.exists() or path.is_file() and (path.stat().st_size == 0 or _version(path) is not None)


def _version(path: Path) -> int | None:
  if path.is_symlink() or not path.is_file():
    return None
  with path.open("rb") as file:
    first = file.read(100)
  ours = first[:15] == b"SQLite format 3" and first[68:72] == _MARK.to_bytes(4, "big")
  return int.from_bytes(first[60:64], "big") if ours else None


def take_over(connection: sqlite3.Connection) -> None:
  """Copies the small tables of the attached file into this process's database."""
  for table in _SMALL:
    connection.execute(f"INSERT INTO main.{table} SELECT * FROM snap.{table}")


def _schemas(attached: bool) -> tuple[str, ...]:
  return ("main", "snap") if attached else ("main",)


def _both(columns: str, table: str, attached: bool, rest: str = "") -> str:
  return " UNION ALL ".join(f"SELECT {columns} FROM {schema}.{table} {rest}" for schema in _schemas(attached))


def write(connection: sqlite3.Connection, path: Path, *, attached: bool) -> None:
  """A file of all rows, in the order of their keys, so that its pages are full. Raises sqlite3.Error, OSError."""
  connection.execute("ATTACH ? AS fresh", (str(path),))
  try:
    for setting in ("journal_mode=OFF", "synchronous=OFF"):
      connection.execute(f"PRAGMA fresh.{setting}")
    connection.execute("BEGIN")
    make(connection, "fresh")
    for table in _SMALL:
      connection.execute(f"INSERT INTO fresh.{table} SELECT * FROM main.{table}")
    for table in ("done", "failed"):
      connection.execute(f"INSERT OR IGNORE INTO fresh.{table} {_both('*', table, attached)} ORDER BY 1, 2, 3")
    connection.execute("COMMIT")
  except BaseException:
    if connection.in_transaction:
      connection.execute("ROLLBACK")
    raise
  finally:
    connection.execute("DETACH fresh")
  number = os.open(path, os.O_RDONLY)
  try:
    os.fsync(number)
  finally:
    os.close(number)


def ask(
  connection: sqlite3.Connection, keys: Sequence[bytes], *, attached: bool, columns: str = "*"
) -> Iterator[tuple]:
  """(id, log, offset, bytes, run, sources, marks), or some of these, of each line about a finished pair."""
  places = ",".join(f"?{number}" for number in range(1, len(keys) + 1))
  return connection.execute(_both(columns, "done", attached, f"WHERE id IN ({places})"), keys)


def failures(connection: sqlite3.Connection, *, attached: bool) -> Iterator[tuple]:
  """(id, log, offset, run, kind, at) of the last failure of each pair that no later line reports as done."""
  # In SQLite, a bare column beside max() comes from the row with the maximum.
  last = f"SELECT id, log, offset, run, kind, max(at) AS at FROM ({_both('*', 'failed', attached)}) GROUP BY id"
  later = "d.id = f.id AND d.run = f.run AND (d.log <> f.log OR d.offset > f.offset)"
  undone = [f"NOT EXISTS (SELECT 1 FROM {schema}.done AS d WHERE {later})" for schema in _schemas(attached)]
  return connection.execute(f"SELECT * FROM ({last}) AS f WHERE {' AND '.join(undone)} ORDER BY id")


def counts(connection: sqlite3.Connection, *, attached: bool) -> Iterator[tuple]:
  """(run, pairs that are finished in it)."""
  return connection.execute(f"SELECT run, count(DISTINCT id) FROM ({_both('run, id', 'done', attached)}) GROUP BY run")


def told_marks(marks: int) -> dict[str, Any]:
  """As the line has them."""
  if not marks:
    return _NOTHING
  told: dict[str, Any] = {"maps": True} if marks & _MAPS else {}
  if marks & (_ASKED_CELSIUS | _HAS_CELSIUS):
    told["celsius"] = "there" if marks & _HAS_CELSIUS else ""
  return told


class Taken:
  """Inserts lines of logs into the tables, and returns rows with names instead of numbers."""

  def __init__(self, connection: sqlite3.Connection):
    self._own = connection
    logs = connection.execute("SELECT number, name FROM main.logs").fetchall()
    self._names = {number: name(blob) for number, blob in logs}
    runs = connection.execute("SELECT fingerprint, number, head FROM main.runs").fetchall()
    self.runs = {fingerprint: number for fingerprint, number, _ in runs}
    self._of_run = {number: fingerprint for fingerprint, number, _ in runs}
    self._heads = {fingerprint: head for fingerprint, _, head in runs}
    self._start: list[Any] | None = None
    self._done: list[tuple] = []
    self._failed: list[tuple] = []
    self.lines = 0

  def begin(self, log: int, name: str) -> None:
    self._log, self._names[log] = log, name
    known = self._own.execute("SELECT lines, bad, first_bad FROM main.logs WHERE number=?", (log,)).fetchone()
    self._count, self._bad, self._first = known or (0, 0, 0)
    last = self._own.execute("SELECT * FROM main.starts WHERE log=? ORDER BY offset DESC LIMIT 1", (log,)).fetchone()
    self._start = list(last) if last else None

  def line(self, offset: int, entry: ledger_lines.Entry | None) -> None:
    self._count += 1
    self.lines += 1
    if entry is None:
      self._bad, self._first = self._bad + 1, self._first or self._count
    elif "id" in entry:
      self._finished(offset, entry)
    elif "failed" in entry:
      at = _whole(entry.get("at"))
      self._failed.append((key(entry["failed"]), self._log, offset, self._run(entry["run"]), entry["kind"], at))
      self._of_start(offset, entry["run"], at)[6] += 1
    else:
      self._begun(offset, entry)
    if len(self._done) + len(self._failed) >= _FLUSH:
      self._flush()

  def _finished(self, offset: int, entry: ledger_lines.Entry) -> None:
    sources, fingerprint = entry["sources"], entry.get("run") or entry.get("fingerprint", "")
    celsius = entry.get("celsius")
    marks = _MAPS * (entry.get("maps") is True) + (
      0 if not isinstance(celsius, str) else _HAS_CELSIUS if celsius else _ASKED_CELSIUS)
    if "flags" in entry and self._heads.get(fingerprint) is None:
      self._head(fingerprint, {name: entry[name] for name in ("flags", "weights")})
    sizes = sources.values() if isinstance(sources, dict) else sources
    run = self._run(fingerprint)
    self._done.append((key(entry["id"]), self._log, offset, entry["bytes"], run, digest(sizes), marks))
    start = self._of_start(offset, fingerprint, _whole(entry.get("at")))
    seconds = entry.get("took", entry.get("seconds"))
    start[5] += 1
    start[7] += seconds if type(seconds) in (int, float) and 0 <= seconds < 1e9 else 0

  def _begun(self, offset: int, entry: ledger_lines.Entry) -> None:
    fingerprint, at = entry["run"], _whole(entry.get("at"))
    self._head(fingerprint, {name: entry[name] for name in ("flags", "weights")})
    self._keep_start()
    told = {name: value for name, value in entry.items() if type(value) is int or name == "device"}
    self._start = [self._log, offset, self._run(fingerprint), at, json.dumps(told), 0, 0, 0.0, at]

  def _of_start(self, offset: int, fingerprint: str, at: int) -> list[Any]:
    run = self._run(fingerprint)
    if self._start is None or self._start[2] != run:  # a log of an earlier version, or one without the line of its run
      self._keep_start()
      self._start = [self._log, offset, run, at, "{}", 0, 0, 0.0, at]
    self._start[8] = max(self._start[8], at)
    return self._start

  def _run(self, fingerprint: str) -> int:
    number = self.runs.get(fingerprint)
    if number is None:
      number = self.runs[fingerprint] = len(self.runs)
      self._of_run[number] = fingerprint
      self._own.execute("INSERT INTO main.runs VALUES (?, ?, NULL)", (number, fingerprint))
    return number

  def _head(self, fingerprint: str, head: dict[str, Any]) -> None:
    if self._heads.get(fingerprint) is None:
      self._heads[fingerprint] = json.dumps(head)
      self._own.execute("UPDATE main.runs SET head=? WHERE number=?",
                        (self._heads[fingerprint], self._run(fingerprint)))  # fmt: skip

  def _keep_start(self) -> None:
    if self._start is not None:
      self._own.execute("INSERT OR REPLACE INTO main.starts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", self._start)

  def _flush(self) -> None:
    self._own.execute("BEGIN")
    self._own.executemany("INSERT OR IGNORE INTO main.done VALUES (?, ?, ?, ?, ?, ?, ?)", self._done)
    self._own.executemany("INSERT OR IGNORE INTO main.failed VALUES (?, ?, ?, ?, ?, ?)", self._failed)
    self._own.execute("COMMIT")
    self._done, self._failed = [], []

  def end(self, size: int, probe: bytes) -> None:
    self._keep_start()
    self._flush()
    values = (self._log, key(self._names[self._log]), size, probe, self._count, self._bad, self._first)
    self._own.execute("INSERT OR REPLACE INTO main.logs VALUES (?, ?, ?, ?, ?, ?, ?)", values)

  def row(self, log: int, offset: int, size: int, run: int, sources: int, marks: int) -> Row:
    return Row(self._names[log], offset, size, self._of_run[run], sources, told_marks(marks))

  def failed(self, id: bytes, log: int, offset: int, run: int, kind: str, at: int) -> Failed:
    return Failed(name(id), self._names[log], offset, self._of_run[run], kind, at)

  def head(self, fingerprint: str) -> dict[str, Any] | None:
    text = self._heads.get(fingerprint)
    return None if text is None else json.loads(text)

  def counts(self, found: Iterable[tuple]) -> dict[str, int]:
    return {self._of_run[run]: count for run, count in found}

  def starts(self) -> list[Start]:
    rows = self._own.execute("SELECT log, run, at, last, told, done, failed, seconds FROM main.starts ORDER BY log, "
                             "offset").fetchall()  # fmt: skip
    return [Start(self._names[log], self._of_run[run], at, last, json.loads(told), *rest)
            for log, run, at, last, told, *rest in rows]


def _whole(value) -> int:
  return value if type(value) is int and 0 <= value < 2**37 else 0
