"""What does a figure of a paper show? A small text file in TOML: rows, images, zoomed boxes, arrows; read and checked.

    width = 181                     # millimetres: 88.9 is a column of IEEE's, 181 is both
    rows = ["FLIR_00211"]           # a scene each, by the file name without its ending

    [images]                        # from left to right: label = folder, or file
    Infrared = "data/ir"
    Visible = "data/vi"
    Ours = "out/dig2dig"

    [[box]]                         # enlarged; row = "..." has it in that scene alone
    at = [120, 80]                  # left and upper edge, pixels
    size = [60, 45]                 # width and height, pixels

    [[arrow]]                       # image = "..." and row = "..." have it there alone
    tip = [150, 90]                 # pixels
    from = "upper left"
"""

import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dig2dig_jax.errors import UserError, one_line

COLOURS = ("#e6194b", "#ffd400", "#3cb4ff", "#3cd070")  # of boxes without one
FROM = {
  "left": (-1, 0), "right": (1, 0), "above": (0, -1), "below": (0, 1), "upper left": (-1, -1),
  "upper right": (1, -1), "lower left": (-1, 1), "lower right": (1, 1),
}  # fmt: skip
ZOOMS = ("below", "inset")
_LONGEST = 2**20  # bytes of a file
_MOST = 64  # rows, images, boxes or arrows


class Box(NamedTuple):
  """row: of the scene, empty for all. left, top, width, height: pixels. colour: #rrggbb."""

  row: str
  left: float
  top: float
  width: float
  height: float
  colour: str


class Arrow(NamedTuple):
  """row, image: empty for all. tip: (x, y), pixels. toward: where its tail lies, (x, y) in -1, 0 and 1."""

  row: str
  image: str
  tip: tuple[float, float]
  toward: tuple[int, int]
  colour: str


class Figure(NamedTuple):
  """images: {label: folder, or file}. rows: names of scenes; [""] where the images are files. columns: images in a
  line, 0 for all. width, font: millimetres and points. zoom: a word of ZOOMS. dpi: of a PNG."""

  images: dict[str, Path]
  rows: list[str]
  boxes: list[Box]
  arrows: list[Arrow]
  width: float = 181.0
  columns: int = 0
  zoom: str = "below"
  font: float = 8.0
  dpi: int = 300


def read(path: Path) -> Figure:
  """The figure that a file describes; its folders are looked for from the file's own. UserError, naming the file, the
  entry and what it may be."""
  try:
    if path.stat().st_size > _LONGEST:
      raise UserError(f"{path}: expected a figure in TOML of at most 1 MB, found more")
    found = tomllib.loads(path.read_text(encoding="utf-8"))
  except UnicodeDecodeError:
    raise UserError(f"{path}: expected a figure in TOML, found no text; see dig2dig figure --help") from None
  except (OSError, ValueError) as error:
    raise UserError(f"{path}: expected a figure in TOML, found {one_line(error)}") from error
  try:
    return _figure(found, path.parent)
  except UserError as error:
    raise UserError(f"{path}: {error}") from None


def _figure(found: Mapping[str, Any], place: Path) -> Figure:
  _known("the file", found, ("images", "rows", "width", "columns", "zoom", "font", "dpi", "box", "arrow"))
  given = found.get("images")
  if not isinstance(given, Mapping) or not 1 <= len(given) <= _MOST or any(not _text(one) for one in given.values()):
    raise UserError(f'[images]: expected one to {_MOST} lines label = "folder", found {_shown(given)}')
  images = {label: place / Path(folder).expanduser() for label, folder in given.items()}
  rows = found.get("rows")
  files = all(image.is_file() for image in images.values())
  if rows is None and files:
    rows = [""]
  elif rows is not None and files:
    raise UserError("rows: expected none, as [images] are files, found some; give folders, or leave rows out")
  if not isinstance(rows, list) or not 1 <= len(rows) <= _MOST or not (files or all(map(_text, rows))):
    raise UserError(f'rows: expected names of scenes, such as ["01", "02"], found {_shown(rows)}')
  if any(rows.count(row) > 1 for row in rows):
    raise UserError(f"rows: expected different names, found {_shown(rows)}")
  zoom = found.get("zoom", "below")
  if zoom not in ZOOMS:
    raise UserError(f"zoom: expected one of {', '.join(ZOOMS)}, found {_shown(zoom)}")
  return Figure(
    images=images,
    rows=rows,
    boxes=[_box(number, one, rows) for number, one in enumerate(_tables(found, "box"))],
    arrows=[_arrow(one, rows, list(images)) for one in _tables(found, "arrow")],
    width=_number("width", found.get("width", 181.0), 20, 1000),
    columns=int(_number("columns", found.get("columns", 0), 0, _MOST)),
    zoom=zoom,
    font=_number("font", found.get("font", 8.0), 3, 30),
    dpi=int(_number("dpi", found.get("dpi", 300), 50, 1200)),
  )


