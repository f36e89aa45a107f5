"""Are the pairs of published data sets found, in miniature trees with their real names and their real traps?"""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from scenes import scene, write

from dig2dig_jax.data import datasets
from dig2dig_jax.data.pairs import load_pair
from dig2dig_jax.data.splits import SPLITS
from dig2dig_jax.errors import UserError

IR_VI, A_B = ("ir", "vi"), ("a", "b")


def tree(root, *paths, size=(6, 8)):
  """Small images under `root`; the extension decides the format."""
  for i, path in enumerate(paths):
    write(root / path, scene(i, *size, 3))
  return root


def names(found):
  """{pair: [path relative to the data, per source]}."""
  return {pair.name: [str(path) for path in pair.files.values()] for pair in found}


def find(root, sources, dataset, **options):
  found, left_out = datasets.find(root, sources, dataset=dataset, **options)
  assert all(list(pair.files) == list(sources) for pair in found)
  return {name: [path.removeprefix(f"{root}/") for path in paths] for name, paths in names(found).items()}, left_out


def test_llvip(tmp_path):
  tree(tmp_path, *(f"{kind}/{part}" for kind in ("infrared", "visible")
                   for part in ("train/010001.jpg", "train/010002.jpg", "test/190001.jpg")))  # fmt: skip
  found, left_out = find(tmp_path, IR_VI, "llvip")
  assert list(found) == ["010001", "010002", "190001"] and not left_out
  assert found["190001"] == ["infrared/test/190001.jpg", "visible/test/190001.jpg"]
  assert list(find(tmp_path, IR_VI, "llvip", split="test")[0]) == ["190001"]


def test_m3fd_with_its_lists_and_infrared_stored_as_colour(tmp_path):
  tree(tmp_path, *(f"{kind}/{number}.png" for kind in ("Ir", "Vis") for number in ("00000", "00001", "00002")))
  gray = scene(7, 6, 8, 1)
  cv2.imwrite(str(tmp_path / "Ir" / "00000.png"), np.repeat(gray, 3, axis=-1))  # 24 bits, all channels alike
  (tmp_path / "meta").mkdir()
  (tmp_path / "meta" / "pred.txt").write_text("00002.png\n00000.png\n")
  found, _ = datasets.find(tmp_path, IR_VI, dataset="m3fd")
  assert [pair.name for pair in found] == ["00000", "00001", "00002"]
  assert load_pair(found[0]).is_colour == (False, True)
  assert list(find(tmp_path, IR_VI, "m3fd", split="pred")[0]) == ["00002", "00000"]
  with pytest.raises(UserError, match="meta/val.txt: expected a name per line, found No such file"):
    find(tmp_path, IR_VI, "m3fd", split="val")


def test_msrs(tmp_path):
  tree(tmp_path, *(f"{part}/{kind}.png" for part in ("train", "test") for kind in ("ir/00537D", "vi/00537D")))
  with pytest.raises(UserError, match="expected one pair named '00537D' .* choose one part of the set with --split"):
    find(tmp_path, IR_VI, "msrs")
  found, _ = find(tmp_path, IR_VI, "msrs", split="train")
  assert found == {"00537D": ["train/ir/00537D.png", "train/vi/00537D.png"]}
  for kind in IR_VI:
    (tmp_path / "test" / kind / "00537D.png").rename(tmp_path / "test" / kind / "00004N.png")
  assert list(find(tmp_path, IR_VI, "msrs")[0]) == ["00537D", "00004N"]


