"""How is the figure made that every paper on fusion prints? Scenes by methods, boxes enlarged, arrows, labels.

Pixels stand in a PDF as they are, without loss and unsmoothed where they are enlarged; its letters are letters, with
their font in the file, as publishers want them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dig2dig_jax.data import images
from dig2dig_jax.data.pairs import by_name, matching
from dig2dig_jax.errors import UserError
from dig2dig_jax.escape import plot_label
from dig2dig_jax.figures.spec import Figure
from dig2dig_jax.files import MARK, replacing, taken

CREATOR = "dig2dig_jax"
_MM = 1 / 25.4  # inches
_GAP = 0.8 * _MM
_INSET = 0.4  # of a tile's height
_STYLE = {"pdf.fonttype": 42, "font.family": "sans-serif"}  # TrueType: Type 3 is refused by IEEE and others


class Tile(NamedTuple):
  """An image with its place. left, top, width, height: inches, from the figure's upper left corner."""

  row: str
  label: str
  pixels: np.ndarray
  left: float
  top: float
  width: float
  height: float


def load(figure: Figure) -> dict[str, dict[str, np.ndarray]]:
  """{row: {label: uint8 [H, W, 1 or 3]}}. UserError for what is not there, and for sizes that differ in a row."""
  folders = {label: _listed(place) for label, place in figure.images.items() if figure.rows != [""]}
  found: dict[str, dict[str, np.ndarray]] = {}
  for row in figure.rows:
    found[row] = {}
    for label, place in figure.images.items():
      path = folders[label].get(matching(row)) if folders else place
      if path is None:
        raise UserError(f"{place}: expected an image named '{row}', found none")
      image = images.read_image(path)
      pixels = images.to_uint8(image.pixels if image.is_colour else image.pixels[..., :1])
      first = next(iter(found[row].values()), pixels)
      if first.shape[:2] != pixels.shape[:2]:
        (expected, there) = ("x".join(map(str, shape[1::-1])) for shape in (first.shape, pixels.shape))
        raise UserError(f"{path}: expected {expected} pixels as the images before it, found {there}")
      found[row][label] = pixels
  return found


def write(path: Path, figure: Figure, *, overwrite: bool = False) -> list[Path]:
  """Draws `figure` as PDF and, beside it, as PNG, or as PNG alone, by the ending of `path`; what was written.

  UserError for another ending, for what `load` refuses, for a box or an arrow outside its image, and for files that
  are there: without `overwrite` all, with it those of other programs."""
  if path.suffix.lower() not in (".pdf", ".png"):
    raise UserError(f"--out={path}: expected a file name ending in .pdf or .png, found {path.suffix or 'no ending'}")
  paths = [path, path.with_suffix(".png")] if path.suffix.lower() == ".pdf" else [path]
  for one in paths:
    if one.exists() and not overwrite:
      raise UserError(f"{one}: expected nothing there, found a file; choose another name, or add --overwrite")
    if one.exists() and not _is_ours(one):
      raise taken(one)
  loaded = load(figure)
  _check(figure, loaded)
  path.parent.mkdir(parents=True, exist_ok=True)
  for one in paths:
    is_pdf = one.suffix.lower() == ".pdf"
    drawn = _draw(figure, loaded, exact=is_pdf)
    tags = {"Creator": CREATOR, "CreationDate": None} if is_pdf else {"Software": CREATOR}
    import matplotlib

    with matplotlib.rc_context(_STYLE), replacing(one) as temporary:
      drawn.savefig(temporary, dpi=figure.dpi, format=one.suffix[1:].lower(), metadata=tags)
  return paths


