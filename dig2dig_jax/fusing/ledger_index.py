"""What do the logs contain about these pairs? Queried from an SQLite file, so that no start reads whole logs.

The logs, one for each process and only ever appended to, are authoritative; the index is derived from them and can be
deleted at any time. It is never modified in place: a new one is made under another name, from the old one and the lines
appended since, and replaces it by one rename. Readers therefore need no locks, write-ahead log or shared memory, which
network file systems support poorly or not at all. Lines appended since the index was made are read at the start, into a
database of this process. In a store no index is made: the log's parts are read at each start.
"""

import collections
import contextlib
import fcntl
import hashlib
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import quote

from dig2dig_jax.errors import UserError, one_line
from dig2dig_jax.files import claim, replacing
from dig2dig_jax.fusing import index_tables as tables
from dig2dig_jax.fusing import ledger_lines
from dig2dig_jax.fusing.index_tables import Failed, Row
from dig2dig_jax.fusing.ledger import FOLDER, refuse_link
from dig2dig_jax.record import explained

FILE = "index.sqlite"
LEAST = 2**20  # bytes of logs below which no index is made
SHARE = 16  # an index is made anew when the logs have grown by this fraction (1 / SHARE)
_ASKED = 500  # names in one query
_PROBED = 4096  # bytes at a log's beginning, and before the position read so far, that identify it


class _Log(NamedTuple):
  number: int
  size: int  # bytes that were read, all of them whole lines
  probe: bytes


