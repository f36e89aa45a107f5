"""Which files belong together? One sub-folder per source under a root, files matched by name.

  root/ir/0001.png  root/vi/0001.jpg   ->  Pair("0001", {"ir": ..., "vi": ...})

Names match without regard to case and extension, never by position in a sorted list: one missing file would shift all
that follow. Any number of sources from two up, kept in the order asked for. Files that nothing joins so are joined by
`naming`, where a word of their names says the source: in their folders, or all in one.
"""

import os
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Self

import numpy as np

from dig2dig_jax.data import duplicates, filling, images, naming, validity
from dig2dig_jax.data.kept import Kept
from dig2dig_jax.data.kinds import KINDS
from dig2dig_jax.data.naming import matching
from dig2dig_jax.data.scaling import Range
from dig2dig_jax.errors import UserError
from dig2dig_jax.files import as_path, what_lies_at


class Pair(NamedTuple):
  """K >= 2 files of one scene. `files` maps each source's name to its file, in the order asked for; `name` is the first
  file's name without extension. `ranges`: what a source's values may span, see `data.ranges`; none for whole types.
  `valid`: how it is found where a source holds a scene, a word of `data.validity`. `align`: (images, files, enlarge) ->
  (images that lie on each other, what was done to each), all by source; None to take them as they are. `deghost`:
  (images) -> (images, not valid where they show what another does not; what moved in which), by source too; None to
  look for nothing. `palettes`: of which a source's colours may be, see `data.palette`; `off` without."""

  name: str
  files: dict[str, Path]
  ranges: Mapping[str, Sequence[Range]] = MappingProxyType({})
  valid: str = "off"
  align: Callable[..., tuple[Mapping[str, images.Image], Mapping[str, Any]]] | None = None
  deghost: Callable[..., tuple[Mapping[str, images.Image], Mapping[str, Any]]] | None = None
  palettes: Mapping[str, str] = MappingProxyType({})

  def read(self) -> dict[str, images.Image]:
    """{source: its image}. UserError for a file that cannot be read."""
    return {
      source: images.read_image(path, self.ranges.get(source, ()), self.valid, self.palettes.get(source, "off"))
      for source, path in self.files.items()
    }


class LoadedPair(NamedTuple):
  """`sources` float32 [K, H, W, 3] in [-1, 1], filled where they are not valid (`data.filling`); the others have one
  entry per source (see `Image`). `valid`: what share of it is valid, None for all. `lost`: what was found lost and
  restored, in the words of `--degradation`, empty for nothing. `aligned`: how sources were brought onto each other.
  `moved`: what moved in which source, and is left to another. `told`, `kept`: of each source, see `Image`. `celsius`:
  of the sources that are temperatures, by name. `areas`: where each source is valid, bool [H, W] of its own size; None
  for everywhere. `same`: lines about files of equal content."""

  name: str
  sources: np.ndarray
  is_colour: tuple[bool, ...]
  bit_depths: tuple[int, ...]
  ranges: tuple[Range | None, ...] = ()
  valid: tuple[float | None, ...] = ()
  lost: tuple[str, ...] = ()
  aligned: Mapping[str, Any] = MappingProxyType({})
  moved: Mapping[str, Any] = MappingProxyType({})
  told: tuple[str, ...] = ()
  kept: tuple[Kept, ...] = ()
  celsius: Mapping[str, np.ndarray] = MappingProxyType({})
  areas: tuple[np.ndarray | None, ...] = ()
  same: tuple[str, ...] = ()

  @classmethod
  def of(cls, name: str, found: Mapping[str, images.Image], sources: Sequence[np.ndarray] | None = None) -> Self:
    """A pair of these images. sources: in place of their pixels, all of one size."""
    pixels = [image.pixels for image in found.values()] if sources is None else sources
    rest = zip(*((image.is_colour, image.bit_depth, image.range) for image in found.values()), strict=True)
    areas = [image.valid for image in found.values()]
    filled = filling.fill(np.stack(pixels), areas)
    celsius = {source: image.celsius for source, image in found.items() if image.celsius is not None}
    told, kept = zip(*((image.told, image.kept) for image in found.values()), strict=True)
    return cls(name, filled, *rest, valid=validity.shares(areas), told=told, kept=kept, celsius=celsius,
               areas=tuple(areas))  # fmt: skip


def find_pairs(root: str | os.PathLike, sources: Sequence[str]) -> tuple[list[Pair], list[str]]:
  """Complete pairs under `root` in natural order, and one report line per file left out (no partner, or no image).

  UserError: `root` or a source's folder is missing, two names mean one folder or one name two, a folder has no images,
  or no name occurs in every folder.
  """
  root = as_path(root)
  if len(sources) < 2:
    raise UserError(f"{root}: expected at least two sources to fuse, found {len(sources)}; "
                    "name them with --sources=A,B")
  try:
    folders = source_folders(root, sources)
  except UserError:
    if not _lie_together(root):
      raise
    return _in_one_folder(root, sources)
  return match_folders(root, folders)


