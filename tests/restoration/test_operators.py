"""Is every degradation the linear operator it says, with the adjoint and the inverses that guidance relies on?"""

import jax
import numpy as np
import pytest
import scipy.ndimage
import toys

from dig2dig_jax.errors import UserError
from dig2dig_jax.restoration import operators

pytestmark = pytest.mark.usefixtures("quick_compile")

SIZE = (13, 18)
KERNEL = np.array([[0.0, 0.1, 0.0], [0.3, 0.4, 0.05], [0.0, 0.0, 0.15]])
MASK = (np.add.outer(np.arange(13), np.arange(18)) % 3 > 0).astype(float)
OPERATORS = {
  "identity": operators.identity(SIZE),
  "mask": operators.masked(MASK),
  "dropped lines": operators.dropped_lines(SIZE, rows=(0, 5), columns=(17,)),
  "Gaussian": operators.gaussian_blur(SIZE, 0.8),
  "kernel": operators.blur(SIZE, KERNEL),
  "motion": operators.motion_blur(SIZE, 5, 30.0),
  "average": operators.average_downsample(SIZE, 4),
  "average of a real scale": operators.average_downsample(SIZE, 2.5),
  "bicubic": operators.bicubic_downsample(SIZE, 3),
  "composite": operators.compose(operators.gaussian_blur(SIZE, 0.8), operators.average_downsample(SIZE, 2)),
}


@pytest.fixture(params=OPERATORS, name="a")
def operator(request):
  return OPERATORS[request.param]


def dense(a):
  """The matrix of an operator on one channel, column by column."""
  basis = np.eye(SIZE[0] * SIZE[1], dtype=np.float32).reshape(-1, *SIZE, 1)
  return np.asarray(jax.jit(jax.vmap(a.apply))(basis), np.float64).reshape(len(basis), -1).T


def test_inner_products_are_preserved_by_the_adjoint(a):
  x, z = toys.normal(0, *a.size, 3), toys.normal(1, *a.observed, 3)
  forward, back = np.asarray(jax.jit(a.apply)(x), np.float64), np.asarray(jax.jit(a.adjoint)(z), np.float64)
  assert forward.shape == (*a.observed, 3) and back.shape == (*a.size, 3)
  assert np.sum(forward * z) == pytest.approx(np.sum(x * back), abs=2e-4)


def test_the_pseudo_inverse_inverts_what_was_observed(a):
  z = jax.jit(a.apply)(toys.normal(2, *a.size, 2))
  np.testing.assert_allclose(jax.jit(lambda z: a.apply(a.pinv(z)))(z), z, atol=2e-3)


def test_the_regularised_inverse_is_that_of_the_matrix(a):
  matrix, r, rho = dense(a), toys.normal(3, *a.observed, 1), 0.3
  gram = matrix @ matrix.T + rho * np.eye(len(matrix))
  truth = matrix.T @ np.linalg.solve(gram, np.asarray(r, np.float64).reshape(-1))
  np.testing.assert_allclose(np.asarray(jax.jit(a.solve)(r, rho)).reshape(-1), truth, atol=1e-4)


def test_operators_do_what_scipy_does():
  x = toys.images(4, *SIZE, 1)
  run = {name: np.asarray(a.apply(x))[..., 0] for name, a in OPERATORS.items()}
  image = x[..., 0].astype(np.float64)
  blurred = scipy.ndimage.gaussian_filter(image, 0.8, mode="reflect", radius=3)
  np.testing.assert_allclose(run["Gaussian"], blurred, atol=2e-3)  # singular values below the cut are gone
  np.testing.assert_allclose(run["kernel"], scipy.ndimage.correlate(image, KERNEL, mode="wrap"), atol=2e-3)
  np.testing.assert_allclose(run["average"][1, 2], image[4:8, 8:12].mean(), atol=1e-5)
  np.testing.assert_allclose(run["average"][3, 4], image[12:, 16:].mean(), atol=1e-5)  # a smaller last block
  fine = np.repeat(np.repeat(image, 5, axis=0), 7, axis=1)  # 13 rows to 5, 18 columns to 7
  areas = fine.reshape(5, 13, 7, 18).mean(axis=(1, 3))
  np.testing.assert_allclose(run["average of a real scale"], areas, atol=1e-5)
  assert np.all(run["dropped lines"][[0, 5]] == 0) and np.all(run["dropped lines"][1:5, :17] == image[1:5, :17])


def test_downsampling_keeps_constants_and_bicubic_keeps_ramps():
  flat = np.full((*SIZE, 1), 0.4, np.float32)
  ramp = np.broadcast_to(np.arange(18, dtype=np.float32)[:, None] / 18, (*SIZE, 1))
  for name in ("average", "bicubic"):
    np.testing.assert_allclose(OPERATORS[name].apply(flat), 0.4, atol=1e-5)
  inner = np.asarray(OPERATORS["bicubic"].apply(ramp))[2, 2:4, 0]
  np.testing.assert_allclose(inner, (np.array([2, 3]) * 3 + 1) / 18, atol=1e-4)


def test_motion_is_a_line_of_its_angle():
  spot = np.zeros((21, 21, 1), np.float32)
  spot[10, 10] = 1
  flat, upright = (np.asarray(operators.motion_blur((21, 21), 7, angle).apply(spot))[..., 0] for angle in (0, 90))
  np.testing.assert_allclose(flat[10, 7:14], 1 / 7, atol=1e-2)
  np.testing.assert_allclose(upright, flat.T, atol=1e-2)


@pytest.mark.parametrize(
  "make, message",
  [
    (lambda: operators.gaussian_blur((5, 30), 4.0), r"fits the image of \(5, 30\), found one of \(25, 25\)"),
    (lambda: operators.blur(SIZE, np.ones((2, 3))), r"two odd sides, found \(2, 3\)"),
    (lambda: operators.motion_blur(SIZE, 4, 0), "odd length in pixels, found 4"),
    (lambda: operators.average_downsample(SIZE, 14), "smaller side 13, found 14"),
    (lambda: operators.bicubic_downsample(SIZE, 0), "found 0"),
    (lambda: operators.dropped_lines(SIZE, rows=(13,)), "dead row 13: expected 0 to 12"),
  ],
)
def test_what_does_not_fit_is_refused(make, message):
  with pytest.raises(UserError, match=message):
    make()


def test_what_does_not_fit_together_is_refused():
  with pytest.raises(ValueError, match="expected an operator on"):
    operators.compose(operators.average_downsample(SIZE, 2), operators.identity(SIZE))
