"""Is a DICOM series read in the order, the place and the units that its headers give, and refused in a line
otherwise?"""

import numpy as np
import phantom
import pytest

pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed (dig2dig_jax[medical])")

from dig2dig_jax.errors import UserError  # noqa: E402
from dig2dig_jax.volumes import kinds  # noqa: E402
from dig2dig_jax.volumes.read import read_volume  # noqa: E402

SIZE = (12, 10, 6)


def stored(size=SIZE):
  """uint16 [Z, Y, X], every voxel's value its own."""
  return np.arange(np.prod(size), dtype=np.uint16).reshape(size[::-1])


def spaced(matrix, places):
  """ImagePositionPatient of slices at these places, in slices."""
  return lambda k: [f"{x:.6f}" for x in matrix[:3, 3] + places[k] * matrix[:3, 2]]


def test_slices_go_by_position_whatever_their_names_and_numbers(tmp_path):
  matrix = phantom.affine(SIZE, (0.8, 0.9, 3.0), turned=20, tilted=35)
  names = ["f", "b", "e", "a", "d", "c"]
  phantom.write_series(tmp_path / "in" / "deeper", stored(), matrix, names=names, slope=2.0, intercept=-10.0)
  (tmp_path / "in" / "README").write_text("of a disc")
  found = read_volume(tmp_path / "in")
  assert np.abs(found.affine - matrix).max() < 1e-5
  np.testing.assert_array_equal(found.voxels, 2.0 * stored() - 10)
  assert (found.modality, found.unit, found.identity.frame) == ("CT", "HU", phantom.FRAME)
  assert [str(header.SOPInstanceUID) for header in found.identity.headers] == [
    phantom.uid("deeper", 1, k) for k in range(6)
  ]
  assert any("1 other files passed over" in note for note in found.notes)


def test_a_series_against_its_normal_is_turned_round(tmp_path):
  matrix = phantom.affine(SIZE, (1.0, 1.0, 2.0))
  down = matrix.copy()  # the first file is the topmost slice
  down[:3, 3] += 5 * matrix[:3, 2]
  down[:3, 2] *= -1
  phantom.write_series(tmp_path / "in", stored()[::-1], down, intercept=0.0)
  found = read_volume(tmp_path / "in")
  assert np.abs(found.affine - matrix).max() < 1e-5
  np.testing.assert_array_equal(found.voxels, stored())


def test_a_missing_slice_is_interpolated_and_said(tmp_path):
  matrix = phantom.affine((12, 10, 9), (1.0, 1.0, 2.5), tilted=10)
  ramp = np.float32(np.repeat(100 * np.arange(9), 120).reshape(9, 10, 12))
  kept = [0, 1, 2, 3, 5, 6, 7, 8]
  phantom.write_series(tmp_path / "in", ramp[kept], matrix, intercept=0.0,
                       ImagePositionPatient=spaced(matrix, kept))  # fmt: skip
  found = read_volume(tmp_path / "in")
  assert found.voxels.shape == (9, 10, 12) and np.abs(found.affine - matrix).max() < 1e-5
  np.testing.assert_allclose(found.voxels, ramp, atol=1e-2)
  assert any("1 slices of 9 are missing" in note and "interpolated" in note for note in found.notes)
  assert len(found.identity.headers) == 9


def test_uneven_slices_are_brought_to_an_even_grid_and_said(tmp_path):
  matrix = phantom.affine((12, 10, 7), (1.0, 1.0, 2.0))
  places = np.array([0, 1.1, 1.9, 3.2, 3.8, 5.1, 6.0])
  ramp = np.repeat(1000 + 100 * places, 120).reshape(7, 10, 12)
  phantom.write_series(tmp_path / "in", ramp, matrix, intercept=0.0, ImagePositionPatient=spaced(matrix, places))
  found = read_volume(tmp_path / "in")
  step = np.linalg.norm(found.affine[:3, 2])
  even = 1000 + 100 * np.arange(len(found.voxels)) * step / 2.0
  np.testing.assert_allclose(found.voxels[:, 0, 0], even, atol=1)
  assert any("mm apart, brought to" in note for note in found.notes)


