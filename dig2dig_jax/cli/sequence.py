"""What do the commands for two sequences of images share, frames of clips or slices of volumes?"""

import contextlib
from collections.abc import Callable, Iterator, Mapping

from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing.progress import Progress


def refuse(typed: Mapping[str, str], refused: Mapping[str, tuple[str, ...]]) -> None:
  """UserError for a flag of --job=fuse that means nothing for them. typed: {flag: the whole word}. refused: {what is
  so: flags}."""
  for expected, names in refused.items():
    for name in names:
      if (word := typed.get(name) or typed.get(f"no{name}")) is not None:
        raise UserError(f"{word}: expected {expected}, found a flag for images; leave it out")


@contextlib.contextmanager
def progress(unit: str) -> Iterator[Callable[[int, int | None], None]]:
  """at(done, count), which shows a bar from its first call on: once the program is compiled."""
  with contextlib.ExitStack() as stack:
    bars: list[Progress] = []

    def at(done: int, count: int | None) -> None:
      if not bars:
        bars.append(stack.enter_context(Progress(count or 0, unit)))
      bars[0].at(done)

    yield at
