"""How were the files of a run read, where that was decided here? A line for each way, however many files there are."""

from collections import Counter
from collections.abc import Sequence


def lines(sources: Sequence[str], found: Sequence[Sequence[str]]) -> list[str]:
  """For the user. found: of every pair, `Image.told` of each source; empty where nothing was reported."""
  told = []
  for number, source in enumerate(sources):
    ways = Counter(way for pair in found if pair for way in pair[number].split("; ") if way)
    for way, count in ways.items():
      few = f"{count} of {len(found)} images" if len(found) > 1 else "its image"
      told.append(f"{source}: {few} {'is' if count == 1 else 'are'} {way}")
  return told