def test_several_series_are_told_apart_and_named(tmp_path):
  matrix = phantom.affine(SIZE, (1.0, 1.0, 2.0))
  for number, modality in ((2, "CT"), (7, "PT")):
    names = [f"{modality}{k}" for k in range(6)]
    phantom.write_series(tmp_path / "in", stored() + number, matrix, series=number, modality=modality, names=names,
                         SeriesDescription=f"{modality} of the head", intercept=0.0)  # fmt: skip
  with pytest.raises(UserError, match=r"in:2 \(CT, CT of the head, 6 files\); .*in:7 \(PT, PT of the head, 6 files\)"):
    read_volume(tmp_path / "in")
  found = read_volume(f"{tmp_path / 'in'}:7")
  assert found.modality == "PT" and found.voxels[0, 0, 0] == 7
  with pytest.raises(UserError, match="expected one series of number 3"):
    read_volume(f"{tmp_path / 'in'}:3")


def test_inverted_padded_and_windowed_values(tmp_path):
  matrix = phantom.affine(SIZE, (1.0, 1.0, 2.0))
  phantom.write_series(tmp_path / "a", stored() + 1, matrix, intercept=0.0, PhotometricInterpretation="MONOCHROME1",
                       WindowCenter=["100", "40"], WindowWidth=["51", "400"])  # fmt: skip
  found = read_volume(tmp_path / "a")
  np.testing.assert_array_equal(found.voxels, -(stored() + 1.0))
  assert found.window == (-124.5, -74.5) and any("negated" in note for note in found.notes)
  padded = stored() + 50
  padded[:, :2] = 0
  phantom.write_series(tmp_path / "b", padded, matrix, intercept=-1000.0, PixelPaddingValue=0,
                       WindowCenter=lambda k: str(100 + k), WindowWidth="50")  # fmt: skip
  found = read_volume(tmp_path / "b")
  assert found.voxels.min() == int(padded[padded > 0].min()) - 1000
  assert found.window is None
  assert any("20.0 % of its pixels are padding" in note for note in found.notes)
  assert any("6 different windows" in note for note in found.notes)


def test_pet_is_in_suv_where_the_header_tells_enough(tmp_path):
  dose = pydicom.Dataset()
  dose.RadionuclideTotalDose, dose.RadionuclideHalfLife = "370e6", "6586.2"
  dose.RadiopharmaceuticalStartTime = "090000"
  tags = {"modality": "PT", "intercept": 0.0, "Units": "BQML", "DecayCorrection": "START", "PatientWeight": "74",
          "SeriesDate": "20260102", "SeriesTime": "100000.00", "AcquisitionDate": "20260102",
          "AcquisitionTime": "101500", "RadiopharmaceuticalInformationSequence": [dose]}  # fmt: skip
  matrix = phantom.affine(SIZE, (1.0, 1.0, 2.0))
  phantom.write_series(tmp_path / "a", stored(), matrix, **tags)
  found = read_volume(tmp_path / "a")
  factor = 74000 / (370e6 * 2 ** (-3600 / 6586.2))
  assert found.unit == "SUV"
  np.testing.assert_allclose(found.voxels, stored() * factor, rtol=1e-5)
  phantom.write_series(tmp_path / "b", stored(), matrix, **{**tags, "PatientWeight": None})
  found = read_volume(tmp_path / "b")
  assert found.unit == "Bq/ml" and any("no SUV (no PatientWeight)" in note for note in found.notes)
  np.testing.assert_array_equal(found.voxels, stored())


