"""Every kind of file the readers promise, written by another library; every kind of fault they refuse."""

import io
import struct
import zlib

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tifffile

from dig2dig_jax.data import images
from dig2dig_jax.errors import UserError

RNG = np.random.default_rng(0)
RGB8 = RNG.integers(0, 256, (9, 13, 3)).astype(np.uint8)
RGBA8 = RNG.integers(0, 256, (9, 13, 4)).astype(np.uint8)
RGBA16 = RNG.integers(0, 65536, (9, 13, 4)).astype(np.uint16)
RGB16, GRAY16 = RGBA16[..., :3], RGBA16[..., 0]


def levels(image):
  return (images.to_uint8 if image.bit_depth == 8 else images.to_uint16)(image.pixels)


def png(samples, colour_type, extra=b""):
  """A PNG written by hand: kinds that Pillow and OpenCV cannot write."""
  def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
  height, width = samples.shape[:2]
  rows = b"".join(b"\0" + row.astype(samples.dtype.newbyteorder(">")).tobytes() for row in samples)
  header = struct.pack(">IIBBBBB", width, height, samples.itemsize * 8, colour_type, 0, 0, 0)
  body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
  return b"\x89PNG\r\n\x1a\n" + body


def saved(path, image, *args, **options):
  PIL.Image.fromarray(image, *args).save(path, **options)
  return path


@pytest.mark.parametrize("extension", ["png", "bmp", "tif", "webp"])
def test_rgb8_is_exact(tmp_path, extension):
  options = {"lossless": True} if extension == "webp" else {}
  image = images.read_image(saved(tmp_path / f"x.{extension}", RGB8, **options))
  assert image.pixels.dtype == np.float32 and image.is_colour and image.bit_depth == 8
  np.testing.assert_array_equal(levels(image), RGB8)


def test_jpeg_equals_opencv_and_the_format_comes_from_the_bytes(tmp_path):
  smooth = np.asarray(PIL.Image.fromarray(RGB8).resize((64, 48)))
  path = saved(tmp_path / "x.png", smooth, format="JPEG", quality=95)
  expected = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
  assert np.abs(levels(images.read_image(path)).astype(int) - expected).max() <= 1


def test_range_of_8_bit(tmp_path):
  ramp = np.arange(256, dtype=np.uint8)[None]
  image = images.read_image(saved(tmp_path / "x.png", ramp))
  np.testing.assert_allclose(image.pixels[0, :, 0], np.arange(256) / 127.5 - 1, atol=1e-7)
  assert image.pixels.min() == -1 and image.pixels.max() == 1 and not image.is_colour
  np.testing.assert_array_equal(levels(image)[..., 1], ramp)


def test_every_16_bit_level_survives(tmp_path):
  every = np.arange(65536, dtype=np.uint16).reshape(256, 256)
  (tmp_path / "x.png").write_bytes(cv2.imencode(".png", every)[1].tobytes())
  image = images.read_image(tmp_path / "x.png")
  assert image.bit_depth == 16 and not image.is_colour and image.pixels.shape == (256, 256, 3)
  np.testing.assert_array_equal(levels(image)[..., 2], every)


@pytest.mark.parametrize("colour_type, channels", [(0, 1), (4, 2), (2, 3), (6, 4)])
def test_png16_drops_alpha_and_keeps_order(tmp_path, colour_type, channels):
  (tmp_path / "x.png").write_bytes(png(RGBA16[..., :channels], colour_type))
  image = images.read_image(tmp_path / "x.png")
  expected = RGB16 if channels > 2 else RGBA16[..., :1].repeat(3, -1)
  np.testing.assert_array_equal(levels(image), expected)
  assert image.bit_depth == 16 and image.is_colour == (channels > 2)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_tiff_from_tifffile(tmp_path, compression, channels, dtype):
  samples = RGBA16[..., :channels] if channels > 1 else GRAY16
  options = {"extrasamples": ["unassalpha"]} if channels in (2, 4) else {}
  tifffile.imwrite(
    tmp_path / "x.tif", samples if dtype == np.uint16 else (samples / 65535).astype(dtype), compression=compression,
    planarconfig=None if channels == 1 else "contig", photometric="rgb" if channels > 2 else "minisblack",
    metadata=None, **options)
  expected = RGB16 if channels > 2 else RGBA16[..., :1].repeat(3, -1)
  np.testing.assert_array_equal(levels(images.read_image(tmp_path / "x.tif")), expected)


