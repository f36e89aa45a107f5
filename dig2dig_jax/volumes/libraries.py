"""Who reads medical files? pydicom and nibabel, which only those install who need them."""

import contextlib
import importlib
import logging
import warnings
from collections.abc import Iterator
from types import ModuleType

from dig2dig_jax.errors import UserError


def pydicom(path) -> ModuleType:
  """The library, for the sake of this file. UserError where it is not installed."""
  found = _imported("pydicom", "DICOM", path)
  for name in ("pydicom.pixels", "pydicom.uid", "pydicom.filereader"):
    importlib.import_module(name)
  logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # what matters of its doubts is refused here
  return found


def nibabel(path) -> ModuleType:
  """The same for NIfTI."""
  found = _imported("nibabel", "NIfTI", path)
  logging.getLogger("nibabel.global").setLevel(logging.CRITICAL + 1)
  return found


def _imported(name: str, kind: str, path) -> ModuleType:
  try:
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")
      return importlib.import_module(name)
  except ImportError:
    raise UserError(f"{path}: expected {name} to read or write {kind}, found it not installed; "
                    "pip install dig2dig_jax[medical]") from None


@contextlib.contextmanager
def reading(path, kind: str, remedy: str = "copy or export it again") -> Iterator[None]:
  """Whatever a library makes of damaged bytes becomes one line that names the file; its warnings are not shown."""
  try:
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")
      yield
  except UserError:
    raise
  except FileNotFoundError:
    raise UserError(f"{path}: expected a {kind} file, found nothing there; check the name") from None
  except MemoryError:
    raise UserError(f"{path}: expected memory for this volume, found too little; crop it") from None
  except OSError as error:
    reason = error.strerror or str(error)
    raise UserError(f"{path}: expected a readable {kind} file, found {_line(reason)}; {remedy}") from error
  except Exception as error:  # damaged bytes surface from these libraries as almost any type
    reason = f"{type(error).__name__}: {error}"
    raise UserError(f"{path}: expected a whole {kind} file, found a damaged one ({_line(reason)}); {remedy}") from error


def _line(text: str) -> str:
  """Its first line, of printable characters, and not too long."""
  first = (text.strip().splitlines() or [""])[0][:200]
  return "".join(letter if letter.isprintable() else "?" for letter in first)
