"""How does a file appear whole or not at all?"""

import contextlib
import os
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
