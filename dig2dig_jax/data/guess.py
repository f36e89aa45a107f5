"""What are these images of one scene: thermal and visible, exposures, focal planes, or medical? A guess, to be told.

By folder names where they say it, else by the images: sources of one camera agree in structure, exposures of it differ
in brightness, focal planes do not; scans stand on black; what is left disagrees, as a thermal camera's image does.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from dig2dig_jax.data import images as files
from dig2dig_jax.data import naming

TASKS = {"thermal": "vif", "medical": "mif", "focus": "mff", "exposure": "mef"}  # in words, and as flag files are named
# Names of sources that say it: the first of a thermal or medical pair comes first in its flag file.
NAMES = {
  "thermal": (naming.WORDS["ir"], naming.WORDS["vi"]),
  "medical": (naming.WORDS["mri"], ("pet", "spect", "spet", "ct")),
  "focus": (("near", *naming.WORDS["a"]), ("far", *naming.WORDS["b"])),
  "exposure": (naming.WORDS["under"], naming.WORDS["over"]),
}
_ROLES = {"thermal": ("ir", "vi"), "medical": ("mri", "pet", "spect", "ct")}  # where it matters which is the first
_SIDE = 128  # pixels: what is compared is the scene at large
_BLACK, _OF_BLACK = 10, 0.3  # levels of 255, and the share of the pixels that stand on them in every scan
COLOURED = 3  # mean spread of the channels, in levels, from which an image has colour: a thermal camera's has none
_ONE_CAMERA = 0.87  # correlation of ranks from which gray sources are of one camera
CLEARLY = 0.2  # by which one correlation is above another
_BRIGHTER = 45  # levels of 255 between the means of exposures,
# or, of a scene that is dark in all of them, times and levels: focal planes of one scene (MFFW) stay below 1.35 times.
_TIMES_BRIGHTER, _AT_LEAST = 1.5, 8


class Guess(NamedTuple):
  """task: a key of TASKS. order: the sources' numbers in the order that the task has them in. why: a clause."""

  task: str
  order: tuple[int, ...]
  why: str


def usual_names(task: str, count: int) -> list[str]:
  """Of that many sources, in the task's order: those of its flag file, or numbers."""
  firsts, seconds = NAMES[task]
  return [firsts[0], seconds[0]] if count == 2 else [f"source{number}" for number in range(1, count + 1)]


def by_names(names: Sequence[str]) -> Guess | None:
  """Of the sources' names, or those of files of one scene, if they say it."""
  lower = [name.casefold() for name in names]
  for task, (firsts, seconds) in NAMES.items():
    for order in ((0, 1), (1, 0)):
      if len(names) == 2 and lower[order[0]] in firsts and lower[order[1]] in seconds:
        return Guess(task, order, f"the names {names[0]} and {names[1]}")
  if len(names) == 2:
    for task, (firsts, seconds) in NAMES.items():
      for order in ((0, 1), (1, 0)):
        if _one_scene(names[order[0]], firsts, names[order[1]], seconds):
          return Guess(task, order, f"the names {names[0]} and {names[1]}")
  return None


def by_file_names(names: Sequence[str]) -> Guess | None:
  """Of the names of two files that are given as one scene: as `by_names`, or by a word of two letters or more in each,
  whatever else differs (day_vi, heat_ir). Only where it matters which is which: not of exposures and focal planes."""
  found = by_names(names)
  if found is not None or len(names) != 2:
    return found
  for task, sources in _ROLES.items():
    read = [naming.source_of(name, sources, letters=2) for name in names]
    first = [one[0] == sources[0] for one in read if one is not None]
    if sorted(first) == [False, True]:
      return Guess(task, (first.index(True), first.index(False)), f"the names {names[0]} and {names[1]}")
  return None


def _one_scene(first: str, words: Sequence[str], second: str, others: Sequence[str]) -> bool:
  """Whether two names differ by a word of each of these; A and B are letters, and say nothing."""
  rests = [{naming.matching(rest) for word, rest in naming.readings(name) if word in some and word not in ("a", "b")}
           for name, some in ((first, words), (second, others))]  # fmt: skip
  return bool(rests[0] & rests[1])


def reduced(image: np.ndarray) -> np.ndarray:
  """What `by_images` looks at of an image [H, W, 3]: enough of them fit any memory."""
  return cv2.resize(np.asarray(image, np.float32), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)


def alike(paths: Sequence[Path]) -> float:
  """Least correlation of the ranks of neighbours among images: near 1 for one scene of one camera."""
  small = [reduced(files.read_image(path).pixels).mean(axis=-1) for path in paths]
  return min(_rank_correlation(*two) for two in zip(small, small[1:], strict=False))


def by_images(images: Sequence[np.ndarray]) -> Guess:
  """Of images [H, W, 3] in [-1, 1] of one scene, two or more."""
  levels = [127.5 * (reduced(image) + 1) for image in images]
  gray = [image.mean(axis=-1) for image in levels]
  order = tuple(range(len(images)))
  if len(images) == 2 and all(np.mean(image < _BLACK) > _OF_BLACK for image in gray):
    return Guess("medical", order if _colour(levels[1]) >= _colour(levels[0]) else (1, 0), "scans on black")
  alike = min(_rank_correlation(gray[0], other) for other in gray[1:])
  coloured = min(_colour(image) for image in levels) >= COLOURED
  if coloured or alike >= _ONE_CAMERA or len(images) > 2:
    means = [image.mean() for image in gray]
    apart = max(means) - min(means)
    if apart >= _BRIGHTER or (apart >= _AT_LEAST and max(means) >= _TIMES_BRIGHTER * min(means)):
      return Guess("exposure", tuple(int(k) for k in np.argsort(means)), "one scene at several brightnesses")
    return Guess("focus", order, "one scene at one brightness")
  colours = [_colour(image) for image in levels]
  if colours[0] > colours[1]:
    return Guess("thermal", (1, 0), "two views that disagree")
  gray = ", neither in colour: the first is taken as ir" if max(colours) < COLOURED else ""
  return Guess("thermal", order, f"two views that disagree{gray}")


def _colour(levels: np.ndarray) -> float:
  """Mean spread of the channels: 0 for gray."""
  return float(np.mean(levels.max(axis=-1) - levels.min(axis=-1)))


def _rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
  ranks = [np.argsort(np.argsort(image.ravel(), kind="stable"), kind="stable") for image in (a, b)]
  return float(np.corrcoef(*ranks)[0, 1])