def find_scenes(root: Path, sources: Sequence[str]) -> tuple[list[Pair], list[str]]:
  """Pairs of files whose names say the sources, directly in `root`, or in the folders in it. UserError for none."""
  if _lie_together(root):
    return _in_one_folder(root, sources)
  found: list[Pair] = []
  report: list[str] = []
  try:
    inside = images.natural_sort(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
  except OSError as error:
    raise UserError(f"{root}: expected a folder of images, found {error.strerror}; check --data") from error
  for folder in inside:
    scenes, left_out = naming.together(usable(folder, report), sources)
    report += left_out
    found += [Pair("_".join(filter(None, (folder.name, scene.name))), scene.files) for scene in scenes]
  if not found:
    raise UserError(f"{root}: expected folders of files whose names say the sources (0001_{sources[0]}, "
                    f"0001_{sources[1]}), found none; check --data and "
                    "--sources, or give a --manifest")
  return found, report


def _lie_together(root: Path) -> bool:
  try:
    return bool(images.list_images(root))
  except UserError:
    return False


def _in_one_folder(root: Path, sources: Sequence[str]) -> tuple[list[Pair], list[str]]:
  """Pairs of files whose names say the sources."""
  report: list[str] = []
  files = usable(root, report)
  scenes, left_out = naming.together(files, sources)
  if not scenes:
    some = ", ".join(path.name for path in files[:3])
    raise UserError(f"{root}: expected a folder per source, or files whose names say it (0001_{sources[0]}, "
                    f"0001_{sources[1]}), found {len(files)} images, {some}{', ...' if len(files) > 3 else ''}; "
                    "for one scene's images: dig2dig fuse FOLDER, or --dataset=stacks")
  return [Pair(scene.name or root.absolute().name, scene.files) for scene in scenes], report + left_out


def match_folders(root: Path, folders: Mapping[str, Path]) -> tuple[list[Pair], list[str]]:
  """`find_pairs` for folders that are known: {source: folder}, two or more."""
  sources = list(folders)
  report: list[str] = []
  indices = {source: _index(folder, report) for source, folder in folders.items()}
  first, *others = indices.values()
  pairs = [
    Pair(path.stem, {source: index[name] for source, index in indices.items()})
    for name, path in first.items() if all(name in other for other in others)
  ]
  paired = {path for pair in pairs for path in pair.files.values()}
  scenes = naming.partners({source: [path for path in index.values() if path not in paired]
                            for source, index in indices.items()})  # fmt: skip
  if scenes:
    few = " and ".join(path.name for path in scenes[0].files.values())
    report.append(f"{root}: {len(scenes)} pair{'' if len(scenes) == 1 else 's'} joined by names that differ by a word "
                  f"alone, {few}{'' if len(scenes) == 1 else ', ...'}")
    pairs += [Pair(scene.name or root.absolute().name, scene.files) for scene in scenes]
    paired |= {path for scene in scenes for path in scene.files.values()}
  if not pairs:
    examples = ", ".join(str(next(iter(index.values())).relative_to(root)) for index in indices.values())
    raise UserError(f"{root}: expected files with the same name in {', '.join(sources)}, found none in common "
                    f"(for example {examples}); rename them alike")
  for source, index in indices.items():
    for name, path in index.items():
      if path in paired:
        continue
      if missing := [other for other in sources if name not in indices[other]]:
        report.append(f"{path}: present in {source}, missing in {', '.join(missing)}; left out")
  return pairs, report


def load_pair(
  pair: Pair,
  enlarge: Callable[..., np.ndarray | None] | None = None,
  found: Mapping[str, images.Image] | None = None,
) -> LoadedPair:
  """Read all files of a pair. enlarge: (source, pixels [h, w, 3], (H, W)) -> [H, W, 3], or None for bicubic pixels:
  what sources of fewer pixels become. found: the images, by source, where they have been read. UserError for an
  unreadable file, or when sizes differ."""
  found = pair.read() if found is None else found
  same = duplicates.found(found, pair.files)  # as they were read: to be brought into another frame changes pixels
  found, aligned = in_one_frame(pair, found, enlarge)
  valid = validity.shares([image.valid for image in found.values()])  # what moved is seen, though not taken
  found, moved = (found, {}) if pair.deghost is None else pair.deghost(found)
  return LoadedPair.of(pair.name, found)._replace(valid=valid, aligned=aligned, moved=moved, same=tuple(same))


def in_one_frame(
  pair: Pair, found: Mapping[str, images.Image], enlarge: Callable[..., np.ndarray | None] | None = None
) -> tuple[Mapping[str, images.Image], Mapping[str, Any]]:
  """(a pair's images as it brings them onto each other, what was done to each). enlarge: see `load_pair`. UserError
  when sizes still differ."""
  aligned: Mapping[str, Any] = {}
  if pair.align is not None:
    found, aligned = pair.align(found, pair.files, enlarge)
  (first, image), *others = ((pair.files[source], image) for source, image in found.items())
  height, width = image.pixels.shape[:2]
  for path, other in others:
    if other.pixels.shape != image.pixels.shape:
      raise UserError(f"{path}: expected {height}x{width} (height x width) as in {first}, found "
                      f"{other.pixels.shape[0]}x{other.pixels.shape[1]}; take --resize=aspect, or --align=auto")
  return found, aligned


def content_id(name: str) -> int:
  """32-bit integer that depends on a pair's name alone, to fold into a random key. The same on every machine: unlike
  `hash`, and blind to how the file system composes accented letters."""
  return zlib.crc32(unicodedata.normalize("NFC", name).encode("utf-8", "surrogateescape"))


def source_folders(root: Path, sources: Sequence[str]) -> dict[str, Path]:
  """{source: its folder under `root`}. UserError where one is missing, or could be several."""
  try:
    there = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
  except OSError as error:
    raise UserError(f"{root}: expected a folder with one sub-folder per source, found {error.strerror}; "
                    "check --data") from error
  names = ", ".join(path.name for path in there) or "no folders"
  folders: dict[str, Path] = {}
  for source in sources:
    wanted = source.casefold()
    alike = naming.words_of(source)
    # From the strictest reading of the name to the loosest; the first that finds anything decides.
    matches = ([path for path in there if path.name == source]
               or [path for path in there if path.name.casefold() == wanted]
               or [path for path in there if path.name.casefold() in alike])
    if not matches:
      if (found := what_lies_at(root / source)) != "nothing there":  # a link to a disk that is away, say
        raise UserError(f"{root / source}: expected a folder of images, found {found}; fix it, or name other folders "
                        "with --sources=")
      raise UserError(f"{root}: expected a folder for source '{source}', found {names}; "
                      "name the folders to fuse with --sources=")
    if len(matches) > 1:
      raise UserError(f"{root}: expected one folder for source '{source}', found "
                      f"{', '.join(path.name for path in matches)}; name the exact one with --sources=")
    if matches[0] in folders.values():
      raise UserError(f"{root}: expected a folder of its own for each of {', '.join(sources)}, found "
                      f"{matches[0].name} twice; name different ones with --sources=")
    folders[source] = matches[0]
  return folders


def by_name(paths: Iterable[Path], kind: str, left_out: list[str], *, where: str = "") -> dict[str, Path]:
  """{matching name: file}, without files of one name, of which each but the first is a line in `left_out`. kind, where:
  what the line calls such a file, and the place that it is in."""
  index: dict[str, Path] = {}
  several: set[str] = set()
  for path in paths:
    name = matching(path.stem)
    if name in index:  # a raw file beside its JPEG, say: which one is meant is not for us to guess
      left_out.append(f"{path}: expected one {kind} named '{path.stem}'{where}, found {index[name].name} too; both "
                      "left out, move one of them away")
      several.add(name)
    index.setdefault(name, path)
  return {name: path for name, path in index.items() if name not in several}


def usable(folder: Path, report: list[str]) -> list[Path]:
  """Image files directly in a folder, in natural order. What is no file or no image goes to the report."""
  found: list[Path] = []
  for path in images.list_files(folder, report):
    if images.is_image_file(path):
      found.append(path)
    else:
      other = path.suffix.lower() in images.OTHERS
      why = f"expected {KINDS}; convert it to PNG" if other else "not an image"
      report.append(f"{path}: {why}; left out")
  return found


def _index(folder: Path, report: list[str]) -> dict[str, Path]:
  """Matching name -> image file, in natural order. What is no file or no image, or of one name, goes to the report."""
  before = len(report)
  found = usable(folder, report)
  strange = [] if found else report[before:]
  index = by_name(found, "file", report, where=f" in {folder.name}")
  if not index:
    inside = ", ".join(sorted(path.name for path in folder.iterdir() if path.is_dir()))
    if found:
      raise UserError(f"{folder}: expected files of different names, found none; {report[-1]}")
    if strange:
      raise UserError(f"{folder}: expected images, found none; {strange[0]}")
    raise UserError(f"{folder}: expected images, found {f'only the folders {inside}' if inside else 'none'}; "
                    f"put the files directly into it{', or name the data set with --dataset' if inside else ''}")
  return index
