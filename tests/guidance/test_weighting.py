"""Are the weights convex, do they follow the gains, and is every row taken between the levels it says?"""

import gaussian
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import scipy.special
import toys

from dig2dig_jax.guidance import weighting
from dig2dig_jax.guidance.gain import restoration_errors
from dig2dig_jax.guidance.weighting import weights_from_gains
from dig2dig_jax.sampling import schedule

pytestmark = pytest.mark.usefixtures("quick_compile")

STEPS = toys.run_steps(8)
BOUNDS = schedule.steps_at(schedule.make_schedule(), [600, 20])
KEY = jax.random.key(3)
SHARP = {"temperature": 0.01}
CONV = toys.conv_denoiser(toys.conv_params())


def compute(method, sources, denoise=CONV, key=KEY):
  return jax.jit(method.compute, static_argnums=2)(key, sources, denoise)


def both(weights=SHARP, errors=None):
  errors = errors or {}
  return (
    weighting.interval_dig(STEPS, interval=3, weights=weights, errors=errors),
    weighting.cumulative_dig(BOUNDS, weights=weights, errors=errors),
  )


METHODS = both()


@pytest.mark.parametrize(("count", "method", "rows"), [(2, 1, 1), (3, 0, 3), (3, 1, 1), (4, 0, 3)])
def test_rows_are_convex_and_follow_the_order_of_the_sources(count, method, rows):
  sources = toys.images(0, count, 6, 5, 3)
  order = np.roll(np.arange(count), 1)
  weights = compute(METHODS[method], sources)
  assert weights.shape == (rows, count, 6, 5, 1) and weights.dtype == np.float32 and np.all(weights >= 0)
  np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
  assert np.ptp(weights[-1]) > 0.2, "far from uniform"
  np.testing.assert_allclose(compute(METHODS[method], sources[order]), weights[:, order], atol=1e-5)


def test_contradiction_is_how_often_neighbouring_updates_prefer_another_source():
  first = np.zeros((4, 6, 1), np.float32)
  first[:2] = 1  # the first source in the upper half
  row = np.stack([first, 1 - first])
  uniform = np.full_like(row, 0.5)
  told = lambda *rows: float(weighting.contradiction(jnp.asarray(np.stack(rows))))  # noqa: E731
  assert told(uniform, row, row) == 0 and told(uniform, row, 1 - row) == 1
  assert told(uniform, row, row, 1 - row) == 0.5
  half = row.copy()
  half[:, :, :3] = half[::-1, :, :3]
  assert told(uniform, row, half) == 0.5
  assert np.isnan(told(uniform, row)) and np.isnan(told(row))


def test_uniform_is_one_row():
  weights = weighting.uniform().compute(KEY, toys.images(0, 3, 6, 5, 3), CONV)
  assert weights.shape == (1, 3, 6, 5, 1) and weights.dtype == np.float32
  np.testing.assert_allclose(weights, 1 / 3)


def test_equal_sources_get_uniform_weights():
  sources = np.stack([toys.images(1, 6, 5, 3)] * 3)
  for method in METHODS:
    np.testing.assert_allclose(compute(method, sources), 1 / 3, atol=1e-5)


def test_interval_rows_by_hand():
  """Row 0 is uniform; row u is the gain from step 3 (u - 1) to step 3 u (Eq. 8 and 11)."""
  sources = toys.images(2, 3, 6, 5, 3)
  rows = compute(METHODS[0], sources)
  noise = jax.random.normal(jax.random.fold_in(KEY, 0), sources.shape[1:])
  denoise = jax.jit(CONV)
  errors = []
  for index in (0, 3, 6):
    step = toys.row(STEPS, index)
    assert int(step.index) == index
    a = float(step.alpha_bar)
    restored = [denoise((np.sqrt(a) * y + np.sqrt(1 - a) * noise).astype(np.float32), step).x0 for y in sources]
    errors.append(np.mean((np.array(restored, np.float64) - sources) ** 2, axis=-1, keepdims=True))
  np.testing.assert_allclose(rows[0], 1 / 3)
  for u in (1, 2):
    truth = scipy.special.softmax((errors[u - 1] - errors[u]) / 0.01, axis=0)
    np.testing.assert_allclose(rows[u], truth, atol=2e-4)  # float32 rounding over the temperature
  assert METHODS[0].interval == 3


def test_the_first_row_can_be_the_next_one_s():
  sources = toys.images(2, 3, 6, 5, 3)
  rows, ahead = (
    compute(weighting.interval_dig(STEPS, interval=3, first=first, weights=SHARP, errors={}), sources)
    for first in ("uniform", "next")
  )
  np.testing.assert_array_equal(ahead[0], rows[1])
  np.testing.assert_array_equal(ahead[1:], rows[1:])
  np.testing.assert_allclose(rows[0], 1 / 3)
  with pytest.raises(ValueError, match="first: expected one of .*uniform.*next"):
    compute(weighting.interval_dig(STEPS, first="last", weights=SHARP, errors={}), sources)


