"""Are the transforms what their parameters say, in whatever pixels?"""

import json

import jax
import numpy as np
import pytest

from dig2dig_jax.alignment import stored, transforms
from dig2dig_jax.errors import UserError


def test_parameters_mean_shift_scale_angle_and_perspective():
  shift = np.asarray(transforms.homography(np.float32([0.1, -0.2, 0, 0, 0, 0, 0, 0])))
  np.testing.assert_allclose(shift, [[1, 0, 0.1], [0, 1, -0.2], [0, 0, 1]], atol=1e-6)
  turned = np.asarray(transforms.homography(np.float32([0, 0, np.log(2), np.pi / 2, 0, 0, 0, 0])))
  np.testing.assert_allclose(turned @ [1, 0, 1], [0, 2, 1], atol=1e-6)
  sheared = np.asarray(transforms.homography(np.float32([0, 0, 0, 0, 0.1, 0.05, 0.01, 0.02])))
  np.testing.assert_allclose(sheared[2], [0.01, 0.02, 1], atol=1e-6)
  jacobian = np.asarray(jax.jacfwd(transforms.homography)(np.zeros(8, np.float32)))
  assert np.linalg.matrix_rank(jacobian.reshape(9, 8)) == 8


def test_a_shift_before_a_similarity_stays_one():
  start = np.float32([0.1, 0.2, 0.3, 0.4, 0, 0, 0, 0])
  moved = np.asarray(transforms.homography(transforms.shifted(start, np.float32([0.05, -0.03]))))
  shift = np.array([[1, 0, 0.05], [0, 1, -0.03], [0, 0, 1]])
  np.testing.assert_allclose(moved, np.asarray(transforms.homography(start)) @ shift, atol=1e-6)


def test_edges_stay_edges_when_images_are_resampled():
  scaled = transforms.mapped(transforms.scaling(0.5), np.array([[-0.5, -0.5], [99.5, 49.5]]))
  np.testing.assert_allclose(scaled, [[-0.5, -0.5], [49.5, 24.5]])
  np.testing.assert_allclose(transforms.mapped(transforms.frame(3, 5), np.zeros((1, 2))), [[2, 1]])


def test_the_error_is_the_mean_distance_of_the_corners():
  assert transforms.corner_error(np.array([[1, 0, 3], [0, 1, 4], [0, 0, 1.0]]), np.eye(3), 10, 20) == pytest.approx(5)


def test_transforms_are_kept_to_a_thousandth_of_a_pixel(tmp_path):
  rng = np.random.default_rng(0)
  matrix = np.eye(3) + rng.normal(size=(3, 3)) * [[0.1, 0.1, 900], [0.1, 0.1, 900], [1e-5, 1e-5, 0]]
  kept = stored.Transforms("vi", (6000, 8000), {"ir": stored.Placed(matrix, (480, 640), 0.87654)})
  stored.write(tmp_path / "t.json", kept)
  read = stored.read(tmp_path / "t.json")
  ends = transforms.corners(6000, 8000)
  away = transforms.mapped(read.sources["ir"].matrix, ends) - transforms.mapped(matrix, ends)
  assert np.abs(away).max() < 1e-3 and read.reference == "vi" and read.size == (6000, 8000)


@pytest.mark.parametrize("text", [
  "", "[]", "{}", '{"format": "another"}',
  '{"format": "dig2dig transforms 1", "reference": "a", "size": [1, 1], "sources": {"b": 3}}',
  '{"format": "dig2dig transforms 1", "reference": "a", "size": [4, 4], "sources": {"b": {"matrix": '
  '[[0,0,0],[0,0,0],[0,0,1]], "size": [4, 4], "confidence": 1}}}',
])  # fmt: skip
def test_what_is_no_file_of_transforms_is_refused_in_one_line(tmp_path, text):
  (tmp_path / "t.json").write_text(text)
  with pytest.raises(UserError, match="t.json: expected transforms as dig2dig align writes them") as error:
    stored.read(tmp_path / "t.json")
  assert "\n" not in str(error.value)


@pytest.mark.parametrize(("flow", "found"), [
  ([[[0, 0]] * 7, [[0, 0]] * 6] * 4, "rows of different lengths, or entries that are not numbers, in a displacement"),
  ([["x"] * 7] * 7, "rows of different lengths, or entries that are not numbers, in a displacement"),
  ([[0] * 7] * 7, r"a displacement \(flow\) of shape \[7, 7\] that is not a grid of at least"),
])  # fmt: skip
def test_a_grid_of_displacements_that_is_none_is_described(tmp_path, flow, found):
  stored.write(tmp_path / "t.json", stored.Transforms("vi", (60, 80), {"ir": stored.Placed(np.eye(3), (60, 80), 1.0)}))
  record = json.loads((tmp_path / "t.json").read_text())
  record["sources"]["ir"]["flow"] = flow
  (tmp_path / "t.json").write_text(json.dumps(record))
  with pytest.raises(UserError, match=f"found {found}.*; write it again with dig2dig align"):
    stored.read(tmp_path / "t.json")
