"""Does a fused volume show things where they are, slice by slice what images of those slices become, without
flicker?"""

import logging

import numpy as np
import phantom
import pytest

pytest.importorskip("pydicom", reason="pydicom is not installed (dig2dig_jax[medical])")
pytest.importorskip("nibabel", reason="nibabel is not installed (dig2dig_jax[medical])")

import dig2dig_jax as d2d
from dig2dig_jax.data.scaling import Range
from dig2dig_jax.volumes import intensity, noise, roles, slices
from dig2dig_jax.volumes.resample import Resampled
from dig2dig_jax.volumes.volume import Identity, Volume

pytestmark = pytest.mark.usefixtures("quick_compile")
QUICK = {"bands": 3}


@pytest.fixture(scope="module")
def prior(tiny_prior):
  return d2d.load_prior(tiny_prior)


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
  """Folders of a CT and of a PET that lies turned against it, on a coarser grid."""
  root = tmp_path_factory.mktemp("patient")
  phantom.write_ct(root / "ct")
  phantom.write_pet(root / "pet", turned=12)
  return root


def made(size, matrix, *, outside=0.0, inside=1.0, modality="", **rest):
  voxels = phantom.ball(size, matrix, outside=outside, inside=inside).astype(np.float32)
  return Volume(voxels, matrix, modality=modality, **rest)


@pytest.mark.parametrize(("turned", "tilted"), [(0, 0), (30, 0), (-20, 40)])
def test_a_ball_lies_at_one_place_in_every_grid(turned, tilted):
  volume = made((30, 28, 26), phantom.affine((30, 28, 26), (4.0, 4.5, 5.0)))
  frame = made((64, 60, 40), phantom.affine((64, 60, 40), (2.0, 1.5, 2.5), turned=turned, tilted=tilted))
  resampled = Resampled(volume, frame)
  found = np.stack([resampled.slice(k)[0][..., 0] for k in range(40)])
  off = phantom.centre_of(found, frame.affine) - phantom.BALL
  assert np.abs(off).max() < 0.5 * 2.5, off  # half a voxel of the grid
  # Linear in mm: a ramp stays one, exactly, inside of the field of view.
  ramp = volume._replace(voxels=np.float32(phantom.places(volume.size, volume.affine) @ [1.0, 2.0, -3.0]))
  resampled = Resampled(ramp, frame)
  values, valid = zip(*(resampled.slice(k) for k in range(40)), strict=True)
  valid = np.stack([np.ones(v.shape[:2], bool) if a is None else a for v, a in zip(values, valid, strict=True)])
  wanted = phantom.places(frame.size, frame.affine) @ [1.0, 2.0, -3.0]
  index = np.einsum("ij,zyxj->zyxi", np.linalg.inv(volume.affine)[:3], np.concatenate(
    [phantom.places(frame.size, frame.affine), np.ones((*frame.size[::-1], 1))], -1))  # fmt: skip
  within = ((index >= 0) & (index <= np.array(volume.size) - 1)).all(-1)
  assert within.mean() > 0.3
  np.testing.assert_allclose(np.stack(values)[..., 0][within], wanted[within], atol=1e-2)
  exact = ((index >= -0.499) & (index <= np.array(volume.size) - 0.501)).all(-1)
  beyond = ((index < -0.501) | (index > np.array(volume.size) - 0.499)).any(-1)
  assert valid[exact].all() and not valid[beyond].any()
  covered = resampled.covered()
  np.testing.assert_allclose(covered, valid.mean(axis=(1, 2)), atol=0.06)


def test_a_finer_volume_is_smoothed_before_it_is_reduced():
  fine = phantom.affine((96, 96, 8), (1.0, 1.0, 4.0))
  coarse = Volume(np.zeros((8, 24, 24), np.float32), phantom.affine((24, 24, 8), (4.0, 4.0, 4.0)))
  board = np.float32(np.indices((8, 96, 96)).sum(axis=0) % 2)  # finer than the grid can hold: gray there
  found, _ = Resampled(Volume(board, fine), coarse).slice(3)
  assert np.abs(found[2:-2, 2:-2] - 0.5).max() < 0.05


def test_the_fused_ball_lies_where_it_lay_and_the_geometry_is_the_references(patient, prior, caplog):
  with caplog.at_level(logging.WARNING):
    fused = d2d.fuse_volumes(patient / "ct", patient / "pet", prior=prior, **QUICK)
  ct = d2d.read_volume(patient / "ct")
  np.testing.assert_array_equal(fused.affine, ct.affine)
  assert fused.voxels.shape == ct.voxels.shape and fused.voxels.dtype == np.uint8
  off = phantom.centre_of(fused.voxels, fused.affine) - phantom.BALL
  assert (np.abs(off) < 0.5 * ct.spacing).all(), off
  said = caplog.text
  assert "reference: ct, 64 x 56 x 12 voxels of 1.5 x 1.5 x 5 mm" in said
  assert "range of ct: -150 to 249 HU, the window of its header" in said
  assert "range of pet: 0 to 7" in said and "covers 95 %; ct stands alone elsewhere" in said
  assert "frames of reference" not in said


