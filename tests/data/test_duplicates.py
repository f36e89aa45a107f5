"""Is a copy among the images of a scene told, by name, and nothing else?"""

from pathlib import Path

import numpy as np

from dig2dig_jax.data import duplicates
from dig2dig_jax.data.images import Image


def found(folders, **values):
  images = {name: Image(np.full((4, 6, 3), value, np.float32), True, 8) for name, value in values.items()}
  return duplicates.found(images, {name: Path(folders.get(name, "x")) / f"{name}.png" for name in images})


def test_a_copy_of_two_leaves_nothing_to_fuse_and_of_three_adds_nothing():
  assert found({}, a=0.5, b=0.5) == ["a.png and b.png have the same content; nothing to fuse"]
  assert found({}, a=0.5, b=0.25, c=0.5) == ["a.png and c.png have the same content; c.png adds nothing"]
  assert found({}, a=0.5, b=0.25) == []


def test_one_pixel_between_the_coarse_ones_tells_images_apart():
  one = np.zeros((70, 70, 3), np.float32)
  other = one.copy()
  other[3, 5] = 1
  files = {"a": Path("near/1.png"), "b": Path("far/1.png")}
  assert duplicates.found({"a": Image(one, False, 8), "b": Image(other, False, 8)}, files) == []
  half = Image(one, False, 8, None, np.arange(70) < np.full((70, 1), 35))  # the rest of it is transparent
  assert duplicates.found({"a": Image(one, False, 8), "b": half}, files) == []
  (line,) = duplicates.found({"a": Image(one, False, 8), "b": Image(one.copy(), False, 8)}, files)
  assert line.startswith("near/1.png and far/1.png have the same content")


def test_many_are_counted():
  assert duplicates.lines(["it"] * 7) == ["it"] * 5 + ["2 more images have the content of another of their scene"]
