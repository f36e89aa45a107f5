"""Which stored values of a source are black and white?

Cameras of more than 8 bits rarely use their type: centikelvin, tenths of a degree, 14-bit counts or Hounsfield units
fill a small part of 16 bits and, read over the whole type, are one grey. A range is found once for all files of a
source that are encoded alike, so that the frames of a sequence do not flicker against each other.

| --range | black and white are |
|---|---|
| nothing | of 8 bits: `full`; else `auto` where the values span less than half of their type, and `full` where more |
| auto | robust extremes of all files of the source that are encoded alike |
| shared | the same, of all sources together: exposures, focal planes |
| full | the ends of the type; 0 and 1 of floats |
| LOW:HIGH | these values |

`SOURCE:auto` and so on is the setting of one source, without which it has that of all; entries are separated by commas.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile

from dig2dig_jax.data import flir, heif, images, kinds, tiff
from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.data.scaling import LARGEST, TAIL, Range, extremes, is_bounded, is_usable, shared, without_filling
from dig2dig_jax.errors import UserError
from dig2dig_jax.files import as_path

WORDS = ("auto", "shared", "full")
MOST_FILES = 1000  # of a source that are looked at, evenly over the folder
_MARGIN = 0.25  # how far beyond the tails, as a share of what is between them, an extreme still counts as the scene's
_ALIKE = 0.05  # of their joint span that files of one encoding have in common
_CONSTANT = 1e-9  # of a constant image's value: how far above it white lies, at least 1
_LEVELS = np.linspace(0, 1, 2049)
_READERS = 4
_TOLD = 6  # ranges of a source that get a line of their own

Setting = str | Range


class _Sketch(NamedTuple):
  """A file's values: their type, how many there are, their quantiles at `_LEVELS`."""

  kind: str
  count: int
  quantiles: np.ndarray

  @property
  def body(self) -> tuple[float, float]:
    """Between the tails."""
    return tuple(np.interp([TAIL, 1 - TAIL], _LEVELS, self.quantiles).tolist())


def parse(text: str, sources: Sequence[str]) -> dict[str, Setting]:
  """{source: a word of `WORDS` or a Range}, without the sources that no entry names. A source's own entry wins over
  that of all, whichever comes first. UserError for what cannot be read, and for two entries of one source or of all."""
  found: dict[str | None, Setting] = {}  # None: of all sources
  for entry in filter(None, (part.strip() for part in text.split(","))):
    source, colon, value = entry.partition(":")
    if not colon or source not in sources:
      source, value = None, entry
    if source in found:
      raise UserError(f"--range={text}: expected one entry for {source or 'all sources'}, found {entry} too; leave one "
                      "out")
    found[source] = _setting(entry, value, sources)
  return (dict.fromkeys(sources, found.pop(None)) if None in found else {}) | found


def _setting(entry: str, value: str, sources: Sequence[str]) -> Setting:
  if value in WORDS:
    return value
  try:
    low, high = map(float, value.split(":"))
  except ValueError:
    low = high = np.nan
  if not is_usable(low, high):
    raise UserError(f"--range={entry}: expected {', '.join(WORDS)} or LOW:HIGH with LOW below HIGH, from "
                    f"{-LARGEST:g} to {LARGEST:g}, alone or as SOURCE:... with a source of {', '.join(sources)}")
  return Range(low, high)


def assign(pairs: Sequence[Pair], settings: Mapping[str, Setting]) -> tuple[list[Pair], list[str]]:
  """The pairs with the ranges that their files are to be read in, and a line about each range but that of 8-bit files.

  Reads files of more than 8 bits (of an `auto` source all), evenly over the folder, `MOST_FILES` of a source at most.
  Files that cannot be read are passed over: who loads them says why.
  """

  found, lines = settle(pairs, settings, pairs[0].palettes if pairs else {})
  return [pair._replace(ranges=found) for pair in pairs], lines


