"""Does `dig2dig fuse` take volumes as it takes images, say what it decides, and refuse in one line what cannot be?"""

import re

import numpy as np
import phantom
import pytest
from absl.testing import flagsaver
from scenes import read

pytest.importorskip("pydicom", reason="pydicom is not installed (dig2dig_jax[medical])")
pytest.importorskip("nibabel", reason="nibabel is not installed (dig2dig_jax[medical])")

from dig2dig_jax.cli import commands, main
from dig2dig_jax.volumes.read import read_volume

assert commands  # declares the flags, before they are saved
SIZE = (32, 24, 3)
MATRIX = phantom.affine(SIZE, (3.0, 3.5, 20.0), turned=10)


@pytest.fixture
def run(capsys, quick_compile, tiny_prior):
  """dig2dig in this process: run(*words) -> (status, stdout, stderr)."""

  def call(*words):
    extra = [f"--prior={tiny_prior}", "--compile_cache=", "--bucket=8", "--bands=2"] if words[0] == "fuse" else []
    with flagsaver.flagsaver():
      status = main.main([*map(str, words), *extra])
    return status, *capsys.readouterr()

  return call


@pytest.fixture
def mri(tmp_path):
  return phantom.write_nifti(tmp_path / "in" / "mri.nii.gz", phantom.ball(SIZE, MATRIX, outside=10, inside=900), MATRIX)


@pytest.fixture
def pet(tmp_path):
  matrix = phantom.affine(SIZE, (4.0, 4.0, 20.0))
  activity = 10 * phantom.ball(SIZE, matrix, outside=0, inside=900)
  return phantom.write_series(tmp_path / "in" / "nuclear", activity, matrix, modality="PT", intercept=0.0, slope=0.1,
                              Units="BQML")  # fmt: skip


def test_nifti_and_dicom_become_each_kind_of_result(run, mri, pet, tmp_path):
  out = tmp_path / "out" / "fused.nii.gz"
  status, told, notes = run("fuse", pet, mri, "-o", out)
  assert status == 0 and told == f"written: {out}, 3 slices\n", notes
  assert "pet is the functional one, by modality" in notes and "one volume is DICOM, the other NIfTI" in notes
  assert "reference: mri, 32 x 24 x 3 voxels of 3 x 3.5 x 20 mm" in notes
  fused = read_volume(out)
  assert np.abs(fused.affine - MATRIX).max() < 1e-3 and fused.voxels.shape == (3, 24, 32)
  assert (np.abs(phantom.centre_of(fused.voxels, fused.affine) - phantom.BALL) < [1.5, 1.75, 10]).all()
  status, told, notes = run("fuse", pet, mri, "-o", out)
  assert status == 2 and notes.endswith(f"{out}: expected nothing there, found a file; choose another name, or add "
                                        "--overwrite\n")  # fmt: skip

  folder = tmp_path / "out" / "series"
  status, told, notes = run("fuse", mri, pet, "-o", folder, f"--reference={pet}", "--range=pet:0:500,mri:auto",
                            "--bit_depth=16")  # fmt: skip
  assert status == 0 and told == f"written: {folder}, 3 DICOM files\n", notes
  assert "range of pet: 0 to 500 Bq/ml, as given" in notes
  assert re.search(r"range of mri: 33.1\d* to 720.8\d*, robust", notes)
  found = read_volume(folder)
  assert found.voxels.max() > 255 and np.abs(found.affine - read_volume(pet).affine).max() < 1e-4

  picture = tmp_path / "out" / "fused.png"
  status, told, notes = run("fuse", mri, pet, "-o", picture, "--sources=structure,activity")
  assert status == 0 and told == f"written: {picture}, one slice\n", notes
  assert "one slice alone, number 2 of 3" in notes and "activity is the functional one" in notes
  # The very slice of the volume, as radiologists look at it: x of this grid is to the left already.
  assert np.abs(read(picture).astype(int) - fused.voxels[1]).max() <= 1


