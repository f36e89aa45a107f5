"""Is a NIfTI file read where it says, with its scaling, and refused in a line where it cannot be?"""

import gzip

import numpy as np
import phantom
import pytest

nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed (dig2dig_jax[medical])")

from dig2dig_jax.errors import UserError  # noqa: E402
from dig2dig_jax.volumes import kinds  # noqa: E402
from dig2dig_jax.volumes.read import read_volume  # noqa: E402
from dig2dig_jax.volumes.resample import Resampled  # noqa: E402
from dig2dig_jax.volumes.volume import directions, for_viewing  # noqa: E402

SIZE = (7, 6, 5)
OBLIQUE = phantom.affine(SIZE, (1.0, 1.2, 3.0), turned=25, tilted=-40)
VALUES = np.arange(210, dtype=np.int16).reshape(SIZE[::-1])


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("codes", [(1, 1), (0, 1), (4, 0)])
def test_sform_and_qform_and_scaling(tmp_path, name, codes):
  phantom.write_nifti(tmp_path / name, VALUES, OBLIQUE, codes=codes, slope=(0.5, -3.0), cal_min=-2.0, cal_max=60.0)
  found = read_volume(tmp_path / name)
  assert np.abs(found.affine - OBLIQUE).max() < 1e-4
  np.testing.assert_allclose(found.voxels, 0.5 * VALUES - 3, atol=1e-3)
  assert found.voxels.dtype == np.float32 and found.window == (-2.0, 60.0)
  assert found.identity.frame == ("MNI's" if codes[0] == 4 else "the scanner's") and found.identity.spaces == codes


def test_resampling_agrees_with_nibabels(tmp_path):
  from nibabel.processing import resample_from_to

  size, grid = (20, 18, 12), (26, 22, 15)
  own = phantom.affine(size, (2.0, 2.2, 3.0), turned=-15, tilted=20)
  other = phantom.affine(grid, (1.8, 1.9, 2.6), turned=33, tilted=-10)
  values = phantom.ball(size, own, outside=0, inside=100).astype(np.float32)
  paths = [phantom.write_nifti(tmp_path / "a.nii", values, own),
           phantom.write_nifti(tmp_path / "b.nii", np.zeros(grid[::-1], np.float32), other)]  # fmt: skip
  wanted = resample_from_to(*map(nibabel.load, paths), order=1, mode="nearest").get_fdata().T
  volume, frame = map(read_volume, paths)
  found = Resampled(volume, frame)
  for k in range(grid[2]):
    np.testing.assert_allclose(found.slice(k)[0][..., 0], wanted[k], atol=1e-2)


def test_names_do_not_matter_and_bytes_do(tmp_path):
  phantom.write_nifti(tmp_path / "a.nii.gz", VALUES, OBLIQUE)
  (tmp_path / "scan.img").write_bytes((tmp_path / "a.nii.gz").read_bytes())
  assert kinds.kind(tmp_path / "scan.img") == kinds.NIFTI
  np.testing.assert_array_equal(read_volume(tmp_path / "scan.img").voxels, VALUES)
  (tmp_path / "b.nii.gz").write_bytes(gzip.compress(b"no volume" * 100))
  assert kinds.kind(tmp_path / "b.nii.gz") is None


def test_colours_metres_masks_time_and_no_geometry(tmp_path):
  colours = np.stack([VALUES, VALUES + 20, 255 - VALUES], -1).astype(np.uint8)
  rgb = colours.view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0]
  phantom.write_nifti(tmp_path / "rgb.nii", rgb, OBLIQUE)
  found = read_volume(tmp_path / "rgb.nii")
  assert found.is_colour
  np.testing.assert_array_equal(found.voxels, colours)

  masked = np.where(VALUES < 40, np.nan, VALUES).astype(np.float32)
  phantom.write_nifti(tmp_path / "m.nii", masked, OBLIQUE / [[1000], [1000], [1000], [1]], xyzt_units=1)
  found = read_volume(tmp_path / "m.nii")
  assert np.abs(found.affine - OBLIQUE).max() < 1e-3 and found.voxels.min() == 40
  assert any("are no numbers" in note for note in found.notes)

  series = np.stack([VALUES, VALUES + 1000])  # [T, Z, Y, X]
  phantom.write_nifti(tmp_path / "t.nii", series, OBLIQUE, codes=(0, 0))
  found = read_volume(tmp_path / "t.nii")
  np.testing.assert_array_equal(found.voxels, VALUES)
  assert any("2 volumes, of which the first is taken" in note for note in found.notes)
  assert any("neither sform nor qform" in note for note in found.notes)


