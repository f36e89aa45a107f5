"""How do the images that are given become sources? Read, ranged and brought into one frame, files and arrays alike."""

import numbers
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dig2dig_jax.alignment import stored
from dig2dig_jax.data import guess, palettes, validity
from dig2dig_jax.data import told as reading
from dig2dig_jax.data.decoded import Decoded
from dig2dig_jax.data.images import Image, read_decoded
from dig2dig_jax.data.palette import WORDS as WORDS_OF_PALETTES
from dig2dig_jax.data.palette import to_values
from dig2dig_jax.data.ranges import WORDS, of_arrays
from dig2dig_jax.data.scaling import Range, is_usable, to_pixels
from dig2dig_jax.errors import UserError
from dig2dig_jax.front.preset import Preset


class Given(NamedTuple):
  """The images of a scene, {name: ...} in their order. pixels: float32 [H, W, 3] in [-1, 1], of their own sizes. areas:
  where each is valid, bool [H, W], or None for everywhere. lines: how they were read, where that was decided."""

  pixels: dict[str, np.ndarray]
  areas: list[np.ndarray | None]
  lines: list[str]


def read(
  images: Sequence[str | os.PathLike | np.ndarray], tuned: Preset, *, palette: str, value_range, valid: str
) -> Given:
  """Reads images as the arguments of `fuse_images` say, which replace those of the task where they are not empty.

  Raises:
    ValueError: naming the argument, for arguments that cannot be.
    UserError: naming the file, for files.
  """
  if palette not in (*WORDS_OF_PALETTES, *palettes.NAMES):
    raise ValueError(f"palette: expected {', '.join((*WORDS_OF_PALETTES, *palettes.NAMES))}, found {palette!r}")
  setting = value_range or tuned.value_range
  if not (setting in ("", *WORDS) if isinstance(setting, str) else _is_pair(setting) and is_usable(*setting)):
    raise ValueError(f"value_range: expected {', '.join(WORDS)} or a pair (black, white), black below white, found "
                     f"{setting!r}")
  setting = setting if isinstance(setting, str) else Range(*setting)
  decoded = {f"images[{number}]": _samples(f"images[{number}]", image) for number, image in enumerate(images)}
  functional = tuned.options.functional if tuned.options.base == "functional" else -1
  values = {name: to_values(found.samples, palette if number == functional else "off")
            for number, (name, found) in enumerate(decoded.items())}  # fmt: skip
  samples = {name: found for name, (found, _) in values.items()}
  ways = ["; ".join(filter(None, (found.told, values[name][1]))) for name, found in decoded.items()]
  ranges, told = of_arrays(samples, dict.fromkeys(samples, setting) if setting else {})
  pixels = {name: _pixels(name, array, ranges[name]) for name, array in samples.items()}
  areas = [validity.find(found.samples, found.alpha, how=valid or tuned.valid) for found in decoded.values()]
  return Given(pixels, areas, [*told, *reading.lines(list(decoded), [ways])])


def in_one_frame(bring, images, given: Given, restorer, name) -> tuple[dict[str, Image], dict[str, dict[str, Any]]]:
  """(the images as they lie on each other, what was done to each). Errors of files name them, those of arrays are
  ValueErrors."""
  found = {source: Image(image, bool(np.any(image != image[..., :1])), 8, None, area)
           for (source, image), area in zip(given.pixels.items(), given.areas, strict=True)}  # fmt: skip
  places = {source: image if isinstance(image, str | os.PathLike) else source
            for source, image in zip(found, images, strict=True)}  # fmt: skip
  order = list(found)
  enlarge = restorer and (lambda source, *image: restorer.enlarged(name, order.index(source), *image))
  try:
    found, aligned = bring(found, places, enlarge)
    if len({image.pixels.shape for image in found.values()}) > 1:
      sizes = ", ".join(f"{image.pixels.shape[0]}x{image.pixels.shape[1]}" for image in found.values())
      raise UserError(f"images: expected one size, found {sizes} (height x width); take --resize=aspect, or "
                      "--align=auto")
  except UserError as error:
    if any(place != source for source, place in places.items()):
      raise UserError(in_python(str(error))) from None
    raise ValueError(in_python(str(error))) from None
  return found, aligned


