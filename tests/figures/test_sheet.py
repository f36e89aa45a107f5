"""Does the contact sheet show what it is given?"""

import numpy as np
import pytest
from scenes import read

from dig2dig_jax.figures import sheet


def flat(height, width, rgb):
  return np.broadcast_to(np.asarray(rgb, np.float32) / 127.5 - 1, (height, width, len(rgb)))


def test_tiles_share_a_height_and_keep_their_shape_and_colour(tmp_path):
  row = sheet.row([("red", flat(40, 80, (200, 10, 20))), ("gray", flat(440, 220, (90,))), ("dot", flat(1, 1, (7,)))])
  assert row.dtype == np.uint8 and row.shape == (18 + 220, 440 + 110 + 220, 3)
  assert np.all(row[18:, :440] == (200, 10, 20)) and np.all(row[18:, 440:550] == 90) and np.all(row[18:, 550:] == 7)
  header = row[:18]
  assert np.all(header.min(axis=(0, 2))[[439, 549]] == 255), "labels run into the next tile"
  assert header[:, :440].min() < 50 and header[:, 440:550].min() < 50, "labels cannot be read"
  sheet.write_sheet(tmp_path / "sheet.png", [row, row[:, :300]])
  written = read(tmp_path / "sheet.png")
  assert written.shape == (2 * (18 + 220 + 4), 770, 3)
  np.testing.assert_array_equal(written[:238], row)
  np.testing.assert_array_equal(written[242:480, :300], row[:, :300])
  assert np.all(written[238:242] == 255) and np.all(written[242:, 300:] == 255)


@pytest.mark.parametrize("size", [(1, 30_000), (30_000, 1), (1, 500), (1, 100_000)])
def test_a_strip_has_a_tile_of_bounded_size(size):
  strip = sheet.row([("strip", np.zeros((*size, 3), np.float32)), ("gray", np.zeros((*size, 1), np.float32))])
  assert strip.shape[0] == 18 + 220 and strip.shape[1] <= 2 * 1320
  wide = sheet.row([("strip", np.zeros((*size, 1), np.float32))] * 60)
  assert wide.shape[1] <= 2**14


def test_a_sheet_has_a_largest_number_of_pixels(tmp_path):
  wide = sheet.row([("strip", np.zeros((1, 500, 1), np.float32))] * 60)
  notes = []
  sheet.try_write(tmp_path / "sheet.png", [wide] * 30, notes)
  height, width = read(tmp_path / "sheet.png").shape[:2]
  assert height * width <= 2**24 and height >= wide.shape[0]
  assert any("would be too large" in note for note in notes) and any("are shrunk" in note for note in notes)


def test_a_fault_of_a_sheet_is_a_note(tmp_path):
  notes = []
  (tmp_path / "file").write_text("")
  sheet.try_write(tmp_path / "file" / "sheet.png", [np.zeros((4, 4, 3), np.uint8)], notes)
  sheet.try_write(tmp_path / "none.png", [], notes)
  assert sheet.try_row([("no image", np.zeros((0, 4, 3), np.float32))], notes) is None
  assert len(notes) == 2 and "file/sheet.png: expected a picture for display" in notes[0]
  assert not (tmp_path / "none.png").exists() and all("\n" not in note for note in notes)


@pytest.mark.parametrize("label", ["caf\udce9", "\ud800", "图", "a\x00b\n", ""])
def test_any_label_can_be_drawn(label):
  assert sheet.row([(label, flat(4, 4, (9, 9, 9)))]).shape == (238, 220, 3)


def test_heat_goes_from_blue_over_white_to_red():
  weights = np.linspace(0, 1, 5, dtype=np.float32)[None, :, None]
  colours = (sheet.heat(weights)[0] + 1) / 2
  assert colours.shape == (5, 3) and colours.dtype == np.float32
  assert colours[2] == pytest.approx(1)
  blue, red = colours[0], colours[4]
  assert blue.argmax() == 2 and red.argmax() == 0 and blue[2] - blue[0] > 0.4 and red[0] - red[2] > 0.4
  assert colours[1] == pytest.approx((1 + blue) / 2) and colours[3] == pytest.approx((1 + red) / 2)
