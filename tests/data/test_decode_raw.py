"""Which image of a TIFF container is read, and is the preview of a camera raw file never? Files as cameras and scanners
lay them."""

import io
import struct
import sys

import numpy as np
import pytest
import tifffile

from dig2dig_jax.data import decode, images
from dig2dig_jax.errors import UserError

RNG = np.random.default_rng(0)
WHOLE = RNG.integers(0, 256, (40, 60, 3)).astype(np.uint8)
SMALL = WHOLE[::4, ::4].copy()
SENSOR = RNG.integers(0, 16384, (40, 60)).astype(np.uint16)
DEEP = WHOLE.astype(np.uint16) * 257


def container(first, others=(), below=(), **options):
  """TIFF bytes: `first` with SubIFDs `below`, then further pages. Each is (samples, options of tifffile's write)."""
  file = io.BytesIO()
  with tifffile.TiffWriter(file, **options) as writer:
    samples, extra = first
    writer.write(samples, metadata=None, subifds=len(below) or None, **extra)
    for samples, extra in (*below, *others):
      writer.write(samples, metadata=None, **extra)
  return file.getvalue()


def rgb(samples, reduced=False, **options):
  return samples, {"photometric": "rgb", "subfiletype": int(reduced), **options}


def refused(tmp_path, data, match):
  path = tmp_path / "IMG_0001.tif"
  path.write_bytes(data)
  with pytest.raises(UserError, match=match) as error:
    images.read_image(path)
  assert str(error.value).startswith(f"{path}: expected a developed image, found a camera raw file (")
  assert str(error.value).endswith("); develop it first, to 16-bit TIFF or PNG")
  assert decode.read_size(path) is None


CFA = (SENSOR, {"photometric": "cfa", "subfiletype": 0})
NIKON = [(271, "s", 0, "NIKON CORPORATION", True)]
RAW = {
  "dng": container(rgb(SMALL, True, extratags=[(50706, "B", 4, (1, 4, 0, 0), True)]), below=[CFA]),
  "dng_without_preview": container((SENSOR, {"photometric": "minisblack", "extratags": [
    (50706, "B", 4, (1, 4, 0, 0), True)]})),
  "linear": container(rgb(SMALL, True), below=[(DEEP, {"photometric": "linear_raw", "subfiletype": 0})]),
  "nef": container(rgb(SMALL, True, extratags=NIKON), below=[CFA]),
  "preview_not_flagged": container(rgb(SMALL), below=[CFA]),
  "pef": container(CFA, others=[rgb(SMALL, True)]),
  "later_page": container(rgb(SMALL, True), others=[CFA]),
  "big_endian": container(rgb(SMALL, True), below=[CFA], byteorder=">"),
}


@pytest.mark.parametrize("kind", RAW)
def test_without_a_developer_a_camera_raw_file_is_refused_and_not_its_preview_read(tmp_path, kind, monkeypatch):
  monkeypatch.setitem(sys.modules, "rawpy", None)
  refused(tmp_path, RAW[kind], "NIKON CORPORATION" if kind == "nef" else "camera raw")
  refused(tmp_path, RAW[kind], r"dig2dig_jax\[raw\]")


@pytest.mark.parametrize("kind", RAW)
def test_a_camera_raw_file_is_developed_or_refused_and_not_its_preview_read(tmp_path, kind):
  pytest.importorskip("rawpy")
  path = tmp_path / "IMG_0001.tif"
  path.write_bytes(RAW[kind])
  if kind in ("dng_without_preview", "linear"):  # no mosaic that LibRaw could develop
    refused(tmp_path, RAW[kind], "which LibRaw cannot develop")
    return
  found = images.read_decoded(path)
  assert found.samples.shape[:2] == SENSOR.shape == decode.read_size(path) and found.samples.dtype == np.uint16
  assert "developed with the camera's white balance" in found.told