class Index:
  """The contents of all logs of a folder of results. Use as a context; `rows` may be called by threads.

  `notes`: a line for each log with foreign lines, and if the index itself cannot be used. UserError where the
  logs cannot be read.
  """

  def __init__(self, folder):
    self.folder, self.notes = folder / FOLDER, list[str]()
    self._lock = threading.RLock()
    self._stored = not isinstance(self.folder, Path)  # in a store
    self._logs: dict[str, _Log] = {}
    self._snapshot: os.stat_result | None = None
    self._indexed = 0  # bytes of logs that the file covers
    refuse_link(self.folder)

  def __enter__(self) -> Self:
    self._connect()
    try:
      self._attach()
      self._read_on()
    except BaseException:
      self._own.close()
      raise
    return self

  def __exit__(self, *exception) -> None:
    self._own.close()

  def _connect(self) -> None:
    # A private database: in memory while it is small, else a temporary file.
    self._own = sqlite3.connect("", uri=True, check_same_thread=False, isolation_level=None)
    for setting in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-65536"):
      self._own.execute(f"PRAGMA {setting}")
    tables.make(self._own, "main")
    self._logs, self._snapshot, self._indexed = {}, None, 0
    self._taken = tables.Taken(self._own)

  @property
  def empty(self) -> bool:
    """Whether no log contains a run."""
    return not self._taken.runs

  @property
  def path(self) -> Path:
    return self.folder / FILE

  def _attach(self) -> None:
    """Attaches the file, if it matches the logs as they are now."""
    found = None
    if self._stored:
      return
    try:
      if not tables.is_index(self.path):
        return
      found = self.path.stat()
      self._own.execute("ATTACH ? AS snap", (f"file:{quote(str(self.path.absolute()))}?mode=ro&immutable=1",))
      listed = self._own.execute("SELECT number, name, size, probe FROM snap.logs").fetchall()
      logs = {tables.name(blob): _Log(number, size, probe) for number, blob, size, probe in listed}
      if why := self._strange(logs):
        raise ValueError(why)
      tables.take_over(self._own)
    except (sqlite3.Error, ValueError, OSError) as error:
      if found is not None:
        self.notes.append(f"{self.path}: expected an index of the logs beside it, found {one_line(error)}; it is made "
                          "anew")
      self._own.close()
      self._connect()
      return
    self._logs, self._snapshot = logs, found
    self._indexed = sum(log.size for log in logs.values())
    self._taken = tables.Taken(self._own)

  def _strange(self, logs: dict[str, _Log]) -> str:
    """How the logs differ from the index other than by appended lines; empty if they do not."""
    for name, log in logs.items():
      path = self.folder / name
      try:
        changed = path.is_symlink() or path.stat().st_size < log.size or _probe(path, log.size) != log.probe
      except OSError:
        changed = True
      if changed:
        return f"{name} changed or gone"
    return ""

  def publish(self) -> None:
    """Makes the file anew where the logs have grown enough, unless another process is about to. A failure is
    reported in `notes`: the next start then reads more of the logs, and nothing is lost."""
    size = sum(log.size for log in self._logs.values())
    if self._stored or size - self._indexed < max(LEAST, self._indexed // SHARE):
      return
    with self._lock, contextlib.suppress(BlockingIOError), _alone(self.folder):
      try:
        if not tables.is_free(self.path):
          raise OSError(0, "a file that this program did not write")
        if self._snapshot is not None and not _same(self.path.stat(), self._snapshot):
          return  # another process has just made one
        claim(self.path, known=True)
        with replacing(self.path) as temporary:
          tables.write(self._own, temporary, attached=self._snapshot is not None)
      except (sqlite3.Error, OSError, UserError) as error:
        self.notes.append(f"{self.path}: expected to write an index of the logs, found {one_line(error)}; the next "
                          "start reads the logs instead")

  def refresh(self) -> set[str]:
    """Reads lines appended to the logs since the last read. Returns the names of their pairs."""
    with self._lock:
      return self._read_on(told=True)

  def _read_on(self, *, told: bool = False) -> set[str]:
    """The names only if `told`."""
    names: set[str] = set()
    with explained(self.folder):
      for path in sorted(self.folder.glob("*.jsonl")):
        if path.is_symlink() or not path.is_file():
          note = f"{path}: expected a log, found a link or no plain file; ignored"
          self.notes += [note] if note not in self.notes else []
          continue
        log = self._logs.get(path.name) or _Log(len(self._logs), 0, b"")
        if path.stat().st_size <= log.size and path.name in self._logs:
          continue
        self._taken.begin(log.number, path.name)
        end = log.size
        for start, end, entry in ledger_lines.lines(path, log.size):  # noqa: B007
          self._taken.line(start, entry)
          if told and entry is not None and "id" in entry:
            names.add(entry["id"])
        self._logs[path.name] = _Log(log.number, end, b"" if self._stored else _probe(path, end))
        self._taken.end(end, self._logs[path.name].probe)
    self._tell_damage()
    return names

  def _tell_damage(self) -> None:
    for blob, bad, first in self._own.execute("SELECT name, bad, first_bad FROM main.logs WHERE bad > 0 ORDER BY name"):
      path = self.folder / tables.name(blob)
      self.notes = [note for note in self.notes if not note.startswith(f"{path}: expected a finished image")]
      self.notes.append(f"{path}: expected a finished image in every line, found {bad} without (the first is line "
                        f"{first}); ignored, and those pairs count as not done")

  def rows(self, names: Sequence[str]) -> dict[str, list[Row]]:
    """The lines about finished pairs of these names, in the order of the logs' names and of lines in each."""
    found: dict[str, list[Row]] = {}
    for row in self._asked([tables.key(name) for name in names], "*"):
      found.setdefault(tables.name(row[0]), []).append(self._taken.row(*row[1:]))
    for several in found.values():
      if len(several) > 1:
        several.sort(key=lambda row: (row.log, row.offset))
    return found

  def once(self, keys: Sequence[bytes], fingerprint: str) -> dict[bytes, tuple[int, int, int]]:
    """{key: (bytes, sources, marks)} of those names, each as its `tables.key`, that have one line, of this run."""
    rows = self._asked(keys, "id, run, bytes, sources, marks")
    number = self._taken.runs.get(fingerprint)
    found = {row[0]: row[2:] for row in rows if row[1] == number}
    if len(found) < len(rows):  # pairs of other runs, or duplicates
      counts = collections.Counter(row[0] for row in rows)
      found = {key: row for key, row in found.items() if counts[key] == 1}
    return found

  def _asked(self, keys: Sequence[bytes], columns: str) -> list[tuple]:
    with self._lock:
      try:
        return self._ask(keys, columns)
      except sqlite3.Error as error:
        if self._snapshot is None:
          raise
        self._forget(error)
        return self._ask(keys, columns)

  def _ask(self, keys: Sequence[bytes], columns: str) -> list[tuple]:
    found, attached = list[tuple](), self._snapshot is not None
    for at in range(0, len(keys), _ASKED):
      found += tables.ask(self._own, keys[at : at + _ASKED], attached=attached, columns=columns)
    return found

  def _forget(self, error: Exception) -> None:
    """Continues without the file, which is damaged, or was removed while it was read."""
    self.notes.append(f"{self.path}: expected an index of the logs beside it, found {one_line(error)}; the logs are "
                      "read instead")
    self._own.close()
    self._connect()
    self._read_on()

  def entry(self, row: Row | Failed) -> dict[str, Any] | None:
    """The line itself, as it stands in the log; None if it is no longer there."""
    with contextlib.suppress(OSError):
      for _, _, entry in ledger_lines.lines(self.folder / row.log, row.offset):
        return entry
    return None

  def head(self, fingerprint: str) -> dict[str, Any] | None:
    """What the pairs of a run have in common; None if no line has it."""
    with self._lock:
      return self._taken.head(fingerprint)

  def failed(self, fingerprint: str | None = None) -> Iterator[Failed]:
    """The last failure of each pair that has not been done since, of one run or of all."""
    with self._lock:
      rows = list(tables.failures(self._own, attached=self._snapshot is not None))
    for row in rows:
      found = self._taken.failed(*row)
      if fingerprint in (None, found.run):
        yield found

  def count(self) -> dict[str, int]:
    """{fingerprint: how many pairs are finished in that run}."""
    with self._lock:
      return self._taken.counts(tables.counts(self._own, attached=self._snapshot is not None))

  def starts(self) -> Iterable[tables.Start]:
    """Every start of every process, by log and in their order."""
    with self._lock:
      return _joined(self._taken.starts()) if self._stored else self._taken.starts()


def _joined(starts: Iterable[tables.Start]) -> list[tables.Start]:
  """Those of a store's log, of which only the first part describes the start; named like the log, without its part."""
  found: list[tables.Start] = []
  for start in sorted(starts, key=lambda start: start.log):
    start = start._replace(log=start.log.removesuffix(".jsonl").rpartition("-")[0])
    last = found[-1] if found else None
    if last is not None and not start.told and (last.log, last.run) == (start.log, start.run):
      found[-1] = last._replace(last=max(last.last, start.last), done=last.done + start.done,
                                failed=last.failed + start.failed, seconds=last.seconds + start.seconds)  # fmt: skip
    else:
      found.append(start)
  return found


def _probe(path: Path, size: int) -> bytes:
  with path.open("rb") as file:
    first = file.read(min(_PROBED, size))
    file.seek(max(0, size - _PROBED))
    last = file.read(min(_PROBED, size))
  return hashlib.blake2b(first + last, digest_size=16).digest()


def _same(one: os.stat_result, other: os.stat_result) -> bool:
  return (one.st_ino, one.st_mtime_ns, one.st_size) == (other.st_ino, other.st_mtime_ns, other.st_size)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
  """Raises BlockingIOError if another process holds the lock. On file systems without such locks several processes may
  enter, which only costs time."""
  number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
  try:
    try:
      fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      raise
    except OSError:
      pass
    yield
  finally:
    os.close(number)
