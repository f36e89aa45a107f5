"""Is one radiometric file a pair, in a folder a source of temperatures, and are those written beside what is fused?"""

import flir_files
import numpy as np
import pytest
import tifffile
from absl.testing import flagsaver
from scenes import read, scene, write

from dig2dig_jax.cli import flags, main  # noqa: F401  # flags: declared before they are saved

SIZE = (40, 56)
COUNTS = (12000 + 4000 * scene(0, *SIZE, 1)[..., 0].astype(np.float64) / 255).astype(np.uint16)
FLIR = flir_files.file(COUNTS, photograph=scene(1, 160, 224), placed=(1.2, 4, -3))


@pytest.fixture
def run(capfd, quick_compile, tiny_prior):
  """dig2dig in this process: run(*words) -> (status, stdout, stderr)."""

  def call(*words):
    extra = [f"--prior={tiny_prior}", "--compile_cache=", "--bucket=8", "--bands=2", "--restore=off"]
    extra = extra if words[0] == "fuse" else []
    with flagsaver.flagsaver():
      status = main.main([*map(str, words), *extra])
    return status, *capfd.readouterr()

  return call


@pytest.fixture
def file(tmp_path):
  path = tmp_path / "in" / "FLIR0001.jpg"
  path.parent.mkdir()
  path.write_bytes(FLIR)
  return path


def expected():
  """Of the file's constants, by the law alone."""
  from dig2dig_jax.data import radiometry

  return radiometry.celsius(COUNTS, radiometry.Camera(**flir_files.CONSTANTS))


def test_one_file_is_fused_with_its_own_photograph(run, file, tmp_path):
  out = tmp_path / "fused.png"
  status, told, notes = run("fuse", file, "-o", out, "--temperatures")
  assert status == 0 and "1 pair fused" in told, notes
  assert "is a pair: its temperatures and its photograph" in notes and "ratio 1.2 and the offset (4, -3)" in notes
  assert "ir: its image is a radiometric JPEG of FLIR" in notes and "range of ir: " in notes
  assert read(out).shape == (*SIZE, 3)
  degrees = tifffile.imread(tmp_path / "fused_celsius.tif")
  assert degrees.dtype == np.float32
  np.testing.assert_allclose(degrees, expected(), atol=1e-4)
  assert sorted(path.name for path in tmp_path.iterdir()) == ["fused.png", "fused_celsius.tif", "in"]
  status, _, notes = run("fuse", file, "-o", out, "--temperatures")
  assert status == 2 and "expected nothing there" in notes
  status, _, notes = run("fuse", file, "-o", out, "--temperatures", "--overwrite")
  assert status == 0, notes
  foreign = tmp_path / "fused_celsius.tif"
  tifffile.imwrite(foreign, degrees, software="another")
  out.unlink()
  status, _, notes = run("fuse", file, "-o", out, "--temperatures", "--overwrite")
  assert status == 2 and "which is kept" in notes and not out.exists()
  status, _, notes = run("fuse", file, "-o", tmp_path / "x.png", "--task=focus")
  assert status == 2 and "expected thermal for a radiometric file" in notes


def test_beside_a_visible_file_it_is_the_thermal_one(run, file, tmp_path):
  write(tmp_path / "in" / "photo.png", scene(5, *SIZE, 3))
  status, _, notes = run("fuse", tmp_path / "in" / "photo.png", file, "-o", tmp_path / "fused.png")
  assert status == 0 and "task thermal, by the temperatures in FLIR0001.jpg" in notes, notes
  assert "ir: its image is a radiometric JPEG of FLIR" in notes and "photograph" not in notes


