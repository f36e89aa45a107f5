"""Is a smooth displacement found where there is one, and none where there is none? Is it kept, applied, never torn?"""

import json

import cv2
import made
import numpy as np
import pytest

from dig2dig_jax.alignment import evidence, flow, spline, stored, warp
from dig2dig_jax.alignment.aligner import Aligner, bent
from dig2dig_jax.alignment.aligner import lines as told_lines
from dig2dig_jax.alignment.estimate import estimate
from dig2dig_jax.alignment.transforms import mapped
from dig2dig_jax.data.images import Image
from dig2dig_jax.errors import UserError

pytestmark = pytest.mark.usefixtures("simple_loops")
SIZE = (150, 200)
MATRIX = made.similarity((4.0, -3.0), 1.04, 1.5)


def waves(points, much=4.0):
  """Displacements (x, y) in pixels: a slow wave along each side."""
  x, y = np.moveaxis(points, -1, 0)
  return much * np.stack([np.sin(2 * np.pi * y / SIZE[0]), np.cos(1.5 * np.pi * x / SIZE[1])], -1)


def pixels(size=SIZE):
  return np.stack(np.meshgrid(np.arange(size[1]), np.arange(size[0])), -1).astype(np.float64)


@pytest.fixture(scope="module")
def bent_pair():
  """(reference, source): what the reference shows at p, the source shows at MATRIX (p + waves(p)); made the other way
  round, from the source."""
  source = made.scene(0, 190, 250)
  own = made.similarity((25.0, 20.0)) @ MATRIX
  places = mapped(own, pixels() + waves(pixels()))
  reference = cv2.remap(source, *np.moveaxis(np.float32(places), -1, 0), cv2.INTER_CUBIC)
  return reference, made.other_kind(source), own


def test_a_spline_holds_any_plane_and_its_bending_energy_is_that_of_its_derivatives():
  rows, columns = np.meshgrid(np.arange(7) - 1, np.arange(9) - 1, indexing="ij")
  grid = np.stack([2.0 * columns - rows, 0.5 * rows + 3], -1)
  found = spline.dense(grid, np.array([0, 0.5, 1]), np.array([0, 0.25, 1]))
  np.testing.assert_allclose(found[1, 1], [2 * 1.5 - 2, 0.5 * 2 + 3], atol=1e-12)  # at spans 2 of 4 and 1.5 of 6
  energy = spline.bending(7, 9, 1.2, 1.6)
  np.testing.assert_allclose(energy @ grid.reshape(-1, 2), 0, atol=1e-9)
  drawn = np.random.default_rng(0).normal(size=(7, 9, 2))
  rows, columns = ((np.arange(400) + 0.5) / 400 for _ in range(2))
  field = spline.dense(drawn, rows, columns)[..., 0]
  step = 1 / 400
  twice = [np.gradient(np.gradient(field, step, axis=a), step, axis=b)[4:-4, 4:-4] / (1.2, 1.6)[a] / (1.2, 1.6)[b]
           for a, b in ((0, 0), (0, 1), (1, 1))]  # fmt: skip
  expected = np.mean(twice[0] ** 2 + 2 * twice[1] ** 2 + twice[2] ** 2)
  assert drawn[..., 0].ravel() @ energy @ drawn[..., 0].ravel() == pytest.approx(expected, rel=0.05)
  points = np.array([[30.0, 70.0], [199.0, 0.0]])
  whole = spline.dense(drawn, *(np.arange(side) / (side - 1) for side in SIZE))
  np.testing.assert_allclose(spline.at(drawn, points, SIZE), whole[[70, 0], [30, 199]], atol=1e-12)
  steepest = np.linalg.norm(np.stack(np.gradient(whole, axis=(1, 0)), -1)[2:-2, 2:-2], 2, axis=(-2, -1)).max()
  assert spline.steepest(drawn, SIZE) == pytest.approx(steepest, rel=0.1)


def test_a_known_displacement_is_found_across_modalities_and_applied_in_one_resampling(bent_pair):
  reference, source, own = bent_pair
  plain, found = (estimate(reference, source, model=model) for model in ("auto", "flow"))
  assert plain.accepted and plain.flow is None and found.flow.shape == (*flow.GRID, 2) and found.bounded == 1
  inner = pixels()[15:-15:5, 15:-15:5]
  truth = mapped(own, inner + waves(inner))
  away = [np.linalg.norm(mapped(one.matrix, inner + displaced) - truth, axis=-1).mean()
          for one, displaced in ((plain, 0), (found, spline.at(found.flow, inner, SIZE)))]  # fmt: skip
  assert away[1] < 0.8 and 3 * away[1] < away[0]
  brought, _ = warp.onto(source, found.matrix, SIZE, flow=found.flow)
  expected = made.other_kind(reference)
  error = [np.abs(one.astype(int) - expected)[15:-15, 15:-15].mean()
           for one in (warp.onto(source, plain.matrix, SIZE)[0], brought)]  # fmt: skip
  assert error[1] < 0.6 * error[0]


def test_nothing_is_displaced_where_a_transform_explains_it_or_nothing_does():
  image = made.scene(0)
  source, mask = made.moved(made.other_kind(image), MATRIX)
  found = estimate(image, source, source_mask=mask, model="flow")
  assert found.accepted and found.flow is None and bent(found.flow, found.bounded) == "no displacement supported"
  refused = estimate(image, made.other_kind(made.scene(7)), model="flow")
  assert not refused.accepted and refused.flow is None


def test_a_displacement_is_kept_applied_again_and_told(bent_pair, tmp_path):
  reference, source, _ = bent_pair
  images = {"vi": _image(reference), "ir": _image(source)}
  files = {name: tmp_path / name for name in images}
  aligned, told = Aligner("flow", reference="vi")(images, files)
  grid = told["ir"]["flow"]
  line, more = told_lines([("one", told)])
  assert line == "ir: aligned with vi in 1 of 1 pair" and more.startswith("ir: displaced in 1 of 1 pair, by up to ")
  placed = stored.Placed(np.array(told["ir"]["matrix"]), (190, 250), 1.0, np.array(grid))
  stored.write(tmp_path / "t.json", stored.Transforms("vi", SIZE, {"ir": placed}))
  assert json.loads((tmp_path / "t.json").read_text())["format"] == stored.WITH_FLOW
  again, _ = Aligner(known=stored.read(tmp_path / "t.json"))(images, files)
  np.testing.assert_allclose(again["ir"].pixels, aligned["ir"].pixels, atol=0.02)  # of 2: grids are rounded to 0.001 px
  torn = placed._replace(flow=np.random.default_rng(0).normal(scale=40, size=(7, 9, 2)))
  stored.write(tmp_path / "torn.json", stored.Transforms("vi", SIZE, {"ir": torn}))
  with pytest.raises(UserError, match="a flow with a gradient of .*, above 0.5; write it again"):
    stored.read(tmp_path / "torn.json")


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


def _image(gray):
  return Image(np.repeat(gray[..., None] / np.float32(127.5) - 1, 3, -1).astype(np.float32), False, 8, None, None)
