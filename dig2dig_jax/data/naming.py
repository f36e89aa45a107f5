"""Whose image is a file, and of which scene, by its name? DJI_0001_T.JPG and DJI_0001_W.JPG show one scene.

A word of a name says the source: the last one, the first, or one between of two letters or more. What is left of the
name is the scene's. Cameras that number their shots on, or stamp each with its own second, are known: see `together`.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

# What sources are called: by folders, and in the names of files. The first word is the usual one; among several files
# of one scene and source the earlier word wins, so that a wide view comes before a zoomed one.
WORDS: dict[str, tuple[str, ...]] = {
  "ir": ("ir", "infrared", "thermal", "lwir", "t", "tir", "th", "thm", "irx", "mwir", "swir", "nir", "flir"),
  "vi": ("vi", "vis", "visible", "rgb", "v", "visual", "vl", "eo", "colour", "color", "photo", "dc", "max", "w", "wide",
         "z", "zoom"),
  "a": ("a", "near", "front", "foreground"),
  "b": ("b", "far", "back", "background"),
  "under": ("under", "low", "dark", "ue"),
  "over": ("over", "high", "bright", "oe"),
  "mri": ("mri", "mr", "t1", "t2", "flair"),
  "ct": ("ct",),
  "pet": ("pet",),
  "spect": ("spect", "spet"),
}  # fmt: skip
_SECONDS = 3  # between the stamps of one shot's files
_STAMP = re.compile(r"(?<!\d)(\d{8})[_-]?(\d{6})(?!\d)")


class Scene(NamedTuple):
  """name: what the files' names have in common. files: {source: file}."""

  name: str
  files: dict[str, Path]


class _Named(NamedTuple):
  """rank: of the word that says the source, 0 the best. word, rest: the two parts of the name."""

  rank: int
  path: Path
  word: str
  rest: str


def matching(name: str) -> str:
  """What names of files that belong together have in common: blind to case, and to how accents are composed."""
  return unicodedata.normalize("NFC", name).casefold()


def words_of(source: str) -> tuple[str, ...]:
  """By which words files of this source go: its own name, then the others of its kind."""
  own = matching(source)
  return tuple(dict.fromkeys((own, *next((words for words in WORDS.values() if own in words), ()))))


