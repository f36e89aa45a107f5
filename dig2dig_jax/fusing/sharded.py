"""How are results written to shards? A fixed number of pairs per file, as NAME.png and NAME.json, the line of the log.
A shard is written atomically once it is full, and at the end.

A pair is logged once its shard is written. If a process was killed between the two, the lines are read back from the
shard itself: no pair is computed again. Before a shard is written, pairs that another process has written in the
meantime are dropped, so that none is in two shards: the name of a shard contains its share, and shares of one division
have no pair in common.
"""

import contextlib
import errno
import hashlib
import io
import json
import re
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from dig2dig_jax.data.shards import KINDS
from dig2dig_jax.errors import UserError
from dig2dig_jax.files import replacing
from dig2dig_jax.fusing import ledger, store_log
from dig2dig_jax.fusing.processes import ALONE, Place
from dig2dig_jax.record import explained, make_folder
from dig2dig_jax.stores.path import Stat
from dig2dig_jax.stores.shard import Kind, samples

FILES = "files"
CONTAINERS = (FILES, *KINDS)
_OF_SHARE = re.compile(r"fused-(\d+)-of-(\d+)-")


class ShardFolder:
  """A folder of results whose images are in shards. It replaces the folder's path: `folder / "NAME.png"` is an image in
  a shard, every other name a file of the folder.

  Args:
    folder: of the shards.
    kind: of the shards. size: pairs per shard. name: prefix of their names. share: of the pairs; its shards are named
      by their pairs. None to name them by `name` and a number.
  """

  def __init__(self, folder, kind: Kind, size: int, name: str, share: Place | None = None):
    self.folder, self.kind, self.size = folder, kind, size
    self.name, self.number, self.share = name, 0, share
    self._seen: set[str] = set()  # shards that were read, or were written by this process
    self._whole: set[str] = set()  # shards whose size agreed with the log
    self.pending: dict[str, bytes] = {}  # images not yet in a shard
    self.standing: dict[str, int] = {}  # bytes of images in written shards, by name
    self._rows: list[dict[str, Any]] = []
    self._lock = threading.Lock()

  def __truediv__(self, name: str):
    return Slot(self, name) if name.endswith(".png") else self.folder / name

  def __str__(self) -> str:
    return str(self.folder)

  def mkdir(self, **options) -> None:
    """Done by `prepare`."""

  def prepare(self) -> None:
    make_folder(self.folder)

  def look(self) -> list[dict[str, Any]]:
    """Registers the existing shards. Returns those of their lines that the log lacks: such pairs are done, and are
    passed to `stand` once they are logged. UserError for a shard whose size differs from the one written."""
    there = self._there()
    counts: dict[str, int] = {}
    sizes: dict[str, int] = {}
    self._seen = set(there)
    for line in ledger.shards(self.folder):
      if line["shard"] not in self._seen:
        continue
      self.standing[line["id"]] = line["bytes"]
      if isinstance(size := line.get("shard_bytes"), int):
        sizes[line["shard"]] = size
      counts[line["shard"]] = counts.get(line["shard"], 0) + 1
      if counts[line["shard"]] == line.get("in_shard"):
        there.pop(line["shard"], None)
    for name, size in sizes.items():
      if name in self._whole:
        continue
      path = self.folder / name
      if (found := path.stat().st_size) != size:
        raise UserError(f"{path}: expected the {self.kind.title} file of {size} bytes that was written, found {found} "
                        "bytes; delete it, and run the same command again to make its pairs anew")
      self._whole.add(name)
    unlogged, seen = [], set[str]()
    for path in there.values():  # whose writer was killed
      for line in self._lines(path):
        if line["id"] not in self.standing and line["id"] not in seen:
          seen.add(line["id"])
          unlogged.append(line)
    return unlogged

  def _there(self) -> dict[str, Any]:
    with explained(self.folder):
      return {path.name: path for path in self.folder.glob(f"*{self.kind.suffix}")}

  def _lines(self, path) -> Iterator[dict[str, Any]]:
    for sample in samples(path, self.kind):
      if (text := next((sample.members[name] for name in ("json", "log") if name in sample.members), None)) is not None:
        yield json.loads(text.read_bytes())

  def standing_lines(self, fingerprint: str) -> list[dict[str, Any]]:
    """The lines of this run in the shard of this name, if another worker has written it; the number then advances."""
    path = self.folder / f"{self.name}-{self.number:06d}{self.kind.suffix}"
    if not path.is_file():
      return []
    self.number += 1
    lines = [line for line in self._lines(path) if line.get("fingerprint") == fingerprint]
    if lines:
      lines[0]["shard_bytes"] = path.stat().st_size
    self.stand(lines)
    return lines

  def _done_meanwhile(self, fingerprint: str) -> set[str]:
    """Pairs of this run in shards that others have written since, except those of other shares of this division."""
    found: set[str] = set()
    for name, path in self._there().items():
      if name not in self._seen and not self._is_apart(name):
        self._seen.add(name)
        found |= {line["id"] for line in self._lines(path) if line.get("fingerprint") == fingerprint}
    return found

  def _is_apart(self, shard: str) -> bool:
    match = _OF_SHARE.match(shard)
    return match is not None and self.share is not None and (
      int(match[2]) == self.share.processes and int(match[1]) != self.share.process)

  def stand(self, lines: list[dict[str, Any]]) -> None:
    """Registers pairs of written shards."""
    self.standing |= {line["id"]: line["bytes"] for line in lines}

  def add(self, entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Adds the line of a pair whose image is pending. Returns the lines of the shard that this completed and wrote."""
    with self._lock:
      self._rows.append(dict(entry))
      return self._put() if len(self._rows) >= self.size else []

  def close(self) -> list[dict[str, Any]]:
    """Writes the last shard, full or not. Returns its lines."""
    with self._lock:
      return self._put() if self._rows else []

  def _put(self) -> list[dict[str, Any]]:
    fingerprint = self._rows[0]["fingerprint"]
    if self.share is not None and (twice := self._done_meanwhile(fingerprint)):
      for row in self._rows:
        if row["id"] in twice:
          self.standing[row["id"]] = len(self.pending.pop(row["id"]))
      self._rows = [row for row in self._rows if row["id"] not in twice]
      if not self._rows:
        return []
    name = f"{self.name}-{self.number:06d}{self.kind.suffix}"
    if self.share is not None:
      name = task_name([row["id"] for row in self._rows], fingerprint, self.share) + self.kind.suffix
    self._seen.add(name)
    rows = [{**row, "shard": name, "in_shard": len(self._rows)} for row in self._rows]
    image, text = (("image.png", "log.json") if self.kind.suffix != ".tar" else ("png", "json"))
    content = self.kind.write([(row["id"], {image: self.pending[row["id"]], text: json.dumps(row).encode()})
                               for row in rows])  # fmt: skip
    path = self.folder / name
    with explained(path), replacing(path) as temporary:
      temporary.write_bytes(content)
    rows[0]["shard_bytes"] = len(content)  # for the log only; one line per shard is enough
    for row in rows:
      self.standing[row["id"]] = len(self.pending.pop(row["id"]))
    self._rows, self.number = [], self.number + 1
    return rows


class Slot:
  """The path of an image in a shard, with the operations that writing an image needs."""

  def __init__(self, parent: ShardFolder, name: str):
    self.parent, self.name, self._id = parent, name, name.removesuffix(".png")

  def __str__(self) -> str:
    return f"{self.parent}/{self.name}"

  def is_symlink(self) -> bool:
    return False

  def is_file(self) -> bool:
    return self._id in self.parent.pending or self._id in self.parent.standing

  exists = is_file

  def stat(self) -> Stat:
    if (data := self.parent.pending.get(self._id)) is not None:
      return Stat(0o100644, len(data), -3, 0)
    if (size := self.parent.standing.get(self._id)) is not None:
      return Stat(0o100644, size, -3, 0)
    raise FileNotFoundError(errno.ENOENT, "nothing there")

  def open(self, how: str = "rb"):
    """A pending image, for reading."""
    if (data := self.parent.pending.get(self._id)) is None:
      raise OSError(errno.EACCES, "an image in a shard that stands, which is not written over")
    return io.BytesIO(data)

  @contextlib.contextmanager
  def replacing(self) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="dig2dig-") as folder:
      yield (temporary := Path(folder) / self.name)
      self.parent.pending[self._id] = temporary.read_bytes()


class ShardLog:
  """The log of a run that writes shards: a pair's line is passed on once its shard is written."""

  def __init__(self, folder: ShardFolder, log, unlogged: list[dict[str, Any]]):
    self._folder, self._log, self._unlogged = folder, log, unlogged

  def __enter__(self) -> Self:
    self._log.__enter__()
    self._folder.stand(self._unlogged)
    self._hand_on(self._unlogged)
    return self

  def __exit__(self, *exception) -> None:
    try:
      self._hand_on(self._folder.close())
    finally:
      self._log.__exit__(*exception)

  def begin(self, run: Mapping[str, Any], **figures) -> None:
    self._log.begin(run, **figures)

  def fail(self, name: str, fingerprint: str, kind: str, why: str) -> None:
    self._log.fail(name, fingerprint, kind, why)

  def notes(self) -> list[str]:
    return self._log.notes()

  def append(self, entry: dict[str, Any]) -> None:
    """A line with a `shard` is of a pair whose shard an engine's worker has written itself."""
    self._hand_on([entry] if "shard" in entry else self._folder.add(entry))

  def touched(self) -> float:
    return self._log.touched()

  def _hand_on(self, lines: list[dict[str, Any]]) -> None:
    for line in lines:
      self._log.append(line)


def place_of(out, container: str, size: int, *, name: str = "", share: Place = ALONE):
  """Where results go: `out` itself, or its shards. name: prefix of the shards' names; if empty, they are named by
  their pairs and this share."""
  if container == FILES:
    return out
  return ShardFolder(out, KINDS[container], size, name, None if name else share)


def refuse(container: str, *, maps: bool, temperatures: bool, overwrite: bool) -> None:
  """UserError for flags that cannot be combined with shards."""
  asked = {"--maps": maps, "--temperatures": temperatures, "--overwrite": overwrite}
  if container != FILES and (wrong := [flag for flag, there in asked.items() if there]):
    raise UserError(f"{', '.join(wrong)}: expected --results=files beside it, found --results={container}, which holds "
                    "fused images alone and is not written over; leave it out or change --out")


def look(out) -> list[dict[str, Any]]:
  """The lines that are only in shards, see `ShardFolder.look`; none if results are files."""
  return out.look() if isinstance(out, ShardFolder) else []


def opened(out, unlogged: list[dict[str, Any]], *, process: int, processes: int):
  """The log of a folder of results, in any place and form. unlogged: lines that are appended first."""
  if not isinstance(out, ShardFolder):
    return store_log.opened(out, process=process, processes=processes)
  return ShardLog(out, store_log.opened(out.folder, process=process, processes=processes), unlogged)


def task_name(names: list[str], fingerprint: str, share: Place | None = None) -> str:
  """Name of the shard of these pairs, the same whenever they are computed again."""
  text = "\0".join([fingerprint, *names])
  own = "" if share is None else f"{share.process}-of-{share.processes}-"
  return f"fused-{own}{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"
