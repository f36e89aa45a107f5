"""How do published data sets lay out their pairs? A reader for each, of the set as it is unpacked.

| name | layout under --data | source 1, source 2 |
|---|---|---|
| folders | one folder per source, or files whose names say the source, as `pairs` describes | as named |
| names | files whose names say the source (`naming`), in one folder, or a folder per scene | as named |
| stacks | images of one scene, in one folder, or a folder per scene; brackets by EXIF (`stacks`) | in their order |
| llvip | {infrared,visible}/{train,test}/190001.jpg | infrared, visible |
| m3fd | {Ir,Vis}/00000.png, meta/{train,val,pred}.txt | infrared, visible |
| msrs | {train,test}/{ir,vi}/00537D.png | infrared, visible |
| roadscene | cropinfrared/X.jpg, crop_LR_visible/X.jpg (crop_HR_visible and infrared/ are not registered to each other) | infrared, visible |
| tno | {ir,vi}/X.png, or a folder per scene with one IR and one VIS file | infrared, visible |
| vifb | input/{IR,VI}/X.jpg | infrared, visible |
| mfifb, mefb | input/X/X_A.png, X_B.png, beside files of other names | A, B |
| lytro, mffw | lytro-01-A.jpg, lytro-01-B.jpg, in one folder or in MFIFB's | A, B |
| sice | 001/1.JPG ... 7.JPG, darkest first, Label/001.JPG | darkest, brightest; more sources: evenly between |
| webdataset, parquet, array_record | files *.tar, *.parquet, *.array_record; a field per source (`shards`) | as named |
| harvard | CT-MRI/{CT,MRI}/16003.png, PET-MRI, SPECT-MRI | as named: mri and ct, pet or spect |

The first name of --sources is source 1, whatever it is called; `folders` and `harvard` go by the names. Files match by
name and never by position, in any case of letters, and are told to be images by their bytes.
"""  # noqa: E501

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from dig2dig_jax.data import images, pairs, shards, stacks
from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.data.splits import choose, names_in
from dig2dig_jax.errors import UserError

Found = tuple[Sequence[Pair], list[str]]  # in natural order; a line per file left out
_INFRARED, _VISIBLE = ("ir", "infrared"), ("vi", "vis", "visible")


def _two_folders(first: Sequence[str], second: Sequence[str]) -> Callable[..., Found]:
  """Reader of two folders, each of which may have one of several names."""

  def read(root: Path, sources: tuple[str, ...], split) -> Found:
    return _matched(root, sources, [_folder(root, first), _folder(root, second)])

  return read


def _matched(root: Path, sources: Sequence[str], folders: Sequence[Path]) -> Found:
  if len(sources) != len(folders):
    raise UserError(f"{root}: expected {len(folders)} sources for this data set, found --sources={','.join(sources)}")
  return pairs.match_folders(root, dict(zip(sources, folders, strict=True)))


def _folder(root: Path, names: Sequence[str]) -> Path:
  there = _folders(root)
  for name in names:
    for path in there:
      if path.name.casefold() == name.casefold():
        return path
  raise UserError(f"{root}: expected a folder {' or '.join(names)}, found "
                  f"{', '.join(path.name for path in there) or 'no folders'}; check --data and --dataset")