def test_roadscene_takes_the_folders_that_are_registered_to_each_other(tmp_path):
  folders = ("cropinfrared", "crop_LR_visible", "crop_HR_visible", "infrared")
  tree(tmp_path, *(f"{folder}/FLIR_{number}.jpg" for folder in folders for number in ("00211", "00006")))
  found, left_out = find(tmp_path, ("infrared", "visible"), "roadscene")
  assert found["FLIR_00211"] == ["cropinfrared/FLIR_00211.jpg", "crop_LR_visible/FLIR_00211.jpg"]
  assert list(found) == ["FLIR_00006", "FLIR_00211"] and not left_out
  with pytest.raises(UserError, match="--split=ddfm: expected its 50 names among the pairs, found 49 missing"):
    find(tmp_path, IR_VI, "roadscene", split="ddfm")
  (tmp_path / "none.txt").write_text("\n")
  with pytest.raises(UserError, match="none.txt: expected names of pairs, one per line, found none"):
    find(tmp_path, IR_VI, "roadscene", split=str(tmp_path / "none.txt"))
  assert len(SPLITS["roadscene", "ddfm"]) == len(set(SPLITS["roadscene", "ddfm"])) == 50


def test_tno_in_two_folders_and_by_scene(tmp_path):
  tree(tmp_path / "copy", "ir/01.png", "vi/01.png")
  assert list(find(tmp_path / "copy", IR_VI, "tno")[0]) == ["01"]
  tree(
    tmp_path / "whole",
    "Athena_images/soldier_in_trench_1/IR_meting003_g.bmp",
    "Athena_images/soldier_in_trench_1/VIS_meting003_r.bmp",
    "Triclobs_images/Kaptein_01/Kaptein_01_IR.bmp",
    "Triclobs_images/Kaptein_01/Kaptein_01_Vis.bmp",
    "Triclobs_images/Kaptein_01/Kaptein_01_IV.bmp",
    "FEL_images/Tree_sequence/1/thermal/IR_4917.bmp",
    "FEL_images/Tree_sequence/1/VIS_4917.bmp",
  )
  found, left_out = find(tmp_path / "whole", IR_VI, "tno")
  assert list(found) == ["Athena_images_soldier_in_trench_1", "Triclobs_images_Kaptein_01"]
  assert found["Triclobs_images_Kaptein_01"][0].endswith("Kaptein_01_IR.bmp")
  assert len(left_out) == 2 and all("name them in a --manifest" in line for line in left_out)


@pytest.mark.parametrize("inside", ["input/", ""])
def test_vifb(tmp_path, inside):
  tree(tmp_path, *(f"{inside}{kind}/carLight.jpg" for kind in ("IR", "VI")), f"{inside}VI/kettle.jpg")
  found, left_out = find(tmp_path, IR_VI, "vifb")
  assert found == {"carLight": [f"{inside}IR/carLight.jpg", f"{inside}VI/carLight.jpg"]}
  assert "kettle.jpg: present in vi, missing in ir" in left_out[0]


def test_mfifb_lytro_and_mffw(tmp_path):
  tree(tmp_path, *(f"input/{name}/{name}_{letter}.{kind}" for letter in "AB"
                   for name, kind in (("lytro_01", "jpg"), ("mffw_01", "jpg"), ("book", "bmp"), ("mffw_10", "png"))))
  found, left_out = find(tmp_path, A_B, "mfifb")
  assert list(found) == ["book", "lytro_01", "mffw_01", "mffw_10"] and not left_out
  assert found["book"] == ["input/book/book_A.bmp", "input/book/book_B.bmp"]
  assert list(find(tmp_path, ("near", "far"), "lytro")[0]) == ["lytro_01"]
  assert list(find(tmp_path, A_B, "mffw")[0]) == ["mffw_01", "mffw_10"]
  own = tree(tmp_path / "own", "lytro-01-A.jpg", "lytro-01-B.jpg", "lytro-02-A.jpg")
  found, left_out = find(own, A_B, "lytro")
  assert list(found) == ["lytro-01"]
  assert "lytro-02-A.jpg: expected one file for each of A, B, found lytro-02-A.jpg; left out" in left_out[0]


