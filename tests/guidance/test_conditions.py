"""Are CCF's conditions those of the released code, values and gradients, and do weights mean what they say?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys

from dig2dig_jax.guidance import conditions

pytestmark = pytest.mark.usefixtures("quick_compile")

RELEASED = tuple(conditions.CONDITIONS)[:8]
UNIFORM = jnp.full((2, 8, 10, 1), 0.5)


def last(array):
  return np.moveaxis(array, -3, -1)


@pytest.fixture(scope="module")
def value_and_grad():
  """Of all conditions at once, so that a shape compiles once."""

  @jax.jit
  def run(x0, sources, weights):
    return {
      name: jax.value_and_grad(condition)(x0, sources, weights) for name, condition in conditions.CONDITIONS.items()
    }

  return run


@pytest.mark.parametrize("name", ["loss_terms_32x48", "loss_terms_saturated_16x24"])
def test_golden_values_and_gradients(golden, value_and_grad, name):
  with np.load(golden(f"ccf/{name}.npz")) as file:
    images = [last(file[key][0]) for key in ("img", "infrared", "visible")]
    losses, grads = file["losses"], [last(grad) for grad in file["grads"]]
  found = value_and_grad(images[0], np.stack(images[1:]), np.full((2, *images[0].shape[:2], 1), 0.5, np.float32))
  for condition, loss, grad in zip(RELEASED, losses, grads, strict=True):
    np.testing.assert_allclose(found[condition][0], loss, rtol=1e-5, atol=1e-6, err_msg=condition)
    np.testing.assert_allclose(found[condition][1], grad, atol=1e-6, err_msg=condition)


def test_meant_terms_differ_from_released_ones_as_said(value_and_grad):
  x0, sources = toys.images(0, 8, 10, 3), toys.images(1, 2, 8, 10, 3)
  found = value_and_grad(x0, sources, UNIFORM)
  swapped = value_and_grad(x0, sources[::-1], UNIFORM)
  assert found["edge_both"][0] == pytest.approx(float(swapped["edge_both"][0]), rel=1e-5)
  assert found["edge_both"][0] == pytest.approx(float(found["edge"][0] + swapped["edge"][0]) / 2, rel=1e-5)
  assert not np.any(found["ei"][1]) and np.abs(found["ei_sobel"][1]).max() > 1e-3


def test_one_hot_weights_look_at_one_source(value_and_grad):
  x0, sources = toys.images(2, 8, 10, 3), toys.images(3, 2, 8, 10, 3)
  for k in range(2):
    only = jnp.zeros((2, 8, 10, 1)).at[k].set(1)
    alone = value_and_grad(x0, np.stack([sources[k]] * 2), UNIFORM)
    found = value_and_grad(x0, sources, only)
    for name in ("ssim", "mse", "low_freq", "high_freq", "edge_both"):
      assert found[name][0] == pytest.approx(float(alone[name][0]), rel=1e-4), name
    weighed = value_and_grad(x0, np.stack([sources[k]] * 2), only)
    assert weighed["edge"][0] == pytest.approx(float(alone["edge"][0]) * 2 * k, abs=1e-6)  # the last source's alone


def test_flat_images_have_finite_gradients(value_and_grad):
  flat = np.zeros((8, 10, 3), np.float32)
  for name, (value, grad) in value_and_grad(flat, np.zeros((2, 8, 10, 3), np.float32), UNIFORM).items():
    assert np.isfinite(value) and np.isfinite(grad).all(), name
