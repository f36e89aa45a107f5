"""Where are the objects? Labels of YOLO's text files, of Pascal VOC's XML files or of a COCO file, in COCO's terms.

YOLO: a folder of NAME.txt, a line `class x y width height` per object, centre and size as shares of the image; an image
without a file has no objects only if the folder says so with an empty file. Pascal VOC (LLVIP's Annotations): a folder
of NAME.xml, an `object` with a name and a `bndbox` in pixels each; categories are the names in alphabetical order,
numbered from 0, and what is marked difficult is neither missed nor a false find. COCO: one JSON with images,
annotations and categories.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from dig2dig_jax.errors import UserError

_LONGEST = 2**20  # bytes of an XML file: LLVIP's largest has 4000


class Labels(NamedTuple):
  """categories: ids in ascending order. objects {name: [(category, [x, y, width, height] in pixels, is crowd)]}."""

  categories: list[int]
  objects: dict[str, list[tuple[int, list[float], int]]]


def read(path: Path, sizes: Mapping[str, tuple[int, int]]) -> Labels:
  """The labels of the images `sizes` {name: (height, width)}; the rest is passed over. UserError names the file, and
  says so where an image has no labels."""
  labels = _coco(path) if path.suffix == ".json" else _folder(path, sizes)
  if missing := [name for name in sizes if name not in labels.objects]:
    raise UserError(f"{path}: expected labels of '{missing[0]}', found none; label it or leave its pair out")
  return labels._replace(objects={name: labels.objects[name] for name in sizes})


def _coco(path: Path) -> Labels:
  try:
    content = json.loads(path.read_text(encoding="utf-8"))
    names = {image["id"]: Path(image["file_name"]).stem for image in content["images"]}
    objects: dict[str, list] = {name: [] for name in names.values()}
    if len(objects) < len(names):
      raise UserError(f"{path}: expected images of different names, found one twice")
    for label in content["annotations"]:
      box = [float(value) for value in label["bbox"]]
      objects[names[label["image_id"]]].append((int(label["category_id"]), box, int(label.get("iscrowd", 0))))
    return Labels(sorted(int(category["id"]) for category in content["categories"]), objects)
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise UserError(f"{path}: expected a COCO file of labels, found {type(error).__name__} {error}") from error


def _folder(folder: Path, sizes: Mapping[str, tuple[int, int]]) -> Labels:
  if not folder.is_dir():
    raise UserError(f"{folder}: expected a folder of NAME.txt or NAME.xml, or a COCO .json, found neither; "
                    "check --labels")  # fmt: skip
  kinds = [kind for kind in (".txt", ".xml") if any((folder / f"{name}{kind}").is_file() for name in sizes)]
  if len(kinds) > 1:
    raise UserError(f"{folder}: expected labels of one kind, found NAME.txt and NAME.xml; keep one of them there")
  return _voc(folder, sizes) if kinds == [".xml"] else _yolo(folder, sizes)


def _voc(folder: Path, sizes: Mapping[str, tuple[int, int]]) -> Labels:
  found = {name: _xml(folder / f"{name}.xml", size) for name, size in sizes.items()
           if (folder / f"{name}.xml").is_file()}  # fmt: skip
  numbers = {name: number for number, name in enumerate(sorted({kind for one in found.values() for kind, *_ in one}))}
  objects = {name: [(numbers[kind], box, crowd) for kind, box, crowd in one] for name, one in found.items()}
  return Labels(sorted(numbers.values()), objects)


def _xml(path: Path, size: tuple[int, int]) -> list[tuple[str, list[float], int]]:
  """(name, [x, y, width, height], difficult) of every object."""
  try:
    text = path.read_bytes()
    if len(text) > _LONGEST or b"<!DOCTYPE" in text or b"<!ENTITY" in text:
      raise ValueError("more than a megabyte, or declarations of its own")
    root = ElementTree.fromstring(text)
    told = tuple(int(root.findtext(f"size/{side}") or 0) for side in ("height", "width"))
    if any(told) and told != tuple(size):
      raise ValueError(f"labels of an image of {told[1]}x{told[0]} for one of {size[1]}x{size[0]}")
    objects = []
    for one in root.iter("object"):
      left, top, right, bottom = (float(one.findtext(f"bndbox/{side}") or "") for side in
                                  ("xmin", "ymin", "xmax", "ymax"))  # fmt: skip
      if not (math.isfinite(left + top + right + bottom) and left < right and top < bottom):
        raise ValueError(f"a box from {left:g},{top:g} to {right:g},{bottom:g}")
      difficult = int(one.findtext("difficult") or 0)
      objects.append((str(one.findtext("name") or "").strip(), [left, top, right - left, bottom - top], difficult))
    return objects
  except (OSError, ValueError, ElementTree.ParseError) as error:
    raise UserError(f"{path}: expected Pascal VOC labels, found {error}; correct it or leave its pair out") from error


def _yolo(folder: Path, sizes: Mapping[str, tuple[int, int]]) -> Labels:
  objects: dict[str, list] = {}
  for name, (height, width) in sizes.items():
    path = folder / f"{name}.txt"
    if path.is_file():
      lines = path.read_text(encoding="utf-8").splitlines()
      objects[name] = [_line(path, line, height, width) for line in lines if line.strip()]
  return Labels(sorted({category for found in objects.values() for category, *_ in found}), objects)


def _line(path: Path, line: str, height: int, width: int) -> tuple[int, list[float], int]:
  try:
    category, x, y, w, h = line.split()
    x, y, w, h = (float(value) for value in (x, y, w, h))
    if not (0 <= x <= 1 and 0 <= y <= 1 and 0 < w <= 1 and 0 < h <= 1):
      raise ValueError("shares of the image")
    return int(category), [(x - w / 2) * width, (y - h / 2) * height, w * width, h * height], 0
  except ValueError as error:
    raise UserError(f"{path}: expected 'class x y width height' with shares of the image, found '{line}'") from error
