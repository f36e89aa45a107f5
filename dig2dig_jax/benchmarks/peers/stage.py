"""What do all peers read? The same pairs as PNGs of 8 bits, numbered, a folder per source and one for the first alone.

Numbers, because programs disagree about what a file's name may be; PNGs, because JPEGs that two libraries decode are
not the same images.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from dig2dig_jax.data.pairs import Pair, load_pair
from dig2dig_jax.errors import UserError
from dig2dig_jax.evaluation.folders import eight_bits
from dig2dig_jax.files import replacing
from dig2dig_jax.record import explained


class Staged(NamedTuple):
  """root: has a folder per source. sources: their names. numbers: {pair's name: its file's name without `.png`}."""

  root: Path
  sources: tuple[str, ...]
  numbers: dict[str, str]

  def file(self, source: str, number: str) -> Path:
    return self.root / source / f"{number}.png"


def write(pairs: Sequence[Pair], sources: Sequence[str], root: Path, failed: list[str]) -> Staged:
  """Writes the pairs below `root`; one that cannot be read is a line in `failed`. UserError where none is left."""
  numbers: dict[str, str] = {}
  for source in sources:
    with explained(root / source):
      (root / source).mkdir(parents=True, exist_ok=True)
  for number, pair in enumerate(pairs, start=1):
    try:
      found = load_pair(pair._replace(valid="off"))
    except UserError as error:
      failed.append(str(error))
      continue
    name = f"{number:04d}"
    for source, pixels, colour in zip(sources, found.sources, found.is_colour, strict=True):
      image = eight_bits(pixels, colour)
      with explained(root / source), replacing(root / source / f"{name}.png") as temporary:
        Image.fromarray(image if colour else image[..., 0]).save(temporary, format="PNG")
    numbers[pair.name] = name
  if not numbers:
    raise UserError(failed[0])
  return Staged(root, tuple(sources), numbers)


def first(staged: Staged, root: Path) -> Staged:
  """The first of the pairs alone, below another root."""
  name, number = next(iter(staged.numbers.items()))
  for source in staged.sources:
    with explained(root / source):
      (root / source).mkdir(parents=True, exist_ok=True)
      (root / source / f"{number}.png").write_bytes(staged.file(source, number).read_bytes())
  return Staged(root, staged.sources, {name: number})
