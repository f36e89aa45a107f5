"""Are files of telephones, scanners, renderers and raw converters read as what they hold, and refused in one line where
they cannot be? Each is written by another library, or by hand."""

import io
import struct
import sys

import cv2
import numpy as np
import PIL.Image
import pytest
import tifffile

from dig2dig_jax.data import decode, heif, images, ranges
from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.errors import UserError

RNG = np.random.default_rng(0)
SMOOTH = np.asarray(PIL.Image.fromarray(RNG.integers(0, 256, (6, 8, 3)).astype(np.uint8)).resize((64, 48)))
DEEP = (SMOOTH.astype(np.uint16) * 257) + RNG.integers(-100, 0, SMOOTH.shape).clip(-50).astype(np.uint16)
GRAY16 = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) * 21


def written(tmp_path, data, name="x.png"):
  """The name says PNG: formats are told by bytes."""
  path = tmp_path / name
  path.write_bytes(data)
  return path


def encoded(kind, samples, **options):
  file = io.BytesIO()
  PIL.Image.fromarray(samples).save(file, kind, **options)
  return file.getvalue()


def heic(samples, mode="RGB", **options):
  library = pytest.importorskip("pillow_heif")
  file = io.BytesIO()
  made = library.from_bytes(mode=mode, size=samples.shape[1::-1], data=np.ascontiguousarray(samples).tobytes())
  made.save(file, quality=100, chroma=444, **options)
  return file.getvalue()


def exr(channels, **header):
  library = pytest.importorskip("OpenEXR")
  file = io.BytesIO()
  library.File({"compression": library.ZIP_COMPRESSION, "type": library.scanlineimage, **header}, channels).write(file)
  return file.getvalue()


def refused(path, *words):
  with pytest.raises(UserError) as error:
    images.read_samples(path)
  message = str(error.value)
  assert message.startswith(f"{path}: expected ") and ", found " in message and len(message.splitlines()) == 1
  assert all(word in message for word in words), message


def test_heic_of_8_and_of_10_bits(tmp_path):
  path = written(tmp_path, heic(SMOOTH))
  found = images.read_samples(path)
  assert found.dtype == np.uint8 and decode.read_size(path) == (48, 64)
  assert np.abs(found.astype(int) - SMOOTH).mean() < 2
  path = written(tmp_path, heic(DEEP, "RGB;16"))
  found = images.read_samples(path)
  assert found.dtype == np.uint16 and found.max() > 65472  # 10 bits, over all 16
  assert np.abs(found.astype(int) - DEEP).mean() < 2 * 257
  alpha = np.where(np.arange(64) < 32, 0, 255).astype(np.uint8) * np.ones((48, 1), np.uint8)
  found = images.read_decoded(written(tmp_path, heic(np.dstack([SMOOTH, alpha]), "RGBA")))
  np.testing.assert_array_equal(found.alpha > 127, alpha > 127)


def test_without_the_package_heic_is_refused_with_its_extra(tmp_path, monkeypatch):
  path = written(tmp_path, b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99))
  monkeypatch.setitem(sys.modules, "pillow_heif", None)
  refused(path, "HEIC/HEIF", "pip install dig2dig_jax[heif]")
  assert decode.read_size(path) is None


def test_avif_keeps_10_and_12_bits(tmp_path):
  found = images.read_samples(written(tmp_path, encoded("AVIF", SMOOTH, quality=100, subsampling="4:4:4")))
  assert found.dtype == np.uint8 and np.abs(found.astype(int) - SMOOTH).mean() < 2
  for bits in (10, 12):
    levels = DEEP >> (16 - bits)
    options = [cv2.IMWRITE_AVIF_DEPTH, bits, cv2.IMWRITE_AVIF_QUALITY, 100]
    data = cv2.imencode(".avif", levels[..., ::-1], options)[1].tobytes()
    assert heif.avif_bits(data) == bits
    path = written(tmp_path, data)
    found = images.read_samples(path)
    assert found.dtype == np.uint16 and decode.read_size(path) == (48, 64)
    assert np.abs(found.astype(int) - heif.spread(levels, bits)).max() <= 3 << (16 - bits)


def test_values_of_fewer_bits_are_spread_to_both_ends():
  for bits in (9, 10, 12, 15):
    levels = heif.spread(np.array([0, 1, (1 << bits) - 1], np.uint16), bits)
    assert levels[0] == 0 and levels[1] == round(65535 / ((1 << bits) - 1)) and levels[2] == 65535


def test_jpeg_2000_keeps_16_bits(tmp_path):
  path = written(tmp_path, encoded("JPEG2000", GRAY16, irreversible=False))
  np.testing.assert_array_equal(images.read_samples(path)[..., 0], GRAY16)
  colour = cv2.imencode(".jp2", DEEP[..., ::-1], [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000])[1].tobytes()
  np.testing.assert_array_equal(images.read_samples(written(tmp_path, colour)), DEEP)
  stream = encoded("JPEG2000", SMOOTH, irreversible=False, no_jp2=True)
  path = written(tmp_path, stream)
  np.testing.assert_array_equal(images.read_samples(path), SMOOTH)
  assert stream.startswith(b"\xff\x4f") and decode.read_size(path) == (48, 64)


def test_the_range_of_deep_scans_is_found_as_in_tiff(tmp_path):
  narrow = 20000 + GRAY16 // 64
  for source, data in (("a", encoded("JPEG2000", narrow, irreversible=False)), ("b", encoded("PNG", narrow))):
    written(tmp_path, data, source)
  pair = Pair("x", {source: tmp_path / source for source in "ab"})
  found, told = ranges.assign([pair], {})
  assert found[0].ranges["a"] == found[0].ranges["b"] and len(told) == 2


