"""`dig2dig align`: images of one scene, or of all in a folder, brought onto each other, and how, kept."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dig2dig_jax.alignment import aligner, stored, warp
from dig2dig_jax.alignment.confidence import ACCEPTED
from dig2dig_jax.alignment.estimate import MODELS, Alignment, estimate
from dig2dig_jax.alignment.files import read
from dig2dig_jax.cli import flags
from dig2dig_jax.cli.output import note, say
from dig2dig_jax.data import datasets, guess, layouts, validity
from dig2dig_jax.data.decode import Decoded
from dig2dig_jax.data.images import write_levels
from dig2dig_jax.data.scaling import extremes
from dig2dig_jax.errors import UserError
from dig2dig_jax.files import is_free, taken, typed_path, what_lies_at

TRANSFORMS = "transforms.json"
_FLAGS = ("out", "align", "reference", "sources", "overwrite", "compile_cache")


def run(words: list[str]) -> int:
  """Aligns the files, or every pair of a folder, and writes them; the exit status. UserError for what cannot be read or
  written."""
  places = [typed_path(word) for word in words if not word.startswith("-")]
  given = dict(word.lstrip("-").partition("=")[::2] for word in words if word.startswith("-"))
  if unknown := [name for name in given if name not in _FLAGS]:
    raise UserError(f"--{unknown[0]}: expected one of --{', --'.join(_FLAGS)}; see dig2dig align --help")
  whole = len(places) == 1 and places[0].is_dir()
  if len(places) < 2 and not whole:
    raise UserError(f"dig2dig align: expected two or more image files, or a folder of pairs, found {len(places)}"
                    f"{' file' if places else ''}; see dig2dig align --help")  # fmt: skip
  if not given.get("out"):
    raise UserError("dig2dig align: expected -o FOLDER, found no output; add it")
  model = given.get("align", "auto")
  if model not in MODELS:
    raise UserError(f"--align={model}: expected one of {', '.join(MODELS)}")
  out = typed_path(given["out"])
  scenes = _of_folder(places[0], given, out) if whole else [_of_files(places, given, out)]
  for scene in scenes:
    _check_places(scene)
  if cache := given.get("compile_cache", flags.CACHE.default):
    from dig2dig_jax.fusing import compile_cache

    if told := compile_cache.use(typed_path(cache)):
      note(f"note: {told}")
  if not whole:
    return _aligned(scenes[0], model)
  status = 0
  for scene in scenes:
    try:
      status = max(status, _aligned(scene, model))
    except UserError as error:  # of this pair alone
      note(f"failed: {error}")
      status = 3
  return status


class _Scene(NamedTuple):
  """files: {source: file}. reference: the source that the others are brought to; empty for the largest, among equals
  the first that is not infrared. images: where each source's result goes. transforms: where those go. decoded: what the
  files hold, if they were read."""

  files: dict[str, Path]
  reference: str
  images: dict[str, Path]
  transforms: Path
  decoded: dict[str, Decoded] | None = None


def _of_files(files: list[Path], given: Mapping[str, str], out: Path) -> _Scene:
  """Named as `dig2dig fuse` names them, the results by the reference's file."""
  transforms = _own(out / TRANSFORMS, "overwrite" in given)
  decoded = [read(file) for file in files]
  names, order = _named(files, [one.samples for one in decoded], given.get("sources"))
  sizes = [one.samples.shape[0] * one.samples.shape[1] for one in decoded]
  first = _first(sizes, order, names) if "reference" not in given else _asked(files, given["reference"])
  images = {name: out / name / f"{files[first].stem}.png" for name in names}
  pairs = [dict(zip(names, values, strict=True)) for values in (files, decoded)]
  return _Scene(pairs[0], names[first], images, transforms, pairs[1])


def _of_folder(folder: Path, given: Mapping[str, str], out: Path) -> list[_Scene]:
  """The pairs that `dig2dig fuse` finds there, and a line about each file that is in none."""
  if asked := given.get("sources"):
    sources, found = tuple(asked.split(",")), datasets.find(folder, asked.split(","))
  else:
    layout = layouts.look(folder)
    sources, found = layout.sources, datasets.find(layout.root, layout.sources, dataset=layout.dataset)
    found[1].extend(layout.left_out)
  if (reference := given.get("reference", "")) and reference not in sources:
    raise UserError(f"--reference={reference}: expected one of the sources {', '.join(sources)}")
  for line in found[1]:
    note(f"note: {line}")
  overwrite = "overwrite" in given
  return [
    _Scene(pair.files, reference, {source: out / source / f"{pair.name}.png" for source in sources},
           _own(out / "transforms" / f"{pair.name}.json", overwrite))
    for pair in found[0]
  ]  # fmt: skip


def _aligned(scene: _Scene, model: str) -> int:
  """Writes the images of a scene as they lie on its reference, and how; 0 where all do, else 3."""
  names, files = list(scene.files), scene.files
  decoded = scene.decoded or {name: read(file) for name, file in files.items()}
  areas = {name: validity.find(one.samples, one.alpha, how="auto") for name, one in decoded.items()}
  sizes = [one.samples.shape[0] * one.samples.shape[1] for one in decoded.values()]
  first = scene.reference or names[_first(sizes, range(len(names)), names)]
  frame = decoded[first].samples
  size, placed, refused = frame.shape[:2], {}, 0
  say(f"{files[first]}: reference, {size[1]} x {size[0]}")
  results = {first: (frame, areas[first])}
  for name in names:
    if name == first:
      continue
    samples = decoded[name].samples
    found = estimate(frame, samples, model=model, reference_mask=areas[first], source_mask=areas[name])
    if not found.accepted:
      refused += 1
      note(f"refused: {files[name]} cannot be aligned with {files[first]}: confidence {found.confidence:.2f}, expected "
           f"{ACCEPTED} or more; not written")
      continue
    results[name] = warp.onto(samples, found.matrix, size, areas[name], found.flow)
    placed[name] = stored.Placed(found.matrix, samples.shape[:2], found.confidence, found.flow)
    say(f"{files[name]}: aligned, confidence {found.confidence:.2f}, {_in_words(found.matrix, size)}"
        f"{_bent(found)}")
  if not placed:
    return 3
  sources = [name for name in names if name in results]
  for name in sources:
    write_levels(scene.images[name], _levels(*results[name]))
  stored.write(scene.transforms, stored.Transforms(first, size, placed))
  say(f"written: {', '.join(str(scene.images[name]) for name in sources)} and {scene.transforms}")
  return 3 if refused else 0