@pytest.mark.parametrize("compression", [1, 5, 8, 32773])  # none, LZW, deflate, PackBits
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("depth", [8, 16, 32])
def test_tiff_from_opencv(tmp_path, compression, channels, depth):
  samples = {8: RGBA8, 16: RGBA16, 32: (RGBA16 / 65535).astype(np.float32)}[depth]
  samples = samples[..., :1] if channels == 1 else samples[..., [2, 1, 0, 3][:channels]]
  encoded = cv2.imencode(".tiff", samples, [cv2.IMWRITE_TIFF_COMPRESSION, compression])[1]
  (tmp_path / "x.tif").write_bytes(encoded.tobytes())
  source = RGBA8 if depth == 8 else RGBA16
  expected = source[..., :1].repeat(3, -1) if channels == 1 else source[..., :3]
  np.testing.assert_array_equal(levels(images.read_image(tmp_path / "x.tif")), expected)


def test_tiff_layouts(tmp_path):
  path = tmp_path / "x.tif"
  tifffile.imwrite(path, np.moveaxis(RGB16, -1, 0), photometric="rgb", planarconfig="separate", metadata=None)
  np.testing.assert_array_equal(levels(images.read_image(path)), RGB16)
  for dark in (GRAY16, RGBA8[..., 0]):
    tifffile.imwrite(path, dark, photometric="miniswhite", metadata=None)
    np.testing.assert_array_equal(levels(images.read_image(path))[..., 0], np.iinfo(dark.dtype).max - dark)
  tifffile.imwrite(path, RGB16, photometric="rgb", tile=(16, 16), byteorder=">", bigtiff=True, metadata=None)
  np.testing.assert_array_equal(levels(images.read_image(path)), RGB16)


@pytest.mark.parametrize("extension", ["png", "tif"])
def test_gray_and_one_bit(tmp_path, extension):
  gray, bits = RGB8[..., 0], RGB8[..., 0] > 127
  for name, array, expected in [("gray", gray, gray), ("bits", bits, np.uint8(255) * bits)]:
    path = tmp_path / f"{name}.{extension}"
    PIL.Image.fromarray(array).save(path)
    image = images.read_image(path)
    np.testing.assert_array_equal(levels(image), expected[..., None].repeat(3, -1))
    assert not image.is_colour and image.bit_depth == 8


def test_alpha_is_dropped_with_straight_colour(tmp_path):
  image = images.read_image(saved(tmp_path / "rgba.png", RGBA8))
  np.testing.assert_array_equal(levels(image), RGBA8[..., :3])
  gray_alpha = images.read_image(saved(tmp_path / "la.png", RGBA8[..., :2]))
  np.testing.assert_array_equal(levels(gray_alpha), RGBA8[..., :1].repeat(3, -1))


@pytest.mark.parametrize("transparency", [None, 1, bytes([0, 128, 255])])
def test_palette(tmp_path, transparency):
  palette = np.array([[255, 0, 0], [10, 200, 30], [1, 2, 3]], np.uint8)
  index = RNG.integers(0, 3, (6, 5)).astype(np.uint8)
  picture = PIL.Image.fromarray(index)
  picture.putpalette(palette.tobytes())
  assert picture.mode == "P"
  picture.save(tmp_path / "x.png", **({} if transparency is None else {"transparency": transparency}))
  image = images.read_image(tmp_path / "x.png")
  np.testing.assert_array_equal(levels(image), palette[index])
  assert image.is_colour


def test_gray_saved_as_rgb_is_not_colour(tmp_path):
  gray = RGB8[..., :1].repeat(3, -1)
  for name, options in [("x.png", {}), ("x.jpg", {"subsampling": 2})]:
    assert not images.read_image(saved(tmp_path / name, gray, **options)).is_colour
  gray[0, 0] = [7, 7, 8]
  assert images.read_image(saved(tmp_path / "y.png", gray)).is_colour


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_like_pillows(tmp_path, orientation):
  exif = PIL.Image.Exif()
  exif[0x0112] = orientation
  upright = np.asarray(PIL.ImageOps.exif_transpose(
    PIL.Image.open(saved(tmp_path / "p8.png", RGB8, exif=exif))))
  for name in ("p8.png", "x.webp", "x.tif"):
    if name != "p8.png":
      saved(tmp_path / name, RGB8, exif=exif, **({"lossless": True} if name == "x.webp" else {}))
    np.testing.assert_array_equal(levels(images.read_image(tmp_path / name)), upright)
  jpeg = images.read_image(saved(tmp_path / "x.jpg", RGB8, exif=exif, quality=100, subsampling=0))
  assert np.abs(levels(jpeg).astype(int) - upright).max() < 12
  # 16-bit kinds: the same pixels times 257, so that the upright answer is known.
  wide = RGB8.astype(np.uint16) * 257
  body = exif.tobytes()[6:]
  exif_chunk = struct.pack(">I", len(body)) + b"eXIf" + body + struct.pack(">I", zlib.crc32(b"eXIf" + body))
  (tmp_path / "p16.png").write_bytes(png(wide, 2, exif_chunk))
  tag = [(0x0112, "H", 1, orientation, True)]
  tifffile.imwrite(tmp_path / "t16.tif", wide, photometric="rgb", metadata=None, extratags=tag)
  for name in ("p16.png", "t16.tif"):
    np.testing.assert_array_equal(levels(images.read_image(tmp_path / name)), upright.astype(np.uint16) * 257)
  lzw = saved(tmp_path / "lzw.tif", wide[..., 0], compression="tiff_lzw", exif=exif)  # OpenCV's way in
  np.testing.assert_array_equal(levels(images.read_image(lzw))[..., 0], upright[..., 0].astype(np.uint16) * 257)


