"""Is a file that lacks samples, or announces absurd ones, refused alone, whatever the decoders make of it?"""

import io
import os
import struct
import zlib

import cv2
import numpy as np
import PIL.Image
import pytest
import tifffile

from dig2dig_jax.data import decode, faults, images
from dig2dig_jax.errors import UserError

RNG = np.random.default_rng(0)
RGB8 = RNG.integers(1, 256, (48, 40, 3)).astype(np.uint8)
RGB16 = RGB8.astype(np.uint16) * 257
PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def chunk(name, body):
  return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(samples, *, interlaced=False, missing=0, size=None, extra=0):
  """A PNG written by hand whose stream, complete and with checksums, lacks the last `missing` bytes."""
  wide = samples.astype(samples.dtype.newbyteorder(">"))
  rows = []
  for top, left, down, right in PASSES if interlaced else ((0, 0, 1, 1),):
    rows += [b"\0" + row.tobytes() for row in wide[top::down, left::right] if row.size]
  stream = b"".join(rows)
  stream = stream[:len(stream) - missing] + bytes(extra)
  height, width = size or samples.shape[:2]
  colour = 0 if samples.ndim == 2 else 2
  header = struct.pack(">IIBBBBB", width, height, samples.itemsize * 8, colour, 0, 0, int(interlaced))
  return b"\x89PNG\r\n\x1a\n" + b"".join([
    chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(stream)), chunk(b"IEND", b"")])


def tiff(samples, **options):
  file = io.BytesIO()
  tifffile.imwrite(file, samples, photometric="rgb" if samples.ndim == 3 else "minisblack", metadata=None, **options)
  return file.getvalue()


def pillow(samples, kind, **options):
  file = io.BytesIO()
  PIL.Image.fromarray(samples).save(file, kind, **options)
  return file.getvalue()


def edited(data, code, *, value=None, count=None):
  """A little-endian TIFF with another value (in the entry itself) or count in this tag of its first page."""
  (start,) = struct.unpack_from("<I", data, 4)
  changed = bytearray(data)
  for at in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", data, start)[0], 12):
    if struct.unpack_from("<H", data, at)[0] == code:
      if count is not None:
        struct.pack_into("<I", changed, at + 4, count)
      if value is not None:
        kind = struct.unpack_from("<H", data, at + 2)[0]
        struct.pack_into({3: "<HH", 4: "<I"}[kind], changed, at + 8, *([value, 0] if kind == 3 else [value]))
      return bytes(changed)
  raise KeyError(code)


def refused(tmp_path, data, match="damaged or truncated"):
  path = tmp_path / "x.png"
  path.write_bytes(data)
  with pytest.raises(UserError, match=match) as error:
    images.read_image(path)
  assert str(error.value).startswith(f"{path}: expected ") and len(str(error.value).splitlines()) == 1


def read(tmp_path, data):
  (tmp_path / "x.png").write_bytes(data)
  return images.read_samples(tmp_path / "x.png")


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("samples", [RGB8, RGB16, RGB8[..., 0], RGB16[..., 0]])
def test_png_with_fewer_rows_than_its_header_says(tmp_path, samples, interlaced):
  for dark in (samples, np.zeros_like(samples)):  # the black one is whole, and only its stream can tell
    found = read(tmp_path, png(dark, interlaced=interlaced)).squeeze()
    np.testing.assert_array_equal(found, dark)
    np.testing.assert_array_equal(read(tmp_path, png(dark, interlaced=interlaced, extra=99)).squeeze(), dark)
    row = 1 + dark[0].nbytes
    for missing in (1, row, 20 * row):
      refused(tmp_path, png(dark, interlaced=interlaced, missing=missing))


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
@pytest.mark.parametrize("samples", [RGB8, RGB16, (RGB16 / 65535).astype(np.float32)])
def test_tiff_with_strips_or_tiles_missing_from_its_tables(tmp_path, samples, tile, compression):
  data = tiff(samples, tile=tile, rowsperstrip=None if tile else 8, compression=compression)
  np.testing.assert_array_equal(read(tmp_path, data), samples)
  offsets, counts, whole = (324, 325, 9) if tile else (273, 279, 6)
  for code in (offsets, counts):
    match = f"{whole} strips or tiles make the image, its tables name {whole - 2}"
    refused(tmp_path, edited(data, code, count=whole - 2), match)
  if not tile:
    refused(tmp_path, edited(data, 257, value=80), "10 strips or tiles make the image, its tables name 6")


