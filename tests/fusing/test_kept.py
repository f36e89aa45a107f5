"""Does a fused image keep what its colour source says of itself, and nothing that is not true of it?"""

import io
import struct

import numpy as np
import PIL.Image
import PIL.ImageCms
import pytest
from scenes import scene
from test_fuse import fuse_folder

from dig2dig_jax.data import icc, images, kept

SRGB = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
pytestmark = pytest.mark.usefixtures("quick_compile")


def exif(orientation):
  found = PIL.Image.Exif()
  found[0x0112], found[271], found[272], found[306] = orientation, "Maker", "Model 1", "2026:11:27 12:00:00"
  found[256] = 9999  # a width that the fused image has not
  found.get_ifd(0x8769).update({0x9003: "2026:11:27 12:00:00", 0x829A: 0.01, 0xA002: 9999, 0x927C: b"maker's own"})
  found.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 0.0)})
  return found


def thumbnail():
  file = io.BytesIO()
  PIL.Image.fromarray(scene(3, 16, 16)).save(file, "JPEG")
  return file.getvalue()


def with_thumbnail(found):
  """The bytes of an EXIF block behind which a directory of a preview follows, as cameras write it."""
  data = bytearray(found.tobytes()[6:])
  order = "<" if data[:2] == b"II" else ">"
  (start,) = struct.unpack_from(order + "I", data, 4)
  (count,) = struct.unpack_from(order + "H", data, start)
  struct.pack_into(order + "I", data, start + 2 + 12 * count, len(data))
  end = len(data) + 2 + 3 * 12 + 4
  tags = [(259, 6), (513, end), (514, len(thumbnail()))]
  entries = b"".join(struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in tags)
  return b"Exif\0\0" + bytes(data) + struct.pack(order + "H", 3) + entries + bytes(4) + thumbnail()


def photograph(orientation):
  file = io.BytesIO()
  own = with_thumbnail(exif(orientation))
  PIL.Image.fromarray(scene(1, 32, 24)).save(file, "JPEG", exif=own, icc_profile=SRGB, quality=95)
  return file.getvalue()


@pytest.fixture
def pairs(tmp_path):
  for source, name, data in (("vi", "a.jpg", photograph(6)), ("vi", "b.png", None), ("ir", "a.png", None),
                             ("ir", "b.png", None)):  # fmt: skip
    path = tmp_path / "in" / source / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if data is not None:
      path.write_bytes(data)
    else:
      PIL.Image.fromarray(scene(9, 24, 32)[..., : 3 if source == "vi" else 1].squeeze()).save(path)
  return tmp_path


def test_a_fused_photograph_keeps_when_and_with_what_it_was_taken(pairs):
  report = fuse_folder(pairs / "in", pairs / "out", described_by="vi")
  assert report.done == 2
  with PIL.Image.open(pairs / "out" / "a.png") as fused:
    found = fused.getexif()
    assert fused.size == (32, 24) and found.get(0x0112, 1) == 1
    assert (found[271], found[272], found[306]) == ("Maker", "Model 1", "2026:11:27 12:00:00") and 256 not in found
    assert found.get_ifd(0x8769) == {0x9003: "2026:11:27 12:00:00", 0x829A: 0.01}
    assert found.get_ifd(0x8825) == {1: "N", 2: (48.0, 8.0, 0.0)}
    assert thumbnail() in photograph(6) and b"\xff\xd8\xff" not in fused.info["exif"]
    assert fused.info["icc_profile"] == icc.srgb()
  with PIL.Image.open(pairs / "out" / "b.png") as fused:
    assert "exif" not in fused.info and "icc_profile" not in fused.info and fused.info["srgb"] == 0
  first = (pairs / "out" / "a.png").read_bytes()
  fuse_folder(pairs / "in", pairs / "again", described_by="vi")
  assert (pairs / "again" / "a.png").read_bytes() == first
  again = fuse_folder(pairs / "in", pairs / "out", described_by="vi")
  assert (again.done, again.skipped) == (0, 2)


def test_a_profile_of_srgb_is_the_same_at_every_time_and_changes_nothing():
  icc.srgb.cache_clear()
  assert icc.srgb()[24:36] == b"\x07\xd0\0\1\0\1\0\0\0\0\0\0" and icc.srgb()[84:100] == bytes(16)
  colours = scene(2, 8, 8)
  np.testing.assert_array_equal(icc.to_srgb(colours, icc.srgb()), colours)


def test_a_gray_image_has_no_profile_of_colours(tmp_path):
  images.write_png(tmp_path / "x.png", np.zeros((4, 4, 1)), kept=kept.Kept(b"", True))
  assert b"iCCP" not in (tmp_path / "x.png").read_bytes()


@pytest.mark.parametrize("data", [b"", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0" + bytes(40), b"\xff" * 200])
def test_a_damaged_description_is_not_kept_and_no_fault(data):
  assert kept.of(data, None) == kept.NOTHING


def test_a_description_that_is_too_long_for_a_camera_is_not_kept():
  found = exif(1)
  found[270] = "x" * 70_000
  assert kept.of(found, None) == kept.NOTHING


def test_what_was_kept_is_kept_again(tmp_path):
  own = kept.of(exif(3), SRGB)
  images.write_png(tmp_path / "x.png", np.zeros((4, 4, 3)), kept=own)
  assert images.read_image(tmp_path / "x.png").kept == own and own.exif
