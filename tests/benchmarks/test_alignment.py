"""Does the benchmark of warped pairs measure what it says?"""

import cv2
import numpy as np
import pytest
from scenes import scene, write

from dig2dig_jax.alignment import transforms
from dig2dig_jax.benchmarks import alignment, other_aligners, warps
from dig2dig_jax.benchmarks.placements import Placement, best_homography, corner_error, overlap_error
from dig2dig_jax.data import other_kinds
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.errors import UserError


@pytest.mark.parametrize("cameras", list(warps.RANGES))
def test_warps_are_seeded_and_as_large_as_they_say(cameras):
  image = scene(0, 120, 160, 1)[..., 0]
  kind = warps.RANGES[cameras]
  again = [warps.warp(image, np.random.default_rng(4), kind) for _ in range(2)]
  np.testing.assert_array_equal(again[0].image, again[1].image)
  for seed in range(20):
    matrix = warps.draw(np.random.default_rng(seed), kind, (120, 160))
    moved = transforms.mapped(matrix, np.array([[79.5, 59.5]]))[0] - [79.5, 59.5]
    assert np.all(np.abs(moved) <= (kind.shift + 2 * kind.corner) * np.array([160, 120]) + 1e-3)
    warped = warps.warp(image, np.random.default_rng(seed), kind)
    assert warped.image.shape == warped.mask.shape and 0.2 < warped.mask.mean() <= 1
    assert np.all(warped.image[~warped.mask] == 0)


def test_the_matrix_is_of_the_warp():
  image = np.zeros((120, 160), np.uint8)
  image[57:64, 77:84] = 255
  warped = warps.warp(image, np.random.default_rng(1), warps.RANGES["mounted"])
  rows, columns = np.nonzero(warped.image > 128)
  centre = transforms.mapped(warped.matrix, np.array([[80.0, 60.0]]))[0]
  np.testing.assert_allclose([columns.mean(), rows.mean()], centre, atol=0.5)


def test_the_error_over_the_overlap_holds_parallax_that_no_matrix_explains():
  image = scene(0, 120, 160, 1)[..., 0]
  for cameras in ("mounted", "unknown"):
    warped = warps.warp(image, np.random.default_rng(4), warps.RANGES[cameras])
    true = Placement(warped.matrix, 1.0)
    assert corner_error(true, warped.matrix, 120, 160) == 0
    away = overlap_error(true, warped, (120, 160))
    assert away < 1e-6 if cameras == "mounted" else 0.1 < away < 1  # its amplitude is 0.64 px
  shifted = Placement(warped.matrix, 1.0, np.full((4, 4, 2), [3.0, 4.0]))
  by_matrix = Placement(warped.matrix @ np.array([[1, 0, 3], [0, 1, 4], [0, 0, 1]]), 1.0)
  assert overlap_error(shifted, warped, (120, 160)) == pytest.approx(overlap_error(by_matrix, warped, (120, 160)))
  assert corner_error(shifted, warped.matrix, 120, 160) > 0.5


def test_no_homography_does_better_over_the_overlap_than_the_best_one():
  image = scene(0, 120, 160, 1)[..., 0]
  errors = {}
  for cameras in ("mounted", "unknown"):
    warped = warps.warp(image, np.random.default_rng(4), warps.RANGES[cameras])
    best = best_homography(warped, (120, 160))
    errors[cameras] = [overlap_error(Placement(one, 1.0), warped, (120, 160)) for one in (best, warped.matrix)]
  assert max(errors["mounted"]) < 0.01 and 0.05 < errors["unknown"][0] < errors["unknown"][1]


def test_the_best_homography_of_a_pair_that_lies_apart_is_off_by_as_much():
  warped = warps.warp(scene(0, 120, 160, 1)[..., 0], np.random.default_rng(4), warps.RANGES["mounted"])
  apart = np.array([[1.0, 0, 3], [0, 1, 4], [0, 0, 1]])
  best = best_homography(warped, (120, 160), apart)
  assert corner_error(Placement(best, 1.0), warped.matrix @ apart, 120, 160) < 0.01
  assert corner_error(Placement(best, 1.0), warped.matrix, 120, 160) == pytest.approx(5, abs=1)


def test_planes_and_exposures_of_one_image_lie_on_each_other_and_show_different_parts_of_it():
  image = np.random.default_rng(3).integers(0, 256, (120, 160)).astype(np.uint8)
  near, far = other_kinds.focal_planes(image, np.random.default_rng(2))
  lost = [np.abs(np.float32(one) - image) for one in (near, far)]
  assert np.median(np.minimum(*lost)) <= 1.5 and min(one.mean() for one in lost) > 10  # sharp in one, soft in the other
  smooth = np.tile(np.linspace(20, 235, 160), (120, 1)).astype(np.uint8)
  longer, shorter = (one.mean(0) for one in other_kinds.exposures(smooth, np.random.default_rng(2)))
  assert longer[-1] == 255 and shorter[-1] < 200  # clipped in one only
  unclipped = longer < 250
  assert np.all(longer > shorter + 5) and np.corrcoef(longer[unclipped], shorter[unclipped])[0, 1] > 0.99