def readings(stem: str) -> Iterator[tuple[str, str]]:
  """(word, what is left of the name) for each word that may say the source, the likeliest first."""
  whole = [match.span() for match in re.finditer(r"[^\W_]+", stem)]
  # 0001IR, sceneIR, IR0001: letters that another kind of letter ends.
  inner = [match.span() for match in re.finditer(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", stem)]
  spans = [*whole[-1:], *whole[:1], *inner[-1:], *whole[1:-1], *inner]
  for start, end in dict.fromkeys(spans):
    at_end = end == len(stem) or (start, end) in whole[:1]
    if end - start > 1 or at_end:
      yield matching(stem[start:end]), _joined(stem[:start], stem[end:])


def _joined(before: str, after: str) -> str:
  """What stands around a word, with one separator where there was any."""
  left, right = re.sub(r"[\W_]+$", "", before), re.sub(r"^[\W_]+", "", after)
  parted = left and right and (left != before or right != after)
  return f"{left}_{right}" if parted else left + right


def source_of(stem: str, sources: Iterable[str], *, letters: int = 1) -> tuple[str, int, str, str] | None:
  """(source, rank of its word, the word, what is left of the name), of the likeliest reading; None for no such word.
  letters: that a word has at least."""
  words = {source: words_of(source) for source in sources}
  for word, rest in readings(stem):
    ranks = {source: own.index(word) for source, own in words.items() if word in own and len(word) >= letters}
    if ranks:
      source = min(ranks, key=ranks.get)
      return source, ranks[source], word, rest
  return None


def together(files: Sequence[Path], sources: Sequence[str]) -> tuple[list[Scene], list[str]]:
  """The scenes of which there is a file of every source, in the order of the files, and a line for each other file.

  Of two sources one may go without a word: 01.jpg beside 01_thermal.png. What no exact name joins is joined by stamps
  of at most 3 seconds' difference (DJI_20240101120000_0001_T, DJI_20240101120001_0001_V), and DC_0002 with IR_0001, as
  FLIR cameras number them.
  """
  found: dict[str, dict[str, list[_Named]]] = {source: {} for source in sources}
  plain: dict[str, list[Path]] = {}
  for path in files:
    read = source_of(path.stem, sources)
    if read is None:
      plain.setdefault(matching(path.stem), []).append(path)
    else:
      source, rank, word, rest = read
      found[source].setdefault(matching(rest), []).append(_Named(rank, path, word, rest))
  best = {source: {key: min(named, key=lambda one: one.rank) for key, named in own.items()}
          for source, own in found.items()}  # fmt: skip
  scenes = _joined_scenes(best, sources)
  if len(sources) == 2:
    scenes += _with_plain(best, plain, sources, {path for scene in scenes for path in scene.files.values()})
  place = {path: number for number, path in enumerate(files)}
  scenes.sort(key=lambda scene: min(place[path] for path in scene.files.values()))
  used = {path for scene in scenes for path in scene.files.values()}
  known = {path: (source, key) for source, own in found.items() for key, named in own.items() for _, path, *_ in named}
  lines = [_why_left(path, known.get(path), best, sources) for path in files if path not in used]
  return scenes, lines


def partners(folders: Mapping[str, Sequence[Path]]) -> list[Scene]:
  """Scenes of files that lie in a folder per source and differ by a word in their names: one of their source's, or one
  that all of their folder's names have."""
  best: dict[str, dict[str, _Named]] = {}
  for source, files in folders.items():
    shared = _shared_word(files)
    best[source] = {}
    several = set()
    for path in files:
      read = source_of(path.stem, [source]) or next(
        ((source, 0, word, rest) for word, rest in readings(path.stem) if word == shared), (source, 0, "", path.stem)
      )
      key = matching(read[3])
      several |= {key} & best[source].keys()
      best[source][key] = _Named(0, path, *read[2:])
    for key in several:  # which one is meant is not for us to guess
      del best[source][key]
  return _joined_scenes(best, list(folders))


def _shared_word(files: Sequence[Path]) -> str | None:
  """The last or the first word of the names, if all have the same, without a number in it."""
  if len(files) < 2:
    return None
  words = [re.findall(r"[^\W_]+", path.stem) for path in files]
  for end in (-1, 0):
    there = {matching(own[end]) for own in words if len(own) > 1}
    if len(there) == 1 and all(len(own) > 1 for own in words) and not re.search(r"\d", *there):
      return there.pop()
  return None


def _joined_scenes(best: Mapping[str, Mapping[str, _Named]], sources: Sequence[str]) -> list[Scene]:
  first, *others = sources
  scenes = [Scene(named.rest, {source: best[source][key].path for source in sources})
            for key, named in best[first].items() if all(key in best[other] for other in others)]  # fmt: skip
  if len(sources) == 2:
    used = {path for scene in scenes for path in scene.files.values()}
    rest = [{key: named for key, named in best[source].items() if named.path not in used} for source in sources]
    scenes += _by_stamps(*rest, sources)
    if not any(best[sources[1]][key].word == "dc" for key in best[sources[1]] if key in best[first]):
      scenes += _by_next_number(*rest, sources)
  return scenes


def _by_stamps(one: Mapping[str, _Named], other: Mapping[str, _Named], sources: Sequence[str]) -> list[Scene]:
  """Files whose names differ by at most some seconds, each with the nearest."""
  stamped = [[(*stamp, named) for key, named in some.items() if (stamp := _stamp(key))] for some in (one, other)]
  near = sorted(
    ((abs((b[0] - a[0]).total_seconds()), a[2], b[2]) for a in stamped[0] for b in stamped[1] if a[1] == b[1]),
    key=lambda found: found[0],
  )
  scenes, used = [], set()
  for seconds, a, b in near:
    if seconds <= _SECONDS and a.path not in used and b.path not in used:
      used |= {a.path, b.path}
      scenes.append(Scene(a.rest, dict(zip(sources, (a.path, b.path), strict=True))))
  return scenes


def _stamp(key: str) -> tuple[datetime, str] | None:
  """(the time in a name, what is left of the name)."""
  match = _STAMP.search(key)
  try:
    return (datetime.strptime("".join(match.groups()), "%Y%m%d%H%M%S"), _joined(key[: match.start()], key[match.end():])
            ) if match else None  # fmt: skip
  except ValueError:  # fourteen digits that are no time
    return None


def _by_next_number(one: Mapping[str, _Named], other: Mapping[str, _Named], sources: Sequence[str]) -> list[Scene]:
  scenes = []
  for key, named in one.items():
    number = re.fullmatch(r"(.*?)(\d+)", key)
    following = other.get(f"{number[1]}{int(number[2]) + 1:0{len(number[2])}}") if number else None
    if following is not None and following.word == "dc":
      scenes.append(Scene(named.rest, dict(zip(sources, (named.path, following.path), strict=True))))
  return scenes


def _with_plain(best, plain: Mapping[str, list[Path]], sources: Sequence[str], used: set[Path]) -> list[Scene]:
  scenes = []
  for source, other in (sources, sources[::-1]):
    for key, named in best[source].items():
      if named.path not in used and key not in best[other] and len(plain.get(key, ())) == 1:
        files = {source: named.path, other: plain[key][0]}
        scenes.append(Scene(named.rest, {name: files[name] for name in sources}))
  return scenes


def _why_left(path: Path, known: tuple[str, str] | None, best, sources: Sequence[str]) -> str:
  if known is None:
    return f"{path}: no word in its name says which of {', '.join(sources)} it is; left out"
  source, key = known
  chosen = best[source][key].path
  if chosen != path:
    return f"{path}: a further image of {source} beside {chosen.name}; left out, --sources= names another by its word"
  missing = [other for other in sources if key not in best[other]]
  return f"{path}: of {source}, without a partner of {', '.join(missing or sources)}; left out"
