"""Are brackets told apart by their EXIF, stacks taken whole where it does not tell, and the odd ones named?"""

import numpy as np
import PIL.Image
import pytest
from scenes import scene

from dig2dig_jax.data import guess, layouts, stacks
from dig2dig_jax.errors import UserError


def shoot(path, *, at=None, seconds=None, iso=100, bias=None, seed=0, light=1.0):
  """A JPEG of 24 x 32 pixels. at: seconds after nine o'clock. seconds: exposure time, bias: its correction."""
  path.parent.mkdir(parents=True, exist_ok=True)
  image = PIL.Image.fromarray(np.uint8(np.clip(light * scene(seed, 24, 32, 3), 0, 255)))
  exif = PIL.Image.Exif()
  tags = exif.get_ifd(34665)
  if at is not None:
    tags[36867] = f"2024:05:01 09:{int(at) // 60:02}:{int(at) % 60:02}"
    if at % 1:
      tags[37521] = f"{at % 1:.2f}"[2:]
  if seconds is not None:
    tags[33434], tags[33437], tags[34855] = seconds, 8.0, iso
  if bias is not None:
    tags[37380] = bias
  image.save(path, exif=exif)
  return path


def names(found):
  return [[shot.path.stem for shot in stack] for stack in found]


def split(paths):
  return names(stacks.split([stacks.read(path) for path in paths]))


