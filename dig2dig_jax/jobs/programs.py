"""Which programs need not be made again? Whole executables on disk: a later process neither traces nor compiles.

JAX's own cache holds what XLA compiled, but is asked with the traced and lowered program, and that takes longer than
loading it. A file here is found by everything that decides a program, this package's own source among it. Like JAX's
cache it holds machine code: its folder must be one that only its user can write.
"""

import functools
import hashlib
import pickle
import platform
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
from jax.experimental import serialize_executable

from dig2dig_jax.errors import UserError
from dig2dig_jax.files import replacing
from dig2dig_jax.jobs.ledger import versions

_PACKAGE = Path(__file__).resolve().parents[1]


class Programs:
  """Executables in `folder`, for one run. identity: everything beside shapes, devices and versions that decides what is
  compiled: flags, the network's layout, what is kept of a trace. folder None: nothing is kept."""

  def __init__(self, folder: Path | None = None, identity: str = ""):
    self._folder, self._identity = folder, identity
    self.notes: list[str] = []

  def get(
    self, name: str, devices: Sequence[jax.Device], make: Callable[[], jax.stages.Compiled]
  ) -> jax.stages.Compiled:
    """The program of this name (shapes, tiles) on these devices: loaded, else made and kept."""
    if self._folder is None:
      return make()
    text = "\n".join([self._identity, name, *map(_described, devices), _environment()])
    path = self._folder / f"{hashlib.sha256(text.encode()).hexdigest()}.program"
    if path.exists():
      try:
        return serialize_executable.deserialize_and_load(*pickle.loads(path.read_bytes()), execution_devices=devices)
      except Exception as error:  # a damaged file may raise anything; it is made again, and said
        self.notes.append(f"{path}: no longer loads ({type(error).__name__}), compiled again")
    program = make()
    try:
      content = pickle.dumps(serialize_executable.serialize(program))
    except (NotImplementedError, ValueError, TypeError, pickle.PicklingError, jax.errors.JaxRuntimeError) as error:
      # What this raises differs by version and device.
      self.notes.append(f"compiled programs are kept by JAX's own cache only ({type(error).__name__}: {error})")
      return program
    try:
      path.parent.mkdir(parents=True, exist_ok=True)
      with replacing(path) as temporary:
        temporary.write_bytes(content)
    except OSError as error:
      raise UserError(f"--compile_cache={self._folder}: not writable ({error.strerror}); give another") from error
    return program


def _described(device: jax.Device) -> str:
  return f"{device.platform} {device.device_kind} {device.id} {getattr(device.client, 'platform_version', '')}"


@functools.cache
def _environment() -> str:
  """Versions, JAX's settings, the processor and this package's source."""
  source = hashlib.sha256()
  for path in sorted(_PACKAGE.rglob("*.py")):
    source.update(path.read_bytes())
  settings = {name: value for name, value in sorted(jax.config.values.items()) if "cache" not in name}
  return "\n".join([str(versions()), str(settings), _processor(), source.hexdigest()])


def _processor() -> str:
  """Machine code fits processors with the same instructions only."""
  try:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
  except OSError:
    return f"{platform.machine()} {platform.processor()}"
  return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
