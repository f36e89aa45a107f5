"""Do colours under an ICC profile become sRGB, and does nothing else change? Judged by the standards."""

import io
import struct
import zlib

import cv2
import numpy as np
import PIL.Image
import PIL.ImageCms
import pytest
import tifffile

from dig2dig_jax.data import images

RNG = np.random.default_rng(0)
# Red, green, blue as XYZ under D50, as the profiles of these spaces hold them.
PRIMARIES = {
  "display p3": ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)),
  "adobe rgb": ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)),
}
SRGB = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
PARA = struct.pack(">4s4xHH7i", b"para", 4, 0, *[round(v * 65536) for v in (
  2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045, 0, 0)])
GAMMA = struct.pack(">4s4xIHxx", b"curv", 1, 563)  # 2.19921875


def table(n=1024):
  x = np.linspace(0, 1, n)
  linear = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
  return struct.pack(f">4s4xI{n}H", b"curv", n, *np.rint(linear * 65535).astype(int))


def profile(primaries, curve):
  """An ICC profile of version 2 by matrix and curves, written from its definition."""
  def xyz(values):
    return struct.pack(">4s4x3i", b"XYZ ", *[round(v * 65536) for v in values])
  text = b"test\0"
  desc = struct.pack(">4s4xI", b"desc", len(text)) + text + bytes(78)
  tags = {b"desc": desc, b"cprt": b"text\0\0\0\0none\0", b"wtpt": xyz((0.9642, 1, 0.8249))}
  tags |= dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), map(xyz, PRIMARIES[primaries]), strict=True))
  tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
  entries, body = b"", b""
  for name, tag in tags.items():
    entries += struct.pack(">4sII", name, 132 + 12 * len(tags) + len(body), len(tag))
    body += tag + bytes(-len(tag) % 4)
  rest = struct.pack(">I", len(tags)) + entries + body
  head = struct.pack(">I4xI4s4s4s12x4s28x3i48x", 128 + len(rest), 0x02400000, b"mntr", b"RGB ", b"XYZ ", b"acsp",
                     *[round(v * 65536) for v in (0.9642, 1, 0.8249)])
  return head + rest


P3, ADOBE = profile("display p3", PARA), profile("adobe rgb", GAMMA)
PROFILES = {"p3": P3, "adobe": ADOBE, "p3 by table": profile("display p3", table())}


def linear(v):
  return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def expected(samples, name):
  """The same conversion, from the definitions, in float64."""
  top = np.iinfo(samples.dtype).max
  v = samples / top
  light = v ** (563 / 256) if name == "adobe" else linear(v)
  columns = np.array(PRIMARIES["adobe rgb" if name == "adobe" else "display p3"]).T
  srgb = np.array([[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169],
                   [0.0139322, 0.0971045, 0.7141733]])
  light = np.clip(light @ np.linalg.solve(srgb, columns).T, 0, 1)
  return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) * top


def written(path, samples, icc):
  """The file with this profile, of the kind that the path's name asks for."""
  kind = path.name.split(".")[0]
  if kind == "png16" or kind == "bare":
    encoded = cv2.imencode(".png", samples[..., ::-1])[1].tobytes()
    body = b"iCCP" + b"p\0\0" + zlib.compress(icc)
    path.write_bytes(encoded[:33] + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
                     + encoded[33:])
  elif kind.startswith("tiff"):
    tifffile.imwrite(path, samples, photometric="rgb", iccprofile=icc, metadata=None)
  else:
    options = {"lossless": True} if kind == "webp" else {"compression": "tiff_lzw"} if kind == "lzw" else {}
    kind = "TIFF" if kind == "lzw" else kind.upper()
    PIL.Image.fromarray(samples).save(path, kind, icc_profile=icc, **options)
  return path


RGB8 = RNG.integers(0, 256, (40, 30, 3)).astype(np.uint8)
RGB16 = RNG.integers(0, 65536, (40, 30, 3)).astype(np.uint16)


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("kind", ["png", "tiff8", "lzw", "webp"])
def test_8_bit_colours_become_srgb(tmp_path, kind, name):
  path = written(tmp_path / f"{kind}.x", RGB8, PROFILES[name])
  found = images.read_samples(path)
  assert found.dtype == np.uint8 and np.abs(found - expected(RGB8, name)).max() <= 1.5
  assert np.abs(found.astype(int) - RGB8).max() > 30  # otherwise the test says nothing


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("kind", ["png16", "tiff16"])
def test_16_bit_colours_become_srgb_without_a_loss_to_8_bits(tmp_path, kind, name):
  path = written(tmp_path / f"{kind}.x", RGB16, PROFILES[name])
  found = images.read_samples(path)
  # Half an 8-bit level at most, near black, where the primaries' rounding in the profiles tells most.
  difference = np.abs(found - expected(RGB16, name))
  assert found.dtype == np.uint16 and difference.max() <= 128 and np.median(difference) <= 8
  assert len(np.unique(found)) > 2000