@pytest.mark.parametrize(
  "dataset, first, second",
  [("tno", "scene/IR_1.bmp", "scene/VIS_1.bmp"), ("mfifb", "input/book_A.png", "input/book_B.png"),
   ("sice", "001/1.JPG", "001/2.JPG"), ("m3fd", "Ir/1.png", "Vis/1.png")],
)  # fmt: skip
def test_a_link_to_nothing_is_said_by_every_reader(tmp_path, dataset, first, second):
  tree(tmp_path, *(path.replace("001", "002").replace("scene", "other").replace("book", "toys").replace("/1.p", "/2.p")
                   for path in (first, second)), first)  # fmt: skip
  (tmp_path / second).symlink_to("nowhere")
  found, left_out = find(tmp_path, IR_VI, dataset)
  assert len(found) == 1
  assert f"{tmp_path / second}: expected a file, found a link that points to nothing; left out" in left_out


def test_mefb_with_its_traps(tmp_path):
  tree(
    tmp_path,
    "input/Lighthouse/Lighthouse_a.png", "input/Lighthouse/Lighthouse_B.png",  # case of the letter
    "input/FarmHouse/FarmHouse_A.jpg", "input/FarmHouse/Farmhouse_B.jpg",  # case of the name
    "input/sKY/sKY_a.png", "input/sKY/sky_B.png",
    "input/Arno/Arno_A.JPG", "input/Arno/Arno_B.jpg",  # case of the extension
    "input/Château/Château_A.png", "input/Château/Château_B.png",  # a name beyond ASCII
    "input/Arno/Arno.jpg", "input/Arno/IMG_0012.jpg",  # the originals that they were made of
    "input/Door/Door_A.png", "input/Door/Door_A.jpg", "input/Door/Door_B.png",  # two files for one
  )  # fmt: skip
  found, left_out = find(tmp_path, ("under", "over"), "mefb")
  assert {name.casefold() for name in found} == {"lighthouse", "farmhouse", "sky", "arno", "château"}
  assert found["Arno"] == ["input/Arno/Arno_A.JPG", "input/Arno/Arno_B.jpg"]
  assert len(left_out) == 3
  assert sum("no _A or _B at the end" in line for line in left_out) == 2
  assert any("Door_A.jpg, Door_A.png" in line for line in left_out)


def test_sice_takes_the_ends_of_a_sequence(tmp_path):
  tree(tmp_path, *(f"001/{i}.JPG" for i in range(1, 8)), *(f"002/{i}.JPG" for i in range(1, 11)), "003/1.JPG",
       "Label/001.JPG", "Label/002.JPG")  # fmt: skip
  found, left_out = find(tmp_path, ("under", "over"), "sice")
  assert found == {"001": ["001/1.JPG", "001/7.JPG"], "002": ["002/1.JPG", "002/10.JPG"]}
  assert "003: expected at least 2 exposures, found 1" in left_out[0]
  found, _ = find(tmp_path, ("low", "mid", "high"), "sice")
  assert found["001"] == ["001/1.JPG", "001/4.JPG", "001/7.JPG"]


def test_harvard_with_a_png_that_is_named_jpg(tmp_path):
  tree(tmp_path, *(f"{both}/{one}/16003.png" for both, one in (
    ("CT-MRI", "CT"), ("CT-MRI", "MRI"), ("PET-MRI", "PET"), ("PET-MRI", "MRI"), ("SPECT-MRI", "SPECT"),
    ("SPECT-MRI", "MRI"))))  # fmt: skip
  for one in ("CT", "MRI"):
    (tmp_path / "CT-MRI" / one / "16003.png").rename(tmp_path / "CT-MRI" / one / "41101.jpg")
  found, _ = datasets.find(tmp_path, ("mri", "ct"), dataset="harvard")
  assert names(found) == {"41101": [str(tmp_path / "CT-MRI" / one / "41101.jpg") for one in ("MRI", "CT")]}
  assert load_pair(found[0]).sources.shape == (2, 6, 8, 3)
  assert find(tmp_path, ("mri", "spect"), "harvard")[0] == {
    "16003": ["SPECT-MRI/MRI/16003.png", "SPECT-MRI/SPECT/16003.png"]
  }
  with pytest.raises(UserError, match="expected a folder IR-VI with a folder per source"):
    find(tmp_path, IR_VI, "harvard")


