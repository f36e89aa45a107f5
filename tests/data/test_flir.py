"""Are the temperatures of a radiometric JPEG what its constants say, and does its photograph lie where it says?"""

import io

import flir_files
import numpy as np
import pytest
import scenes
import tifffile

from dig2dig_jax.data import decode, flir, flir_pair, images, radiometry, ranges
from dig2dig_jax.data.pairs import Pair, load_pair
from dig2dig_jax.errors import UserError

COUNTS = (12000 + 4000 * scenes.scene(0, 60, 80, 1)[..., 0].astype(np.float64) / 255).astype(np.uint16)
LAW = radiometry.Camera(**{name: flir_files.CONSTANTS[name] for name in ("r1", "b", "f", "o", "r2")})


def temperatures(data):
  return flir.decode(data, flir.block(io.BytesIO(data))).samples[..., 0]


@pytest.mark.parametrize("options", [
  {}, {"distance": 0.0}, {"distance": 100.0, "humidity": 0.8}, {"transmission": 0.8, "distance": 30.0},
  {"emissivity": 0.85, "reflected": 270.0}, {"air": 250.0}, {"stored": "raw"}, {"part": 900},
])  # fmt: skip
def test_temperatures_equal_those_of_another_reader(options):
  judge = pytest.importorskip("flyr")
  data = flir_files.file(COUNTS, photograph=scenes.scene(1, 48, 64), placed=(1.5, 7, -9), **options)
  expected = np.asarray(judge.unpack(io.BytesIO(data)).celsius)
  assert np.isfinite(expected).all() and expected.max() - expected.min() > 20
  np.testing.assert_allclose(temperatures(data), expected, rtol=0, atol=0.01)


def test_a_black_body_before_the_lens_follows_plancks_law():
  kelvin = np.linspace(240, 400, 50)
  counts = LAW.r1 / (LAW.r2 * (np.exp(LAW.b / kelvin) - LAW.f)) - LAW.o
  np.testing.assert_allclose(radiometry.celsius(counts, LAW), kelvin - 273.15, atol=1e-4)
  # What reflects a quarter of surroundings as warm as itself looks the same.
  gray = LAW._replace(emissivity=0.75, reflected=300.0, transmission=0.5, window=300.0, air=300.0, distance=50.0,
                      humidity=0.4, alpha=(0.0066, 0.0126), beta=(-0.0023, -0.0067), x=1.9)  # fmt: skip
  same = LAW.r1 / (LAW.r2 * (np.exp(LAW.b / 300.0) - LAW.f)) - LAW.o
  np.testing.assert_allclose(radiometry.celsius(np.array([same]), gray), 300 - 273.15, atol=1e-4)
  # In counts, through air and glass as cold as nothing sends any, half of the signal is half of it.
  warm = gray._replace(emissivity=0.5, transmission=1.0, distance=0.0, reflected=200.0)
  cold = LAW.r1 / (LAW.r2 * (np.exp(LAW.b / 200.0) - LAW.f)) - LAW.o
  np.testing.assert_allclose(radiometry.celsius(np.array([(same + cold) / 2]), warm), 300 - 273.15, atol=1e-4)


@pytest.mark.parametrize("options", [
  {"order": "<"}, {"humidity": 50.0}, {"stored": "plain png", "limits": (11000, 17000)}, {"limits": (11000, 17000)},
])  # fmt: skip
def test_what_cameras_write_in_other_ways_is_the_same(options):
  np.testing.assert_array_equal(temperatures(flir_files.file(COUNTS, **options)), temperatures(flir_files.file(COUNTS)))


def test_a_file_is_turned_as_the_camera_was_held_and_its_picture_not_read(tmp_path):
  path = tmp_path / "x.png"  # told by its bytes
  path.write_bytes(flir_files.file(COUNTS, orientation=6))
  found = images.read_decoded(path)
  assert found.samples.dtype == np.float32 and found.celsius and "degrees Celsius" in found.told
  np.testing.assert_array_equal(found.samples[..., 0], np.rot90(temperatures(flir_files.file(COUNTS)), -1))
  assert decode.read_size(path) == (80, 60) == found.samples.shape[:2]


def test_a_source_of_temperatures_gets_a_range_and_keeps_its_degrees(tmp_path):
  for name in "ab":
    (tmp_path / f"{name}.jpg").write_bytes(flir_files.file(COUNTS + (900 if name == "b" else 0)))
  pairs = [Pair(name, {"ir": tmp_path / f"{name}.jpg", "vi": tmp_path / f"{name}.jpg"}) for name in "ab"]
  pairs, told = ranges.assign(pairs, {})
  assert told[0].startswith("range of ir: ") and "found in 2 float32 files" in told[0]
  loaded = load_pair(pairs[1])
  np.testing.assert_array_equal(loaded.celsius["ir"], temperatures(flir_files.file(COUNTS + 900)))
  assert "temperatures" in loaded.told[0] and loaded.sources[0].max() > 0.9


def test_where_the_law_gives_no_temperature_there_is_none(tmp_path):
  counts = COUNTS.copy()
  counts[10:20, 30:40] = 0
  path = tmp_path / "x.jpg"
  path.write_bytes(flir_files.file(counts))
  found = images.read_image(path, ranges.read_alone(path).range and (ranges.read_alone(path).range,), "alpha")
  assert not found.valid[10:20, 30:40].any() and np.isnan(found.celsius[10:20, 30:40]).all()
  assert np.isfinite(found.celsius[found.valid]).all() and found.valid.mean() > 0.5


