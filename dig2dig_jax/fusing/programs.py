"""Which programs need not be traced again? StableHLO on disk, as `jax.export` writes it; XLA's part is `compile_cache`.

Tracing and lowering take longer than loading compiled code. A file here is keyed by everything that determines a
program, including this package's source, begins with its SHA-256, and consists of flatbuffers: nothing is unpickled. A
stored program is trusted once it has run: until then any fault costs a compilation, never a result.
"""

import contextlib
import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax import export

from dig2dig_jax.files import replacing
from dig2dig_jax.fusing import compile_cache, faults
from dig2dig_jax.methods.fuse import FusionTrace
from dig2dig_jax.sampling.sampler import Trace

_PACKAGE = Path(__file__).resolve().parents[1]
_HASH = 32  # bytes of SHA-256 before the content
# `jax.export` no longer guarantees these on other versions of JAX; a file here is of the same version.
_ALLOWED = [export.DisabledSafetyCheck.custom_call(f"__cudnn$fmha{kind}Softmax") for kind in ("", "ScaleBias")]
_ALLOWED.append(export.DisabledSafetyCheck.custom_call("__gpu$xla.gpu.triton"))

for _kind in (Trace, FusionTrace):  # what a program returns
  export.register_namedtuple_serialization(_kind, serialized_name=f"dig2dig_jax.{_kind.__name__}")


class Program(NamedTuple):
  """compiled: to be called. kept: part of it came from disk, so that a fault may be due to the file."""

  compiled: jax.stages.Compiled
  kept: bool = False