def test_enhanced_multi_frame_and_a_single_slice(tmp_path):
  matrix = phantom.affine(SIZE, (1.0, 1.5, 2.0), tilted=15)
  phantom.write_series(tmp_path / "one", stored(), matrix, intercept=0.0)
  header = pydicom.dcmread(tmp_path / "one" / "000")
  own = []
  for k in (3, 0, 5, 1, 4, 2):  # frames in no order
    group, place, value = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    place.ImagePositionPatient = spaced(matrix, range(6))(k)
    value.RescaleSlope, value.RescaleIntercept = "1", str(100 * k)
    group.PlanePositionSequence, group.PixelValueTransformationSequence = [place], [value]
    own.append(group)
  shared, axes, measures = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
  axes.ImageOrientationPatient, measures.PixelSpacing = header.ImageOrientationPatient, header.PixelSpacing
  shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [axes], [measures]
  for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"):
    delattr(header, name)
  header.PerFrameFunctionalGroupsSequence, header.SharedFunctionalGroupsSequence = own, [shared]
  header.NumberOfFrames, header.PixelData = 6, stored()[[3, 0, 5, 1, 4, 2]].tobytes()
  header.save_as(tmp_path / "many")
  found = read_volume(tmp_path / "many")
  assert np.abs(found.affine - matrix).max() < 1e-5
  np.testing.assert_array_equal(found.voxels, stored() + 100 * np.arange(6)[:, None, None])
  found = read_volume(tmp_path / "one" / "002")  # a file of a series is that slice alone
  assert found.voxels.shape == (1, 10, 12) and np.allclose(found.affine[:3, 2], matrix[:3, 2])


@pytest.mark.parametrize("step", [2.0, -2.0])
def test_reconstructions_of_nuclear_medicine(tmp_path, step):
  matrix = phantom.affine(SIZE, (1.0, 1.5, 2.0), tilted=15)
  phantom.write_series(tmp_path / "one", stored(), matrix, modality="NM", intercept=0.0)
  header = pydicom.dcmread(tmp_path / "one" / ("000" if step > 0 else "005"))  # the slice that the others follow
  detector = pydicom.Dataset()
  detector.ImagePositionPatient = header.ImagePositionPatient
  detector.ImageOrientationPatient = header.ImageOrientationPatient
  del header.ImagePositionPatient, header.ImageOrientationPatient
  header.DetectorInformationSequence, header.ImageType = [detector], ["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"]
  header.NumberOfFrames, header.SpacingBetweenSlices = 6, str(step)
  header.SliceVector = [1, 2, 3, 4, 6, 5]
  frames = (stored() if step > 0 else stored()[::-1])[[0, 1, 2, 3, 5, 4]]
  header.PixelData = frames.tobytes()
  header.save_as(tmp_path / "many")
  found = read_volume(tmp_path / "many")
  assert np.abs(found.affine - matrix).max() < 1e-5 and found.modality == "NM"
  np.testing.assert_array_equal(found.voxels, stored())
  header.SliceVector = [1, 2, 3, 1, 2, 3]  # of two energy windows, say
  header.save_as(tmp_path / "many")
  with pytest.raises(UserError, match="expected a position of each of its 6 frames"):
    read_volume(tmp_path / "many")


