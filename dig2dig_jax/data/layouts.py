"""What does a folder hold: a folder per source, names that say the source, one stack, or several?

What the readers of `--dataset` find is decided here for whoever gives a folder and nothing else.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dig2dig_jax.data import guess, images, naming, stacks
from dig2dig_jax.errors import UserError
from dig2dig_jax.files import NAMES

# Of a folder's images one in so many is in a scene, or its names do not say the sources: a third view may lie beside
# two. Of stacks, which have any number of images, all are.
_AMONG = {"thermal": 2, "medical": 2}
_NAMED = {  # task -> its sources by the words of `naming`
  "thermal": (("ir", "vi"),),
  "medical": (("mri", "pet"), ("mri", "spect"), ("mri", "ct"), ("ct", "pet"), ("ct", "spect")),
  "exposure": (("under", "over"),),
  "focus": (("a", "b"),),
}


class Layout(NamedTuple):
  """dataset: a reader of `data.readers`. root: the folder that it reads. sources: their names, in the task's order
  where one is known. task: a key of `guess.TASKS`; None where names and EXIF do not say it. why: a clause. first: the
  files of the first scene, by which a task is guessed. sure: whether names or EXIF say that these belong together.
  left_out: a line for each folder of images that is not read."""

  dataset: str
  root: Path
  sources: tuple[str, ...]
  task: str | None
  why: str
  first: list[Path]
  sure: bool = True
  left_out: tuple[str, ...] = ()


def look(folder: Path, task: str | None = None) -> Layout:
  """What a folder holds. task: what the images are, if that is known. UserError, saying what was seen, for a folder
  whose images do not show what belongs together."""
  files = images.list_images(folder)
  inside = folders(folder)
  if files:
    found = _of_names(folder, [folder], task) or _of_stacks(folder, task)
    return found._replace(left_out=_left(inside, "expected images or folders of images, found both"))
  if len(inside) == 1:
    return look(inside[0], task)
  if not inside:
    raise UserError(f"{folder}: expected images, or a folder per source or scene, found neither; check the path")
  if (named := _named_pair(inside)) is not None:
    two, said = named
    rest = _left([path for path in inside if path not in two], f"expected {said.why} alone")
    return Layout("folders", folder, tuple(two[k].name for k in said.order), said.task, said.why, [], left_out=rest)
  if (scenes := _of_names(folder, inside, task)) is not None:
    return scenes
  listed = [images.list_images(path) for path in inside]
  if empty := [path.name for path, found in zip(inside, listed, strict=True) if not found]:
    raise UserError(f"{folder}: expected images in every folder, found none in {', '.join(empty)}; name the folders of "
                    "the sources with --sources=A,B")
  common = set.intersection(*({naming.matching(path.stem) for path in found} for found in listed))
  joined = common or naming.partners({path.name: found for path, found in zip(inside, listed, strict=True)})
  if joined and not (common and _are_scenes(listed)):
    firsts = [next((path for path in found if naming.matching(path.stem) in common), found[0]) for found in listed]
    return Layout("folders", folder, tuple(path.name for path in inside), None, "", firsts)
  return _of_stacks(folder, task)


def folders(folder: Path) -> list[Path]:
  """The folders in a folder, in natural order, without hidden ones and this program's results."""
  try:
    found = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
  except OSError as error:
    raise UserError(f"{folder}: expected a folder of images, found {error.strerror}; check the path") from error
  return images.natural_sort(path for path in found if not (path / NAMES).exists())


def _named_pair(inside: Sequence[Path]) -> tuple[list[Path], guess.Guess] | None:
  """The two folders whose names say the sources. Of more than two, only of kinds that come in pairs, and where no other
  two say so as well: a folder of labels may lie beside infrared and visible images, a third exposure beside two."""
  pairs = [(list(two), said) for two in itertools.combinations(inside, 2)
           if (said := guess.by_names([path.name for path in two])) is not None]  # fmt: skip
  if len(inside) > 2:
    pairs = [(two, said) for two, said in pairs if said.task in _AMONG]
  return pairs[0] if len(pairs) == 1 else None


def _left(inside: Sequence[Path], why: str) -> tuple[str, ...]:
  return tuple(f"{path}: {why}; this folder is not read" for path in inside if images.list_images(path))


def _of_names(root: Path, places: Sequence[Path], task: str | None) -> Layout | None:
  """Of images whose names say their sources, directly in each of these folders."""
  listed = [images.list_images(place) for place in places]
  count = sum(map(len, listed))
  best: Layout | None = None
  most = 0
  for name, choices in _NAMED.items():
    for sources in choices if task in (None, name) else ():
      scenes = [scene for files in listed for scene in naming.together(files, sources)[0]]
      if len(scenes) > most and len(scenes) * len(sources) * _AMONG.get(name, 1) >= count:
        most, files = len(scenes), list(scenes[0].files.values())
        why = f"the names {' and '.join(path.name for path in files)}"
        read = naming.source_of(files[0].stem, sources)
        said = None if read is not None and read[2] == "a" else name  # A and B are anything's
        best = Layout("folders" if places == [root] else "names", root, sources, said, why, files)
  return best


def _of_stacks(root: Path, task: str | None) -> Layout:
  found = stacks.under(root, [])
  count = stacks.usual_size(found)
  stack = next(stack for _, stack in found if len(stack) == count)
  exposures = stacks.is_bracket(stack)
  task = task or ("exposure" if exposures else None)
  names = guess.usual_names(task or "focus", count)
  one = f"{count} images" if len(found) == 1 else f"{len(found)} stacks of {count} images"
  return Layout("stacks", root, tuple(names), "exposure" if exposures else None,
                f"{one} whose exposures differ" if exposures else one, [shot.path for shot in stack],
                sure=exposures)  # fmt: skip


def _are_scenes(listed: Sequence[Sequence[Path]]) -> bool:
  """Whether images of one folder are more alike than those of one name: folders of scenes, not of sources."""
  if min(map(len, listed)) < 2:
    return False
  within = guess.alike(listed[0][:2])
  name = naming.matching(listed[0][0].stem)
  other = next((path for path in listed[1] if naming.matching(path.stem) == name), None)
  return other is not None and within > guess.alike([listed[0][0], other]) + guess.CLEARLY
