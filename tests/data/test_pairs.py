"""Pairing by name, on folders made here."""

import os
import unicodedata

import numpy as np
import PIL.Image
import pytest

from dig2dig_jax.data import pairs
from dig2dig_jax.errors import UserError


def make(root, *names, size=(4, 5), colour=False):
  for name in names:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB" if colour else "L", size[::-1], (9, 8, 7) if colour else 9).save(path, format="PNG")


def test_pairs_by_name_without_case_in_natural_order(tmp_path):
  make(tmp_path, "ir/10.png", "ir/2.PNG", "ir/Sky_A.png", "vi/2.jpg", "vi/10.png", "vi/sky_a.png")
  found, report = pairs.find_pairs(tmp_path, ["vi", "ir"])
  assert [p.name for p in found] == ["2", "10", "sky_a"] and report == []
  assert list(found[0].files) == ["vi", "ir"]
  assert found[2].files == {"vi": tmp_path / "vi/sky_a.png", "ir": tmp_path / "ir/Sky_A.png"}


def test_a_missing_file_shifts_nothing_and_is_reported(tmp_path):
  make(tmp_path, "ir/1.png", "ir/2.png", "ir/3.png", "vi/2.png", "vi/3.png", "vi/4.png")
  (tmp_path / "vi" / "readme.txt").write_text("x")
  (tmp_path / "vi" / "5.gif").write_text("x")
  (tmp_path / "vi" / ".DS_Store").write_text("x")
  found, report = pairs.find_pairs(tmp_path, ["ir", "vi"])
  assert [(p.files["ir"].name, p.files["vi"].name) for p in found] == [("2.png", "2.png"), ("3.png", "3.png")]
  assert report == [
    f"{tmp_path}/vi/5.gif: expected PNG, JPEG, TIFF, BMP, WebP, HEIC, AVIF, JPEG 2000, OpenEXR or camera raw; convert "
    "it to PNG; left out",
    f"{tmp_path}/vi/readme.txt: not an image; left out",
    f"{tmp_path}/ir/1.png: present in ir, missing in vi; left out",
    f"{tmp_path}/vi/4.png: present in vi, missing in ir; left out",
  ]


def test_what_is_there_but_no_file_is_said(tmp_path):
  make(tmp_path, *(f"{source}/{name}.png" for source, names in (("ir", "1"), ("vi", "12345")) for name in names))
  (tmp_path / "ir" / "2.png").symlink_to("nowhere.png")
  (tmp_path / "ir" / "3.png").symlink_to("3.png")
  os.mkfifo(tmp_path / "ir" / "4.png")
  (tmp_path / "ir" / "5.png").mkdir()
  (tmp_path / "ir" / "more").mkdir()
  found, report = pairs.find_pairs(tmp_path, ["ir", "vi"])
  assert [pair.name for pair in found] == ["1"]
  assert report[:4] == [f"{tmp_path}/ir/{name}.png: expected a file, found {kind}; left out" for name, kind in (
    ("2", "a link that points to nothing"), ("3", "a link that points to nothing"), ("4", "a pipe"), ("5", "a folder"),
  )]  # fmt: skip
  assert [line.split(": ")[1] for line in report[4:]] == ["present in vi, missing in ir; left out"] * 4


def test_a_folder_of_links_to_nothing_or_a_link_in_place_of_one_is_said(tmp_path):
  make(tmp_path, "ir/1.png")
  (tmp_path / "vi").symlink_to("unmounted")
  with pytest.raises(UserError, match="vi: expected a folder of images, found a link that points to nothing; fix it"):
    pairs.find_pairs(tmp_path, ["ir", "vi"])
  (tmp_path / "unmounted").mkdir()
  (tmp_path / "vi" / "1.png").symlink_to("gone")
  with pytest.raises(UserError, match="vi: expected images, found none; .*/vi/1.png: expected a file, found a link"):
    pairs.find_pairs(tmp_path, ["ir", "vi"])
  named = pairs.Pair("1", {"vi": tmp_path / "vi" / "1.png"})  # by a manifest
  with pytest.raises(UserError, match="vi/1.png: expected an image file, found a link that points to nothing; check"):
    named.read()


def test_three_sources(tmp_path):
  make(tmp_path, "x/1.png", "y/1.png", "z/1.png", "x/2.png", "y/2.png")
  found, report = pairs.find_pairs(tmp_path, ["z", "x", "y"])
  assert [list(p.files) for p in found] == [["z", "x", "y"]]
  assert [line.split(": ")[1] for line in report] == [f"present in {s}, missing in z; left out" for s in "xy"]