def _box(number: int, found: Mapping[str, Any], rows: list[str]) -> Box:
  _known("[[box]]", found, ("row", "at", "size", "colour"))
  left, top = _two("[[box]] at", found.get("at"), 0)
  width, height = _two("[[box]] size", found.get("size"), 1)
  colour = _colour("[[box]] colour", found.get("colour", COLOURS[number % len(COLOURS)]))
  return Box(_one_of("[[box]] row", found.get("row", ""), rows), left, top, width, height, colour)


def _arrow(found: Mapping[str, Any], rows: list[str], images: list[str]) -> Arrow:
  _known("[[arrow]]", found, ("row", "image", "tip", "from", "colour"))
  toward = found.get("from", "lower left")
  if not isinstance(toward, str) or toward not in FROM:
    raise UserError(f"[[arrow]] from: expected one of {', '.join(FROM)}, found {_shown(toward)}")
  return Arrow(
    _one_of("[[arrow]] row", found.get("row", ""), rows), _one_of("[[arrow]] image", found.get("image", ""), images),
    _two("[[arrow]] tip", found.get("tip"), 0), FROM[toward],
    _colour("[[arrow]] colour", found.get("colour", "#ffffff")),
  )  # fmt: skip


def _tables(found: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
  tables = found.get(name, [])
  if not isinstance(tables, list) or len(tables) > _MOST or not all(isinstance(one, Mapping) for one in tables):
    raise UserError(f"{name}: expected at most {_MOST} parts that begin with [[{name}]], found {_shown(tables)}")
  return tables


def _known(what: str, found: Mapping[str, Any], names: tuple[str, ...]) -> None:
  if strange := sorted(set(found) - set(names)):
    raise UserError(f"{what}: expected {', '.join(names)}, found {strange[0]}")


def _number(name: str, value: Any, low: float, high: float) -> float:
  if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
    raise UserError(f"{name}: expected {low} to {high}, found {_shown(value)}")
  return value


def _two(name: str, value: Any, least: float) -> tuple[float, float]:
  if not isinstance(value, list) or len(value) != 2 or any(
    isinstance(one, bool) or not isinstance(one, int | float) or not math.isfinite(one) or one < least for one in value
  ):
    raise UserError(f"{name}: expected two numbers of at least {least}, in pixels, such as [60, 45], "
                    f"found {_shown(value)}")  # fmt: skip
  return float(value[0]), float(value[1])


def _one_of(name: str, value: Any, known: list[str]) -> str:
  if value != "" and value not in known:
    raise UserError(f"{name}: expected one of {', '.join(known)}, found {_shown(value)}")
  return value


def _colour(name: str, value: Any) -> str:
  if not isinstance(value, str) or not re.fullmatch("#[0-9a-fA-F]{6}", value):
    raise UserError(f'{name}: expected red, green and blue as in "#ffd400", found {_shown(value)}')
  return value


def _text(value: Any) -> bool:
  return isinstance(value, str) and value != ""


def _shown(value: Any) -> str:
  return "nothing" if value is None else repr(value)[:80]