@pytest.mark.parametrize("head, maker", [
  (b"II*\0\x10\0\0\0CR\x02\0", "Canon CR2"), (b"FUJIFILMCCD-RAW 0201", "Fujifilm RAF"),
  (b"IIU\0\x18\0\0\0", "Panasonic RW2"), (b"IIRO\x08\0\0\0", "Olympus ORF"),
  (b"\0\0\0\x18ftypcrx ", "Canon CR3"), (b"II*\0\x08\0\0\0IIII", "Phase One IIQ"),
])
def test_raw_files_are_known_by_their_first_bytes(tmp_path, head, maker):
  refused(tmp_path, head + bytes(200), maker)


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("kind", ["pyramid", "thumbnail behind", "thumbnail before", "whole below", "mask behind"])
def test_the_image_of_full_resolution_is_read(tmp_path, kind, deep, order, compression):
  whole, small = (DEEP, DEEP[::4, ::4].copy()) if deep else (WHOLE, SMALL)
  options = {"compression": compression}
  data = {
    "pyramid": lambda: container(rgb(whole, **options), below=[rgb(small, True), rgb(small[::2].copy(), True)],
                                 byteorder=order),
    "thumbnail behind": lambda: container(rgb(whole, **options), others=[rgb(small, True)], byteorder=order),
    "thumbnail before": lambda: container(rgb(small, True), others=[rgb(whole, **options)], byteorder=order,
                                          bigtiff=True),
    "whole below": lambda: container(rgb(small, True), below=[rgb(whole, **options)], byteorder=order),
    "mask behind": lambda: container(rgb(whole, **options), others=[rgb(whole, True)], byteorder=order).replace(
      struct.pack(order + "HHII", 254, 4, 1, 1), struct.pack(order + "HHII", 254, 4, 1, 4)),
  }[kind]()
  path = tmp_path / "x.tif"
  path.write_bytes(data)
  np.testing.assert_array_equal(images.read_samples(path), whole)
  assert decode.read_size(path) == whole.shape[:2]


def test_the_image_behind_a_thumbnail_is_found_by_opencvs_way_in_too(tmp_path):
  """A chain by hand: a small page, flagged, before an LZW-compressed page of 16 bits that only OpenCV decompresses."""
  import cv2
  encoded = cv2.imencode(".tiff", DEEP[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, 5])[1].tobytes()
  assert encoded[:4] == b"II*\0"
  (first,) = struct.unpack_from("<I", encoded, 4)
  tags = [(254, 4, 1), (256, 3, 1), (257, 3, 1), (258, 3, 8), (262, 3, 1), (273, 4, 0), (277, 3, 1), (278, 3, 1),
          (279, 4, 1)]
  small = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag[:2], 1, tag[2]) for tag in tags)
  path = tmp_path / "x.tif"
  path.write_bytes(encoded[:4] + struct.pack("<I", len(encoded)) + encoded[8:] + small + struct.pack("<I", first))
  np.testing.assert_array_equal(images.read_samples(path), DEEP)


def test_several_whole_images_stay_several(tmp_path):
  (tmp_path / "x.tif").write_bytes(container(rgb(WHOLE), others=[rgb(WHOLE), rgb(SMALL, True)]))
  with pytest.raises(UserError, match="found 2 pages or frames"):
    images.read_image(tmp_path / "x.tif")


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_page_is_turned_by_its_own_tag(tmp_path, order, bigtiff, deep):
  whole, small = (DEEP, DEEP[::4, ::4].copy()) if deep else (WHOLE, SMALL)
  turned = rgb(whole, extratags=[(0x0112, "H", 1, 6, True)])
  (tmp_path / "x.tif").write_bytes(container(rgb(small, True), others=[turned], byteorder=order, bigtiff=bigtiff))
  np.testing.assert_array_equal(images.read_samples(tmp_path / "x.tif"), np.rot90(whole, -1))
  assert decode.read_size(tmp_path / "x.tif") == (60, 40)