def changed(path, **fields):
  """The file with other values in its header."""
  data = bytearray(path.read_bytes())
  header = np.frombuffer(data, nibabel.Nifti1Header.template_dtype, 1)[0]
  header = np.array(header)
  for name, value in fields.items():
    header[name] = value
  data[:348] = header.tobytes()
  path.write_bytes(data)


@pytest.mark.parametrize(
  ("fields", "said"),
  [
    ({"dim": [3, 30000, 30000, 30000, 1, 1, 1, 1]}, r"expected at most \d+ voxels"),
    ({"dim": [3, 700, 600, 500, 1, 1, 1, 1]}, r"expected \d+ bytes of voxels, found \d+: the file is truncated"),
    ({"dim": [3, -7, 6, 5, 1, 1, 1, 1]}, "expected a volume of voxels, found the shape"),
    ({"dim": [5, 7, 6, 1, 1, 5, 1, 1]}, "found 5 dimensions"),
    ({"datatype": 32, "bitpix": 64}, "expected whole numbers, floats or RGB, found complex64"),
    ({"datatype": 77}, "expected a whole NIfTI file, found a damaged one"),
    ({"srow_x": [0, 0, 0, 0]}, "expected an affine that places every voxel"),
    ({"srow_y": [np.nan, 0, 1, 0]}, "expected an affine that places every voxel"),
    ({"magic": b"ni1"}, "an .img beside it"),
    ({"vox_offset": 1e30}, "expected voxels behind the header"),
    ({"vox_offset": np.nan}, "damaged"),
  ],
)
def test_what_cannot_be_is_one_line(tmp_path, fields, said):
  path = phantom.write_nifti(tmp_path / "a.nii", VALUES, OBLIQUE)
  changed(path, **fields)
  with pytest.raises(UserError, match=said) as error:
    read_volume(path)
  assert "\n" not in str(error.value) and str(path) in str(error.value)


def test_compressed_files_that_announce_too_much_are_refused_before_they_are_unpacked(tmp_path):
  path = phantom.write_nifti(tmp_path / "a.nii", VALUES, OBLIQUE)
  changed(path, dim=[3, 800, 800, 800, 1, 1, 1, 1])
  (tmp_path / "a.nii.gz").write_bytes(gzip.compress(path.read_bytes()))
  with pytest.raises(UserError, match="the file is truncated"):
    read_volume(tmp_path / "a.nii.gz")
  (tmp_path / "b.nii.gz").write_bytes(gzip.compress(phantom.write_nifti(path, VALUES, OBLIQUE).read_bytes())[:-60])
  with pytest.raises(UserError, match="b.nii.gz: expected") as error:
    read_volume(tmp_path / "b.nii.gz")
  assert "\n" not in str(error.value)


def test_mutated_files_are_read_or_refused(tmp_path):
  path, random = phantom.write_nifti(tmp_path / "a.nii.gz", VALUES, OBLIQUE), np.random.default_rng(0)
  whole, refused = gzip.decompress(path.read_bytes()), 0
  for number in range(150):
    data = bytearray(whole)
    for _ in range(random.integers(1, 6)):
      at = random.integers(40, 348)  # of the header, so that it stays NIfTI
      data[at : at + 4] = random.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", random.bytes(4)])
    data[344:348] = whole[344:348]
    packed = gzip.compress(data, 1)
    path.write_bytes(packed if number % 3 else packed[: random.integers(100, len(packed))])
    try:
      found = read_volume(path)
      assert np.isfinite(found.voxels).all() and np.isfinite(found.affine).all()
    except UserError as error:
      refused += 1
      assert "\n" not in str(error)
  assert 30 < refused < 150


def test_slices_are_shown_as_radiologists_look_at_them():
  # Marked: the patient's left front, in a volume whose x goes to the right and whose y goes to the front (RAS).
  image = np.zeros((4, 6))
  image[3, 0] = 1
  ras = np.diag([-1.0, -1.0, 1.0, 1.0])
  assert directions(ras) == "RAS" and for_viewing(image, ras)[0, 5] == 1
  lps = np.eye(4)
  assert directions(lps) == "LPS" and for_viewing(image, lps) is not None and for_viewing(image, lps)[3, 0] == 1
  # A sagittal slice whose x goes to the head and whose y goes to the back: front on the left, head above.
  sagittal = np.array([[0.0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
  shown = for_viewing(image, sagittal)
  assert shown.shape == (6, 4) and shown[5, 3] == 1  # x = 0 is the foot, y = 3 the back