def test_slices_are_what_images_of_them_become(patient, prior):
  fused = d2d.fuse_volumes(patient / "ct", patient / "pet", prior=prior, batch_size=5, **QUICK)
  volumes = [d2d.read_volume(patient / name) for name in ("ct", "pet")]
  stack, _ = slices.of_volumes(volumes, ["ct", "pet"], settings={})
  for k in (0, 4, 11):
    pair = [(one[..., 0] + 1) / 2 for one in stack.slice(k)]
    image = d2d.fuse_images(pair, task="medical", prior=prior, value_range="full", **QUICK)
    assert np.abs(image.astype(int) - fused.voxels[k]).max() <= 1, k


@pytest.mark.slow
def test_the_other_reference_and_sixteen_bits(patient, prior):
  fused = d2d.fuse_volumes(patient / "ct", patient / "pet", prior=prior, reference=1, bit_depth=16, **QUICK)
  pet = d2d.read_volume(patient / "pet")
  np.testing.assert_array_equal(fused.affine, pet.affine)
  assert fused.voxels.shape == pet.voxels.shape and fused.voxels.dtype == np.uint16
  off = phantom.centre_of(fused.voxels, fused.affine) - phantom.BALL
  assert np.abs(off).max() < 2.5, off


def test_above_its_field_of_view_the_other_stands_alone():
  frame = made((32, 32, 12), phantom.affine((32, 32, 12), (2.0, 2.0, 5.0)))
  half = made((16, 16, 5), phantom.affine((16, 16, 5), (4.5, 4.5, 5.0)), modality="PT")
  stack, lines = slices.of_volumes([frame, half], ["ct", "pet"], settings={})
  assert any("ct stands alone elsewhere" in line for line in lines)
  np.testing.assert_array_equal(*stack.slice(0))
  inside = stack.slice(6)
  assert np.abs(inside[0] - inside[1]).max() > 0.1
  assert 4 <= stack.middle() <= 7


def test_colour_comes_from_a_source_that_has_it(prior):
  matrix = phantom.affine((32, 32, 3), (2.0, 2.0, 10.0))
  gray = made((32, 32, 3), matrix, outside=0, inside=100)
  red = np.zeros((3, 32, 32, 3), np.uint8)
  red[..., 0] = 255 * (gray.voxels / gray.voxels.max())
  fused = d2d.fuse_volumes(gray, Volume(red, matrix, modality="PT"), prior=prior, **QUICK)
  assert fused.is_colour and fused.voxels.shape == (3, 32, 32, 3)
  centre = fused.voxels[1, 16, 16].astype(int)
  assert centre[0] > centre[1] + 50
  with pytest.raises(d2d.UserError, match="--bit_depth=16: expected 8 for volumes in colour"):
    d2d.fuse_volumes(gray, Volume(red, matrix), prior=prior, bit_depth=16, **QUICK)


def test_what_files_do_not_vouch_for_is_said_and_no_overlap_refused():
  matrix = phantom.affine((16, 16, 4), (2.0, 2.0, 5.0))
  one = made((16, 16, 4), matrix, identity=Identity(frame="1.2", patient="A"))
  other = one._replace(identity=Identity(frame="1.3", patient="B"))
  _, lines = slices.of_volumes([one, other], ["mri", "pet"], settings={})
  assert sum("positions are trusted as they are" in line for line in lines) == 2
  away = matrix.copy()
  away[2, 3] += 500
  with pytest.raises(d2d.UserError, match="expected to overlap volume, found it elsewhere: .*520..540 mm"):
    slices.of_volumes([one, other._replace(affine=away)], ["mri", "pet"], settings={})