def test_a_split_file_chooses_and_orders(tmp_path):
  tree(tmp_path, *(f"{kind}/{name}.png" for kind in IR_VI for name in "abc"))
  (tmp_path / "some.txt").write_text("C.png\n\na\na\n")
  assert list(find(tmp_path, IR_VI, "folders", split=str(tmp_path / "some.txt"))[0]) == ["c", "a"]


@pytest.mark.parametrize(
  "lines, message",
  [
    ([], "expected a line per pair, found none"),
    (["not json"], "line 1: expected .*found JSONDecodeError"),
    ([{"id": "p", "files": {"ir": "p.png"}}], "line 1: .*found KeyError: 'vi'; see --list and --sources"),
    ([{"id": "../p", "files": {"ir": "p", "vi": "q"}}], "line 1: expected an id that can be a file's name, found"),
    ([{"id": "p", "files": {"ir": "p", "vi": "q"}}] * 2, "line 2: expected each id once, found 'p' again"),
  ],
)
def test_a_bad_manifest_is_refused_with_its_line(tmp_path, lines, message):
  path = tmp_path / "list.jsonl"
  path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
  with pytest.raises(UserError, match=message):
    datasets.find("", IR_VI, manifest=path)


def test_a_manifest_names_its_files_from_where_it_lies(tmp_path):
  (tmp_path / "list.jsonl").write_text(json.dumps({"id": "p", "files": {"ir": "x/1.png", "vi": "/y/2.png"}}) + "\n\n")
  (pair,), _ = datasets.find("", IR_VI, manifest=tmp_path / "list.jsonl")
  assert [str(path) for path in pair.files.values()] == [f"{tmp_path}/x/1.png", "/y/2.png"]


@pytest.mark.parametrize("dataset", sorted(set(datasets.READERS) - {"folders"}))
def test_a_folder_of_something_else_is_refused_in_one_line(tmp_path, dataset):
  for root in (tree(tmp_path / "other", "pictures/cat.png"), tmp_path / "missing"):
    with pytest.raises(UserError, match=f"{root.name}: expected .*found .*check --data"):
      datasets.find(root, ("mri", "ct") if dataset == "harvard" else IR_VI, dataset=dataset)


@pytest.mark.parametrize(
  "options, says",
  [
    ({}, r"a file with a name per line \(--dataset=folders has no splits of its own\), found nothing there"),
    ({"dataset": "msrs"}, r"one of train, test \(of --dataset=msrs\), or a file with a name per line, found nothing"),
    ({"dataset": "roadscene"}, r"one of ddfm \(of --dataset=roadscene\), or a file with a name per line, found"),
    ({"dataset": "m3fd", "manifest": "x"}, r"a file with a name per line \(a manifest has no splits of its own\), "),
  ],
)
def test_a_split_that_is_not_there_is_refused_with_those_that_are(tmp_path, monkeypatch, options, says):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(UserError, match=f"^--split=zz: expected {says}"):
    datasets.find(tmp_path / "not_looked_at", IR_VI, split="zz", **options)


def test_what_lies_where_a_split_should_be_is_said(tmp_path):
  for make, says in ((Path.mkdir, "a folder"), (os.mkfifo, "a pipe"), (lambda at: at.symlink_to("x"), "a link that")):
    make(tmp_path / says)
    with pytest.raises(UserError, match=f"expected a file with a name per line.*, found {says}"):
      datasets.find(tmp_path, IR_VI, split=str(tmp_path / says))


def test_unknown_names_are_refused(tmp_path):
  tree(tmp_path, "ir/a.png", "vi/a.png")
  with pytest.raises(UserError, match="--dataset=cifar: expected one of folders, names, stacks, llvip"):
    datasets.find(tmp_path, IR_VI, dataset="cifar")
  with pytest.raises(UserError, match="expected 2 sources for this data set, found --sources=a,b,c"):
    datasets.find(tree(tmp_path / "v", "IR/a.png", "VI/a.png"), ("a", "b", "c"), dataset="vifb")
