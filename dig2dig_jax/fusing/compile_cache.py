"""Which compiled code may JAX load from disk? Entries of its own cache that are complete and unchanged.

JAX writes an entry in place, never replaces one, and loads whatever decompresses: a process that is killed leaves a
truncated entry for good, and a flipped bit becomes machine code. JAX therefore uses a folder of this process alone. The
entries in it were checked against the SHA-256 in their names; new ones are published under their hash, by one rename.
"""

import atexit
import contextlib
import fcntl
import functools
import hashlib
import os
import platform
import re
import shutil
import tempfile
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache as jax_cache

from dig2dig_jax.files import replacing
from dig2dig_jax.fusing.ledger import versions

MOST = 256  # entries per kind of machine: all of them are read at every start
_ENTRY = re.compile(r"(.+-cache)\.([0-9a-f]{32})")  # published; the hash is the first half of SHA-256
_PRIVATE = "process-"


class CompileCache:
  """Entries in `folder` for machines and versions like this one's, made available to JAX. `notes` grows. Raises OSError
  where nothing can be written."""

  def __init__(self, folder: Path):
    self._published = folder / "compiled" / hashlib.sha256(machine().encode()).hexdigest()[:16]
    self._published.mkdir(parents=True, exist_ok=True)
    _sweep(self._published)
    self.folder = Path(tempfile.mkdtemp(prefix=_PRIVATE, dir=self._published))
    self._lock = (self.folder / "lock").open("wb")
    self._lock.write(bytes(4096))  # a full disk accepts a folder, but no content
    self._lock.flush()
    with contextlib.suppress(OSError):  # some network file systems know no locks
      fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    self.notes: list[str] = []
    self._known: set[str] = set()
    self._lend()

  def _lend(self) -> None:
    """Links every sound entry for JAX to find, and removes the others, and the oldest beyond `MOST`."""
    found = sorted((path for path in self._published.iterdir() if _ENTRY.fullmatch(path.name)), key=_age)
    damaged = 0
    for path in found[:MOST]:
      name, digest = _ENTRY.fullmatch(path.name).groups()
      try:
        content = path.read_bytes()
      except OSError:
        continue  # another process may have removed it
      if _digest(content) == digest:
        self._known.add(name)
        _link(path, self.folder / name, content)
        continue
      damaged += 1
      path.unlink(missing_ok=True)
    for path in found[MOST:]:
      path.unlink(missing_ok=True)
    if damaged:
      self.notes.append(f"{self._published}: {damaged} damaged entries, removed; their programs are compiled again")

  def publish(self) -> None:
    """Publishes what JAX has added. A fault is noted once."""
    for path in self.folder.glob("*-cache"):
      if path.name in self._known:
        continue
      self._known.add(path.name)
      try:
        content = path.read_bytes()
        if _whole(content):
          with replacing(self._published / f"{path.name}.{_digest(content)}") as temporary:
            temporary.write_bytes(content)
          continue
        reason = "the disk took a part of it"
      except OSError as error:
        reason = error.strerror
      path.unlink(missing_ok=True)
      if not any("not cached" in note for note in self.notes):
        self.notes.append(f"{self._published}: a compiled program is not cached ({reason})")

  def forget(self, name: str) -> None:
    """Removes the entries of the program called `name`, wherever they came from."""
    for path in (*self.folder.glob(f"*{name}*"), *self._published.glob(f"*{name}*-cache.*")):
      path.unlink(missing_ok=True)

  def close(self) -> None:
    """Publishes, and removes JAX's folder."""
    self.publish()
    self._lock.close()
    shutil.rmtree(self.folder, ignore_errors=True)


_active: CompileCache | None = None


def active() -> CompileCache | None:
  """The cache that JAX uses now, if `use` has set one."""
  return _active


def use(folder: Path) -> str | None:
  """Lets JAX store compiled programs in `folder` until this process ends. Returns a line if it cannot."""
  global _active
  stop()
  try:
    _active = CompileCache(folder)
  except OSError as error:
    return (f"--compile_cache={folder}: expected a folder to write to, found {error.strerror}; every run compiles its "
            "programs again until another is given")
  jax.config.update("jax_compilation_cache_dir", str(_active.folder))
  jax.config.update("jax_persistent_cache_enable_xla_caches", "none")  # their path in it would be part of every key
  jax_cache.reset_cache()
  # JAX's own warnings about the folder; a full disk is reported by `publish`.
  warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache")
  return None


@atexit.register
def stop() -> None:
  """Ends what `use` began."""
  global _active
  if _active is not None:
    _active.close()
    _active = None
    jax.config.update("jax_compilation_cache_dir", None)
    jax_cache.reset_cache()


@contextlib.contextmanager
def bypassed() -> Iterator[None]:
  """Programs inside are compiled without the cache."""
  before = jax.config.jax_enable_compilation_cache
  jax.config.update("jax_enable_compilation_cache", False)
  jax_cache.reset_cache()  # JAX reads the setting once
  try:
    yield
  finally:
    jax.config.update("jax_enable_compilation_cache", before)
    jax_cache.reset_cache()


def hits() -> int:
  """How many programs JAX has found in its cache so far."""
  return _hits


_hits = 0


def _listen(event: str, **_) -> None:
  global _hits
  _hits += event == "/jax/compilation_cache/cache_hits"


jax.monitoring.register_event_listener(_listen)


@functools.cache
def machine() -> str:
  """Versions and processor: machine code fits processors with the same instructions only."""
  try:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    processor = "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
  except OSError:
    processor = f"{platform.machine()} {platform.processor()}"
  return f"{versions()}\n{processor}"


def _sweep(folder: Path) -> None:
  """Removes the folders of killed processes, whose locks are free."""
  for path in folder.glob(f"{_PRIVATE}*/lock"):
    with contextlib.suppress(OSError), path.open("rb") as lock:
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
      shutil.rmtree(path.parent, ignore_errors=True)


def _link(path: Path, to: Path, content: bytes) -> None:
  with contextlib.suppress(FileExistsError):
    try:
      os.link(path, to)
    except PermissionError:  # some file systems know no links
      to.write_bytes(content)


def _age(path: Path) -> float:
  try:
    return -path.stat().st_mtime
  except OSError:
    return 0.0


def _digest(content: bytes) -> str:
  return hashlib.sha256(content).hexdigest()[:32]


def _whole(content: bytes) -> bool:
  """Whether an entry is complete. JAX compresses with zstd where that is installed."""
  if not content.startswith(b"\x28\xb5\x2f\xfd"):
    try:
      return bool(zlib.decompress(content))
    except zlib.error:
      return False
  try:
    import zstandard
  except ImportError:
    return True
  try:
    return bool(zstandard.ZstdDecompressor().decompress(content))
  except zstandard.ZstdError:
    return False
