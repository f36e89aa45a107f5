"""Which fused image belongs to which pair? Folders of any program's outputs, matched to the sources by name.

What is missing, superfluous, unreadable or of another size is named, never passed over.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from dig2dig_jax import metrics
from dig2dig_jax.data import images
from dig2dig_jax.data.pairs import Pair, by_name, load_pair, matching
from dig2dig_jax.errors import UserError
from dig2dig_jax.evaluation import fused_shards, signs
from dig2dig_jax.stores.address import typed_place

Folders = Mapping[str, Mapping[str, Path]]  # {method: {matching name: file}}
_TOLD = 6  # files of a method that get a line of their own


class Fused(NamedTuple):
  """A pair's images, uint8 [H, W, 1 or 3] of one size: `sources` {source: image}, `methods` {method: image}. `signs`:
  {method: what its file says of it}, see `evaluation.signs`."""

  name: str
  sources: dict[str, np.ndarray]
  methods: dict[str, np.ndarray]
  signs: Mapping[str, list[str]] = MappingProxyType({})


def named(folders: Sequence[str | Path]) -> dict[str, Path]:
  """Folders, here or in stores, by the shortest ends of their paths that tell them apart. UserError for one given
  twice."""
  paths = [typed_place(folder) for folder in folders]
  resolved = [path.resolve() if isinstance(path, Path) else path for path in paths]
  if twice := [path for path, place in zip(paths, resolved, strict=True) if resolved.count(place) > 1]:
    raise UserError(f"--fused: expected different folders, found {twice[0]} twice")
  for depth in range(1, max((len(place.parts) for place in resolved), default=1) + 1):
    names = ["/".join(place.parts[-depth:]) for place in resolved]
    if len(set(names)) == len(names):
      break
  else:  # of one name in several stores
    names = list(map(str, paths))
  return dict(zip(names, paths, strict=True)) if paths else {}


def index(folder: Path, left_out: list[str]) -> dict[str, Path]:
  """{matching name: file} of the images directly in a folder, or else in its shards, but those of one name, of which
  each but the first is a line in `left_out`. UserError where there are none."""
  paths = [] if folder.is_file() else images.list_images(folder, left_out)
  if not paths and (kind := fused_shards.kind_of(folder)) is not None:
    if in_shards := fused_shards.index(folder, kind, left_out):
      return in_shards
  if not paths:
    raise UserError(f"{folder}: expected fused images, found none; check --fused")
  found = by_name(paths, "image", left_out)
  if not found:
    raise UserError(f"{folder}: expected fused images of different names, found none; {left_out[-1]}")
  return found


def superfluous(folders: Folders, pairs: Sequence[Pair]) -> list[str]:
  """One line per file that no pair has the name of; one per method that has many of them, as beside a split."""
  known, lines = {matching(pair.name) for pair in pairs}, []
  for method, files in folders.items():
    found = [path for key, path in files.items() if key not in known]
    if len(found) > _TOLD:
      lines.append(f"{method}: {len(found)} images without a pair of their name, such as {found[0]}; left out")
    else:
      lines += [f"{path}: no pair of that name; left out" for path in found]
  return lines


def counts(folders: Folders, pairs: Sequence[Pair]) -> dict[str, int]:
  """{method: how many of the pairs it has a file for}."""
  return {method: sum(matching(pair.name) in files for pair in pairs) for method, files in folders.items()}


def files(pair: Pair, folders: Folders) -> dict[str, Path]:
  """{method: the pair's image}; a method that has none is left out."""
  key = matching(pair.name)
  return {method: found[key] for method, found in folders.items() if key in found}


def eight_bits(pixels: np.ndarray, is_colour: bool) -> np.ndarray:
  """[-1, 1] [H, W, 3] -> uint8 [H, W, 1 or 3]."""
  return images.to_uint8(pixels if is_colour else pixels[..., :1])


def fractions(pixels: np.ndarray, is_colour: bool) -> np.ndarray:
  """The same, float64 in 0..255 and not rounded to whole levels: 16 bits keep theirs."""
  pixels = (pixels if is_colour else pixels[..., :1]).astype(np.float64)
  return np.round((pixels + 1) * 127.5, 4)  # levels of 16 bits are 1/257 apart; float32 knows whole ones to 2e-5


def load(
  pair: Pair,
  paths: Mapping[str, Path],
  folders: Folders,
  failed: list[str],
  levels: Callable[[np.ndarray, bool], np.ndarray] = eight_bits,
) -> Fused | None:
  """A pair with every method's image; None when one is missing or of another size, each fault a line in `failed`.

  paths: {method: folder}, for the message alone. levels: `eight_bits`, or `fractions` for images that are not uint8.
  """
  try:
    loaded = load_pair(pair._replace(valid="off"))  # scores are of the files as they are
  except UserError as error:
    failed.append(str(error))
    return None
  found: dict[str, np.ndarray] = {}
  told: dict[str, list[str]] = {}
  size = loaded.sources.shape[1:3]
  for method, files in folders.items():
    path = files.get(matching(pair.name))
    if path is None:
      failed.append(f"{paths[method]}: expected an image named '{pair.name}', found none; left out for all methods")
      continue
    try:
      image = images.read_image(path)
    except UserError as error:
      failed.append(f"{error}; left out for all methods")
      continue
    if image.pixels.shape[:2] != size:
      expected, there = ("x".join(map(str, shape)) for shape in (size, image.pixels.shape[:2]))
      failed.append(f"{path}: expected {expected} (height x width) as the sources, found {there}"
                    f"{_why_other(size, image.pixels.shape[:2])}; left out for all methods")
      continue
    found[method] = levels(image.pixels, image.is_colour)
    told[method] = signs.of_file(path, image, loaded.bit_depths)
  if len(found) < len(folders):
    return None
  sources = {
    name: levels(pixels, colour)
    for name, pixels, colour in zip(pair.files, loaded.sources, loaded.is_colour, strict=True)
  }
  return Fused(pair.name, sources, found, told)


def with_baselines(fused: Fused) -> Fused:
  """With the plain fusions, and each source copied, as further methods."""
  gray = [metrics.to_gray(source) for source in fused.sources.values()]
  plain = {name: blend(gray).astype(np.uint8)[..., None] for name, blend in metrics.BASELINES.items()}
  copies = {f"copy of {name}": source for name, source in fused.sources.items()}
  return fused._replace(methods=fused.methods | plain | copies)


def baseline_names(sources: Sequence[str]) -> list[str]:
  """What `with_baselines` adds."""
  return [*metrics.BASELINES, *(f"copy of {name}" for name in sources)]


def _why_other(size: tuple[int, int], found: tuple[int, int]) -> str:
  """What another size looks like, where it is plain; a clause."""
  if found == size[::-1]:
    return ", which is on its side"
  # To the next whole pixel of the same shape. Enlarged again it would have lost what the measures look for.
  if abs(found[0] * size[1] - found[1] * size[0]) <= max(size) and min(found) > 16:
    return ", which is resized: fuse at the sources' size, or compare at that size with the sources resized alike"
  return ""
