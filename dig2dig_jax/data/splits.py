"""Which pairs of a data set did a paper take? Lists by name, for sets that are not divided themselves."""

from collections.abc import Sequence
from pathlib import Path

from dig2dig_jax.data.images import EXTENSIONS
from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.errors import UserError

# RoadScene: the 50 pairs on which DDFM (arXiv 2303.06840) and CDDFuse (arXiv 2211.14461) report their scores.
_ROADSCENE_50 = """
  00211 00977 01130 04269 04424 04484 04512 04593 04688 04722 04943 05005 05064 05105 05857 05879 05893 05914
  05955 06282 06325 06392 06430 06506 06570 06795 06974 06993 06995 07190 07206 07209 07555 07732 07786 07809
  07968 07970 08021 08058 08094 08202 08248 08284 08526 08592 08721 08858 09465 video_02829
"""

# (data set, name of the list) -> names of the pairs
SPLITS: dict[tuple[str, str], tuple[str, ...]] = {
  ("roadscene", "ddfm"): tuple(f"FLIR_{number}" for number in _ROADSCENE_50.split()),
}


def names_in(path: Path) -> list[str]:
  """The names in a text file, one per line, with or without an image's extension. UserError if it cannot be read."""
  try:
    lines = path.read_text(encoding="utf-8").splitlines()
  except (OSError, UnicodeDecodeError) as error:
    raise UserError(f"{path}: expected a name per line, found {getattr(error, 'strerror', None) or 'no text'}; "
                    "check --split") from error
  return [line.strip() for line in lines if line.strip()]


def choose(found: Sequence[Pair], names: Sequence[str], *, where: str) -> list[Pair]:
  """The pairs of these names, in their order. UserError, about the list `where`, if some are missing."""
  by_name = {pair.name.casefold(): pair for pair in found}
  wanted = [Path(name).stem if Path(name).suffix.lower() in EXTENSIONS else name for name in names]
  if missing := [name for name in wanted if name.casefold() not in by_name]:
    raise UserError(f"{where}: expected its {len(wanted)} names among the pairs, found {len(missing)} missing "
                    f"({', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''})")
  return [by_name[name.casefold()] for name in dict.fromkeys(wanted)]
