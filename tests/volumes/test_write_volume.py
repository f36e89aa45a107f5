"""Does a fused volume come back from its file as it went in, under its own identity, and never over somebody's file?"""

import gzip
import sys

import numpy as np
import phantom
import pytest
from scenes import read

pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed (dig2dig_jax[medical])")
nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed (dig2dig_jax[medical])")

from dig2dig_jax.errors import UserError  # noqa: E402
from dig2dig_jax.volumes import write  # noqa: E402
from dig2dig_jax.volumes.read import read_volume  # noqa: E402
from dig2dig_jax.volumes.volume import Identity, Volume  # noqa: E402
from dig2dig_jax.volumes.write import write_volume  # noqa: E402

SIZE = (8, 6, 5)
MATRIX = phantom.affine(SIZE, (0.7, 0.9, 3.3), turned=25, tilted=-15)
RANDOM = np.random.default_rng(0)
GRAY = RANDOM.integers(0, 256, SIZE[::-1], np.uint8)
DEEP = RANDOM.integers(0, 65536, SIZE[::-1], np.uint16)
COLOUR = RANDOM.integers(0, 256, (*SIZE[::-1], 3), np.uint8)


@pytest.fixture(scope="module")
def series(tmp_path_factory):
  """A volume that was read from DICOM."""
  folder = tmp_path_factory.mktemp("series") / "in"
  phantom.write_series(folder, GRAY, MATRIX, StudyDate="20260102", AccessionNumber="A7", StudyID="S1", intercept=0.0,
                       SpecificCharacterSet="ISO_IR 192", PatientName="Ünal^Zoë")  # fmt: skip
  return read_volume(folder)


def fused(voxels, series, **identity):
  known = series.identity._replace(made_of=series.identity.headers, settings="{}")._replace(**identity)
  return Volume(voxels, series.affine, "fused ct + pet", window=(0.0, 255.0), identity=known)


@pytest.mark.parametrize("name", ["a.nii", "deeper/a.nii.gz"])
@pytest.mark.parametrize("voxels", [GRAY, DEEP, COLOUR], ids=["gray", "deep", "colour"])
def test_nifti_comes_back_as_it_went(tmp_path, series, name, voxels):
  path = tmp_path / name
  write_volume(path, fused(voxels, series))
  found = read_volume(path)
  np.testing.assert_array_equal(found.voxels, voxels)
  assert np.abs(found.affine - MATRIX).max() < 1e-4
  image = nibabel.load(path)
  assert (image.header["sform_code"], image.header["qform_code"]) == (1, 1)
  assert np.abs(image.get_qform() - image.get_sform()).max() < 1e-4
  assert image.get_data_dtype().itemsize == voxels.dtype.itemsize * (3 if voxels.ndim == 4 else 1)
  first = path.read_bytes()
  write_volume(path, fused(voxels, series), overwrite=True)
  assert path.read_bytes() == first  # no times in it


def test_codes_of_nifti_are_kept_and_a_shear_is_in_sform_alone(tmp_path):
  sheared = MATRIX.copy()
  sheared[:3, 2] += 0.5 * MATRIX[:3, 0]
  volume = Volume(GRAY, sheared, identity=Identity(spaces=(4, 0)))
  write_volume(tmp_path / "a.nii.gz", volume)
  image = nibabel.load(tmp_path / "a.nii.gz")
  assert (image.header["sform_code"], image.header["qform_code"]) == (4, 0)
  assert np.abs(read_volume(tmp_path / "a.nii.gz").affine - sheared).max() < 1e-4


@pytest.mark.parametrize("voxels", [GRAY, DEEP, COLOUR], ids=["gray", "deep", "colour"])
def test_secondary_captures_keep_the_place_and_the_patient(tmp_path, series, voxels):
  told = write_volume(tmp_path / "out", fused(voxels, series))
  assert told.endswith("out, 5 DICOM files")
  found = read_volume(tmp_path / "out")
  np.testing.assert_array_equal(found.voxels, voxels)
  assert np.abs(found.affine - MATRIX).max() < 1e-4
  headers = [pydicom.dcmread(path) for path in sorted((tmp_path / "out").iterdir())]
  assert len({one.SOPInstanceUID for one in headers}) == 5 and len({one.SeriesInstanceUID for one in headers}) == 1
  source = series.identity.headers[2]
  one = headers[2]
  assert one.SeriesInstanceUID != source.SeriesInstanceUID and one.SOPInstanceUID != source.SOPInstanceUID
  for name in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "PatientName", "StudyDate", "AccessionNumber"):
    assert one[name].value == source[name].value, name
  assert list(one.ImageType) == ["DERIVED", "SECONDARY"] and one.Modality == "OT"
  assert one.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7" and "computed image" in one.DerivationDescription
  assert one.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
  assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in (one.SOPInstanceUID, one.SeriesInstanceUID))
  assert one.PatientBirthDate == "" and pydicom.uid.UID(one.SOPInstanceUID).is_valid