@pytest.mark.parametrize("folder, source", [
  ("IR", "ir"), ("Infrared", "ir"), ("thermal", "ir"), ("lwir", "IR"), ("vis", "vi"), ("visible", "rgb"), ("near", "a"),
  ("A", "near"), ("far", "b"), ("low", "under"), ("high", "over"), ("MR", "mri"), ("PET", "pet"),
])
def test_folder_names_and_aliases(tmp_path, folder, source):
  make(tmp_path, f"{folder}/1.png", "other/1.png")
  found, _ = pairs.find_pairs(tmp_path, [source, "other"])
  assert found[0].files[source] == tmp_path / folder / "1.png"


def test_the_exact_name_wins_over_an_alias(tmp_path):
  make(tmp_path, "visible/1.png", "rgb/1.png", "vi/1.png", "ir/1.png")
  found, _ = pairs.find_pairs(tmp_path, ["ir", "vi"])
  assert found[0].files["vi"] == tmp_path / "vi/1.png"


def test_names_compose_accents_alike(tmp_path):
  make(tmp_path, "ir/" + unicodedata.normalize("NFC", "été.png"), "vi/" + unicodedata.normalize("NFD", "été.png"))
  assert len(pairs.find_pairs(tmp_path, ["ir", "vi"])[0]) == 1


@pytest.mark.parametrize("files, sources, says", [
  ([], ["ir", "vi"], "found no folders; name the folders to fuse with --sources="),
  (["ir/1.png", "mask/1.png"], ["ir", "vi"], "source 'vi', found ir, mask; name the folders to fuse with --sources="),
  (["ir/1.png", "vis/1.png", "rgb/1.png"], ["ir", "vi"], "one folder for source 'vi', found rgb, vis; "),
  (["ir/1.png", "vi/1.png"], ["ir", "thermal"], "found ir twice"),
  (["ir/1.png", "vi/1.png"], ["ir", "ir"], "found ir twice"),
  (["ir/1.png"], ["ir"], "expected at least two sources"),
  (["ir/1.png", "vi/sub/1.png"], ["ir", "vi"], "vi: expected images, found only the folders sub; "),
  (["ir/1.png", "vi/2.png"], ["ir", "vi"], r"none in common \(for example ir/1.png, vi/2.png\)"),
  (["ir/1.png", "ir/1.jpg", "vi/1.png"], ["ir", "vi"], "one file named '1' in ir, found 1.jpg too"),
])
def test_faults_of_folders(tmp_path, files, sources, says):
  make(tmp_path, *files)
  with pytest.raises(UserError, match=says) as error:
    pairs.find_pairs(tmp_path, sources)
  assert "\n" not in str(error.value) and str(error.value).startswith(str(tmp_path))


def test_missing_root_and_empty_folder(tmp_path):
  with pytest.raises(UserError, match="absent: expected a folder .*found No such file or directory; check --data"):
    pairs.find_pairs(tmp_path / "absent", ["ir", "vi"])
  make(tmp_path, "ir/1.png")
  (tmp_path / "vi").mkdir()
  with pytest.raises(UserError, match="vi: expected images, found none; "):
    pairs.find_pairs(tmp_path, ["ir", "vi"])


def test_load_pair_stacks_in_order(tmp_path):
  make(tmp_path, "ir/1.png")
  make(tmp_path, "vi/1.png", colour=True)
  loaded = pairs.load_pair(pairs.find_pairs(tmp_path, ["vi", "ir"])[0][0])
  assert loaded.name == "1" and loaded.sources.shape == (2, 4, 5, 3) and loaded.sources.dtype == np.float32
  assert loaded.is_colour == (True, False) and loaded.bit_depths == (8, 8)
  np.testing.assert_allclose(loaded.sources[0, 0, 0], np.array([9, 8, 7]) / 127.5 - 1, atol=1e-6)
  np.testing.assert_allclose(loaded.sources[1], 9 / 127.5 - 1, atol=1e-6)


def test_load_pair_refuses_different_sizes(tmp_path):
  make(tmp_path, "ir/1.png", size=(4, 5))
  make(tmp_path, "vi/1.png", size=(8, 10))
  with pytest.raises(UserError) as error:
    pairs.load_pair(pairs.find_pairs(tmp_path, ["ir", "vi"])[0][0])
  assert str(error.value) == (
    f"{tmp_path}/vi/1.png: expected 4x5 (height x width) as in {tmp_path}/ir/1.png, found 8x10; "
    "take --resize=aspect, or --align=auto")


def test_content_id_is_crc32_of_the_composed_name():
  assert pairs.content_id("123456789") == 0xCBF43926  # the published check value of CRC-32
  assert pairs.content_id("e\u0301") == pairs.content_id("\u00e9")
  assert 0 <= pairs.content_id("x\udcff") < 2**32  # a file name that is not UTF-8
