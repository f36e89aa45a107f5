"""What does a store hold, and how is it read and written? fsspec's file systems, with patience and whole objects.

Listings are kept for a while, since a job asks for the size of every file; S3's come by pages, so that of any folder
few names are in memory. An object appears by one put where the store itself makes a put whole or nothing; where it
writes as it goes, under another name that is then moved.
"""

import contextlib
import errno
import io
import sqlite3
import stat
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

from dig2dig_jax.errors import UserError
from dig2dig_jax.stores import address
from dig2dig_jax.stores.listing import Found, Listing
from dig2dig_jax.stores.retrying import Tries, persistent

_WHOLE = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "memory"}  # a put is seen when it is complete
_ARCHIVES = {"zip", "tar", "libarchive"}  # one file that all readers of a process share
_READ_ONLY = _ARCHIVES | {"http", "https", "github", "git"}
_S3, _PAGE = {"s3", "s3a"}, 1000  # names that are listed at once
_KEPT = 60.0  # seconds that a listing is believed, or
_KEPT_TIMES = 10.0  # times as long as it took


class Store:
  """One file system of fsspec. address: as it was typed; options: for it, never shown."""

  def __init__(self, url: str, options: dict[str, Any]):
    first, *rest = url.split("::")
    self.scheme = first.partition("://")[0].lower()
    # What is read is kept by this class, or not at all: the libraries' own listings know no age.
    self.fs, self.begin = persistent(lambda: self._connected(url, options), tries=Tries())
    self._chain = "".join(f"::{address.redacted(part)}" for part in rest)
    self.tries = Tries()
    self._listings: dict[str, tuple[float, Listing]] = {}  # until when it is believed
    self._lock, self._one_by_one = threading.Lock(), threading.Lock()

  def _connected(self, url: str, options: dict[str, Any]):
    import fsspec

    own: dict[str, Any] = {"use_listings_cache": False} if self.scheme in ("s3", "s3a", "gs", "gcs") else {}
    return fsspec.core.url_to_fs(url, **own, **options)

  def key_of(self, url: str) -> str:
    """Of an address in this store."""
    return self.begin if self._chain else self.fs._strip_protocol(url)

  def told(self) -> list[str]:
    """A line where requests had to be tried again."""
    return self.tries.lines(self.shown(self.begin).partition("://")[0] + "://")

  def shown(self, key: str) -> str:
    """The address of a key, without what is secret."""
    text = key if "://" in key else f"{self.scheme}://{key.lstrip('/')}"
    return address.redacted(text) + self._chain

  def listed(self, folder: str) -> Listing:
    """What lies directly in a folder. Raises FileNotFoundError where there is none, and OSError."""
    with self._lock:
      until, found = self._listings.get(folder, (0.0, None))
    begun = time.monotonic()
    if found is not None and begun < until:
      return found
    try:
      found = Listing(self._rows(folder))
    except sqlite3.Error as error:
      raise OSError(errno.ENOSPC, f"no room for its listing in the temporary folder ({error})") from error
    now = time.monotonic()
    with self._lock:
      self._listings[folder] = now + max(_KEPT, _KEPT_TIMES * (now - begun)), found
    return found

  def _rows(self, folder: str) -> Iterator[tuple[str, Found]]:
    rows = self._paged(folder) if self.scheme in _S3 and not self._chain else iter(())
    if (first := next(rows, None)) is not None:
      yield first
      yield from rows
      return
    for row in persistent(lambda: self.fs.ls(folder, detail=True), tries=self.tries):
      name = row["name"].rstrip("/").rpartition("/")[2]
      inside = row["name"].rstrip("/") != folder.rstrip("/")  # some stores list a folder's own marker in it
      if name and inside:
        yield name, Found(int(row.get("size") or 0), row["type"] == "directory")

  def _paged(self, folder: str) -> Iterator[tuple[str, Found]]:
    """Of S3, a page of names at once, and each with retries of its own. Nothing where there is no such folder."""
    bucket, prefix, _ = self.fs.split_path(folder.rstrip("/"))
    prefix = f"{prefix}/" if prefix else ""
    of_page: dict[str, Any] = {}
    while bucket:
      asked = {"Bucket": bucket, "Prefix": prefix, "Delimiter": "/", "MaxKeys": _PAGE, **self.fs.req_kw, **of_page}
      try:
        page = persistent(lambda asked=asked: self.fs.call_s3("list_objects_v2", **asked), tries=self.tries)
      except FileNotFoundError:  # no such bucket, of which `ls` tells
        return
      for entry in page.get("CommonPrefixes", ()):
        yield entry["Prefix"][len(prefix) : -1], Found(0, True)
      for entry in page.get("Contents", ()):
        if name := entry["Key"][len(prefix) :]:  # the folder's own marker has none
          yield name, Found(entry["Size"], False)
      if not page.get("IsTruncated"):
        return
      of_page = {"ContinuationToken": page["NextContinuationToken"]}

  def _old_and_large(self, folder: str) -> bool:
    """Whether there is a listing that is believed no longer, and would take long to make anew for one name."""
    with self._lock:
      until, found = self._listings.get(folder, (0.0, None))
    return found is not None and found.is_large and time.monotonic() >= until

  def found(self, folder: str, name: str) -> Found:
    """What lies at folder/name. Raises FileNotFoundError for nothing, and OSError."""
    key = f"{folder}/{name}" if name else folder
    if name and self.scheme not in ("http", "https") and not self._old_and_large(folder):
      try:  # but for pages, which need not list what they have
        if (there := self.listed(folder).get(name)) is not None:
          return there
        raise FileNotFoundError(errno.ENOENT, "nothing there")
      except PermissionError:
        pass  # a key may be readable where its folder cannot be listed
    row = persistent(lambda: self.fs.info(key), tries=self.tries)
    return Found(int(row.get("size") or 0), row["type"] == "directory")

  def read(self, key: str, start: int | None = None, end: int | None = None) -> bytes:
    """An object's bytes, from `start` to before `end`. Raises OSError."""
    with self._one_by_one if self.scheme in _ARCHIVES else contextlib.nullcontext():
      return persistent(lambda: self.fs.cat_file(key, start=start, end=end), tries=self.tries)

  def put(self, folder: str, name: str, data: bytes) -> None:
    """Writes an object: others see the old one, or none, or the whole new one. Raises OSError."""
    if self.scheme in _READ_ONLY:
      raise OSError(errno.EROFS, "a place that can only be read")
    key = f"{folder}/{name}"
    if self.scheme in _WHOLE:
      persistent(lambda: self.fs.pipe_file(key, data), tries=self.tries)
    else:
      persistent(lambda: self._moved(folder, key, data), tries=self.tries)
    with self._lock:
      if folder in self._listings:
        self._listings[folder][1].add(name, Found(len(data), False))
      for above in [place for place in self._listings if folder.startswith(f"{place}/")]:
        del self._listings[above]  # the folder may be new in it

  def _moved(self, folder: str, key: str, data: bytes) -> None:
    temporary = f"{folder}/.{uuid.uuid4().hex}.tmp"
    self.fs.makedirs(folder, exist_ok=True)
    try:
      self.fs.pipe_file(temporary, data)
      self.fs.mv(temporary, key)
    except BaseException:
      if self.fs.exists(temporary):
        self.fs.rm_file(temporary)
      raise

  def check(self, key: str) -> None:
    """UserError where there is no bucket, or no way to write into it."""
    if self.scheme in _READ_ONLY:
      raise UserError(f"{self.shown(key)}: expected a place to write to, found one that can only be read "
                      f"({self.scheme}://); change --out")
    if self.scheme not in ("s3", "s3a", "gs", "gcs"):
      return
    bucket = key.split("/")[0]
    if not persistent(lambda: self.fs.exists(bucket), tries=self.tries):
      raise UserError(f"{self.shown(key)}: expected a bucket to write to, found none called {bucket}; create it or "
                      "change --out")


class Ranged(io.RawIOBase):
  """An object as a file: only the requested bytes are read."""

  def __init__(self, store: Store, key: str, size: int):
    self._store, self._key, self._size, self._at = store, key, size, 0

  def readable(self) -> bool:
    return True

  def seekable(self) -> bool:
    return True

  def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
    self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence])
    return self._at

  def tell(self) -> int:
    return self._at

  def readinto(self, buffer) -> int:
    count = min(len(buffer), self._size - self._at)
    if count <= 0:
      return 0
    data = self._store.read(self._key, self._at, self._at + count)
    buffer[: len(data)] = data
    self._at += len(data)
    return len(data)


def mode(found: Found) -> int:
  """As `os.stat` has it."""
  return (stat.S_IFDIR if found.is_folder else stat.S_IFREG) | 0o644
