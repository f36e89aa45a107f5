"""What does an address say? A scheme that fsspec knows, a place in its store, and nothing that is secret."""

import importlib
import os
import re
from urllib.parse import urlsplit

from dig2dig_jax.errors import UserError
from dig2dig_jax.files import typed_path

# scheme -> (what reads it, how that is installed). Others that fsspec knows work too, where their package is there.
_PACKAGES = {
  "s3": ("s3fs", "pip install dig2dig_jax[cloud]"),
  "s3a": ("s3fs", "pip install dig2dig_jax[cloud]"),
  "http": ("aiohttp", "pip install dig2dig_jax[cloud]"),
  "https": ("aiohttp", "pip install dig2dig_jax[cloud]"),
  "gs": ("gcsfs", "pip install gcsfs"),
  "gcs": ("gcsfs", "pip install gcsfs"),
  "az": ("adlfs", "pip install adlfs"),
  "abfs": ("adlfs", "pip install adlfs"),
  "abfss": ("adlfs", "pip install adlfs"),
}
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(?=://|::)")
_USER = re.compile(r"(?<=s3://)(?!arn:)[^/\s:]*:\S*@|(?<=://)[^/\s]*@")  # keys of S3 may have a / in them
_WITHOUT_USERS = ("s3", "s3a", "gs", "gcs", "http", "https", "az")
_REPOSITORIES = ("github", "gitlab")  # whose addresses are ORGANISATION:REPOSITORY@BRANCH
_QUERY = re.compile(r"(?<=\w)\?[^\s:'\"]*=[^\s:'\"]*")  # where presigned addresses have their signature


def is_address(text) -> bool:
  """Whether this is the address of a store, and no path."""
  return isinstance(text, str) and _ADDRESS.match(text) is not None


def typed_place(text: str | os.PathLike):
  """A source or a destination as the user types it: a `Path`, or the `StorePath` of an address.

  `file://` and plain paths are local; `zip://::FILE` and `tar://::FILE` are the inside of an archive, itself local or
  in a store, and FILE.zip alone means the same. UserError for an unknown scheme, a package that is not installed and
  credentials in an address.
  """
  if not isinstance(text, str):
    if hasattr(text, "storage_options"):  # of universal-pathlib, with what its user gave it
      from dig2dig_jax.stores.path import opened

      return opened(str(text), dict(text.storage_options))
    return text if not isinstance(text, os.PathLike) else typed_path(text)
  if text.startswith("file://"):
    return typed_path(text.removeprefix("file://"))
  if not is_address(text):
    path = typed_path(text)
    if path.suffix.lower() == ".zip" and path.is_file():
      return typed_place(f"zip://::{path}")
    return path
  _check(text)
  from dig2dig_jax.stores.path import opened

  return opened(text, {})


def redacted(text: str) -> str:
  """The same without what may be secret in an address: a name and password before the host, and a query."""
  return _QUERY.sub("?...", _USER.sub("", text)) if "://" in text else text


def library(scheme: str, address: str) -> None:
  """UserError if the package for this scheme is not installed, or there is none."""
  try:
    import fsspec
  except ImportError:
    raise UserError(f"{address}: expected fsspec to read or write {scheme}://, found it not installed; pip install "
                    "dig2dig_jax[cloud]") from None
  package, command = _PACKAGES.get(scheme, ("", ""))
  if package:
    try:
      importlib.import_module(package)
    except ImportError:
      raise UserError(f"{address}: expected {package} to read or write {scheme}://, found it not installed; "
                      f"{command}") from None
    return
  if scheme not in fsspec.available_protocols():
    raise UserError(f"{address}: expected an address of a kind that fsspec knows (s3://, gs://, az://, https://, "
                    f"zip://, tar://...), found {scheme}://; check its spelling")
  try:
    fsspec.get_filesystem_class(scheme)
  except ImportError as error:
    raise UserError(f"{address}: expected what fsspec needs for {scheme}://, found it not installed; "
                    f"{' '.join(str(error).split())}") from None


def _check(text: str) -> None:
  for part in text.split("::"):
    if not part:
      continue
    shown = redacted(text)
    if match := _ADDRESS.match(part):
      if _has_credentials(match[0].lower(), part):
        raise UserError(f"{shown}: expected an address without credentials, which end in logs, found some; leave them "
                        "to the library's own means (environment, profile, metadata service)")
      library(match[0].lower(), shown)


def _has_credentials(scheme: str, part: str) -> bool:
  if scheme in _REPOSITORIES:
    return False
  user, at, _ = urlsplit(part).netloc.rpartition("@")
  if at:
    return scheme in _WITHOUT_USERS or ":" in user
  return scheme in ("s3", "s3a") and _USER.search(part) is not None