def settle(
  pairs: Sequence[Pair], settings: Mapping[str, Setting], palettes: Mapping[str, str]
) -> tuple[dict[str, tuple[Range, ...]], list[str]]:
  """({source: ranges}, lines) of `assign`; only the pairs that are looked at are taken from `pairs`."""

  def look(group: Sequence[str], asked: bool) -> tuple[list[_Sketch], int]:
    count = len(pairs) * len(group)
    kept = np.linspace(0, count - 1, min(count, MOST_FILES)).round().astype(int).tolist()
    chosen = [(pairs[index // len(group)], group[index % len(group)]) for index in kept]
    with ThreadPoolExecutor(_READERS) as pool:
      sketches = pool.map(lambda one: _sketch_of_file(one[0].files[one[1]], asked, palettes.get(one[1], "off")), chosen)
      return [sketch for sketch in sketches if sketch is not None], count

  return _settled(list(pairs[0].files) if pairs else [], settings, look)


def of_arrays(
  arrays: Mapping[str, np.ndarray], settings: Mapping[str, Setting]
) -> tuple[dict[str, tuple[Range, ...]], list[str]]:
  """{source: ranges} of samples that are in memory already, one array per source, and the lines of `assign`."""

  def look(group: Sequence[str], asked: bool) -> tuple[list[_Sketch], int]:
    sketches = [_sketch(arrays[source]) for source in group if asked or arrays[source].dtype != np.uint8]
    return [sketch for sketch in sketches if sketch is not None], len(group)

  return _settled(list(arrays), settings, look)


def read_alone(path: str | os.PathLike) -> images.Image:
  """An image in the range that is found for it alone, where `assign` would find one. UserError as of `read_image`."""
  sketch = _sketch_of_file(as_path(path), False)
  return images.read_image(path, _found([sketch], 1, asked=False, name="")[0] if sketch else ())


def _settled(sources: Sequence[str], settings: Mapping[str, Setting], look):
  """({source: ranges}, lines). look: (sources, whether 8 bits too) -> (sketches, how many files there are)."""
  together = [source for source in sources if settings.get(source) == "shared"]
  found: dict[str, tuple[Range, ...]] = {}
  lines: list[str] = []
  for group in filter(None, [together, *([source] for source in sources if source not in together)]):
    setting, ranges = settings.get(group[0]), ()
    if isinstance(setting, Range):
      ranges = (setting,)
      lines.append(f"range of {group[0]}: {_told(setting)}, as given")
    elif setting != "full":
      asked = setting == "auto"
      ranges, told = _found(*look(group, asked), asked=asked, name=" and ".join(group))
      lines += told
    found |= dict.fromkeys(group, ranges)
  return found, lines


def decisive(pairs: Sequence[Pair]) -> dict[str, dict[str, list]]:
  """What of the ranges of `assign` decides pixels, JSON-able: nothing where all are whole types."""
  found = {source: [list(one) for one in ranges if not _is_whole(one)]
           for source, ranges in (pairs[0].ranges.items() if pairs else ())}  # fmt: skip
  found = {source: ranges for source, ranges in found.items() if ranges}
  return {"ranges": found} if found else {}


def _found(sketches: Sequence[_Sketch], count: int, *, asked: bool, name: str) -> tuple[tuple[Range, ...], list[str]]:
  """The range of each encoding among `count` files, those of whole types too, and a line about each."""
  ranges, told = [], []
  for alike in _encodings(sketches):
    ranges.append(_decided(alike, asked))
    files = f"{len(alike)} {alike[0].kind} file{'s' if len(alike) > 1 else ''}"
    among = f" of {count}" if count > MOST_FILES else ""
    if len(ranges) <= _TOLD:
      told.append(f"range of {name}: {_told(ranges[-1])}, found in {files}{among}; --range sets another")
  if len(ranges) > _TOLD:
    told.append(f"range of {name}: {len(ranges) - _TOLD} more, since its files are encoded in {len(ranges)} ways")
  return tuple(ranges), told


def _decided(alike: Sequence[_Sketch], asked: bool) -> Range:
  kind = alike[0].kind
  low, high = _robust(alike)
  least, most = extremes(kind)
  inside = least <= low and high <= most
  if inside and (low == high or not asked and high - low >= (most - least) / 2):
    return Range(least, most, kind)
  if not is_usable(low, high):  # a constant image of no known range is black
    high = low + max(1, abs(low) * _CONSTANT)
  return Range(low, high, kind)


def _robust(alike: Sequence[_Sketch]) -> tuple[float, float]:
  """The extremes of all values, brought in to the margin around what is between the tails where they are beyond."""
  values = np.concatenate([sketch.quantiles for sketch in alike])
  share = np.concatenate([np.full(len(_LEVELS), sketch.count / len(_LEVELS)) for sketch in alike])
  order = np.argsort(values, kind="stable")
  values, place = values[order], np.cumsum(share[order]) / share.sum()
  tails = values[np.searchsorted(place, [TAIL, 1 - TAIL])]
  margin = _MARGIN * (tails[1] - tails[0])
  return float(max(values[0], tails[0] - margin)), float(min(values[-1], tails[1] + margin))


def _encodings(sketches: Sequence[_Sketch]) -> list[list[_Sketch]]:
  """The files in groups of one type whose values overlap, directly or by way of others."""
  groups: list[list[_Sketch]] = []
  for sketch in sketches:
    joined = [group for group in groups if any(_alike(sketch, other) for other in group)]
    groups = [group for group in groups if not any(group is other for other in joined)]  # == would compare arrays
    groups.append([*(other for group in joined for other in group), sketch])
  return groups


def _alike(one: _Sketch, other: _Sketch) -> bool:
  return one.kind == other.kind and shared(one.body, other.body) >= _ALIKE


def _sketch_of_file(path: Path, asked: bool, palette: str = "off") -> _Sketch | None:
  try:
    return _sketch(images.read_samples(path, palette)) if asked or _is_deep(path) else None
  except UserError:
    return None


def _sketch(samples: np.ndarray) -> _Sketch | None:
  if not samples.size or not is_bounded(samples):
    return None
  values = without_filling(np.sort(samples, axis=None))
  places = np.round(_LEVELS * (values.size - 1)).astype(np.int64)
  return _Sketch(samples.dtype.name, values.size, values[places])


def _is_deep(path: Path) -> bool:
  """Whether a file's header announces more than 8 bits of whatever unit. Photographs of more (camera raw, HEIC, AVIF)
  have their black and white where the camera put them."""
  try:
    if not path.is_file():  # opening a pipe would wait for its other end
      return False
    with path.open("rb") as file:
      head = file.read(kinds.HEAD)
    kind = kinds.sniff(head)
    if kind == "TIFF":
      with path.open("rb") as opened, tifffile.TiffFile(opened) as file:
        return tiff.find_page(file).bitspersample > 8
    if kind == "JPEG2000":
      return heif.jpeg2000_bits(path.read_bytes()) > 8
    if kind == "JPEG":
      with path.open("rb") as file:
        return flir.block(file) is not None
    return kind == "EXR" or kind == "PNG" and head[24:25] == b"\x10"  # the bit depth of its IHDR chunk
  except Exception:  # damaged bytes surface as almost any type, and who loads the file says which
    return False


def _is_whole(found: Range) -> bool:
  return bool(found.kind) and (found.low, found.high) == extremes(found.kind)


def _told(found: Range) -> str:
  return f"{found.low:g} to {found.high:g}{', the whole type' if _is_whole(found) else ''}"