@pytest.mark.parametrize("samples", [RGB8, RGB16])
def test_tiff_with_an_empty_strip(tmp_path, samples):
  refused(tmp_path, edited(tiff(samples, rowsperstrip=48), 279, value=0), "empty or lie outside")


@pytest.mark.parametrize("kind", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "raw", "jpeg", "zstd", "lzma"])
@pytest.mark.parametrize("depth", [8, 16])
def test_tiff_whose_strips_hold_too_few_rows(tmp_path, kind, depth):
  if depth == 16 and kind == "jpeg":
    pytest.skip("JPEG holds 8 bits")
  samples = RGB8 if depth == 8 else RGB16[..., 0]
  data = pillow(samples, "TIFF", compression=kind)
  longer = edited(edited(data, 257, value=60), 278, value=60)
  refused(tmp_path, longer, "damaged")


def test_tiff_strips_of_deflate_and_float_that_are_short(tmp_path):
  for samples in (RGB16, (RGB16 / 65535).astype(np.float32)):
    for options in ({"compression": "zlib"}, {}):
      data = tiff(samples, rowsperstrip=48, **options)
      refused(tmp_path, edited(edited(data, 257, value=60), 278, value=60), "holds|too short")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"subsampling": 0}])
@pytest.mark.parametrize("gray", [False, True])
def test_jpeg_that_was_cut_and_closed(tmp_path, options, gray):
  smooth = cv2.GaussianBlur(RNG.integers(0, 256, (96, 80, 3)).astype(np.uint8), (0, 0), 3)
  smooth = smooth[..., 0] if gray else smooth
  data = pillow(smooth, "JPEG", **options)
  assert read(tmp_path, data).shape[:2] == (96, 80)
  for part in (0.5, 0.8):
    refused(tmp_path, data[:int(len(data) * part)] + b"\xff\xd9", "a scan ends before the image does|damaged")


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_whole_jpeg_that_ends_in_middle_gray_is_read(tmp_path, options):
  gray = np.full((40, 40, 3), 128, np.uint8)
  np.testing.assert_array_equal(read(tmp_path, pillow(gray, "JPEG", **options)), gray)
  gray[:16] = RGB8[:16, :40]
  assert (read(tmp_path, pillow(gray, "JPEG", **options))[-8:] == 128).all()


def absurd():
  data = tiff(RGB16, rowsperstrip=48)
  yield "width 0", edited(data, 256, value=0)
  yield "height 0", edited(data, 257, value=0)
  yield "height a tuple", edited(data, 257, count=7)
  yield "width of no value", edited(data, 256, count=0)
  yield "two thousand million rows", edited(edited(data, 257, value=2**31 - 1), 278, value=2**31 - 1)
  yield "all bits", edited(edited(data, 256, value=65535), 257, value=65535)
  yield "png", png(RGB16, size=(2**31 - 1, 2**31 - 1))
  yield "png width 0", png(RGB8, size=(48, 0))


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in absurd()])
def test_absurd_sizes_are_no_size_and_refused(tmp_path, data):
  refused(tmp_path, data, "damaged or truncated|expected at most")
  assert decode.read_size(tmp_path / "x.png") is None


@pytest.mark.parametrize("data, most", [
  (png(RGB16, size=(12000, 12000)), 100), (tiff(RGB16, compression="zlib"), 0), (png(RGB8, size=(13000, 13000)), 100)])
def test_more_pixels_than_the_bytes_can_hold_are_refused_before_memory_is_asked_for(tmp_path, monkeypatch, data, most):
  if not most:
    data = edited(edited(edited(data, 257, value=12000), 278, value=12000), 256, value=12000)

  def asked(*_, **__):
    raise AssertionError("memory was asked for")
  monkeypatch.setattr(PIL.Image.core, "new", asked)
  monkeypatch.setattr(np, "empty", asked)
  refused(tmp_path, data, "more than [0-9]+ bytes can hold")