def test_jpeg_colours_become_srgb(tmp_path):
  flat = np.zeros((32, 32, 3), np.uint8) + np.uint8([200, 60, 40])
  found = images.read_samples(written(tmp_path / "jpeg.x", flat, P3))
  plain = images.read_samples(written(tmp_path / "jpeg.x", flat, SRGB))
  assert np.abs(found - expected(plain, "p3")).max() <= 1.5


@pytest.mark.parametrize("kind", ["png", "tiff8", "webp", "png16", "tiff16"])
@pytest.mark.parametrize("icc", ["littlecms", "para", "damaged", "cut", "gray", "empty"])
def test_an_srgb_profile_and_one_that_cannot_be_used_change_nothing(tmp_path, kind, icc):
  samples = RGB16 if kind.endswith("16") else RGB8
  gray = P3[:16] + b"GRAY" + P3[20:]
  data = {"littlecms": SRGB, "para": SRGB, "damaged": P3[:140] + RNG.bytes(200), "cut": P3[:200], "gray": gray,
          "empty": b"\0"}[icc]
  np.testing.assert_array_equal(images.read_samples(written(tmp_path / f"{kind}.x", samples, data)), samples)


@pytest.mark.parametrize("kind", ["png", "tiff8", "png16", "tiff16"])
def test_gray_keeps_its_levels_under_any_profile(tmp_path, kind):
  """A sensor's levels are data, also where they were saved as RGB; and gray stays gray."""
  gray = (RGB16 if kind.endswith("16") else RGB8)[..., :1].repeat(3, -1)
  path = written(tmp_path / f"{kind}.x", gray, ADOBE)
  np.testing.assert_array_equal(images.read_samples(path), gray)
  assert not images.read_image(path).is_colour
  PIL.Image.fromarray(RGB8[..., 0]).save(tmp_path / "l.png", icc_profile=ADOBE)
  np.testing.assert_array_equal(images.read_samples(tmp_path / "l.png")[..., 0], RGB8[..., 0])


def test_float_tiff_keeps_its_values_under_any_profile(tmp_path):
  samples = (RGB16 / 65535).astype(np.float32)
  np.testing.assert_array_equal(images.read_samples(written(tmp_path / "tiff32.x", samples, P3)), samples)


@pytest.mark.parametrize("bit_depth", [8, 16])
def test_results_say_srgb_and_are_read_back_exactly(tmp_path, bit_depth):
  source = RGB8 if bit_depth == 8 else RGB16
  pixels = source / ((2**bit_depth - 1) / 2) - 1
  images.write_png(tmp_path / "colour.png", pixels, bit_depth=bit_depth)
  images.write_png(tmp_path / "gray.png", pixels[..., :1], bit_depth=bit_depth)
  with PIL.Image.open(tmp_path / "colour.png") as image:
    assert image.info["srgb"] == 0
    image.load()
  with PIL.Image.open(tmp_path / "gray.png") as image:
    assert "srgb" not in image.info
  np.testing.assert_array_equal(images.read_samples(tmp_path / "colour.png"), source)
  np.testing.assert_array_equal(images.read_samples(tmp_path / "gray.png"), source[..., :1])
  found = cv2.imread(str(tmp_path / "colour.png"), cv2.IMREAD_UNCHANGED)
  np.testing.assert_array_equal(found[..., ::-1], source)


def test_both_ways_of_conversion_agree(tmp_path):
  """8 bits through LittleCMS, 16 through the matrix and curves here."""
  deep = images.read_samples(written(tmp_path / "png16.x", RGB8.astype(np.uint16) * 257, P3))
  plain = images.read_samples(written(tmp_path / "png.x", RGB8, P3))
  assert np.abs(deep / 257 - plain).max() <= 1.01 and (plain != RGB8).any()
  assert PIL.ImageCms.getProfileDescription(io.BytesIO(P3)).strip() == "test"