def layout(figure: Figure, loaded: Mapping[str, Mapping[str, np.ndarray]]) -> tuple[list[Tile], float]:
  """Every image's place, and the height of all, in inches."""
  count = len(figure.images)
  columns = min(figure.columns or count, count)
  width = (figure.width * _MM - (columns - 1) * _GAP) / columns
  label, top, tiles = 1.5 * figure.font / 72, 0.0, []
  for number, (row, shown) in enumerate(loaded.items()):
    pixels = next(iter(shown.values()))
    height = width * pixels.shape[0] / pixels.shape[1]
    below = _GAP + _zoomed(figure, row, width, height)[0] if figure.zoom == "below" and _of(figure.boxes, row) else 0
    lines = -(-count // columns)
    for place, (name, image) in enumerate(shown.items()):
      line, column = divmod(place, columns)
      tiles.append(Tile(row, name, image, column * (width + _GAP), top + line * (height + below + label),
                        width, height))  # fmt: skip
    # Names stand below each line, and once below all where every scene is one line.
    named = lines > 1 or number == len(loaded) - 1
    top += lines * (height + below) + (lines * label if named else _GAP)
  return tiles, top


def _zoomed(figure: Figure, row: str, width: float, height: float) -> tuple[float, list[float]]:
  """(height, widths) of a row's enlarged boxes, which stand side by side: one height, as wide as the image together."""
  shapes = [box.width / box.height for box in _of(figure.boxes, row)]
  room = width - (len(shapes) - 1) * _GAP / 2
  tall = min(room / sum(shapes), height) if figure.zoom == "below" else min(_INSET * height, room / sum(shapes))
  return tall, [tall * shape for shape in shapes]


def _draw(figure: Figure, loaded: Mapping[str, Mapping[str, np.ndarray]], *, exact: bool):
  import matplotlib
  from matplotlib.figure import Figure as Canvas

  tiles, tall = layout(figure, loaded)
  wide = figure.width * _MM
  with matplotlib.rc_context(_STYLE):
    canvas = Canvas(figsize=(wide, tall), facecolor="white")
    last = {row: index for index, row in enumerate(loaded)}
    for tile in tiles:
      axis = _axis(canvas, tile.left, tile.top, tile.width, tile.height)
      _show(axis, tile.pixels, "none" if exact else "antialiased")
      _mark(axis, figure, tile)
      _enlarge(canvas, figure, tile)
      if len(figure.images) > (figure.columns or len(figure.images)) or last[tile.row] == len(loaded) - 1:
        boxes = _of(figure.boxes, tile.row)
        below = _GAP + _zoomed(figure, tile.row, tile.width, tile.height)[0] if figure.zoom == "below" and boxes else 0
        down = tile.top + tile.height + below + 0.35 * figure.font / 72
        canvas.text((tile.left + tile.width / 2) / wide, 1 - down / tall, plot_label(tile.label), fontsize=figure.font,
                    ha="center", va="top")  # fmt: skip
  return canvas


def _axis(canvas, left: float, top: float, width: float, height: float):
  wide, tall = canvas.get_size_inches()
  axis = canvas.add_axes((left / wide, 1 - (top + height) / tall, width / wide, height / tall))
  axis.set_xticks([])
  axis.set_yticks([])
  for spine in axis.spines.values():
    spine.set_visible(False)
  return axis


def _show(axis, pixels: np.ndarray, interpolation: str) -> None:
  gray = {"cmap": "gray", "vmin": 0, "vmax": 255} if pixels.shape[-1] == 1 else {}
  axis.imshow(pixels[..., 0] if gray else pixels, interpolation=interpolation, aspect="auto", **gray)


def _mark(axis, figure: Figure, tile: Tile) -> None:
  from matplotlib.patches import Rectangle

  for box in _of(figure.boxes, tile.row):
    corner = box.left - 0.5, box.top - 0.5  # a pixel's middle is its number
    axis.add_patch(Rectangle(corner, box.width, box.height, fill=False, edgecolor=box.colour, linewidth=0.9))
  _point(axis, figure, tile, (0, 0), tile.pixels.shape[1::-1])


def _point(axis, figure: Figure, tile: Tile, corner: tuple[int, int], size: tuple[int, int]) -> None:
  """Arrows whose tip lies in this part of the image, with a dark edge, which is seen where the image is bright."""
  length = 0.16 * min(size)
  for arrow in _of(figure.arrows, tile.row):
    x, y = arrow.tip[0] - corner[0], arrow.tip[1] - corner[1]
    if arrow.image in ("", tile.label) and 0 <= x < size[0] and 0 <= y < size[1]:
      step = length / np.hypot(*arrow.toward)
      style = {"arrowstyle": "simple,head_width=0.6,head_length=0.6,tail_width=0.2", "facecolor": arrow.colour,
               "edgecolor": "#202020", "linewidth": 0.4, "mutation_scale": 9, "shrinkA": 0, "shrinkB": 0}  # fmt: skip
      tail = x + step * arrow.toward[0], y + step * arrow.toward[1]
      axis.annotate("", xy=(x, y), xytext=tail, arrowprops=style, annotation_clip=False)


def _enlarge(canvas, figure: Figure, tile: Tile) -> None:
  boxes = _of(figure.boxes, tile.row)
  if not boxes:
    return
  tall, widths = _zoomed(figure, tile.row, tile.width, tile.height)
  below = figure.zoom == "below"
  gap = _GAP / 2 if below or len(boxes) == 1 else (tile.width - sum(widths)) / (len(boxes) - 1)
  left = tile.left + ((tile.width - sum(widths) - (len(boxes) - 1) * gap) / 2 if below else 0)
  top = tile.top + (tile.height + _GAP if below else tile.height - tall)
  for box, width in zip(boxes, widths, strict=True):
    axis = _axis(canvas, left, top, width, tall)
    rows, columns = (slice(int(start), int(np.ceil(start + size))) for start, size in
                     ((box.top, box.height), (box.left, box.width)))  # fmt: skip
    cut = tile.pixels[rows, columns]
    _show(axis, cut, "nearest")
    _point(axis, figure, tile, (columns.start, rows.start), cut.shape[1::-1])
    for spine in axis.spines.values():
      spine.set(visible=True, edgecolor=box.colour, linewidth=1.1)
    left += width + gap


def _of(parts: list, row: str) -> list:
  return [part for part in parts if part.row in ("", row)]


def _check(figure: Figure, loaded: Mapping[str, Mapping[str, np.ndarray]]) -> None:
  for row, shown in loaded.items():
    height, width = next(iter(shown.values())).shape[:2]
    told = f"in '{row}'" if row else "in the image"
    for box in _of(figure.boxes, row):
      if box.left + box.width > width or box.top + box.height > height:
        raise UserError(f"[[box]]: expected it {told}, of {width}x{height} pixels, found at = [{box.left:g}, "
                        f"{box.top:g}] and size = [{box.width:g}, {box.height:g}]")
    for arrow in _of(figure.arrows, row):
      if not (arrow.tip[0] < width and arrow.tip[1] < height):
        raise UserError(f"[[arrow]]: expected its tip {told}, of {width}x{height} pixels, found "
                        f"[{arrow.tip[0]:g}, {arrow.tip[1]:g}]")


def _listed(place: Path) -> dict[str, Path]:
  return by_name(images.list_images(place), "image", [])


def _is_ours(path: Path) -> bool:
  """By the mark that this program leaves in what it draws."""
  try:
    content = path.read_bytes()
  except OSError:
    return False
  return MARK in content[:4096] or f"/Creator ({CREATOR})".encode() in content