def test_uids_follow_from_sources_and_settings(tmp_path, series):
  def uid(name, **identity):
    write_volume(tmp_path / name, fused(GRAY, series, **identity))
    return pydicom.dcmread(tmp_path / name / "0001.dcm").SOPInstanceUID

  assert uid("a") == uid("b") != uid("c", settings='{"steps": 25}')
  assert uid("d", made_of=series.identity.headers[:3]) != uid("e")


def test_the_middle_slice_as_png(tmp_path, series):
  write_volume(tmp_path / "a.png", fused(GRAY, series)._replace(affine=np.diag([-1.0, -1.0, 1.0, 1.0])))
  np.testing.assert_array_equal(read(tmp_path / "a.png"), GRAY[2, ::-1, ::-1])
  write_volume(tmp_path / "b.png", fused(COLOUR, series))
  np.testing.assert_array_equal(read(tmp_path / "b.png"), COLOUR[2])


def test_what_lies_there_stays(tmp_path, series):
  volume = fused(GRAY, series)
  header = bytearray(352)
  header[:4], header[344:348] = (348).to_bytes(4, "little"), b"n+1\0"
  files = {"a.nii": bytes(header), "a.nii.gz": gzip.compress(bytes(header)), "a.png": b"\x89PNG\r\n\x1a\n", "d/x": b"x"}
  for name, content in files.items():
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    place = path.parent if name == "d/x" else path
    with pytest.raises(UserError, match="expected nothing there"):
      write_volume(place, volume)
    with pytest.raises(UserError, match="did not write"):
      write_volume(place, volume, overwrite=True)
    assert path.read_bytes() == content
  (tmp_path / "link").symlink_to(series.name)
  (tmp_path / "link.nii").symlink_to(tmp_path / "nowhere")
  with pytest.raises(UserError, match="did not write"):
    write_volume(tmp_path / "link.nii", volume, overwrite=True)
  # A source's own folder holds files of another program.
  with pytest.raises(UserError, match="which it did not write"):
    write_volume(series.name, volume, overwrite=True)
  with pytest.raises(UserError, match="expected a folder beside the sources"):
    write.check(tmp_path / "link" / "deeper", [series], overwrite=True)
  assert not list(tmp_path.glob(".*"))


def test_a_series_takes_the_place_of_its_own_kind_whole(tmp_path, series):
  place = tmp_path / "out"
  write_volume(place, fused(GRAY, series))
  with pytest.raises(UserError, match="found 5 slices; .*add --overwrite"):
    write_volume(place, fused(GRAY, series))
  short = fused(GRAY[:2], series, headers=series.identity.headers[:2])
  write_volume(place, short, overwrite=True)
  assert len(list(place.iterdir())) == 2 and sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_places_and_formats_that_cannot_be(tmp_path, series, monkeypatch):
  with pytest.raises(UserError, match=r"expected a .nii.gz, .nii or .png file, or a folder for DICOM, found .jpg"):
    write_volume(tmp_path / "a.jpg", fused(GRAY, series))
  with pytest.raises(UserError, match="expected a source in DICOM, whose patient and study"):
    write_volume(tmp_path / "out", Volume(GRAY, MATRIX))
  (tmp_path / "file").write_text("x")
  for name in ("a.nii.gz", "a.png", "series"):
    with pytest.raises(UserError, match="expected a folder to write to, found a file at "):
      write_volume(tmp_path / "file" / name, fused(GRAY, series))
  with pytest.raises(ValueError, match="expected voxels of uint8 or uint16"):
    write_volume(tmp_path / "a.nii", series)
  monkeypatch.setitem(sys.modules, "nibabel", None)
  with pytest.raises(UserError, match=r"a.nii: expected nibabel .*pip install dig2dig_jax\[medical\]"):
    write.check(tmp_path / "a.nii", [series], overwrite=False)
  sheared = series.affine.copy()
  sheared[:3, 0] += 0.1 * sheared[:3, 1]
  with pytest.raises(UserError, match="found sheared ones"):
    write_volume(tmp_path / "out", fused(GRAY, series)._replace(affine=sheared))
  assert not (tmp_path / "out").exists()
