"""Does the contact sheet show what it is given?"""

import numpy as np
import pytest
from scenes import read

from dig2dig_jax.jobs import sheet


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


def test_heat_goes_from_blue_over_white_to_red():
  weights = np.linspace(0, 1, 5, dtype=np.float32)[None, :, None]
  colours = (sheet.heat(weights)[0] + 1) / 2
  assert colours.shape == (5, 3) and colours.dtype == np.float32
  assert colours[2] == pytest.approx(1)
  blue, red = colours[0], colours[4]
  assert blue.argmax() == 2 and red.argmax() == 0 and blue[2] - blue[0] > 0.4 and red[0] - red[2] > 0.4
  assert colours[1] == pytest.approx((1 + blue) / 2) and colours[3] == pytest.approx((1 + red) / 2)
