"""What is a source of frames? A video file, a folder of numbered images, or a TIFF file of several pages.

Frames come in the order of their time stamps and are decoded when somebody asks for their samples: of a stream that is
faster than the other one, most are passed over.
"""

import abc
import functools
import os
import re
import weakref
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile

from dig2dig_jax.data import images
from dig2dig_jax.data.decode import sniff
from dig2dig_jax.data.faults import check_size
from dig2dig_jax.data.scaling import not_finite
from dig2dig_jax.errors import UserError, one_line
from dig2dig_jax.files import typed_path

RATE = 25  # frames a second of images that have none


class Frame(NamedTuple):
  """number: from 0. pts: time stamp, in the clip's `time_base`. time: seconds after the clip's first frame. read:
  gives the samples [H, W, 1] or [H, W, 3], uint8, uint16 or float, upright."""

  number: int
  pts: int
  time: Fraction
  read: Callable[[], np.ndarray]


class Clip(abc.ABC):
  """path: where it lies. size: (height, width) of its frames. rate: frames a second, on average. count: of its frames,
  None where nobody tells. time_base: seconds that a unit of its time stamps takes. names: of its frames' files, where
  they have some. notes: lines for the user about what was passed over."""

  path: Path
  size: tuple[int, int]
  rate: Fraction
  count: int | None
  time_base: Fraction
  names: Sequence[str] | None = None
  notes: Sequence[str] = ()

  @abc.abstractmethod
  def frames(self) -> Iterator[Frame]:
    """All frames. UserError, naming the file, where one cannot be decoded."""

  @abc.abstractmethod
  def sample(self, count: int) -> list[np.ndarray]:
    """Samples of up to so many frames, spread over the clip."""

  def checked(self, samples: np.ndarray, what: str) -> np.ndarray:
    """Samples of a frame, finite and of the size of the others, which the first one sets."""
    if bad := not_finite(samples):
      raise UserError(f"{what}: expected finite samples, found {bad} NaN or infinite; replace them and save again")
    if not hasattr(self, "size"):
      return samples
    if samples.shape[:2] != self.size:
      raise UserError(f"{what}: expected {self.size[0]}x{self.size[1]} (height x width) as the first frame, found "
                      f"{samples.shape[0]}x{samples.shape[1]}; bring all frames to one size")
    return samples


class Listed(Clip):
  """Frames that can be had by their number: images in files, or pages of one.

  numbers: what says when each one was taken, at `rate` of them a second; one that is missing is a gap in time.
  """

  def __init__(self, path: Path, numbers: Sequence[int], rate: Fraction):
    self.path, self.rate, self.time_base = path, rate, 1 / rate
    self._numbers, self.count = numbers, len(numbers)
    self._last = len(numbers) - 1
    self.size = self.at(0).shape[:2]

  @abc.abstractmethod
  def at(self, index: int) -> np.ndarray:
    """The samples of frame number `index`."""

  def frames(self) -> Iterator[Frame]:
    first = self._numbers[0]
    for index, number in enumerate(self._numbers):
      yield Frame(index, number - first, (number - first) * self.time_base, functools.partial(self.at, index))

  def sample(self, count: int) -> list[np.ndarray]:
    places = np.unique(np.linspace(0, self._last, min(count, self._last + 1)).round().astype(int))
    return [self.at(int(place)) for place in places]


class Folder(Listed):
  """Images in a folder; the last digits of a name are the frame's number, where all names have different ones."""

  def __init__(self, path: Path, rate: Fraction):
    self._files = images.list_images(path)
    if not self._files:
      raise UserError(f"{path}: expected a folder of numbered images, found none; give a video, or such a folder")
    self.names = [file.stem for file in self._files]
    super().__init__(path, _numbers(self.names), rate)

  def at(self, index: int) -> np.ndarray:
    samples = images.read_samples(self._files[index])
    return self.checked(samples, str(self._files[index]))


class Pages(Listed):
  """Pages of a TIFF file, of which those count that have the first one's size."""

  def __init__(self, path: Path, rate: Fraction):
    try:
      self._tiff = tifffile.TiffFile(path)
      weakref.finalize(self, self._tiff.close)
      pages = self._tiff.pages
      first: Any = pages[0]
      check_size(first.imagelength, first.imagewidth, kind="TIFF")
      self._places = [k for k in range(len(pages)) if pages[k].shape[:2] == first.shape[:2]]
    except Exception as error:  # damaged bytes surface as almost any type
      raise _damaged(path, error) from error
    if others := len(pages) - len(self._places):
      self.notes = [f"{path}: {others} of {len(pages)} pages are of another size than the first one; passed over"]
    super().__init__(path, range(len(self._places)), rate)

  def at(self, index: int) -> np.ndarray:
    try:
      samples = self._tiff.pages[self._places[index]].asarray()
    except Exception as error:
      raise _damaged(self.path, error, f"page {self._places[index] + 1}: ") from error
    samples = samples[..., None] if samples.ndim == 2 else samples[..., :3]
    if samples.ndim != 3 or samples.shape[-1] not in (1, 3):
      raise UserError(f"{self.path}: expected pages of gray or RGB, found shape {samples.shape}; export them again")
    return self.checked(samples, f"{self.path}, page {self._places[index] + 1}")


def open_clip(place: str | os.PathLike, rate: Fraction | None = None) -> Clip:
  """The clip at a place, told by its bytes. rate: of images, which have no time stamps. UserError for what is none."""
  path = typed_path(place)
  if path.is_dir():
    return Folder(path, rate or Fraction(RATE))
  try:
    with path.open("rb") as file:
      head = file.read(12)
  except OSError as error:
    raise UserError(f"{path}: expected a video, a TIFF of several pages, or a folder of numbered images, found "
                    f"{one_line(error)}; check the name") from None
  kind = sniff(head)
  if kind == "TIFF":
    return Pages(path, rate or Fraction(RATE))
  if kind is not None:
    raise UserError(f"{path}: expected a video or a folder of numbered images, found one image ({kind}); use dig2dig "
                    "fuse")
  from dig2dig_jax.video.container import Container

  return Container(path)


def _numbers(names: Sequence[str]) -> list[int]:
  """Of the frames: the last digits of their names, where these rise from file to file; else their order."""
  found = [re.search(r"(\d+)\D*$", name) for name in names]
  numbers = [int(one.group(1)) for one in found if one]
  rising = len(numbers) == len(names) and all(a < b for a, b in zip(numbers, numbers[1:], strict=False))
  return numbers if rising else list(range(len(names)))


def _damaged(path: Path, error: Exception, where: str = "") -> UserError:
  return UserError(f"{path}: {where}expected a TIFF file that can be read, found {one_line(error)}; export it again")