@pytest.mark.parametrize(
  ("tags", "said"),
  [
    ({"ImagePositionPatient": None}, "expected ImagePositionPatient, which says where"),
    ({"PixelSpacing": ["0", "0"]}, "expected positions and spacings in mm"),
    ({"ImageOrientationPatient": ["1", "0", "0", "1", "0", "0"]}, "two directions at right angles"),
    ({"Rows": 60000, "Columns": 60000}, r"expected at most \d+ voxels"),
    ({"Rows": 4000}, "expected .* bytes of pixels, found 240: it is truncated"),
    ({"Rows": lambda k: 10 + k // 5}, "expected slices of one size, direction and spacing"),
    ({"ImagePositionPatient": ["0", "0", "0"]}, "expected one slice at each place"),
    ({"ImagePositionPatient": lambda k: [str(9 * (k == 3)), "0", str(k)]}, "9.0 mm beside the others' line"),
    ({"ImagePositionPatient": lambda k: ["0", "0", str(k if k < 5 else 900)]}, "more than half of the volume missing"),
    ({"NumberOfFrames": 7}, "expected a position of each of its 7 frames"),
  ],
)  # fmt: skip
def test_what_cannot_be_a_volume_is_one_line(tmp_path, tags, said):
  phantom.write_series(tmp_path / "in", stored(), phantom.affine(SIZE, (1.0, 1.0, 2.0)), **tags)
  with pytest.raises(UserError, match=said) as error:
    read_volume(tmp_path / "in")
  assert "\n" not in str(error.value) and str(tmp_path / "in") in str(error.value)


def test_pixels_that_are_compressed_without_loss(tmp_path):
  matrix = phantom.affine(SIZE, (1.0, 1.0, 2.0))
  phantom.write_series(tmp_path / "in", stored(), matrix, intercept=0.0)
  for path in (tmp_path / "in").iterdir():
    header = pydicom.dcmread(path)
    header.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
    header.save_as(path)
  np.testing.assert_array_equal(read_volume(tmp_path / "in").voxels, stored())


def test_what_nobody_here_decodes_says_what_to_install(tmp_path):
  phantom.write_series(tmp_path / "in", stored(), phantom.affine(SIZE, (1.0, 1.0, 2.0)))
  path = tmp_path / "in" / "001"
  header = pydicom.dcmread(path)
  header.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLosslessSV1
  header.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8 no JPEG \xff\xd9"])
  header["PixelData"].is_undefined_length = True
  header.save_as(path)
  known = pydicom.pixels.get_decoder(pydicom.uid.JPEGLosslessSV1).is_available
  with pytest.raises(UserError, match="damaged" if known else "JPEG Lossless.*pip install pylibjpeg") as error:
    read_volume(tmp_path / "in")
  assert "\n" not in str(error.value)


def test_mutated_files_are_read_or_refused(tmp_path):
  phantom.write_series(tmp_path / "in", stored(), phantom.affine(SIZE, (1.0, 1.0, 2.0)), modality="PT", Units="BQML")
  path, random = tmp_path / "in" / "003", np.random.default_rng(0)
  whole = path.read_bytes()
  refused = 0
  for _ in range(80):
    data = bytearray(whole)
    for _ in range(random.integers(1, 6)):
      at = random.integers(132, len(data) - 1)
      data[at : at + 4] = random.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", random.bytes(4), b""])
    path.write_bytes(data[: random.integers(200, 2 * len(data))])
    try:
      found = read_volume(tmp_path / "in")
      assert np.isfinite(found.voxels).all()
    except UserError as error:
      refused += 1
      assert "\n" not in str(error)
  assert 5 < refused < 80


def test_volumes_are_told_by_their_bytes(tmp_path):
  names = [f"{k}.jpg" for k in range(6)]
  phantom.write_series(tmp_path / "in", stored(), phantom.affine(SIZE, (1.0, 1.0, 2.0)), names=names)
  assert kinds.kind(tmp_path / "in") == kinds.kind(tmp_path / "in" / "2.jpg") == kinds.DICOM
  (tmp_path / "other").mkdir()
  (tmp_path / "other" / "a.dcm").write_text("no DICOM")
  assert kinds.kind(tmp_path / "other") is None and kinds.kind(tmp_path / "nowhere") is None
  with pytest.raises(UserError, match="expected a volume, DICOM or NIfTI, found another file"):
    read_volume(tmp_path / "other" / "a.dcm")


def test_without_pydicom_a_line_says_what_to_install(tmp_path, monkeypatch):
  import sys

  phantom.write_series(tmp_path / "in", stored(), phantom.affine(SIZE, (1.0, 1.0, 2.0)))
  monkeypatch.setitem(sys.modules, "pydicom", None)
  with pytest.raises(UserError, match=r"pip install dig2dig_jax\[medical\]"):
    read_volume(tmp_path / "in")
