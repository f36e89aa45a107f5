"""Are splines what their equations say, is a displacement held where it would tear, and when is a richer model better?

Whether one is found where there is one, and none where there is none: `test_estimate.py`, with its programs."""

import numpy as np
import pytest

from dig2dig_jax.alignment import evidence, flow, spline, stored
from dig2dig_jax.alignment.aligner import bent
from dig2dig_jax.errors import UserError

SIZE = (150, 200)


def test_a_spline_holds_any_plane_and_its_bending_energy_is_that_of_its_derivatives():
  rows, columns = np.meshgrid(np.arange(7) - 1, np.arange(9) - 1, indexing="ij")
  grid = np.stack([2.0 * columns - rows, 0.5 * rows + 3], -1)
  found = spline.dense(grid, np.array([0, 0.5, 1]), np.array([0, 0.25, 1]))
  np.testing.assert_allclose(found[1, 1], [2 * 1.5 - 2, 0.5 * 2 + 3], atol=1e-12)  # at spans 2 of 4 and 1.5 of 6
  energy = spline.bending(7, 9, 1.2, 1.6)
  np.testing.assert_allclose(energy @ grid.reshape(-1, 2), 0, atol=1e-9)
  drawn = np.random.default_rng(0).normal(size=(7, 9, 2))
  rows, columns = ((np.arange(120) + 0.5) / 120 for _ in range(2))
  field = spline.dense(drawn, rows, columns)[..., 0]
  step = 1 / 120
  twice = [np.gradient(np.gradient(field, step, axis=a), step, axis=b)[2:-2, 2:-2] / (1.2, 1.6)[a] / (1.2, 1.6)[b]
           for a, b in ((0, 0), (0, 1), (1, 1))]  # fmt: skip
  expected = np.mean(twice[0] ** 2 + 2 * twice[1] ** 2 + twice[2] ** 2)
  assert drawn[..., 0].ravel() @ energy @ drawn[..., 0].ravel() == pytest.approx(expected, rel=0.05)
  points = np.array([[30.0, 70.0], [199.0, 0.0]])
  whole = spline.dense(drawn, *(np.arange(side) / (side - 1) for side in SIZE))
  np.testing.assert_allclose(spline.at(drawn, points, SIZE), whole[[70, 0], [30, 199]], atol=1e-12)
  steepest = np.linalg.norm(np.stack(np.gradient(whole, axis=(1, 0)), -1)[2:-2, 2:-2], 2, axis=(-2, -1)).max()
  assert spline.steepest(drawn, SIZE) == pytest.approx(steepest, rel=0.1)


def test_a_steep_displacement_is_held_below_the_bound_and_that_is_told():
  held = flow.bounded(np.random.default_rng(0).normal(scale=0.3, size=(*flow.GRID, 2)), SIZE)
  unit = 0.5 * np.hypot(*SIZE)
  assert held.bounded < 1 and spline.steepest(unit * held.grid, SIZE) == pytest.approx(spline.STEEPEST)
  assert f"multiplied by {held.bounded:.2f} to keep its gradient below 0.5" in bent(unit * held.grid, held.bounded)


def test_a_model_has_to_predict_better_beyond_doubt_and_neighbours_that_agree_say_less():
  smooth = np.sin(np.arange(9) / 1.5)[None] * np.cos(np.arange(7) / 1.5)[:, None]
  needed = []
  for values in (smooth.ravel(), np.random.default_rng(0).permutation(smooth.ravel())):
    values = values - values.mean()
    errors = np.linspace(0, 8, 81)  # standard errors of independent values
    accepted = [evidence.is_better(values + k * values.std() / np.sqrt(63), np.zeros(63)) for k in errors]
    assert not accepted[0] and accepted == sorted(accepted)
    needed.append(errors[np.argmax(accepted)])
  assert 0.8 * evidence.SURE < needed[1] < 1.2 * evidence.SURE < 1.4 * needed[1] < needed[0] < 8
  assert not evidence.is_better(np.zeros(63), np.zeros(63))


def test_what_would_tear_is_not_read(tmp_path):
  torn = np.random.default_rng(0).normal(scale=40, size=(7, 9, 2))
  stored.write(tmp_path / "t.json", stored.Transforms("vi", SIZE, {"ir": stored.Placed(np.eye(3), SIZE, 1.0, torn)}))
  with pytest.raises(UserError, match="a flow with a gradient of .*, above 0.5; write it again"):
    stored.read(tmp_path / "t.json")
  small = stored.Placed(np.eye(3), SIZE, 1.0, torn[:3])
  stored.write(tmp_path / "t.json", stored.Transforms("vi", SIZE, {"ir": small}))
  with pytest.raises(UserError, match="that is not a grid of at least 4 x 4 pairs"):
    stored.read(tmp_path / "t.json")
