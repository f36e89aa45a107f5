"""Does a place hold a volume? Told by bytes, never by a name: a folder of DICOM, a file of it, or of NIfTI."""

import gzip
import os
import re
import zlib
from pathlib import Path

from dig2dig_jax.errors import UserError
from dig2dig_jax.files import typed_path

DICOM, NIFTI = "DICOM", "NIfTI"
MOST_FILES = 20_000  # below one folder
_LOOKED_AT = 100  # files of a folder, until one is DICOM
_HEAD = 352  # bytes of a NIfTI header; one of DICOM says so within 132
_GZIP = b"\x1f\x8b"


def kind(path: Path) -> str | None:
  """Of a file, or a folder with files of DICOM in it or below: DICOM or NIFTI; None for any other. Never raises."""
  try:
    if path.is_dir():
      return DICOM if any(of_bytes(head(file)) == DICOM for file in files_below(path, _LOOKED_AT)) else None
    return of_bytes(head(path)) if path.is_file() else None
  except (OSError, UserError):
    return None


def split_series(place: str) -> tuple[Path, int | None]:
  """FOLDER:4 as (FOLDER, 4): of several series of DICOM in one folder the one of this number. A path that exists as it
  is written is one."""
  path = typed_path(place)
  match = re.fullmatch(r"(.+):(\d{1,9})", place)
  if match and not path.exists() and typed_path(match[1]).is_dir():
    return typed_path(match[1]), int(match[2])
  return path, None


def of_bytes(beginning: bytes) -> str | None:
  """What these first bytes announce, those of a compressed file unpacked."""
  if beginning[128:132] == b"DICM":
    return DICOM
  if beginning[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c") and beginning[344:347] in (b"n+1", b"ni1"):
    return NIFTI
  if beginning[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c") and beginning[4:7] in (b"n+2", b"ni2"):
    return NIFTI
  return None


def head(path: Path) -> bytes:
  """The first bytes of a file, unpacked where it is compressed by gzip. Empty for what is no file."""
  if not path.is_file():  # opening a pipe would wait for its other end
    return b""
  with path.open("rb") as file:
    beginning = file.read(_HEAD)
    if not beginning.startswith(_GZIP):
      return beginning
    file.seek(0)
    try:
      with gzip.GzipFile(fileobj=file) as unpacked:
        return unpacked.read(_HEAD)
    except (OSError, EOFError, zlib.error):
      return b""


def is_compressed(path: Path) -> bool:
  with path.open("rb") as file:
    return file.read(2) == _GZIP


def files_below(folder: Path, most: int = MOST_FILES) -> list[Path]:
  """Files in a folder and below, hidden ones and links to folders excepted, by name. At most so many where fewer than
  `MOST_FILES` are asked for; UserError beyond that."""
  found: list[Path] = []
  for above, folders, names in os.walk(folder):
    folders[:] = sorted(name for name in folders if not name.startswith("."))
    found += [Path(above) / name for name in sorted(names) if not name.startswith(".")]
    if len(found) > most:
      if most < MOST_FILES:
        return found[:most]
      raise UserError(f"{folder}: expected at most {MOST_FILES} files below it, found more; give the folder of one "
                      "series")  # fmt: skip
  return found