@pytest.mark.parametrize("samples", [RGB8, RGB16])
@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_one_bound_of_pixels_for_every_depth_and_format(tmp_path, monkeypatch, kind, samples):
  data = png(samples) if kind == "png" else tiff(samples)
  monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 900)
  refused(tmp_path, data, "expected at most 1800 pixels, found 1920; crop it or reduce its size")
  assert decode.read_size(tmp_path / "x.png") is None
  monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 1000000)
  assert decode.read_size(tmp_path / "x.png") == (48, 40)


def test_a_sparse_file_of_terabytes_is_refused_unread(tmp_path):
  for name, head in [("x.png", b"\x89PNG\r\n\x1a\n"), ("x.tif", b"II*\0")]:
    path = tmp_path / name
    path.write_bytes(head)
    os.truncate(path, 15 * 10**12)
    with pytest.raises(UserError, match=f"{name}: expected a file of at most 4.29 GB, found a file of 15.0 TB"):
      images.read_image(path)
    assert decode.read_size(path) is None


def test_other_data_is_refused_by_its_first_bytes_without_reading_on(tmp_path):
  path = tmp_path / "x.png"
  path.write_bytes(b"no image")
  os.truncate(path, decode.LARGEST_FILE)  # reading it would take 4 GB and a while
  with pytest.raises(UserError, match="found other data"):
    images.read_image(path)


@pytest.mark.parametrize("error, says", [
  (MemoryError(), "found a larger one; crop it or free memory"), (RecursionError("too deep"), "damaged"),
  (OverflowError("too large"), "damaged"),
])
def test_what_decoders_raise_becomes_a_fault_of_the_file(tmp_path, monkeypatch, error, says):
  def fails(*_, **__):
    raise error
  monkeypatch.setattr(PIL.Image, "open", fails)
  refused(tmp_path, png(RGB8), says)
  assert decode.read_size(tmp_path / "x.png") is None


def test_a_pipe_is_neither_waited_for_nor_an_image(tmp_path):
  os.mkfifo(tmp_path / "pipe")
  os.mkfifo(tmp_path / "pipe.png")
  assert images.list_images(tmp_path) == [] and not images.is_image_file(tmp_path / "pipe")
  with pytest.raises(UserError, match="pipe.png: expected an image file, found a pipe, socket or device"):
    images.read_image(tmp_path / "pipe.png")
  assert decode.read_size(tmp_path / "pipe.png") is None
  with pytest.raises(UserError, match="found a pipe, socket or device"):
    images.read_image("/dev/zero")


def test_a_file_that_cannot_be_opened_goes_by_its_name(tmp_path, monkeypatch):
  """Nothing is forbidden to root, who may run the tests, so the refusal is played."""
  for name in ("locked", "locked.png"):
    (tmp_path / name).write_bytes(png(RGB8))

  def locked(self, *_, **__):
    raise PermissionError(13, "Permission denied", str(self))
  monkeypatch.setattr(type(tmp_path), "open", locked)
  assert images.list_images(tmp_path) == [tmp_path / "locked.png"]


def test_no_size_of_what_is_not_there(tmp_path):
  assert decode.read_size(tmp_path / "absent.png") is None and decode.read_size(tmp_path) is None


@pytest.mark.parametrize("height, width, fine", [
  (1, 1, True), (0, 1, False), (-1, 1, False), ((1, 2), 1, False), (1.0, 1, False), (None, 1, False), (True, 1, False),
  (2**20, 2**20, False)])
def test_what_a_size_is(height, width, fine):
  assert faults.is_size(height, width) == fine


def test_doubts_of_the_libraries_are_not_printed(tmp_path, capfd):
  data = tiff(RGB16, rowsperstrip=8)
  refused(tmp_path, edited(data, 273, count=4))  # tifffile logs this as an error
  lzw = cv2.imencode(".tiff", RGB16, [cv2.IMWRITE_TIFF_COMPRESSION, 5])[1].tobytes()
  refused(tmp_path, edited(lzw, 257, value=49), "expected")  # OpenCV warns and logs an error
  captured = capfd.readouterr()
  assert "tifffile" not in captured.err and "WARN" not in captured.err and "ERROR" not in captured.err


def test_what_a_damaged_file_puts_into_a_message_is_made_printable():
  assert str(faults.damaged("TIFF", "tag \x08\x1b[31m of\nmany lines")).count("?") == 2
  assert str(faults.DecodeError("found a\nb")) == "found a?b"
