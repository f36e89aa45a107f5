"""Where are the objects? Labels of YOLO's text files or of a COCO file, in COCO's terms.

YOLO: a folder of NAME.txt, a line `class x y width height` per object, centre and size as shares of the image; an image
without a file has no objects only if the folder says so with an empty file. COCO: one JSON with images, annotations and
categories.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from dig2dig_jax.errors import UserError


class Labels(NamedTuple):
  """categories: ids in ascending order. objects {name: [(category, [x, y, width, height] in pixels, is crowd)]}."""

  categories: list[int]
  objects: dict[str, list[tuple[int, list[float], int]]]


def read(path: Path, sizes: Mapping[str, tuple[int, int]]) -> Labels:
  """The labels of the images `sizes` {name: (height, width)}; the rest is passed over. UserError names the file, and
  says so where an image has no labels."""
  labels = _coco(path) if path.suffix == ".json" else _yolo(path, sizes)
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


def _yolo(folder: Path, sizes: Mapping[str, tuple[int, int]]) -> Labels:
  if not folder.is_dir():
    raise UserError(f"{folder}: expected a folder of NAME.txt or a COCO .json, found neither; check --labels")
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