def test_an_ordinary_jpeg_and_a_float_tiff_are_what_they_were(tmp_path):
  plain = flir_files._rendered(COUNTS, 1)
  assert flir.block(io.BytesIO(plain)) is None
  (tmp_path / "x.jpg").write_bytes(plain)
  assert images.read_samples(tmp_path / "x.jpg").shape == (60, 80, 3)
  degrees = temperatures(flir_files.file(COUNTS))
  tifffile.imwrite(tmp_path / "x.tif", degrees)
  np.testing.assert_array_equal(images.read_samples(tmp_path / "x.tif")[..., 0], degrees)


def damaged():
  whole = flir_files.file(COUNTS, part=4000)
  records = whole.index(b"FFF\0")
  yield "a part", whole.replace(b"FLIR\0\1\1", b"GLIR\0\1\1", 1), "parts of its thermal data"
  yield "no header", whole.replace(b"FFF\0", b"FGF\0", 1), "no header"
  yield "directory", whole[: records + 0x1C] + b"\xff" * 4 + whole[records + 0x20 :], "records"
  yield "place", whole[: records + 76] + b"\x7f\xff\xff\xff" + whole[records + 80 :], "outside"
  yield "constants", flir_files.file(COUNTS, r1=0.0), "constants"
  yield "emissivity", flir_files.file(COUNTS, emissivity=float("nan")), "constants"
  yield "png", whole.replace(b"IDAT", b"JDAT", 1), "PNG"
  yield "size", flir_files.file(COUNTS, stored="raw").replace(b"\2\0\x50\0\x3c\0", b"\2\0\xff\xff\xff\xff", 1), "pixels"


@pytest.mark.parametrize("name, data, said", list(damaged()), ids=lambda value: value if isinstance(value, str) else "")
def test_a_damaged_file_is_refused_in_one_line(tmp_path, name, data, said):
  path = tmp_path / "x.jpg"
  path.write_bytes(data)
  with pytest.raises(UserError) as error:
    images.read_samples(path)
  message = str(error.value)
  assert message.startswith(f"{path}: expected ") and said in message and len(message.splitlines()) == 1, message


@pytest.mark.parametrize("damage", ["hidden by a segment before it", "of no type"])
def test_a_file_whose_temperatures_cannot_be_found_is_read_as_a_photograph_and_said_to_be(tmp_path, damage):
  whole = flir_files.file(COUNTS)
  if damage == "of no type":
    records = whole.index(b"FFF\0") + 0x40
    data = whole[:records] + b"\0\0" + whole[records + 2 :]
  else:
    at = whole.index(b"\xff\xe1")
    data = whole[:at] + b"\xff\xe2\0\4" + b"\0" * 20 + whole[at:]  # its length leaves 18 bytes between segments
  path = tmp_path / "x.jpg"
  path.write_bytes(data)
  found = images.read_decoded(path)
  assert not found.celsius and found.samples.shape == (60, 80, 3) and "no temperatures can be found" in found.told


def test_the_photograph_lies_where_the_file_says(tmp_path):
  # A photograph of 4 x its thermal image's pixels that sees 1.25 times as much, its centre 20 right of it, 12 up.
  scene = np.zeros((300, 400, 3), np.uint8)
  centre = (200 + 20, 150 - 12)
  scene[centre[1] - 8 : centre[1] + 8, centre[0] - 8 : centre[0] + 8] = 255  # 4 x 4 pixels in the middle
  path = tmp_path / "x.jpg"
  path.write_bytes(flir_files.file(COUNTS, photograph=scene, placed=(1.25, 20, -12)))
  found, kept, told = flir_pair.photograph(path)
  assert found.shape == (60, 80, 4) and (found[..., 3] == 255).all()
  bright = found[..., 0] > 127
  assert bright.sum() == 16 and bright[28:32, 38:42].all()
  assert "1.25" in told and "(20, -12)" in told and kept.exif

  path.write_bytes(flir_files.file(COUNTS, photograph=scene, placed=(1.0, 40, 0), ycc=True))
  found, _, _ = flir_pair.photograph(path)
  assert (found[:, -8:, 3] == 0).all() and (found[:, :-8, 3] == 255).all()  # 40 of 400 are a tenth, beyond its edge
  assert flir_pair.is_radiometric(path) and not flir_pair.is_radiometric(tmp_path)
  path.write_bytes(flir_files.file(COUNTS, photograph=scene, orientation=6))
  found, _, told = flir_pair.photograph(path)
  assert found.shape == (80, 60, 4) and "the file does not say" in told
  path.write_bytes(flir_files.file(COUNTS))
  with pytest.raises(UserError, match="with a photograph in it, found none"):
    flir_pair.photograph(path)


@pytest.mark.parametrize("ycc", [False, True])
def test_the_photographs_colours_are_its_own(ycc):
  scene = np.full((48, 64, 3), (200, 90, 30), np.uint8)
  data = flir_files.file(COUNTS, photograph=scene, ycc=ycc)
  found = flir.second(data, flir.block(io.BytesIO(data))).photograph
  assert np.abs(found.astype(int) - scene).max() <= 2