def test_ranges_are_of_the_whole_volume():
  rng = np.random.default_rng(0)
  voxels = rng.uniform(100, 200, (20, 40, 40)).astype(np.float32)
  voxels[:10] *= 0.1  # dark slices stay dark
  voxels[3, 3, 3] = 1e6  # a dead voxel is no white
  volume = Volume(voxels, np.eye(4))
  found = intensity.robust(voxels)
  assert 9 < found[0] < 11 and 199 < found[1] < 260
  asked = {"auto": "auto", "given": Range(0, 50), "full": "full"}
  volumes = dict.fromkeys([*asked, "pet", "ct", "off"], volume)
  volumes |= {"pet": volume._replace(modality="PT", unit="SUV", window=(0, 1)), "ct": volume._replace(window=(20, 80)),
              "off": volume._replace(window=(-900, 0))}  # fmt: skip
  ranges, lines = intensity.of_volumes(volumes, asked)
  assert ranges["auto"] == ranges["off"] == Range(*found) and ranges["given"] == Range(0, 50)
  assert ranges["full"].high == 1e6 and ranges["pet"] == Range(0, found[1]) and ranges["ct"] == Range(20, 80)
  assert any("SUV, from nothing to a robust extreme" in line for line in lines)
  assert any("whose window holds none of its values" in line for line in lines)
  flat = Volume(np.full((2, 8, 8), 7, np.float32), np.eye(4))
  assert intensity.of_volumes({"a": flat}, {})[0]["a"].low == 7
  with pytest.raises(d2d.UserError, match="--range=shared"):
    intensity.of_volumes({"a": flat}, {"a": "shared"})


def test_noise_is_decided_once_for_all_slices(prior):
  rng = np.random.default_rng(1)
  matrix = phantom.affine((64, 64, 6), (1.4, 1.4, 9.0))
  clean = made((64, 64, 6), matrix, outside=300, inside=700)
  noisy = clean._replace(voxels=clean.voxels + rng.normal(0, 40, clean.voxels.shape).astype(np.float32))
  settings = {name: Range(0, 1000) for name in ("mri", "pet")}
  stack, _ = slices.of_volumes([noisy, clean], ["mri", "pet"], settings=settings)
  denoise, lines = noise.found(stack, prior, seed=0)
  assert len(lines) == 1 and lines[0].startswith("mri: noise of standard deviation ")
  assert abs(float(lines[0].split("deviation ")[1].split()[0]) - 10.2) < 1.5
  found = denoise(stack.slice(2))
  np.testing.assert_array_equal(found[1], stack.slice(2)[1])
  assert np.abs(found[0] - stack.slice(2)[0]).max() > 0
  stack, _ = slices.of_volumes([clean, clean._replace()], ["mri", "pet"], settings=settings)
  assert noise.found(stack, prior, seed=0) == (None, [])


def test_roles_go_by_modality_and_by_words_of_names():
  def named(name, modality=""):
    return roles.with_modality(Volume(np.zeros((1, 1, 1), np.float32), np.eye(4), name, modality))

  assert roles.ordered([named("a", "PT"), named("b", "CT")])[:2] == (["pet", "ct"], [1, 0])
  assert roles.ordered([named("/x/sub-01_T1w.nii.gz"), named("/x/sub-01_pet.nii.gz")])[:2] == (["mri", "pet"], [0, 1])
  assert roles.ordered([named("/x/ct.nii"), named("/x/mr.nii")])[:2] == (["ct", "mri"], [1, 0])
  names, order, line = roles.ordered([named("a.nii"), named("b.nii")])
  assert (names, order) == (["structure", "function"], [0, 1]) and "by their order" in line
  with pytest.raises(d2d.UserError, match="expected two different names"):
    roles.ordered([named("a.nii"), named("b.nii")], ["x", "x"])


@pytest.mark.parametrize(
  ("given", "said"),
  [
    ({"reference": 2}, "reference: expected 0, 1 or None"),
    ({"value_range": "auto"}, "value_range: expected a setting for each"),
    ({"value_range": (None, (5, 1))}, "value_range: expected auto, full, None or a pair"),
    ({"bit_depth": 12}, "bit_depth: expected 8 or 16"),
    ({"prior": 3}, "prior: expected a Prior or its folder, found int"),
    ({"seed": -1}, "seed: expected a whole number"),
    ({"step": 1}, "step: expected an option among"),
    ({"function": 3}, "function: expected a folder, a file or a Volume, found int"),
    ({"function": Volume(np.zeros((2, 2), np.float32), np.eye(4))}, r"function: expected voxels \[Z, Y, X\]"),
    ({"function": Volume(np.zeros((2, 2, 2), np.float32), np.zeros((4, 4)))}, "function: expected an affine"),
  ],
)
def test_wrong_arguments_are_named(prior, given, said):
  volume = Volume(np.zeros((2, 8, 8), np.float32), np.eye(4))
  arguments = {"structure": volume, "function": volume, "prior": prior} | given
  with pytest.raises(ValueError, match=said) as error:
    d2d.fuse_volumes(arguments.pop("structure"), arguments.pop("function"), **arguments)
  assert "\n" not in str(error.value)