def test_show_tells_what_a_volume_is(run, mri, pet):
  status, told, _ = run("show", mri, pet)
  assert status == 0, told
  assert "volume of 32 x 24 x 3 voxels, MR" in told and "spacing 3 x 3.5 x 20 mm, axes LPS, from " in told
  assert "volume of 32 x 24 x 3 voxels, PT" in told and "black and white in fusion: 0 to " in told
  assert "Bq/ml" in told and f"frame of reference: {phantom.FRAME}" in told


@pytest.mark.parametrize(
  ("words", "said"),
  [
    (("{mri}",), "expected two volumes .*, found 1 place; give both"),
    (("{study}",), r"expected one series, found .*study:1 \(PT, 3 files\); .*study:4 \(MR, 3 files\); give one"),
    (("{mri}", "{mri}"), "expected two different volumes"),
    (("{mri}", "{pet}", "{mri}"), "expected two volumes .*, found 3 places"),
    (("{mri}", "nowhere.nii"), "nowhere.nii: expected a volume, DICOM or NIfTI, found nothing there"),
    (("{mri}", "{pet}", "--task=focus"), "--task=focus: expected medical for volumes"),
    (("{mri}", "{pet}", "--align=auto"), "--align=auto: expected volumes that lie where their files say"),
    (("{mri}", "{pet}", "--nosheet"), "--nosheet: expected a volume alone"),
    (("{mri}", "{pet}", "--reference=ct"), "--reference=ct: expected mri or pet, or one of "),
    (("{mri}", "{pet}", "--range=ct:0:1"), "--range=ct:0:1: expected "),
    (("{mri}", "{pet}", "--range=shared"), "--range=shared: expected auto, full or LOW:HIGH of volumes"),
    (("{mri}", "{pet}", "-o", "a.jpg"), "expected a .nii.gz, .nii or .png file, or a folder for DICOM, found .jpg"),
    (("{mri}", "{other}", "-o", "out"), "out: expected a source in DICOM"),
    (("{mri}", "{pet}", "-o", "{mri}", "--overwrite"), "expected a file other than the sources"),
    (("{mri}", "{pet}", "-o", "{pet}", "--overwrite"), "expected a folder beside the sources"),
    (("{mri}", "{pet}", "--steps=x"), "--steps=x: expected a whole number"),
    (("{mri}", "{far}"), "expected to overlap .*mri.nii.gz, found it elsewhere"),
  ],
)
def test_what_cannot_be_is_one_line_and_status_2(run, mri, pet, tmp_path, monkeypatch, words, said):
  monkeypatch.chdir(tmp_path)
  far = MATRIX.copy()
  far[:3, 3] += 900
  voxels = phantom.ball(SIZE, MATRIX, outside=10, inside=900)
  places = {"mri": mri, "pet": pet, "other": phantom.write_nifti(tmp_path / "in" / "b.nii", voxels, MATRIX),
            "far": phantom.write_nifti(tmp_path / "in" / "pet.nii", voxels, far)}  # fmt: skip
  if "{study}" in words:
    for series, modality in ((1, "PT"), (4, "MR")):
      names = [f"{modality}{k}" for k in range(3)]
      phantom.write_series(tmp_path / "in" / "study", voxels, MATRIX, series=series, modality=modality, names=names)
    places["study"] = tmp_path / "in" / "study"
  before = {path: path.read_bytes() for path in (tmp_path / "in").rglob("*") if path.is_file()}
  words = [word.format(**places) for word in words]
  words += [] if "-o" in words else ["-o", "out.nii.gz"]
  status, told, notes = run("fuse", *words)
  errors = [line for line in notes.splitlines() if not line.startswith("note: ")]
  assert status == 2 and told == "" and len(errors) == 1 and errors[0].startswith("error: ")
  assert re.search(said, errors[0]), errors[0]
  assert {path: path.read_bytes() for path in (tmp_path / "in").rglob("*") if path.is_file()} == before
  assert not [path for path in tmp_path.iterdir() if path.name != "in" and path.is_file()]