def test_a_phones_multi_picture_jpeg_gives_the_first(tmp_path):
  first, second = (PIL.Image.fromarray(np.full((16, 16, 3), v, np.uint8)) for v in (50, 200))
  first.save(tmp_path / "x.jpg", format="MPO", save_all=True, append_images=[second])
  np.testing.assert_array_equal(levels(images.read_image(tmp_path / "x.jpg")), np.full((16, 16, 3), 50))


def test_non_ascii_path(tmp_path):
  path = tmp_path / "夜 景é" / "ü 16.png"
  images.write_png(path, np.zeros((4, 4, 3), np.float32), bit_depth=16)
  assert images.read_image(path).bit_depth == 16


def faulty(kind, folder):
  path = folder / "bad.png"
  whole = {
    "png": lambda: png(RGB8, 2), "png16": lambda: png(RGB16, 2),
    "jpeg": lambda: saved(folder / "w", RGB8, format="JPEG").read_bytes(),
    "bmp": lambda: saved(folder / "w", RGB8, format="BMP").read_bytes(),
    "webp": lambda: saved(folder / "w", RGB8, format="WEBP").read_bytes(),
  }
  if kind.startswith("truncated "):
    data = whole[kind.split()[1]]() if kind.split()[1] in whole else tiff_bytes(kind.split()[1])
    path.write_bytes(data[:len(data) * 2 // 3])
  elif kind == "empty":
    path.touch()
  elif kind == "text":
    path.write_text("once upon a time")
  elif kind == "folder":
    path.mkdir()
  elif kind == "zero-size":
    path.write_bytes(png(np.zeros((0, 4, 3), np.uint8), 2))
  elif kind == "zero-size 16":
    path.write_bytes(png(np.zeros((4, 0, 3), np.uint16), 2))
  elif kind == "animation":
    frames = [PIL.Image.fromarray(RGB8), PIL.Image.fromarray(255 - RGB8)]
    frames[0].save(path, format="WEBP", save_all=True, append_images=frames[1:])
  elif kind == "pages":
    tifffile.imwrite(path, RNG.integers(0, 9, (3, 5, 6)).astype(np.uint16), photometric="minisblack")
  elif kind == "pages imagej":
    tifffile.imwrite(path, RNG.integers(0, 9, (3, 5, 6)).astype(np.uint16), imagej=True)
  elif kind == "pages 8":
    tifffile.imwrite(path, RNG.integers(0, 9, (3, 5, 6)).astype(np.uint8), photometric="minisblack")
  elif kind == "cmyk":
    PIL.Image.fromarray(RGB8).convert("CMYK").save(path, format="JPEG")
  elif kind == "int32":
    tifffile.imwrite(path, RGB8[..., 0].astype(np.int32))
  elif kind == "signed":
    tifffile.imwrite(path, RGB8[..., 0].astype(np.int16))
  elif kind == "premultiplied":
    tifffile.imwrite(path, RGBA16, photometric="rgb", extrasamples=["assocalpha"])
  elif kind == "spectral":
    tifffile.imwrite(path, RNG.integers(0, 9, (5, 6, 7)).astype(np.uint16), photometric="minisblack",
                     planarconfig="contig")
  elif kind.startswith("float "):
    value = float(kind.split()[1])
    tifffile.imwrite(path, np.array([[0.5, value]], np.float32))
  return path


def tiff_bytes(kind):
  file = io.BytesIO()
  tifffile.imwrite(file, RGB16 if kind == "tiff16" else RGB8, photometric="rgb",
                   compression="zlib" if kind == "tiffzip" else None)
  return file.getvalue()


@pytest.mark.parametrize("kind, says", [
  ("missing", "nothing there"), ("folder", "Is a directory"), ("empty", "empty file"), ("text", "other data"),
  ("truncated png", "truncated"), ("truncated png16", "truncated"), ("truncated jpeg", "truncated"),
  ("truncated bmp", "truncated"), ("truncated webp", "truncated"), ("truncated tiff8", "truncated"),
  ("truncated tiff16", "truncated"), ("truncated tiffzip", "truncated"),
  ("zero-size", "damaged"), ("zero-size 16", "damaged"), ("animation", "2 pages or frames"),
  ("pages", "3 pages or frames"), ("pages imagej", "3 pages or frames"), ("pages 8", "3 pages or frames"),
  ("cmyk", "CMYK"), ("int32", "found int32; give its --range"),
  ("signed", "found int16; give its"), ("premultiplied", "straight alpha"),
  ("spectral", "7 samples per pixel"), ("float 1.5", r"\[0.5, 1.5\]"), ("float -0.1", r"\[-0.1, 0.5\]"),
  ("float nan", "expected finite float samples, found 1 NaN"),
])
def test_faults_are_one_line_naming_file_and_remedy(tmp_path, kind, says):
  path = faulty(kind, tmp_path)
  with pytest.raises(UserError, match=says) as error:
    images.read_image(path)
  message = str(error.value)
  assert message.startswith(f"{path}: expected ") and "\n" not in message
  assert ", found " in message and "; " in message


def test_a_picture_too_large_to_decode_is_not_called_damaged(tmp_path, monkeypatch):
  monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 50)
  path = saved(tmp_path / "x.png", RGB8)  # 117 pixels; Pillow refuses above twice its limit
  with pytest.raises(UserError, match="at most 100 pixels, found 117; crop it or reduce its size"):
    images.read_image(path)


def test_list_images_is_natural_by_bytes_and_skips_the_rest(tmp_path):
  for name in ("10.PNG", "2.png", "a1"):
    saved(tmp_path / name, RGB8, format="PNG")
  (tmp_path / "notes.txt").write_text("no")
  (tmp_path / ".hidden.png").write_text("no")
  (tmp_path / "damaged.jpg").write_text("no")
  (tmp_path / "folder.png").mkdir()
  assert [p.name for p in images.list_images(tmp_path)] == ["2.png", "10.PNG", "a1", "damaged.jpg"]
  with pytest.raises(UserError, match="expected a folder of images, found No such file"):
    images.list_images(tmp_path / "absent")


@pytest.mark.parametrize("bit_depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_write_png_is_read_back_by_others(tmp_path, bit_depth, channels):
  source = (RGB8 if bit_depth == 8 else RGB16)[..., :channels]
  pixels = source / ((2**bit_depth - 1) / 2) - 1
  path = tmp_path / "new" / "folder" / "x.png"
  images.write_png(path, pixels.astype(np.float32), bit_depth=bit_depth)
  found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
  assert found.dtype == source.dtype
  np.testing.assert_array_equal(found if channels == 1 else found[..., ::-1], source.squeeze())
  assert [p.name for p in path.parent.iterdir()] == ["x.png"]


def test_quantisation_rounds_and_clips():
  x = np.array([-7, -1, -1 + 0.4 / 127.5, -1 + 0.6 / 127.5, 0.001, 1, 3], np.float32)
  np.testing.assert_array_equal(images.to_uint8(x), [0, 0, 0, 1, 128, 255, 255])
  np.testing.assert_array_equal(images.to_uint16(x)[[0, 1, -2, -1]], [0, 0, 65535, 65535])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_write_png_refuses_non_finite_and_keeps_the_old_file(tmp_path, value):
  path = tmp_path / "x.png"
  path.write_text("old")
  with pytest.raises(UserError, match="x.png: expected finite pixels, found 3 NaN or infinite"):
    images.write_png(path, np.concatenate([np.zeros((1, 2, 3)), np.full((1, 1, 3), value).repeat(1, 1)], axis=1))
  assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_write_png_leaves_nothing_behind_when_it_fails(tmp_path, monkeypatch):
  def full(*_):
    raise OSError(28, "No space left on device")
  monkeypatch.setattr(images.os, "replace", full)
  with pytest.raises(UserError, match="x.png: expected a place to write, found No space left"):
    images.write_png(tmp_path / "x.png", np.zeros((2, 2, 3)))
  assert list(tmp_path.iterdir()) == []
  (tmp_path / "file").touch()
  with pytest.raises(UserError, match="place to write"):
    images.write_png(tmp_path / "file" / "x.png", np.zeros((2, 2, 3)))


@pytest.mark.parametrize("shape, bit_depth", [((2, 2), 8), ((2, 2, 4), 8), ((0, 2, 3), 8), ((2, 2, 3), 12)])
def test_write_png_refuses_wrong_arguments(tmp_path, shape, bit_depth):
  with pytest.raises(ValueError, match="expected"):
    images.write_png(tmp_path / "x.png", np.zeros(shape), bit_depth=bit_depth)