def test_the_table_counts_what_is_accepted_and_how_far_it_is_off(tmp_path, monkeypatch):
  for k in range(4):
    for source in ("a", "b"):
      write(tmp_path / "data" / source / f"{k}.png", scene(k, 60, 80, 1))
  pairs, _ = DataConfig(tmp_path / "data", ("a", "b")).find()
  calls = iter(range(100))

  def align(reference, source, mask):
    """Four own registrations, then by turns of a pair and of two scenes: right and sure, but for the last."""
    number = next(calls)
    if number >= 4 and number % 2:
      return np.eye(3), 0.1
    return np.eye(3), 0.9 if number < 10 else 0.2

  monkeypatch.setattr(alignment, "_ours", align)
  still = warps.RANGES["mounted"]._replace(shift=0, angle=0, scale=(1, 1), corner=0)
  monkeypatch.setattr(warps, "RANGES", {"still": still})
  monkeypatch.setattr(alignment, "CASES", ("still",))
  text = alignment.run(pairs, tmp_path / "out", cases=["still"], peers=False)
  row = next(line for line in text.splitlines() if line.startswith("| still | dig2dig |"))
  cells = [cell.strip() for cell in row.split("|")]
  assert cells[3:12] == ["4", "75 %", "75 %", "0.00", "0 %", "75 %", "0.00", "75 %", "100 %"]
  assert any(line.startswith(f"| still | {alignment.BEST_AS_ALIGNED} | 4 | 100 % |") for line in text.splitlines())
  assert (tmp_path / "out" / "alignment.json").exists()
  with pytest.raises(UserError, match="--cases=nowhere: expected among still"):
    alignment.run(pairs, tmp_path / "out", cases=["nowhere"])


def test_pairs_that_features_cannot_register_are_left_out_and_said(tmp_path, monkeypatch):
  for k in range(3):
    for source in ("a", "b"):
      write(tmp_path / "data" / source / f"{k}.png", scene(k, 60, 80, 1))
  pairs, _ = DataConfig(tmp_path / "data", ("a", "b")).find()
  calls = iter((np.eye(3), None, np.eye(3), None, None, np.eye(3)))
  monkeypatch.setattr(other_aligners, "by_features", lambda reference, source: next(calls))
  monkeypatch.setattr(alignment, "_ours", lambda reference, source, mask: (np.eye(3), 0.9))
  text = alignment.run(pairs, tmp_path / "out", cases=["registered_mounted"], peers=False)
  assert text.splitlines()[-1] == "registered_mounted: SIFT registers 2 of 3 pairs; the others are left out"
  with pytest.raises(UserError, match="two pairs or more that SIFT can register, found 1"):
    alignment.run(pairs, tmp_path / "out", cases=["registered_mounted"], peers=False)


def test_another_kind_of_image_lies_on_its_own_and_looks_another_way():
  image = scene(2, 120, 160, 1)[..., 0]
  one, again, other = (other_kinds.sensor(image, np.random.default_rng(seed)) for seed in (1, 1, 2))
  np.testing.assert_array_equal(one, again)
  assert one.dtype == np.uint8 and one.shape == image.shape and np.any(one != other)
  assert abs(np.corrcoef(image.ravel(), one.ravel())[0, 1]) < 0.9


def test_a_warped_area_is_where_the_image_was_valid():
  valid = np.ones((120, 160), bool)
  valid[:, :80] = False
  image = np.full((120, 160), 200, np.uint8)
  whole, half = (warps.warp(image, np.random.default_rng(3), warps.RANGES["mounted"], one) for one in (None, valid))
  assert half.mask.sum() < 0.65 * whole.mask.sum() and not np.any(half.mask & ~whole.mask)


def test_the_error_over_the_overlap_is_of_what_both_show():
  warped = warps.warp(np.zeros((120, 160), np.uint8), np.random.default_rng(5), warps.RANGES["mounted"])
  shifted = np.array([[1, 0, 3], [0, 1, 4], [0, 0, 1]]) @ warped.matrix
  assert overlap_error(Placement(shifted, 1.0), warped, (120, 160)) == pytest.approx(5)
  turned = warped.matrix @ np.array([[1, 0, 0], [0, 1, 0], [2e-4, 0, 1]])  # grows towards the corners
  overlap = overlap_error(Placement(turned, 1.0), warped, (120, 160))
  assert 0 < overlap < transforms.corner_error(turned, warped.matrix, 120, 160)


@pytest.mark.parametrize("name", ["phase correlation", "AlignMTB", "ECC", "ECC, nine starts"])
def test_other_aligners_undo_a_shift(name):
  image = scene(3, 120, 160, 1)[..., 0]
  moved = np.array([[1, 0, 5.0], [0, 1, -3.0], [0, 0, 1]])
  source = cv2.warpPerspective(image, moved, (160, 120), borderMode=cv2.BORDER_REFLECT)
  matrix, _ = other_aligners.others()[name](image, source, np.ones(image.shape, bool))
  assert transforms.corner_error(matrix, moved, 120, 160) < 1.0


def test_features_register_two_exposures_and_say_no_to_two_scenes():
  image = np.uint8(np.clip(scene(4, 240, 320, 1)[..., 0], 0, 255))
  rng = np.random.default_rng(0)
  spots = cv2.GaussianBlur(np.float32(rng.uniform(0, 255, (2, 240, 320))).transpose(1, 2, 0), (0, 0), 2)
  spots = np.uint8(cv2.normalize(spots, None, 0, 255, cv2.NORM_MINMAX))
  moved = np.array([[1.02, 0.01, 4], [-0.01, 1.02, -3], [0, 0, 1]])
  source = cv2.warpPerspective(spots[..., 0], moved, (320, 240), borderMode=cv2.BORDER_REFLECT) // 2 + 20
  found = other_aligners.by_features(spots[..., 0], source)
  assert transforms.corner_error(found, moved, 240, 320) < 0.5
  assert other_aligners.by_features(spots[..., 0], spots[..., 1]) is None
  assert other_aligners.by_features(np.zeros_like(image), image) is None
