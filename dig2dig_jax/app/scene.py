"""What has been dropped, and how is it read? As the command reads its files: guessed, in ranges, aligned, filled."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import cv2
import numpy as np

from dig2dig_jax.alignment import aligner, ghosts, stored, transforms
from dig2dig_jax.alignment.aligner import Aligner
from dig2dig_jax.app import limits
from dig2dig_jax.app.controls import Settings
from dig2dig_jax.data import decode, guess, ranges, validity
from dig2dig_jax.data import told as reading
from dig2dig_jax.data.images import Image
from dig2dig_jax.data.pairs import LoadedPair, Pair, load_pair
from dig2dig_jax.errors import UserError

NAME = "fused"  # of the pair, and of the file that the command writes: its random key comes from it


class Opened(NamedTuple):
  """task, order, why: of `guess.Guess`; why is empty where nothing was guessed. sizes: (height, width) of each file."""

  task: str
  order: tuple[int, ...]
  why: str
  sizes: tuple[tuple[int, int], ...]


class Placed(NamedTuple):
  """A scene as it is fused. loaded: its images, one size, filled. areas: bool [H, W] of each, None for everywhere.
  transforms: where sources were brought onto others. lines: what was decided, as the command says it."""

  loaded: LoadedPair
  areas: tuple[np.ndarray | None, ...]
  transforms: stored.Transforms | None
  lines: tuple[str, ...]


class Scene:
  """Files of one scene. files: where they lie. names: what their user calls them, in the same order."""

  def __init__(self, files: list[Path], names: list[str]):
    limits.check_count(len(files))
    self.files, self.names = files, names
    self._read: tuple[Any, dict[str, Image], list[str]] | None = None
    self._placed: tuple[Any, Placed] | None = None
    self.restored: dict[str, tuple[Any, Any]] = {}  # by kind of picture: what it was made of, and what came of it

  def opened(self) -> Opened:
    """The task that the files seem to be of. UserError for files that cannot be read."""
    limits.check_pixels(self.files, self.names)
    images: list[np.ndarray] = []
    found = guess.by_file_names([PurePath(name).stem for name in self.names])
    if found is None:
      images = [ranges.read_alone(file).pixels for file in self.files]
      found = guess.by_images(images)
    sizes = tuple(image.shape[:2] for image in images) or tuple(decode.read_size(file) or (0, 0) for file in self.files)
    return Opened(found.task, found.order, found.why, sizes)

  def ordered(self, settings: Settings, opened: Opened) -> tuple[int, ...]:
    """Numbers of the files in the order of the task's sources, as `dig2dig fuse` takes them."""
    return opened.order if settings.task == opened.task else tuple(range(len(self.files)))

  def placed(self, settings: Settings, opened: Opened) -> Placed:
    """The scene by these settings, kept until others are asked for. UserError, naming a file, where it cannot be."""
    order = self.ordered(settings, opened)
    key = (settings.task, order, settings.range, settings.valid, settings.align, settings.hand, settings.swapped)
    if self._placed is None or self._placed[0] != key:
      images, lines = self._images(settings, order)
      self._placed = key, self._aligned(settings, order, images, lines)
    return self._placed[1]

  def _pair(self, settings: Settings, order: tuple[int, ...]) -> Pair:
    names = guess.usual_names(settings.task, len(order))
    kind = settings.preset.deghost
    deghost = None if kind == "off" else ghosts.Deghoster(kind)
    palettes = {names[settings.options.functional]: "auto"} if settings.task == "thermal" else {}
    files = {name: self.files[k] for name, k in zip(names, order, strict=True)}
    return Pair(NAME, files, valid=settings.valid, deghost=deghost, palettes=palettes)

  def _images(self, settings: Settings, order: tuple[int, ...]) -> tuple[dict[str, Image], list[str]]:
    key = settings.task, order, settings.range, settings.valid, settings.swapped
    if self._read is None or self._read[0] != key:
      pair = self._pair(settings, order)
      (pair,), lines = ranges.assign([pair], ranges.parse(settings.range, list(pair.files)))
      self._read = key, pair.read(), lines
    return self._read[1], self._read[2]

  def _aligned(self, settings: Settings, order, images: dict[str, Image], lines: list[str]) -> Placed:
    pair, told, used = self._pair(settings, order), {}, None
    found: Mapping[str, Image] = images
    if settings.align != "off":
      functional = functional_name(settings, list(images))
      known = by_hand(settings, images, functional) if settings.align == "hand" else None
      brought = Aligner("off" if known else settings.align, last=functional, known=known)
      found, told = brought(images, pair.files)
      used = known or _kept(told, images)
    loaded = load_pair(pair, found=found)
    tally = validity.Tally(list(images))
    tally.add(loaded.valid)
    lines = [*lines, *reading.lines(list(images), [loaded.told]), *aligner.lines([(NAME, told)] if told else []),
             *ghosts.lines([(NAME, loaded.moved)]), *tally.lines()]  # fmt: skip
    return Placed(loaded._replace(aligned=told), tuple(image.valid for image in found.values()), used, tuple(lines))