def test_exif_is_read_and_what_it_lacks_is_none(tmp_path):
  shot = stacks.read(shoot(tmp_path / "a.jpg", at=61.25, seconds=1 / 64, iso=400))
  assert shot.time % 3600 == 61.25 and shot.seconds == pytest.approx(1 / 64)
  assert shot.stops == pytest.approx(-6 + 2 - 6, abs=1e-3)
  assert stacks.read(shoot(tmp_path / "b.jpg", bias=-2.0))[1:] == (None, 0.0, -2.0)
  (tmp_path / "c.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:200])
  assert stacks.read(tmp_path / "c.jpg") == stacks.Shot(tmp_path / "c.jpg")


def test_exposures_that_come_again_begin_a_bracket(tmp_path):
  times = [1 / 60, 1 / 240, 1 / 15, 1 / 60, 1 / 240, 1 / 15, 1 / 100, 1 / 400, 1 / 25]
  paths = [shoot(tmp_path / f"{k}.jpg", seconds=one) for k, one in enumerate(times)]
  assert split(paths[:6]) == [["0", "1", "2"], ["3", "4", "5"]]
  assert split([shoot(tmp_path / f"b{k}.jpg", bias=b) for k, b in enumerate([0, -1, 1, 0, -1, 1])]) == [
    ["b0", "b1", "b2"], ["b3", "b4", "b5"],
  ]  # fmt: skip
  assert split(paths[:2]) == [["0", "1"]]


def test_a_pause_ends_a_stack_and_slow_stacks_stay_whole(tmp_path):
  def shots(folder, at, **exposure):
    return [shoot(tmp_path / folder / f"{k:02}.jpg", at=one, **exposure) for k, one in enumerate(at)]

  focus = {"seconds": 1 / 60}
  assert split(shots("quick", [0, 0.3, 0.6, 20, 20.3, 20.6], **focus)) == [["00", "01", "02"], ["03", "04", "05"]]
  assert split(shots("whole_seconds", [0, 0, 1, 1, 30, 31, 31, 32], **focus)) == [
    ["00", "01", "02", "03"], ["04", "05", "06", "07"],
  ]  # fmt: skip
  assert len(split(shots("slow", [0, 11, 20, 34, 50], **focus))) == 1  # a flash that charges, a rail that is turned
  assert len(split(shots("long", [0, 31, 62, 93, 124], seconds=30.0))) == 1
  (first, second) = split(shots("reset", [0, 0.5, 40, 40.5], bias=0.0))
  assert (first, second) == (["00", "01"], ["02", "03"])


def test_the_reader_takes_stacks_of_its_number_and_names_the_others(tmp_path):
  for k, (at, seconds) in enumerate([(0, 1 / 60), (0.5, 1 / 240), (1, 1 / 15), (30, 1 / 60), (30.5, 1 / 240),
                                     (31, 1 / 15), (60, 1 / 60), (60.5, 1 / 240), (90, 1 / 60)]):  # fmt: skip
    shoot(tmp_path / f"IMG_{k}.JPG", at=at, seconds=seconds)
  (tmp_path / "IMG_0.DNG").write_bytes(b"II*\0raw")
  pairs, left_out = stacks.find(tmp_path, ("a", "b", "c"))
  assert [pair.name for pair in pairs] == ["IMG_0", "IMG_3"]
  assert [path.stem for path in pairs[0].files.values()] == ["IMG_1", "IMG_0", "IMG_2"]  # darkest first
  alone, two = left_out
  assert "IMG_8.JPG: one image by itself" in alone
  assert "IMG_6 has 2 images (IMG_7.JPG to IMG_6.JPG), the others 3; left out" in two
  with pytest.raises(UserError, match="expected stacks of 4 images, as many as --sources, found stacks of 2, 3"):
    stacks.find(tmp_path, ("a", "b", "c", "d"))


def test_layouts_by_what_is_there(tmp_path):
  flat = tmp_path / "flat"
  for k in range(5):
    shoot(flat / f"IMG_{k}.JPG")
  found = layouts.look(flat)
  assert (found.dataset, len(found.sources), found.task, found.sure) == ("stacks", 5, None, False)
  assert found.why == "5 images" and guess.alike(found.first) > 0.99
  for name in ("one", "two"):
    for k, seconds in enumerate((1 / 60, 1 / 240)):
      shoot(tmp_path / "scenes" / name / f"{k}.jpg", at=k, seconds=seconds, seed=len(name) + ord(name[0]))
  (tmp_path / "scenes" / "results").mkdir()
  (tmp_path / "scenes" / "results" / ".dig2dig_jax").touch()
  found = layouts.look(tmp_path / "scenes")
  assert found[:4] == ("stacks", tmp_path / "scenes", ("under", "over"), "exposure") and found.sure
  for k in (1, 2):
    shoot(tmp_path / "dji" / "DCIM" / f"DJI_{k:04}_T.JPG")
    shoot(tmp_path / "dji" / "DCIM" / f"DJI_{k:04}_W.JPG")
    shoot(tmp_path / "dji" / "DCIM" / f"DJI_{k:04}_Z.JPG")
  found = layouts.look(tmp_path / "dji")
  assert found[:4] == ("folders", tmp_path / "dji" / "DCIM", ("ir", "vi"), "thermal")
  for source in ("left", "right"):
    for k in (1, 2):
      shoot(tmp_path / "sources" / source / f"{k}.jpg", seed=k)
  found = layouts.look(tmp_path / "sources")
  assert found[:4] == ("folders", tmp_path / "sources", ("left", "right"), None) and len(found.first) == 2
  for name in ("kaptein", "tank"):
    shoot(tmp_path / "tno" / name / "IR.jpg")
    shoot(tmp_path / "tno" / name / "VIS.jpg")
  assert layouts.look(tmp_path / "tno")[:4] == ("names", tmp_path / "tno", ("ir", "vi"), "thermal")
  for k in ("a", "b", "c"):  # letters, not near and far
    shoot(tmp_path / "letters" / f"shot_{k}.jpg")
  assert layouts.look(tmp_path / "letters").why == "3 images"
  for k in ("1", "2"):
    for letter in ("A", "B"):
      shoot(tmp_path / "lettered" / f"{k}_{letter}.jpg")
  assert layouts.look(tmp_path / "lettered")[:4] == ("folders", tmp_path / "lettered", ("a", "b"), None)
  (tmp_path / "empty").mkdir()
  with pytest.raises(UserError, match="expected images, or a folder per source or scene, found neither"):
    layouts.look(tmp_path / "empty")
