"""How does a job write down what it did? Folders, and small text files that appear whole or not at all."""

import contextlib
import functools
import importlib.metadata
import os
import platform
from pathlib import Path

import jax

from dig2dig_jax.errors import UserError
from dig2dig_jax.escape import shown
from dig2dig_jax.files import claim, replacing


def make_folder(path: Path) -> None:
  """Creates a folder for results and all above it. UserError where that cannot be: asked for before any computing."""
  if not isinstance(path, Path):
    path.prepare()
    return
  with explained(path):
    path.mkdir(parents=True, exist_ok=True)
  if not os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
    raise UserError(f"{path}: expected a folder to write to, found no permission; change --out")


def write_text(path: Path, text: str, *, known: bool = False) -> None:
  """Writes UTF-8 text into an existing folder, bytes of names that are not UTF-8 replaced; other processes see the old
  file or the whole new one. UserError where that cannot be, and where a file lies there that this program did not
  write and that is not `known` to be its own."""
  with explained(path):
    claim(path, known=known)
    with replacing(path) as temporary:
      temporary.write_text(shown(text), encoding="utf-8")


def environment() -> dict[str, str | int]:
  """Versions and hardware of this process, as a record of a run tells them."""
  return {
    "python": platform.python_version(),
    **packages(),
    "device": jax.devices()[0].device_kind,
    "devices": jax.device_count(),
    "cpu_cores": os.cpu_count() or 0,
    "system": f"{platform.system()} {platform.machine()}",
  }


@functools.cache
def packages() -> dict[str, str]:
  """Versions of what computes; they do not change while a process runs."""
  return {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "flax", "numpy")}


@contextlib.contextmanager
def explained(path: Path):
  """Turns an OSError at `path` into a UserError that says so."""
  try:
    yield
  except OSError as error:
    raise UserError(f"{path}: expected a place to write, found {error.strerror}; change --out") from error