def small(placed: Placed, side: int) -> Placed:
  """The same with the longer side at most `side` pixels. The images were filled before, at their own size."""
  height, width = placed.loaded.sources.shape[1:3]
  scale = side / max(height, width)
  if scale >= 1:
    return placed
  size = max(1, round(width * scale)), max(1, round(height * scale))
  sources = np.stack([cv2.resize(source, size, interpolation=cv2.INTER_AREA) for source in placed.loaded.sources])
  return placed._replace(loaded=placed.loaded._replace(sources=np.clip(sources, -1, 1)))


def functional_name(settings: Settings, names: list[str]) -> str:
  """The source that the flags name as the one in which bright means target; empty where they name none."""
  return names[settings.options.functional] if settings.task == "thermal" or settings.swapped else ""


def by_hand(settings: Settings, images: Mapping[str, Image], functional: str) -> stored.Transforms:
  """The transforms that shifts, scales and turns on the page stand for, from images laid centre on centre."""
  reference = Aligner(last=functional).frame_of(images)
  size, placements, found = images[reference].pixels.shape[:2], dict(settings.hand), {}
  unit = 0.5 * np.hypot(*size)
  for source, image in images.items():
    if source == reference:
      continue
    dx, dy, scale, angle = placements.get(source, (0.0, 0.0, 100.0, 0.0))
    # What moves to the right is looked up farther to the left, and so on: the transform goes the other way.
    log_scale, turn = -np.log(scale / 100), -np.radians(angle)
    cos, sin = np.cos(turn) * np.exp(log_scale), np.sin(turn) * np.exp(log_scale)
    shift = np.array([[cos, -sin], [sin, cos]]) @ np.array([-dx, -dy]) / unit
    own = transforms.homography(np.float32([*shift, log_scale, turn, 0, 0, 0, 0]))
    shape = image.pixels.shape[:2]
    matrix = transforms.frame(*shape) @ np.asarray(own, np.float64) @ np.linalg.inv(transforms.frame(*size))
    found[source] = stored.Placed(np.array(stored.rounded(matrix)), shape, 1.0)
  return stored.Transforms(reference, size, found)


def _kept(told: Mapping[str, Mapping[str, Any]], images: Mapping[str, Image]) -> stored.Transforms | None:
  """Of what `Aligner` says that it has done."""
  used = {source: one for source, one in told.items() if one["used"]}
  if not used:
    return None
  reference = next(iter(used.values()))["reference"]
  return stored.Transforms(reference, images[reference].pixels.shape[:2], {
    source: stored.Placed(np.array(one["matrix"]), images[source].pixels.shape[:2], one["confidence"],
                          np.array(one["flow"]) if "flow" in one else None)
    for source, one in used.items()
  })  # fmt: skip


def mended(error: UserError, scene: Scene) -> str:
  """What an error says, with the names that the user knows in place of where the files lie."""
  text = str(error)
  for file, name in sorted(zip(scene.files, scene.names, strict=True), key=lambda one: -len(str(one[0]))):
    text = text.replace(str(file), name)
  folder = str(scene.files[0].parent) if scene.files else ""
  return text.replace(folder + "/", "").replace(folder, "") if folder else text


def fits(settings: Settings, opened: Opened) -> Settings:
  """The same, to be aligned where the images have several sizes and nothing was asked for."""
  several = len(set(opened.sizes)) > 1
  return dataclasses.replace(settings, align="auto") if several and settings.align == "off" else settings