def _folders(root: Path) -> list[Path]:
  try:
    return images.natural_sort(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
  except OSError as error:
    raise UserError(f"{root}: expected the folder of a data set, found {error.strerror}; check --data") from error


def _joined(parts: list[Found]) -> Found:
  return [pair for found, _ in parts for pair in found], [line for _, lines in parts for line in lines]


def _llvip(root: Path, sources: tuple[str, ...], split: str | None) -> Found:
  infrared, visible = _folder(root, _INFRARED), _folder(root, _VISIBLE)
  parts = (split,) if split else ("train", "test")
  return _joined([_matched(root, sources, [_folder(infrared, [part]), _folder(visible, [part])]) for part in parts])


def _msrs(root: Path, sources: tuple[str, ...], split: str | None) -> Found:
  parts = (split,) if split else ("train", "test")
  read = _two_folders(_INFRARED, _VISIBLE)
  return _joined([read(_folder(root, [part]), sources, None) for part in parts])


def _m3fd(root: Path, sources: tuple[str, ...], split: str | None) -> Found:
  found = _two_folders(_INFRARED, _VISIBLE)(root, sources, None)
  if split is None:
    return found
  path = root / "meta" / f"{split}.txt"
  return choose(found[0], names_in(path), where=str(path)), found[1]


def _vifb(root: Path, sources: tuple[str, ...], split) -> Found:
  return _two_folders(_INFRARED, _VISIBLE)(_inside(root, "input"), sources, None)


def _inside(root: Path, name: str) -> Path:
  return next((path for path in _folders(root) if path.name.casefold() == name), root)


def _tno(root: Path, sources: tuple[str, ...], split) -> Found:
  names = {path.name.casefold() for path in _folders(root)}
  if names & {*_INFRARED, "thermal"} and names & set(_VISIBLE):
    return _two_folders((*_INFRARED, "thermal"), _VISIBLE)(root, sources, None)
  found, left_out = [], []
  for folder in _all_folders(root):
    paths = images.list_images(folder, left_out)
    files = {part: [path for path in paths if _has_token(path.stem, part)] for part in ("ir", "vis")}
    if not any(files.values()):
      continue
    if [len(there) for there in files.values()] == [1, 1] and len(sources) == 2:
      name = "_".join(folder.relative_to(root).parts) or folder.name
      found.append(Pair(name, dict(zip(sources, (files["ir"][0], files["vis"][0]), strict=True))))
    else:
      left_out.append(f"{folder}: expected one IR and one VIS image, found {len(files['ir'])} and {len(files['vis'])}; "
                      "left out, name them in a --manifest")
  return _some(found, root, "folders with one IR and one VIS image"), left_out


def _has_token(stem: str, token: str) -> bool:
  return token in re.split(r"[^a-z]+", stem.casefold())


def _all_folders(root: Path) -> list[Path]:
  return [root, *(inner for folder in _folders(root) for inner in _all_folders(folder))]


def _some(found: list[Pair], root: Path, expected: str) -> list[Pair]:
  if not found:
    raise UserError(f"{root}: expected {expected}, found none; check --data and --dataset")
  return found


def _lettered(prefix: str = "") -> Callable[..., Found]:
  """Reader of pairs NAME_A, NAME_B (or NAME-A ...), in any folders; NAME begins with `prefix`."""

  def read(root: Path, sources: tuple[str, ...], split) -> Found:
    found, left_out = [], []
    for folder in _all_folders(root):
      scenes: dict[str, dict[str, list[Path]]] = {}
      for path in images.list_images(folder, left_out):
        name, letter = _split_letter(path.stem)
        if not name.casefold().startswith(prefix):
          continue
        if not letter:
          left_out.append(f"{path}: no _A or _B at the end of its name; left out")
          continue
        scenes.setdefault(name.casefold(), {}).setdefault(letter, []).append(path)
      for files in scenes.values():
        letters = [chr(ord("a") + i) for i in range(len(sources))]
        there = [files.get(letter, []) for letter in letters]
        if all(len(paths) == 1 for paths in there):
          name = _split_letter(there[0][0].stem)[0]
          found.append(Pair(name, {source: paths[0] for source, paths in zip(sources, there, strict=True)}))
        else:
          paths = [path for some in files.values() for path in some]
          left_out.append(f"{paths[0]}: expected one file for each of {', '.join(letters).upper()}, found "
                          f"{', '.join(path.name for path in paths)}; left out")
    return _some(found, root, f"pairs named {prefix or 'NAME'}..._A and _B"), left_out

  return read


def _split_letter(stem: str) -> tuple[str, str]:
  match = re.fullmatch(r"(.+)[_-]([A-Za-z])", stem)
  return (match[1], match[2].casefold()) if match else (stem, "")


def _sice(root: Path, sources: tuple[str, ...], split) -> Found:
  found, left_out = [], []
  for folder in _all_folders(root):
    exposures = [path for path in images.list_images(folder, left_out) if path.stem.isdecimal()]
    if folder.name.casefold() == "label" or folder == root or not exposures:
      continue
    if len(exposures) < len(sources):
      left_out.append(f"{folder}: expected at least {len(sources)} exposures, found {len(exposures)}; left out")
      continue
    last, steps = len(exposures) - 1, len(sources) - 1
    chosen = [exposures[(2 * i * last + steps) // (2 * steps)] for i in range(len(sources))]  # rounded to nearest
    found.append(Pair(folder.name, dict(zip(sources, chosen, strict=True))))
  return _some(found, root, "folders of numbered exposures"), left_out


def _harvard(root: Path, sources: tuple[str, ...], split) -> Found:
  wanted = {source.casefold() for source in sources}
  for folder in _all_folders(root):
    if {part.casefold() for part in re.split(r"[^A-Za-z]+", folder.name)} == wanted:
      return _matched(root, sources, [_folder(folder, [source]) for source in sources])
  raise UserError(f"{root}: expected a folder {'-'.join(sorted(wanted)).upper()} with a folder per source, found none; "
                  "check --data, and --sources=mri,ct (or pet, spect)")


def _of_shards(kind) -> Callable[..., Found]:
  return lambda root, sources, split: shards.find(root, sources, kind)


# name -> (reader(root, sources, split), the parts that the set itself is divided into)
READERS: dict[str, tuple[Callable[..., Found], tuple[str, ...]]] = {
  "folders": (lambda root, sources, split: pairs.find_pairs(root, sources), ()),
  "names": (lambda root, sources, split: pairs.find_scenes(root, sources), ()),
  "stacks": (lambda root, sources, split: stacks.find(root, sources), ()),
  "llvip": (_llvip, ("train", "test")),
  "m3fd": (_m3fd, ("train", "val", "pred")),
  "msrs": (_msrs, ("train", "test")),
  "roadscene": (_two_folders(["cropinfrared"], ["crop_LR_visible"]), ()),
  "tno": (_tno, ()),
  "vifb": (_vifb, ()),
  "mfifb": (_lettered(), ()),
  "lytro": (_lettered("lytro"), ()),
  "mffw": (_lettered("mffw"), ()),
  "mefb": (_lettered(), ()),
  "sice": (_sice, ()),
  "harvard": (_harvard, ()),
  **{name: (_of_shards(kind), ()) for name, kind in shards.KINDS.items()},
}
