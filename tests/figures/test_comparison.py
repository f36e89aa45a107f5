"""Is the figure of a paper what its text file says: its width, its pixels, its boxes, and faults by their names?"""

import re
import zlib

import cv2
import numpy as np
import pytest
from scenes import scene, write

from dig2dig_jax.cli import main
from dig2dig_jax.errors import UserError
from dig2dig_jax.figures import comparison, spec

SIZE = (40, 60)
IMAGES = '[images]\nInfrared = "ir"\n"Ours, $\\\\alpha$" = "ours"\n'
TEXT = 'width = 88.9\nrows = ["1", "2"]\n' + IMAGES
BOX = '[[box]]\nat = [10, 5]\nsize = [20, 10]\ncolour = "#123456"\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Of two scenes: gray sources, and fused images in colour."""
  root = tmp_path_factory.mktemp("figure")
  for number in "12":
    write(root / "ir" / f"{number}.png", scene(int(number), *SIZE, 1))
    write(root / "ours" / f"{number}.png", scene(10 + int(number), *SIZE, 3))
  return root


def described(folder, text):
  path = folder / "figure.toml"
  path.write_text(text, encoding="utf-8")
  return spec.read(path)


def test_the_command_draws_a_column_as_pdf_and_png(folder, capsys):
  described(folder, TEXT + BOX + '[[arrow]]\nimage = "Infrared"\nrow = "1"\ntip = [15, 8]\nfrom = "above"\n')
  out = folder / "out" / "column.pdf"
  assert main.main(["figure", str(folder / "figure.toml"), "-o", str(out)]) == 0
  assert capsys.readouterr().out == f"written: {out}, {out.with_suffix('.png')}\n"
  content = out.read_bytes()
  wide = float(re.search(rb"/MediaBox \[ 0 0 ([\d.]+)", content)[1])
  assert abs(wide / 72 * 25.4 - 88.9) < 0.01
  # Every pixel of an image as it is, and letters by a font that is in the file.
  assert b"/FontFile2" in content and b"/Type3" not in content
  found = re.findall(rb"/FlateDecode.*?stream\r?\n(.*?)\r?\nendstream", content, re.S)
  lengths = [len(zlib.decompress(part)) for part in found if part[:1] == b"x"]
  assert lengths.count(40 * (1 + 60 * 3)) == 2  # a byte before each line of pixels says how it is coded
  png = cv2.imread(str(out.with_suffix(".png")))
  assert abs(png.shape[1] / 300 * 25.4 - 88.9) < 0.2
  assert (png == (0x56, 0x34, 0x12)).all(axis=-1).any()
  assert main.main(["figure", str(folder / "figure.toml"), "-o", str(out)]) == 2
  assert "expected nothing there" in capsys.readouterr().err
  assert main.main(["figure", str(folder / "figure.toml"), "-o", str(out), "--overwrite"]) == 0
  out.with_suffix(".png").write_bytes(b"somebody's")
  assert main.main(["figure", str(folder / "figure.toml"), "-o", str(out), "--overwrite"]) == 2


def test_scenes_lie_below_each_other_and_boxes_share_the_width(folder):
  figure = described(folder, TEXT + BOX + BOX.replace("10, 5", "0, 0").replace("[[box]]", '[[box]]\nrow = "2"'))
  tiles, tall = comparison.layout(figure, comparison.load(figure))
  assert [(tile.row, tile.label) for tile in tiles[::2]] == [("1", "Infrared"), ("2", "Infrared")]
  width = tiles[0].width
  assert abs(2 * width + 0.8 / 25.4 - 88.9 / 25.4) < 1e-9 and tiles[1].left > width
  assert tiles[2].top > tiles[0].top + tiles[0].height + width / 2  # one box below the first: as wide, half as tall
  height, widths = comparison._zoomed(figure, "2", width, tiles[0].height)
  assert len(widths) == 2 and abs(sum(widths) + 0.4 / 25.4 - width) < 1e-9 and widths[0] == widths[1] == 2 * height
  assert tall > tiles[2].top + tiles[2].height + height
  wrapped = described(folder, "columns = 1\n" + TEXT)
  assert [tile.left for tile in comparison.layout(wrapped, comparison.load(wrapped))[0]] == [0] * 4


def test_files_need_no_rows(folder):
  figure = described(folder, 'zoom = "inset"\n[images]\nA = "ir/1.png"\nB = "ours/1.png"\n' + BOX)
  assert figure.rows == [""] and np.array_equal(comparison.load(figure)[""]["B"], scene(11, *SIZE, 3))
  assert comparison.write(folder / "files.png", figure) == [folder / "files.png"]


@pytest.mark.parametrize(
  ("text", "said"),
  [
    ("width = ", "expected a figure in TOML, found TOMLDecodeError"),
    ("", r"\[images\]: expected one to 64 lines"),
    (IMAGES, "rows: expected names of scenes"),
    ("width = 5\n" + TEXT[13:], "width: expected 20 to 1000, found 5"),
    ("title = 1\n" + TEXT, "the file: expected images, rows, .* found title"),
    (TEXT + BOX.replace("[10, 5]", "[10]"), r"\[\[box\]\] at: expected two numbers .* found \[10\]"),
    (TEXT + BOX + 'row = "3"\n', r"\[\[box\]\] row: expected one of 1, 2, found '3'"),
    (TEXT + BOX.replace("#123456", "red"), r"colour: expected red, green and blue as in .* found 'red'"),
    (TEXT + "[[arrow]]\ntip = [1, 1]\nfrom = 3\n", "from: expected one of left, right, .* found 3"),
    (TEXT + BOX.replace("10, 5", "50, 5"), r"\[\[box\]\]: expected it in '1', of 60x40 pixels, found at = \[50, 5\]"),
    (TEXT + "[[arrow]]\ntip = [60, 1]\n", r"\[\[arrow\]\]: expected its tip in '1'"),
    (TEXT.replace('"2"', '"9"'), "expected an image named '9', found none"),
  ],
)
def test_faults_are_named(folder, text, said):
  with pytest.raises(UserError, match=said):
    comparison.write(folder / "never.pdf", described(folder, text))
  assert not list(folder.glob("never*"))


def test_an_image_in_place_of_the_text_is_named(folder):
  with pytest.raises(UserError, match="1.png: expected a figure in TOML, found no text"):
    spec.read(folder / "ir" / "1.png")


def test_images_of_a_scene_are_of_one_size(folder):
  write(folder / "odd" / "1.png", scene(1, 20, 20, 1))
  figure = described(folder, 'rows = ["1"]\n[images]\nA = "ir"\nB = "odd"\n')
  with pytest.raises(UserError, match="odd/1.png: expected 60x40 pixels as the images before it, found 20x20"):
    comparison.load(figure)
