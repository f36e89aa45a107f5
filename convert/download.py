"""How does a released checkpoint get here? By pooch, into a cache, continuing a download that was cut off."""

import os
import urllib.error
import urllib.request
from pathlib import Path

import pooch
from tqdm import tqdm

from dig2dig_jax.errors import UserError

_BLOCK = 2**20


def fetch(url: str, *, sha256: str | None = None, folder: Path | None = None) -> Path:
  """The file at `url` in the cache folder ($XDG_CACHE_HOME/dig2dig_jax, or `folder`), downloaded if it is not there.

  sha256: of an earlier conversion of the same name, which the file is held against. Raises UserError for a download
  that failed (what came so far is kept, and continued at the next call) or whose hash is another.
  """
  folder = folder or pooch.os_cache("dig2dig_jax")
  try:
    return Path(
      pooch.retrieve(url, f"sha256:{sha256}" if sha256 else None, Path(url).name, folder, downloader=_resuming)
    )
  except urllib.error.HTTPError as error:
    raise UserError(f"{url}: expected a file, found HTTP {error.code}; get it by hand and give --pt=FILE") from error
  except OSError as error:
    raise UserError(f"{url}: the download stopped ({error}); run again to continue, or give --pt=FILE") from error
  except ValueError as error:  # pooch, for a hash
    raise UserError(
      f"{url}: expected the sha256 {sha256} of the earlier conversion, found another file; remove the old folder to "
      "accept it"
    ) from error


def _resuming(url: str, output: str, _pooch) -> None:
  """A pooch downloader. Bytes gather in FILE.part in the cache, and a cut-off download goes on from there."""
  target = Path(_pooch.abspath if _pooch else Path(output).parent) / f"{Path(url).name}.part"
  have = target.stat().st_size if target.exists() else 0
  request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
  try:
    with urllib.request.urlopen(request) as answer:
      resumed = answer.status == 206
      total = int(answer.headers.get("Content-Length", 0)) + (have if resumed else 0)
      _copy(answer, target, "ab" if resumed else "wb", total)
  except urllib.error.HTTPError as error:
    if error.code != 416:  # 416: nothing is left to send
      raise
    total = have
  if total and target.stat().st_size < total:
    raise OSError(f"{target.stat().st_size} of {total} bytes came")
  os.replace(target, output)


def _copy(answer, target: Path, mode: str, total: int) -> None:
  with open(target, mode) as file, tqdm(
    total=total or None, initial=file.tell(), unit="B", unit_scale=True, desc=target.stem, disable=None
  ) as bar:
    while block := answer.read(_BLOCK):
      file.write(block)
      bar.update(len(block))
