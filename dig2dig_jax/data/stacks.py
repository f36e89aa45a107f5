"""Which images of a folder are one stack? All of them, or one bracket after another, as EXIF tells.

A pause in the times at which images were taken ends a stack, and so does an exposure that comes again: cameras repeat
the exposures of a bracket in each. What EXIF does not tell is not split: a folder is then one stack.
"""

import collections
import datetime
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL.Image

from dig2dig_jax.data import images
from dig2dig_jax.data.pairs import Pair, by_name, usable
from dig2dig_jax.errors import UserError
from dig2dig_jax.files import NAMES

_EXIF, _TIME, _PART, _SECONDS, _APERTURE, _SENSITIVITY, _BIAS = 34665, 36867, 37521, 33434, 33437, 34855, 37380
_PAUSE, _PAUSES = 5.0, 6.0  # seconds, and times the usual gap, that a pause takes at least
_BRACKET, _SAME = 0.5, 0.2  # stops: what a bracket spans at least, and what exposures differ by at most to be one
_RAW = {".dng", ".nef", ".arw", ".cr2", ".cr3", ".orf", ".raf", ".rw2", ".pef", ".srw"}  # beside the camera's JPEG


class Shot(NamedTuple):
  """time: seconds, when the shot began. seconds: how long it took. stops: of exposure, more being brighter; each None
  where EXIF does not tell."""

  path: Path
  time: float | None = None
  seconds: float = 0.0
  stops: float | None = None


def read(path: Path) -> Shot:
  """What EXIF tells of a shot; never raises."""
  try:
    with path.open("rb") as file, PIL.Image.open(file) as image:
      tags = image.getexif().get_ifd(_EXIF)
    seconds = float(tags.get(_SECONDS, 0) or 0)
    return Shot(path, _time(tags), seconds, _stops(tags, seconds))
  except Exception:  # damaged bytes surface as almost any type, and who loads the file says which
    return Shot(path)


def _time(tags) -> float | None:
  text = str(tags.get(_TIME, "")).strip("\0 ")
  try:
    taken = datetime.datetime.strptime(text, "%Y:%m:%d %H:%M:%S").replace(tzinfo=datetime.UTC).timestamp()
  except ValueError:
    return None
  part = str(tags.get(_PART, "")).strip("\0 ")
  return taken + (float(f"0.{part}") if part.isdecimal() else 0.0)


def _stops(tags, seconds: float) -> float | None:
  if seconds > 0:
    aperture, sensitivity = float(tags.get(_APERTURE, 0) or 1), tags.get(_SENSITIVITY, 0) or 100
    sensitivity = sensitivity[0] if isinstance(sensitivity, tuple) else sensitivity
    return float(np.log2(seconds * float(sensitivity) / 100 / aperture**2))
  return float(tags[_BIAS]) if _BIAS in tags else None


def split(shots: Sequence[Shot]) -> list[list[Shot]]:
  """The stacks of a folder, those of one image too. Shots come in the order of their names."""
  if any(shot.time is None for shot in shots):
    return list(_by_exposure(shots))
  ordered = sorted(shots, key=lambda shot: shot.time)  # stable: shots of one second stay in the order of their names
  gaps = [later.time - shot.time - shot.seconds for shot, later in zip(ordered, ordered[1:], strict=False)]
  pause = max(_PAUSE, _PAUSES * float(np.median(gaps))) if gaps else _PAUSE
  ends = [0, *(number + 1 for number, gap in enumerate(gaps) if gap > pause), len(ordered)]
  return [stack for start, end in zip(ends, ends[1:], strict=False) for stack in _by_exposure(ordered[start:end])]


def _by_exposure(shots: Sequence[Shot]) -> Iterator[list[Shot]]:
  """Brackets, each of which has every exposure once; all where exposures are alike, or not known."""
  if not is_bracket(shots):
    yield list(shots)
    return
  own: list[Shot] = []
  for shot in shots:
    if any(abs(shot.stops - other.stops) < _SAME for other in own):
      yield own
      own = []
    own.append(shot)
  yield own


def is_bracket(shots: Sequence[Shot]) -> bool:
  """Whether EXIF says that exposures differ."""
  stops = [shot.stops for shot in shots]
  return len(stops) > 1 and None not in stops and max(stops) - min(stops) >= _BRACKET


def of_folder(folder: Path, left_out: list[str]) -> list[list[Shot]]:
  """The stacks of two images or more directly in a folder, a bracket's in the order of their exposures."""
  files = [path for path in usable(folder, left_out) if path.suffix.lower() not in _RAW]
  files = list(by_name(files, "file", left_out, where=f" in {folder.name}").values())
  found = []
  for stack in split([read(path) for path in files]):
    if len(stack) < 2:
      left_out.append(f"{stack[0].path}: one image by itself, no stack; left out")
      continue
    found.append(sorted(stack, key=lambda shot: shot.stops) if is_bracket(stack) else stack)
  return found


def under(root: Path, left_out: list[str]) -> list[tuple[str, list[Shot]]]:
  """(name, stack) of a folder's own stacks, or, where it has no images, of those of its folders. UserError where
  there are none."""
  try:
    inside = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
  except OSError as error:
    raise UserError(f"{root}: expected a folder of images, found {error.strerror}; check --data") from error
  inside = images.natural_sort(path for path in inside if not (path / NAMES).exists())  # those are results
  found = []
  for folder in [root] if images.list_images(root) or not inside else inside:
    stacks = of_folder(folder, left_out)
    if len(stacks) == 1:
      found.append((folder.absolute().name, stacks[0]))
    else:
      prefix = "" if folder == root else f"{folder.name}_"
      found += [(f"{prefix}{min(shot.path.stem for shot in stack)}", stack) for stack in stacks]
  if not found:
    seen = ", ".join(path.name for path in inside) or "no folders"
    raise UserError(f"{root}: expected two or more images of one scene, or folders of such, found {seen}"
                    f"{f', and {left_out[0]}' if left_out else ''}; check --data, or give images themselves to "
                    "dig2dig fuse")
  return found


def usual_size(stacks: Sequence[tuple[str, list[Shot]]]) -> int:
  """How many images most stacks have; of equals the larger number."""
  counts = collections.Counter(len(stack) for _, stack in stacks)
  return max(counts, key=lambda count: (counts[count], count))


def find(root: Path, sources: Sequence[str]) -> tuple[list[Pair], list[str]]:
  """A pair per stack of as many images as there are sources, a line per other one. UserError where there is none."""
  left_out: list[str] = []
  stacks = under(root, left_out)
  pairs = [Pair(name, {source: shot.path for source, shot in zip(sources, stack, strict=True)})
           for name, stack in stacks if len(stack) == len(sources)]  # fmt: skip
  others = [(name, stack) for name, stack in stacks if len(stack) != len(sources)]
  if not pairs:
    sizes = ", ".join(sorted({str(len(stack)) for _, stack in stacks}, key=int))
    raise UserError(f"{root}: expected stacks of {len(sources)} images, as many as --sources, found stacks of {sizes}; "
                    "dig2dig fuse FOLDER counts them itself")
  for name, stack in others:
    ends = " to ".join(shot.path.name for shot in (stack[0], stack[-1]))
    left_out.append(f"{stack[0].path.parent}: {name} has {len(stack)} images ({ends}), the others {len(sources)}; left "
                    "out, give these files to dig2dig fuse by themselves")
  return pairs, left_out
