"""How does a file appear whole or not at all?"""

import contextlib
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
  """Yields a temporary path beside `path` that takes its place, by one rename, on a clean exit and is removed on any
  other. Other processes see the old file, or none, or the whole new one. Raises OSError as the file system does."""
  temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")  # the same folder, so that the rename crosses no disk
  try:
    yield temporary
    os.replace(temporary, path)
  finally:
    temporary.unlink(missing_ok=True)


def sweep(folder: Path, *, now: float, age: float = 600) -> None:
  """Removes temporary files in a folder that are `age` seconds older than `now`, by the clock of its file system:
  left by processes that were killed, for no writer takes that long."""
  for path in folder.glob(".*.tmp"):
    with contextlib.suppress(OSError):  # another process may be sweeping too
      if re.fullmatch(r"\.[0-9a-f]{32}\.tmp", path.name) and path.stat().st_mtime < now - age:
        path.unlink()