def test_a_jpeg_2000_file_that_is_cut_is_refused(tmp_path):
  whole = encoded("JPEG2000", SMOOTH, irreversible=False)
  for length in (len(whole) - 40, len(whole) // 2, 90, 20):
    refused(written(tmp_path, whole[:length]))
  absurd = whole.replace(struct.pack(">II", 64, 48), struct.pack(">II", 1 << 20, 1 << 20), 1)
  assert absurd != whole
  refused(written(tmp_path, absurd))


def test_openexr_is_linear_floats_with_alpha_and_window(tmp_path):
  light = (SMOOTH.astype(np.float32) / 16) ** 2
  path = written(tmp_path, exr({"RGB": light}))
  found = images.read_decoded(path)
  np.testing.assert_array_equal(found.samples, light)
  assert found.alpha is None and decode.read_size(path) == (48, 64) and "linear" in found.told
  _, told = ranges.assign([Pair("x", {"ir": path, "vi": path})], {})
  assert told[0].startswith("range of ir: ") and "1 float32 file" in told[0]

  opacity = np.where(np.arange(64) < 32, 0.25, 1).astype(np.float32) * np.ones((48, 1), np.float32)
  found = images.read_decoded(written(tmp_path, exr({"RGBA": np.dstack([light * opacity[..., None], opacity])})))
  np.testing.assert_allclose(found.samples, light, rtol=1e-6)
  np.testing.assert_array_equal(found.alpha, opacity)

  temperature = light[..., 0].astype(np.float16)
  found = images.read_samples(written(tmp_path, exr({"T": temperature})))
  np.testing.assert_array_equal(found[..., 0], temperature.astype(np.float32))
  shown, stored = (tuple(np.array(one, np.int32) for one in box) for box in (((-8, -4), (71, 51)), ((0, 0), (63, 47))))
  path = written(tmp_path, exr({"RGB": light}, dataWindow=stored, displayWindow=shown))
  found = images.read_decoded(path)
  assert decode.read_size(path) == found.samples.shape[:2] == (56, 80)
  np.testing.assert_array_equal(found.samples[4:52, 8:72], light)
  assert found.alpha[4:52, 8:72].all() and found.alpha.sum() == 48 * 64


def test_an_openexr_file_that_is_cut_or_of_another_kind_is_refused(tmp_path, monkeypatch):
  whole = exr({"RGB": SMOOTH.astype(np.float32)})
  for length in (len(whole) - 40, len(whole) // 2, 300, 40, 9):
    refused(written(tmp_path, whole[:length]), "OpenEXR")
  at = whole.index(b"dataWindow\0box2i\0") + 21
  refused(written(tmp_path, whole[:at] + struct.pack("<4i", 0, 0, 10**6, 10**6) + whole[at + 16:]))
  refused(written(tmp_path, whole[:4] + struct.pack("<I", 2 | 0x1000) + whole[8:]), "pages or frames")
  refused(written(tmp_path, exr({"U": GRAY16.astype(np.float32), "V": GRAY16.astype(np.float32)})), "U, V")
  monkeypatch.setitem(sys.modules, "OpenEXR", None)
  refused(written(tmp_path, whole), "pip install dig2dig_jax[exr]")


def dng(mosaic, white=4095, orientation=1):
  """A digital negative of a sensor whose colours are sRGB's, under a light that it sees as white."""
  xyz_to_srgb = [(32404542, 10**7), (-15371385, 10**7), (-4985314, 10**7), (-9692660, 10**7), (18760108, 10**7),
                 (415560, 10**7), (556434, 10**7), (-2040259, 10**7), (10572252, 10**7)]  # fmt: skip
  tags = [
    (50706, "B", 4, (1, 4, 0, 0)), (50707, "B", 4, (1, 1, 0, 0)), (50708, "s", 0, "Made"), (33421, "H", 2, (2, 2)),
    (33422, "B", 4, (0, 1, 1, 2)), (50717, "H", 1, white), (50721, "2i", 9, sum(xyz_to_srgb, ())),
    (50728, "2I", 3, (1, 1, 1, 1, 1, 1)), (50778, "H", 1, 21), (274, "H", 1, orientation),
  ]  # fmt: skip
  file = io.BytesIO()
  tags = [(*tag, True) for tag in tags]
  tifffile.imwrite(file, mosaic, photometric="cfa", subfiletype=0, metadata=None, extratags=tags)
  return file.getvalue()


def test_a_bracket_of_camera_raw_files_stays_comparable(tmp_path):
  pytest.importorskip("rawpy")
  levels = []
  for stop in range(3):
    path = written(tmp_path, dng(np.full((64, 96), 4095 >> (stop + 1), np.uint16)))
    found = images.read_decoded(path)
    assert found.samples.shape == (64, 96, 3) and found.samples.dtype == np.uint16
    levels.append(float(np.median(found.samples)) / 65535)
  linear = np.array([0.5, 0.25, 0.125])
  np.testing.assert_allclose(levels, 1.055 * linear ** (1 / 2.4) - 0.055, atol=0.01)  # sRGB's curve, each step a stop
  path = written(tmp_path, dng(np.full((64, 96), 2000, np.uint16), orientation=6))
  assert images.read_samples(path).shape[:2] == decode.read_size(path) == (96, 64)
  _, told = ranges.assign([Pair("x", {"under": path, "over": path})], {})
  assert told == []  # black and white are the sensor's