def _named(files: list[Path], images: list[np.ndarray], asked: str | None) -> tuple[list[str], tuple[int, ...]]:
  """(the name of each file's source, the files in the order of the task), both as `dig2dig fuse` has them."""
  if asked is not None:
    names = asked.split(",")
    usable = [name for name in names if name and "/" not in name and name[0] not in ".~"]
    if not len(files) == len(names) == len(set(usable)):
      raise UserError(f"--sources={asked}: expected {len(files)} different names that can be folders', by commas")
    return names, tuple(range(len(files)))
  found = guess.by_file_names([file.stem for file in files]) or guess.by_images([_pixels(image) for image in images])
  usual = dict(zip(found.order, guess.usual_names(found.task, len(files)), strict=True))
  note(f"note: {found.task}, by {found.why}: {', '.join(f'{files[k]} is {usual[k]}' for k in found.order)}; "
       "--sources= overrides this")
  return [usual[k] for k in range(len(files))], found.order


def _first(pixels: Sequence[int], order: Sequence[int], names: Sequence[str]) -> int:
  """The number of the source with the most pixels, among equals the first that is not infrared."""
  return max(order, key=lambda k: (pixels[k], names[k].casefold() not in guess.NAMES["thermal"][0]))


def _asked(files: list[Path], reference: str) -> int:
  place = os.path.realpath(typed_path(reference))
  for k, file in enumerate(files):
    if os.path.realpath(file) == place:
      return k
  raise UserError(f"--reference={reference}: expected one of the files, {', '.join(map(str, files))}")


def _check_places(scene: _Scene) -> None:
  """Originals and foreign files are never overwritten, whatever the flags: refused before anything is computed."""
  originals = {os.path.realpath(file): file for file in scene.files.values()}
  for place in scene.images.values():
    if (found := originals.get(os.path.realpath(place))) is not None:
      raise UserError(f"{place}: expected another place than a source's, found that of {found}; choose another -o")
    above = next(folder for folder in place.parents if folder.exists() or folder.is_symlink())
    if not above.is_dir():
      raise UserError(f"{above}: expected a folder, found {what_lies_at(above)}; choose another -o")
    if not is_free(place):
      raise taken(place)


def _own(path: Path, overwrite: bool) -> Path:
  """Where the transforms go. With `overwrite`, in the place of others, and of nothing else."""
  if path.exists() or path.is_symlink():
    if not overwrite:
      raise UserError(f"{path}: expected nothing there, found a file; choose another -o, or add --overwrite")
    try:
      stored.read(path)
    except UserError:
      raise taken(path) from None
  return path


def _ends(samples: np.ndarray) -> tuple[float, float]:
  """Black and white: of a whole type its own, of floats 0 and 1, or what lies beyond."""
  low, high = extremes(samples.dtype.name)
  return (min(low, float(samples.min())), max(high, float(samples.max()))) if samples.dtype.kind == "f" else (low, high)


def _pixels(samples: np.ndarray) -> np.ndarray:
  """[H, W, 3] in [-1, 1], to guess by."""
  low, high = _ends(samples)
  return np.repeat(2 * (samples.astype(np.float32) - low) / (high - low) - 1, 3 // samples.shape[-1], axis=-1)


def _levels(samples: np.ndarray, valid: np.ndarray | None) -> np.ndarray:
  """[H, W, C] with alpha where not all of it is valid; floats in [0, 1] as 16 bits."""
  if samples.dtype.kind == "f":
    low, high = _ends(samples)
    samples = np.rint((samples - low) / (high - low) * 65535).astype(np.uint16)
  if samples.dtype not in (np.uint8, np.uint16):
    raise UserError(f"expected 8- or 16-bit unsigned samples or floats to write, found {samples.dtype}; convert them")
  if valid is None:
    return samples
  opaque = np.where(valid, np.iinfo(samples.dtype).max, 0).astype(samples.dtype)[..., None]
  return np.concatenate([np.repeat(samples, 3 // samples.shape[-1], axis=-1), opaque], axis=-1)


def _bent(found: Alignment) -> str:
  """Of its displacement."""
  return f", {aligner.bent(found.flow, found.bounded)}" if found.model == "flow" else ""


def _in_words(matrix: np.ndarray, size: tuple[int, int]) -> str:
  """Of a transform, at the reference's centre."""
  centre = np.array([(size[1] - 1) / 2, (size[0] - 1) / 2, 1.0])
  u, v, w = matrix @ centre
  jacobian = (matrix[:2, :2] - np.outer([u / w, v / w], matrix[2, :2])) / w
  scale = np.sqrt(abs(np.linalg.det(jacobian)))
  angle = np.degrees(np.arctan2(jacobian[1, 0] - jacobian[0, 1], jacobian[0, 0] + jacobian[1, 1]))
  return f"its centre at ({u / w:.1f}, {v / w:.1f}), {scale:.3f} of its pixels per pixel, turned by {angle:.1f} degrees"