def infrared_second(images: Sequence[str | os.PathLike | np.ndarray], pixels: Sequence[np.ndarray]) -> list[str]:
  """A line where the second of a thermal pair looks like the infrared one, by names of files or folders, or, without
  such names, by colour. pixels: of both, [H, W, 3] in [-1, 1]. Nothing is reordered: the caller may know better."""
  paths = [Path(image) for image in images if isinstance(image, str | os.PathLike)]
  named = None
  if len(paths) == 2:
    named = guess.by_file_names([path.stem for path in paths]) or guess.by_names([path.parent.name for path in paths])
  if named is not None and named.task == "thermal":
    why = f"{named.why} say that images[1] is it" if named.order == (1, 0) else ""
  else:
    first, second = (float(127.5 * np.mean(np.ptp(image, axis=-1))) for image in pixels)
    coloured = first >= guess.COLOURED > second and guess.by_images(pixels)[:2] == ("thermal", (1, 0))
    why = "it has colour and images[1] has none" if coloured else ""
  return [f"images[0]: taken as the infrared image, though {why}; if so, swap the two"] if why else []


def known_transforms(
  path: str | os.PathLike, tuned: Preset, count: int, align: str, reference: int | None
) -> stored.Transforms:
  """Of a file of `dig2dig align` whose sources have the usual names of a task's, for so many images.

  Raises:
    ValueError: naming the argument, for others that contradict it.
    UserError: naming the file.
  """
  for argument, value, default in (("align", align, "off"), ("reference", reference, None)):
    if value != default:
      raise ValueError(f"transforms: expected no {argument}={value!r} with it, which it replaces; leave one out")
  found = stored.read(Path(path))
  names = tuned.sources if count == len(tuned.sources) else [f"source{number + 1}" for number in range(count)]
  own = {name: f"images[{number}]" for number, name in enumerate(names)}
  if unknown := [name for name in (found.reference, *found.sources) if name not in own]:
    raise UserError(f"{path}: expected transforms of the task's sources, {', '.join(names)}, found {unknown[0]}; "
                    f"write it again with dig2dig align --sources={','.join(names)}")  # fmt: skip
  return found._replace(reference=own[found.reference], sources={own[name]: one for name, one in found.sources.items()})


def in_python(message: str) -> str:
  """What names flags, as it reads where they are arguments."""
  message = message.replace("--transforms= says it (docs/alignment.md), and ", "and ")  # files are the command line's
  message = message.replace("--transforms", "transforms")
  return re.sub(r"--(\w+)=(\w+)", r'\1="\2"', message)


def _is_pair(setting: Any) -> bool:
  return isinstance(setting, Sequence) and len(setting) == 2 and all(isinstance(end, numbers.Real) for end in setting)


def _samples(name: str, image: Any) -> Decoded:
  """As they are stored: [H, W, 1] or [H, W, 3] of any real type, and alpha [H, W] or None."""
  if isinstance(image, str | os.PathLike):
    return read_decoded(image)
  image = np.asarray(image)
  if image.ndim == 2:
    image = image[..., None]
  if image.ndim != 3 or not 1 <= image.shape[-1] <= 4 or image.size == 0:
    raise ValueError(f"{name}: expected [H, W] or [H, W, 1 to 4] (gray or RGB, alpha last), found {list(image.shape)}; "
                     "drop other channels")
  if image.dtype.kind not in "uif":
    raise ValueError(f"{name}: expected whole numbers or floats, found {image.dtype}; convert it")
  colours = 3 if image.shape[-1] > 2 else 1
  return Decoded(image[..., :colours], image[..., colours] if image.shape[-1] > colours else None)


def _pixels(name: str, samples: np.ndarray, ranges: Sequence[Range]) -> np.ndarray:
  """Float32 [H, W, 3] in [-1, 1]."""
  try:
    pixels, _ = to_pixels(samples, ranges)
  except ValueError as error:
    raise ValueError(f"{name}: {error}") from None
  return np.repeat(pixels, 3 // pixels.shape[-1], axis=-1)