class Programs:
  """StableHLO in `folder`, for one run. identity: everything beside shapes, devices and versions that determines the
  program: flags, the network's layout, what is kept of a trace. folder None: nothing is stored. options: of XLA."""

  def __init__(self, folder: Path | None = None, identity: str = "", options: Mapping[str, Any] | None = None):
    self._folder, self._identity, self._options = folder, identity, options and dict(options)
    self._said: set[str] = set()
    self.notes: list[str] = []

  def get(
    self,
    name: str,
    devices: Sequence[jax.Device],
    make: Callable[[], Callable],
    arguments: Sequence,
    *,
    compiling: Callable[[], None] = lambda: None,
  ) -> Program:
    """The program of this name (shapes, tiles) on these devices. make: the Python function, jitted; arguments: their
    shapes and devices. compiling: called before a compilation, if none is stored."""
    path = None if self._folder is None else self._path(name, devices)
    if path is not None and (found := self._loaded(path, name, devices, arguments)) is not None:
      return found
    compiling()
    if path is None:
      return self._compiled(make(), arguments)
    try:
      exported = export.export(make(), disabled_checks=_ALLOWED)(*arguments)
      content = exported.serialize()
    except (NotImplementedError, ValueError, TypeError, ImportError, jax.errors.JaxRuntimeError) as error:
      # The exceptions of this call differ by version and device.
      self._note("the trace of a program cannot be kept", f"{type(error).__name__}: {faults.reason(error)}")
      return self._compiled(make(), arguments)
    try:
      path.parent.mkdir(parents=True, exist_ok=True)
      with replacing(path) as temporary:
        temporary.write_bytes(hashlib.sha256(content).digest() + content)
    except OSError as error:
      self._note(f"--compile_cache={self._folder}: a program is not kept", error.strerror)
    # As a later run does, which thus finds what is compiled now.
    return self._compiled(self._jitted(exported, name, devices), arguments)

  def again(
    self, name: str, devices: Sequence[jax.Device], make: Callable[[], Callable], arguments: Sequence, error: Exception
  ) -> Program:
    """The same, compiled anew; the stored files are removed, since the program from `get` has failed with `error`."""
    self.notes.append(f"a cached program does not run ({faults.reason(error)}): removed, compiled again")
    if self._folder is not None:
      with contextlib.suppress(OSError):
        self._path(name, devices).unlink(missing_ok=True)
    if (cache := compile_cache.active()) is not None:
      with contextlib.suppress(OSError):
        cache.forget(self._title(name, devices))
    with compile_cache.bypassed():
      return Program(make().lower(*arguments).compile(compiler_options=self._options))

  def count(self, name: str, make: Callable[[], int]) -> int:
    """Operations counted in a traced program, stored like a program, as a line of text."""
    if self._folder is None:
      return make()
    path = self._path(name, ()).with_suffix(".count")
    try:
      number, seal = path.read_text(encoding="utf-8").split()
      if seal == _seal(number):
        return int(number)
    except (OSError, ValueError):
      pass  # it is counted again
    number = str(make())
    with contextlib.suppress(OSError):  # `get` reports that nothing can be stored
      path.parent.mkdir(parents=True, exist_ok=True)
      with replacing(path) as temporary:
        temporary.write_text(f"{number} {_seal(number)}\n", encoding="utf-8")
    return int(number)

  def _loaded(self, path: Path, name: str, devices: Sequence[jax.Device], arguments: Sequence) -> Program | None:
    try:
      content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
      return None
    except OSError as error:
      self._note(f"{path}: expected a kept program", error.strerror)
      return None
    try:
      if hashlib.sha256(content[_HASH:]).digest() != content[:_HASH]:
        raise ValueError("not what was written")
      exported = export.deserialize(bytearray(content[_HASH:]))
      return self._compiled(self._jitted(exported, name, devices), arguments)._replace(kept=True)
    except Exception as error:  # of any kind: the file is not needed
      if faults.of_memory(error):
        raise
      self.notes.append(f"{path}: no longer loads ({type(error).__name__}), compiled again")
      with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
      return None

  def _jitted(self, exported: export.Exported, name: str, devices: Sequence[jax.Device]):
    def call(*arguments):
      return exported.call(*arguments)

    call.__name__ = self._title(name, devices)
    return jax.jit(call)

  def _compiled(self, jitted, arguments: Sequence) -> Program:
    before = compile_cache.hits()
    compiled = jitted.lower(*arguments).compile(compiler_options=self._options)
    if (cache := compile_cache.active()) is not None:
      cache.publish()
      self.notes += cache.notes
      cache.notes.clear()
    return Program(compiled, compile_cache.hits() > before)

  def _note(self, what: str, reason: str | None) -> None:
    """Once a run."""
    if what not in self._said:
      self._said.add(what)
      self.notes.append(f"{what} ({reason})")

  def _title(self, name: str, devices: Sequence[jax.Device]) -> str:
    """Name of the program in JAX's cache, without the source: compiled code outlives edits that change no program."""
    return f"fuse_{self._key(name, devices)[:16]}"

  def _path(self, name: str, devices: Sequence[jax.Device]) -> Path:
    text = f"{self._key(name, devices)}\n{_environment()}"
    return self._folder / f"{hashlib.sha256(text.encode()).hexdigest()}.program"

  def _key(self, name: str, devices: Sequence[jax.Device]) -> str:
    text = "\n".join([self._identity, name, *map(_described, devices)])
    return hashlib.sha256(text.encode()).hexdigest()


def _seal(number: str) -> str:
  return hashlib.sha256(f"count {number}".encode()).hexdigest()


def _described(device: jax.Device) -> str:
  return f"{device.platform} {device.device_kind} {device.id} {getattr(device.client, 'platform_version', '')}"


def _environment() -> str:
  """Versions, JAX's settings, the processor and this package's source."""
  settings = {name: value for name, value in sorted(jax.config.values.items()) if "cache" not in name}
  return "\n".join([compile_cache.machine(), str(settings), _source(_PACKAGE)])


@functools.cache
def _source(package: Path) -> str:
  source = hashlib.sha256()
  for path in sorted(package.rglob("*.py")):
    source.update(path.read_bytes())
  return source.hexdigest()