def test_in_folders_temperatures_belong_to_what_is_done(run, tmp_path):
  for name in "ab":
    write(tmp_path / "in" / "vi" / f"{name}.png", scene(5, *SIZE, 3))
  (tmp_path / "in" / "ir").mkdir()
  (tmp_path / "in" / "ir" / "a.jpg").write_bytes(FLIR)
  write(tmp_path / "in" / "ir" / "b.png", scene(6, *SIZE, 1))
  status, told, notes = run("fuse", tmp_path / "in", "-o", tmp_path / "out")
  assert status == 0 and "2 pairs fused" in told and not list(tmp_path.glob("out/*.tif"))
  images = {path.name: path.read_bytes() for path in tmp_path.glob("out/?.png")}
  status, told, notes = run("fuse", tmp_path / "in", "-o", tmp_path / "out", "--temperatures")
  assert status == 0 and "2 pairs fused" in told and "1 of 2 pairs have no radiometric source" in notes
  assert {path.name: path.read_bytes() for path in tmp_path.glob("out/?.png")} == images
  np.testing.assert_allclose(tifffile.imread(tmp_path / "out" / "a_celsius.tif"), expected(), atol=1e-4)
  first = (tmp_path / "out" / "a_celsius.tif").read_bytes()
  status, told, _ = run("fuse", tmp_path / "in", "-o", tmp_path / "out", "--temperatures")
  assert "0 pairs fused" in told and "2 done before" in told
  (tmp_path / "out" / "a_celsius.tif").unlink()
  status, told, _ = run("fuse", tmp_path / "in", "-o", tmp_path / "out", "--temperatures")
  assert "1 pair fused" in told and (tmp_path / "out" / "a_celsius.tif").read_bytes() == first


def test_a_folder_of_radiometric_files_is_as_many_pairs(run, tmp_path):
  (tmp_path / "in").mkdir()
  for name, bytes_ in (("a", FLIR), ("b", FLIR), ("bare", flir_files.file(COUNTS))):
    (tmp_path / "in" / f"{name}.jpg").write_bytes(bytes_)
  status, told, notes = run("fuse", tmp_path / "in", "-o", tmp_path / "out", "--temperatures")
  assert status == 3 and "2 pairs fused" in told, notes
  assert "2 of 3 radiometric files are a pair each: temperatures and photograph, mapped to their frame at the" in notes
  assert "bare.jpg: expected a radiometric JPEG with a photograph in it" in notes
  found = {path.name for path in (tmp_path / "out").iterdir()}
  assert {"a.png", "a_celsius.tif", "b.png", "b_celsius.tif"} <= found and not any("bare" in name for name in found)
  assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]
  (tmp_path / "in" / "bare.jpg").unlink()
  status, told, notes = run("fuse", tmp_path / "in", "-o", tmp_path / "out", "--temperatures")
  assert status == 0 and "2 done before" in told, told
  (tmp_path / "in" / "a.jpeg").write_bytes(FLIR)
  status, _, notes = run("fuse", tmp_path / "in", "-o", tmp_path / "out")
  assert status == 2 and "expected files of different names, found a 2 times; rename them" in notes


def test_temperatures_follow_what_is_aligned(tmp_path):
  from dig2dig_jax.alignment.aligner import placed
  from dig2dig_jax.data import ranges

  path = tmp_path / "x.jpg"
  path.write_bytes(FLIR)
  moved = np.array([[1, 0, 10], [0, 1, 0], [0, 0, 1.0]])
  found = placed(ranges.read_alone(path), moved, SIZE, path).celsius
  np.testing.assert_allclose(found[:, :-10], expected()[:, 10:], atol=1e-3)
  assert np.isnan(found[:, -10:]).all()


def test_show_tells_formats_and_temperatures(run, file, tmp_path):
  write(tmp_path / "a.bin.png", scene(6, 70, 80, 3))
  status, told, _ = run("show", file, tmp_path / "a.bin.png")
  assert status == 0
  assert "radiometric JPEG of FLIR, read as temperatures in degrees Celsius" in told
  low, high = expected().min(), expected().max()
  assert f"values {low:g} to {high:g}" in told and "format: PNG" in told
