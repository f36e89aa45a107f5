"""How does a released checkpoint get here? Into a cache, going on where a download was cut off, and checked before it
is kept.

What comes gathers in NAME.part. It becomes NAME only when it is whole: by the size and SHA-256 on record, else by its
own structure. Beside it lies NAME.json with both, and NAME is held against them whenever it is used again.
"""

import http.client
import json
import os
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import pooch
from tqdm import tqdm

from dig2dig_jax.errors import UserError
from dig2dig_jax.files import replacing
from dig2dig_jax.priors import tensor_file

_BLOCK = 2**20
_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"  # how torch.save began its files before they were zip files


def fetch(
  url: str,
  *,
  size: int | None = None,
  sha256: str | None = None,
  earlier: str | None = None,
  folder: Path | None = None,
) -> Path:
  """The file at `url` in the cache folder ($XDG_CACHE_HOME/dig2dig_jax, or `folder`), downloaded if it is not there.

  size, sha256: on record for the file. earlier: SHA-256 of what an earlier conversion of the same name read.
  Raises UserError for a download that failed (what came so far is kept, and continued at the next call), for a file
  that is not whole, which is removed, and for another than the earlier one.
  """
  folder = Path(folder or pooch.os_cache("dig2dig_jax"))
  path = folder / Path(url).name
  try:
    if path.is_file():
      found = _checked(path, *_recorded(path, size, sha256), told=None)
    else:
      folder.mkdir(parents=True, exist_ok=True)
      part, told = _download(url, path.with_name(f"{path.name}.part"))
      found = _checked(part, size, sha256, told=told)
      os.replace(part, path)
    with replacing(_note(path)) as note:
      note.write_text(json.dumps({"url": url, "size": path.stat().st_size, "sha256": found}) + "\n", encoding="utf-8")
  except urllib.error.HTTPError as error:
    raise UserError(f"{url}: expected a file, found HTTP {error.code}; download it manually and give "
                    "--pt=FILE") from error
  except (OSError, http.client.HTTPException) as error:
    what = " ".join(str(error).split()) or type(error).__name__
    raise UserError(f"{url}: the download stopped ({what}); run again to continue, or give --pt=FILE") from error
  if earlier not in (None, found):
    raise UserError(
      f"{url}: expected the sha256 {earlier} of the earlier conversion, found another file; remove the old folder to "
      "accept it"
    )
  return path


def _download(url: str, part: Path) -> tuple[Path, int | None]:
  """(`part`, with what is missing of it, how many bytes the server told that there are; None if it did not)."""
  have = part.stat().st_size if part.exists() else 0
  request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
  try:
    with urllib.request.urlopen(request) as answer:
      resumed = answer.status == 206
      length = answer.headers.get("Content-Length", "")
      told = int(length) + (have if resumed else 0) if length.isdecimal() else None
      _copy(answer, part, "ab" if resumed else "wb", told)
  except urllib.error.HTTPError as error:
    if error.code != 416 or not have:  # 416: nothing is left to send
      raise
    told = have
  if told is not None and part.stat().st_size < told:
    raise OSError(f"{part.stat().st_size} of {told} bytes came")
  return part, told


def _copy(answer, part: Path, mode: str, total: int | None) -> None:
  with open(part, mode) as file, tqdm(
    total=total, initial=file.tell(), unit="B", unit_scale=True, desc=part.stem, disable=None
  ) as bar:
    while block := answer.read(_BLOCK):
      file.write(block)
      bar.update(len(block))


def _checked(path: Path, size: int | None, sha256: str | None, *, told: int | None) -> str:
  """SHA-256 of a file that is whole. A cut one raises OSError and stays, to be continued, where it is a download; any
  other that is not whole is removed with a UserError."""
  have, found = path.stat().st_size, None
  if told is None and path.suffix == ".part" and (have < size if size else _is_cut(path)):
    raise OSError(f"{have} of {size or 'an unknown number of'} bytes came")
  if size is not None and have != size:
    fault = f"{size} bytes, found {have}"
  elif sha256 is not None:
    found = tensor_file.sha256(path)
    fault = f"sha256 {sha256[:12]}..., found {found[:12]}..." if found != sha256 else None
  else:
    fault = _misbuilt(path, told)
  if fault is None:
    return found or tensor_file.sha256(path)
  path.unlink()
  _note(path).unlink(missing_ok=True)
  raise UserError(f"{path}: expected {fault}; it was removed, run again to download it, or give --pt=FILE")


def _is_cut(path: Path) -> bool:
  """Whether it begins as a zip file does and has no end, where the table of contents is."""
  with open(path, "rb") as file:
    return file.read(4) in (b"PK\x03\x04", b"") and not zipfile.is_zipfile(path)


def _misbuilt(path: Path, told: int | None) -> str | None:
  """What is wrong with a file of which nothing is on record, by its own table of contents and checksums."""
  try:
    if zipfile.is_zipfile(path):
      with zipfile.ZipFile(path) as file:
        broken = file.testzip()
      return f"a PyTorch checkpoint, found damaged bytes in {broken}" if broken else None
  except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError, OSError, EOFError) as error:
    return f"a PyTorch checkpoint, found a damaged table of contents ({' '.join(str(error).split())})"
  with open(path, "rb") as file:
    legacy = file.read(len(_LEGACY)) == _LEGACY
  # The older container has no checksums: it is taken in the length that the server told, or not at all.
  return None if legacy and told == path.stat().st_size else "a PyTorch checkpoint, found another or a cut file"


def _recorded(path: Path, size: int | None, sha256: str | None) -> tuple[int | None, str | None]:
  """(size, SHA-256) to hold a kept file against: those on record, else those noted when it came."""
  if sha256 is not None:
    return size, sha256
  try:
    noted = json.loads(_note(path).read_text(encoding="utf-8"))
    noted_size, noted_sha256 = noted["size"], noted["sha256"]
  except (OSError, ValueError, KeyError, TypeError, RecursionError):
    return size, None  # kept by an older version: its structure is looked at
  if type(noted_size) is not int or not isinstance(noted_sha256, str):
    return size, None
  return size or noted_size, noted_sha256


def _note(path: Path) -> Path:
  return path.with_name(f"{path.name}.json")
