"""`dig2dig align`: images of one scene brought onto each other, and the transforms of that, in a folder."""

import os
from pathlib import Path

import numpy as np

from dig2dig_jax.alignment import stored, warp
from dig2dig_jax.alignment.estimate import ACCEPTED, MODELS, estimate
from dig2dig_jax.alignment.files import read
from dig2dig_jax.cli import flags
from dig2dig_jax.cli.output import note, say
from dig2dig_jax.data import guess, validity
from dig2dig_jax.data.images import write_levels
from dig2dig_jax.data.scaling import extremes
from dig2dig_jax.errors import UserError
from dig2dig_jax.files import is_free, taken, what_lies_at

TRANSFORMS = "transforms.json"
_FLAGS = ("out", "align", "reference", "sources", "overwrite", "compile_cache")


def run(words: list[str]) -> int:
  """Aligns the files and writes them; the exit status. UserError for what cannot be read or written."""
  files = [Path(word).expanduser() for word in words if not word.startswith("-")]
  given = dict(word.lstrip("-").partition("=")[::2] for word in words if word.startswith("-"))
  if unknown := [name for name in given if name not in _FLAGS]:
    raise UserError(f"--{unknown[0]}: expected one of --{', --'.join(_FLAGS)}; see dig2dig align --help")
  if len(files) < 2:
    raise UserError(f"dig2dig align: expected two or more image files, found {len(files)}; see dig2dig align --help")
  if not given.get("out"):
    raise UserError("dig2dig align: expected -o FOLDER, found no output; add it")
  model = given.get("align", "auto")
  if model not in MODELS:
    raise UserError(f"--align={model}: expected one of {', '.join(MODELS)}")
  kept = _own(Path(given["out"]).expanduser() / TRANSFORMS, "overwrite" in given)
  decoded = [read(file) for file in files]
  names, order = _named(files, [one.samples for one in decoded], given.get("sources"))
  pixels = [one.samples.shape[0] * one.samples.shape[1] for one in decoded]
  first = _reference(files, pixels, order, names, given.get("reference"))
  if cache := given.get("compile_cache", flags.CACHE.default):
    from dig2dig_jax.fusing import compile_cache

    if told := compile_cache.use(Path(cache).expanduser()):
      note(f"note: {told}")
  _check_places(files, [_place(given["out"], name, files[first]) for name in names])
  areas = [validity.find(one.samples, one.alpha, how="auto") for one in decoded]
  frame = decoded[first].samples
  size, placed, refused = frame.shape[:2], {}, 0
  say(f"{files[first]}: reference, {size[1]} x {size[0]}")
  results = {names[first]: (frame, areas[first])}
  for k, (name, file) in enumerate(zip(names, files, strict=True)):
    if k == first:
      continue
    samples = decoded[k].samples
    found = estimate(frame, samples, model=model, reference_mask=areas[first], source_mask=areas[k])
    if not found.accepted:
      refused += 1
      note(f"refused: {file} cannot be aligned with {files[first]}: confidence {found.confidence:.2f}, expected "
           f"{ACCEPTED} or more; not written")
      continue
    results[name] = warp.onto(samples, found.matrix, size, areas[k])
    placed[name] = stored.Placed(found.matrix, samples.shape[:2], found.confidence)
    say(f"{file}: aligned, confidence {found.confidence:.2f}, {_in_words(found.matrix, size)}")
  if not placed:
    return 3
  sources = [names[k] for k in range(len(files)) if names[k] in results]
  for name in sources:
    write_levels(_place(given["out"], name, files[first]), _levels(*results[name]))
  stored.write(kept, stored.Transforms(names[first], size, placed))
  say(f"written: {', '.join(str(_place(given['out'], name, files[first])) for name in sources)} and {kept}")
  return 3 if refused else 0


def _named(files: list[Path], images: list[np.ndarray], asked: str | None) -> tuple[list[str], tuple[int, ...]]:
  """(the name of each file's source, the files in the order of the task), both as `dig2dig fuse` has them."""
  if asked is not None:
    names = asked.split(",")
    usable = [name for name in names if name and "/" not in name and name[0] not in ".~"]
    if not len(files) == len(names) == len(set(usable)):
      raise UserError(f"--sources={asked}: expected {len(files)} different names that can be folders', by commas")
    return names, tuple(range(len(files)))
  found = guess.by_names([file.stem for file in files]) or guess.by_images([_pixels(image) for image in images])
  usual = dict(zip(found.order, guess.usual_names(found.task, len(files)), strict=True))
  note(f"note: {found.task}, by {found.why}: {', '.join(f'{files[k]} is {usual[k]}' for k in found.order)}; "
       "--sources= says otherwise")
  return [usual[k] for k in range(len(files))], found.order


def _reference(
  files: list[Path], pixels: list[int], order: tuple[int, ...], names: list[str], asked: str | None
) -> int:
  """The file with the most pixels, among equals the first that is not infrared."""
  if asked is None:
    return max(order, key=lambda k: (pixels[k], names[k].casefold() not in guess.NAMES["thermal"][0]))
  place = os.path.realpath(Path(asked).expanduser())
  for k, file in enumerate(files):
    if os.path.realpath(file) == place:
      return k
  raise UserError(f"--reference={asked}: expected one of the files, {', '.join(map(str, files))}")


def _place(out: str, name: str, reference: Path) -> Path:
  """Where the source of that name is written: pairs go by the reference's name."""
  return Path(out).expanduser() / name / f"{reference.stem}.png"


def _check_places(files: list[Path], places: list[Path]) -> None:
  """Originals and foreign files are never written over, whatever is asked: said before anything is computed."""
  originals = {os.path.realpath(file): file for file in files}
  for place in places:
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


def _in_words(matrix: np.ndarray, size: tuple[int, int]) -> str:
  """Of a transform, at the reference's centre."""
  centre = np.array([(size[1] - 1) / 2, (size[0] - 1) / 2, 1.0])
  u, v, w = matrix @ centre
  jacobian = (matrix[:2, :2] - np.outer([u / w, v / w], matrix[2, :2])) / w
  scale = np.sqrt(abs(np.linalg.det(jacobian)))
  angle = np.degrees(np.arctan2(jacobian[1, 0] - jacobian[0, 1], jacobian[0, 0] + jacobian[1, 1]))
  return f"its centre at ({u / w:.1f}, {v / w:.1f}), {scale:.3f} of its pixels per pixel, turned by {angle:.1f} degrees"
