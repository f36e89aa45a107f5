"""Do names say which source an image is, and of which scene, whatever the camera, and is nothing else joined?"""

from pathlib import Path

import pytest
from scenes import write_pair

from dig2dig_jax.data import naming
from dig2dig_jax.data.pairs import find_pairs, find_scenes
from dig2dig_jax.errors import UserError

THERMAL = ("ir", "vi")


def together(names, sources=THERMAL):
  scenes, left_out = naming.together([Path(name) for name in names.split()], sources)
  return {scene.name: " ".join(path.name for path in scene.files.values()) for scene in scenes}, left_out


@pytest.mark.parametrize(
  ("names", "scenes"),
  [
    ("DJI_0001_T.JPG DJI_0001_W.JPG DJI_0001_Z.JPG", {"DJI_0001": "DJI_0001_T.JPG DJI_0001_W.JPG"}),
    ("DJI_0001_Z.JPG DJI_0001_V.JPG DJI_0001_T.JPG", {"DJI_0001": "DJI_0001_T.JPG DJI_0001_V.JPG"}),
    ("dji_0001_t.jpg DJI_0001_W.JPG", {"dji_0001": "dji_0001_t.jpg DJI_0001_W.JPG"}),
    ("1_vis.png 1_lwir.tif 2_vis.png 2_lwir.tif", {"1": "1_lwir.tif 1_vis.png", "2": "2_lwir.tif 2_vis.png"}),
    ("thermal_7.png rgb_7.png", {"7": "thermal_7.png rgb_7.png"}),
    ("IR0007.png VIS0007.png", {"0007": "IR0007.png VIS0007.png"}),
    ("0007ir.png 0007vi.png", {"0007": "0007ir.png 0007vi.png"}),
    ("sceneIR.png sceneRGB.png", {"scene": "sceneIR.png sceneRGB.png"}),
    ("night-IR-3.png night-VIS-3.png", {"night_3": "night-IR-3.png night-VIS-3.png"}),
    ("ir.png vi.png", {"": "ir.png vi.png"}),
    ("07.jpg 07_thermal.png", {"07": "07_thermal.png 07.jpg"}),
    ("IRX_0001.TIFF MAX_0001.JPG", {"0001": "IRX_0001.TIFF MAX_0001.JPG"}),
    ("IR_0001.jpg DC_0002.jpg IR_0003.jpg DC_0004.jpg", {"0001": "IR_0001.jpg DC_0002.jpg",
                                                         "0003": "IR_0003.jpg DC_0004.jpg"}),
    ("FLIR0001.jpg DC_0002.jpg", {"0001": "FLIR0001.jpg DC_0002.jpg"}),
    ("IR_0001.jpg DC_0001.jpg IR_0002.jpg DC_0002.jpg", {"0001": "IR_0001.jpg DC_0001.jpg",
                                                         "0002": "IR_0002.jpg DC_0002.jpg"}),
    ("DJI_20240101120000_0001_T.JPG DJI_20240101120001_0001_V.JPG DJI_20240101120500_0002_T.JPG "
     "DJI_20240101120500_0002_V.JPG",
     {"DJI_20240101120000_0001": "DJI_20240101120000_0001_T.JPG DJI_20240101120001_0001_V.JPG",
      "DJI_20240101120500_0002": "DJI_20240101120500_0002_T.JPG DJI_20240101120500_0002_V.JPG"}),
    ("20240101_120000_IR.png 20240101_120002_VIS.png 20240101_120100_IR.png",
     {"20240101_120000": "20240101_120000_IR.png 20240101_120002_VIS.png"}),
    ("20240101_120000_IR.png 20240101_120009_VIS.png", {}),  # nine seconds are another shot
    ("a.png b.png c.png", {}),
    ("IR_0001.jpg VIS_0002.jpg", {}),  # numbers of their own, not numbered on
  ],
)  # fmt: skip
def test_the_scenes_of_one_folder(names, scenes):
  assert together(names)[0] == scenes


