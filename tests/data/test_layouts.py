"""Does a folder with more in it than the sources read as its names say, and name what is not read?"""

import pytest
from scenes import write_pair

from dig2dig_jax.data import layouts


def put(folder, *names):
  for name in names:
    write_pair(folder, name, (9, 8), channels={"ir": 1, "vi": 1})
  return folder


def extra(folder, name, like):
  (folder / name).mkdir()
  (folder / name / like.name).write_bytes(like.read_bytes())


@pytest.mark.parametrize("name", ["notes", "mask"])
def test_a_third_folder_is_no_source_of_infrared_and_visible_images(name, tmp_path):
  data = put(tmp_path / "data", "1", "2")
  extra(data, name, data / "ir" / "1.png")
  found = layouts.look(data)
  assert (found.dataset, found.sources, found.task) == ("folders", ("ir", "vi"), "thermal")
  (line,) = found.left_out
  assert line.startswith(f"{data / name}: ") and "ir and vi" in line


def test_of_three_folders_that_name_sources_none_is_passed_over(tmp_path):
  data = put(tmp_path / "data", "1", "2")
  for name in ("mri", "pet"):
    extra(data, name, data / "ir" / "1.png")
  assert len(layouts.look(data).sources) == 4
  stack = tmp_path / "stack"
  stack.mkdir()
  for name in ("under", "normal", "over"):
    extra(stack, name, data / "ir" / "1.png")
  assert set(layouts.look(stack).sources) == {"under", "normal", "over"}


def test_folders_beside_images_are_named(tmp_path):
  data = put(tmp_path / "data", "1")
  whole = tmp_path / "whole"
  whole.mkdir()
  for name in ("a", "b"):
    (whole / f"{name}.png").write_bytes((data / "ir" / "1.png").read_bytes())
  extra(whole, "s1", data / "ir" / "1.png")
  (line,) = layouts.look(whole).left_out
  assert line.startswith(f"{whole / 's1'}: expected images or folders of images, found both")