def test_cumulative_row_is_the_sum_of_interval_gains():
  """With one noise image for all levels the gains telescope."""
  sources = toys.images(3, 3, 6, 5, 3)
  fine = schedule.steps_at(schedule.make_schedule(), [600, 400, 150, 20])
  error = jax.jit(lambda y: restoration_errors(KEY, y, fine, CONV))(sources)
  total = np.sum(error[:-1] - error[1:], axis=0, keepdims=True)
  truth = scipy.special.softmax(np.asarray(total, np.float64) / 0.01, axis=1)
  np.testing.assert_allclose(compute(METHODS[1], sources), truth, atol=2e-4)


def test_the_source_that_is_recovered_better_with_less_noise_wins():
  """A Gaussian prior at 0: a bright source is pulled to 0 under noise and recovered without, a dark one is 0 anyway."""
  sources = np.stack([np.full((4, 4, 1), 0.9, np.float32), np.zeros((4, 4, 1), np.float32)])
  rows = compute(METHODS[1], sources, gaussian.denoiser(0.0, 0.3))
  assert np.all(rows[0, 0] > 0.99)


def test_options_reach_the_errors():
  sources = toys.images(4, 3, 6, 5, 3)
  method = both(errors={"draws": 2, "distance": "l1"})[1]
  error = jax.jit(lambda y: restoration_errors(KEY, y, BOUNDS, CONV, draws=2, distance="l1"))(sources)
  truth = scipy.special.softmax(np.asarray(error[0] - error[1], np.float64) / 0.01, axis=0)
  np.testing.assert_allclose(compute(method, sources)[0], truth, atol=2e-4)



def test_softmax_over_sources_of_smoothed_gains():
  gains = 0.05 * toys.normal(5, 2, 3, 9, 8, 1)
  ours = jax.jit(lambda g: weights_from_gains(g, temperature=0.1, smoothing=1.2))(gains)
  smooth = scipy.ndimage.gaussian_filter(gains.astype(np.float64), 1.2, radius=4, axes=(2, 3), mode="reflect")
  np.testing.assert_allclose(ours, scipy.special.softmax(smooth / 0.1, axis=1), atol=1e-5)


def test_temperature_limits():
  gains = 0.05 * toys.normal(6, 1, 3, 4, 4, 1)
  sharp = weights_from_gains(gains, temperature=1e-6)
  np.testing.assert_allclose(sharp, gains == gains.max(axis=1, keepdims=True), atol=1e-6)
  np.testing.assert_allclose(weights_from_gains(gains, temperature=1e6), 1 / 3, atol=1e-6)


def test_mean_abs_makes_the_temperature_scale_free():
  gains = 0.05 * toys.normal(7, 2, 3, 4, 4, 1)
  rows = gains * np.array([1.0, 30.0], np.float32).reshape(2, 1, 1, 1, 1)  # each row has its own scale

  def free(g):
    return weights_from_gains(g, temperature=0.5, normalise="mean_abs")

  np.testing.assert_allclose(free(rows), free(gains), atol=1e-5)
  normal = gains.astype(np.float64) / np.abs(gains).mean(axis=(1, 2, 3, 4), keepdims=True)
  np.testing.assert_allclose(free(gains), scipy.special.softmax(normal / 0.5, axis=1), atol=1e-5)
  scaled = weights_from_gains(rows, temperature=0.5)
  assert np.abs(scaled - weights_from_gains(gains, temperature=0.5))[1].max() > 0.1, "without it the scale matters"
  np.testing.assert_allclose(free(np.zeros_like(gains)), 1 / 3, atol=1e-6)


def test_a_ratio_is_the_share_of_the_gains_above_zero():
  gains = 0.05 * toys.normal(8, 2, 3, 4, 4, 1)
  found = np.asarray(weights_from_gains(gains, rule="ratio"))
  above = np.maximum(gains.astype(np.float64), 1e-12)
  np.testing.assert_allclose(found, above / above.sum(axis=1, keepdims=True), atol=1e-5)
  np.testing.assert_allclose(weights_from_gains(-np.abs(gains), rule="ratio"), 1 / 3, atol=1e-6)


def test_gains_of_an_image_are_their_mean():
  gains = toys.normal(9, 2, 3, 4, 5, 1)
  found = np.asarray(weights_from_gains(gains, temperature=0.3, scope="image"))
  truth = scipy.special.softmax(gains.astype(np.float64).mean(axis=(2, 3), keepdims=True) / 0.3, axis=1)
  np.testing.assert_allclose(found, np.broadcast_to(truth, found.shape), atol=1e-5)
  for wrong in ({"rule": "sum"}, {"scope": "video"}):
    with pytest.raises(ValueError, match="rule, scope: expected one of"):
      weights_from_gains(gains, **wrong)


def test_unknown_normalisation_is_refused():
  with pytest.raises(ValueError, match="mean_abs"):
    weights_from_gains(np.zeros((2, 3, 3, 1), np.float32), temperature=1.0, normalise="max")