def test_other_sources_go_by_their_own_words():
  assert together("DJI_1_T.JPG DJI_1_W.JPG DJI_1_Z.JPG", ("T", "Z"))[0] == {"DJI_1": "DJI_1_T.JPG DJI_1_Z.JPG"}
  assert together("lytro-01-A.jpg lytro-01-B.jpg", ("a", "b"))[0] == {"lytro-01": "lytro-01-A.jpg lytro-01-B.jpg"}
  assert together("p_nir.png p_swir.png", ("nir", "swir"))[0] == {"p": "p_nir.png p_swir.png"}
  assert together("x_under.png x_mid.png x_over.png", ("under", "mid", "over"))[0] == {
    "x": "x_under.png x_mid.png x_over.png"
  }


def test_what_is_left_says_why():
  _, left = together("1_ir.png 1_vi.png 1_zoom.png 2_ir.png notes.png")
  assert left == [
    "1_zoom.png: a further image of vi beside 1_vi.png; left out, --sources= names another by its word",
    "2_ir.png: of ir, without a partner of vi; left out",
    "notes.png: no word in its name says which of ir, vi it is; left out",
  ]


def make(folder, *names):
  for name in names:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    write_pair(folder / "made", "x", (4, 5), channels={"ir": 1})
    (folder / "made" / "ir" / "x.png").rename(folder / name)
  for path in (folder / "made" / "ir", folder / "made"):
    path.rmdir()


@pytest.mark.parametrize(
  ("first", "second", "names"),
  [
    ("DJI_0001_T.png", "DJI_0001_W.png", ["DJI_0001"]),
    ("dji_0001_thermal.PNG", "DJI_0001_wide.png", ["dji_0001"]),
    ("T_5.png", "V_5.png", ["5"]),
    ("IR_0001.png", "DC_0002.png", ["0001"]),
  ],
)
def test_folders_whose_names_differ_by_a_word(tmp_path, first, second, names):
  make(tmp_path, f"ir/{first}", f"vi/{second}", "ir/both.png", "vi/both.png", "ir/alone.png")
  pairs, report = find_pairs(tmp_path, THERMAL)
  assert [pair.name for pair in pairs] == ["both", *names]
  joined, alone = report
  assert f"1 pair joined by names that differ by a word alone, {first} and {second}" in joined
  assert "alone.png: present in ir, missing in vi" in alone


def test_a_word_that_all_names_of_a_folder_have_may_be_any(tmp_path):
  make(tmp_path, "left/1_camA.png", "left/2_camA.png", "right/1_camB.png", "right/2_camB.png")
  assert [pair.name for pair in find_pairs(tmp_path, ("left", "right"))[0]] == ["1", "2"]
  make(tmp_path / "no", "left/run1_1.png", "left/run1_2.png", "right/run2_1.png", "right/run2_2.png")
  with pytest.raises(UserError, match="expected files with the same name in left, right"):  # a number tells two runs
    find_pairs(tmp_path / "no", ("left", "right"))


def test_pairs_lie_in_one_folder_or_in_a_folder_per_scene(tmp_path):
  make(tmp_path / "flat", "1_ir.png", "1_vi.png", "2_ir.png", "notes.png")
  pairs, report = find_pairs(tmp_path / "flat", THERMAL)
  assert [pair.name for pair in pairs] == ["1"] and len(report) == 2
  assert find_scenes(tmp_path / "flat", THERMAL)[0] == pairs
  make(tmp_path / "scenes", "kaptein/IR.png", "kaptein/VIS.png", "tank/1_IR.png", "tank/1_VIS.png")
  assert [pair.name for pair in find_scenes(tmp_path / "scenes", THERMAL)[0]] == ["kaptein", "tank_1"]
  make(tmp_path / "none", "1.png", "2.png")
  with pytest.raises(UserError, match=r"expected a folder per source, or files whose names say it .* found 2 images"):
    find_pairs(tmp_path / "none", THERMAL)
