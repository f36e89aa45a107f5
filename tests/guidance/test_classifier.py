"""Does classifier guidance shift the prediction as guided-diffusion's DDIM does, by the classifier's own gradient?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe
import toys

from dig2dig_jax.guidance import classifier
from dig2dig_jax.sampling import process, schedule
from dig2dig_jax.sampling.types import Prediction

pytestmark = pytest.mark.usefixtures("quick_compile")


def last(array):
  return np.moveaxis(array, -3, -1)


def test_golden_condition_score(golden):
  """The reference's recorded gradient on its recorded prediction."""
  file = np.load(golden("diffusion/step_lin50_eps_learnedrange.npz"))
  inputs = np.load(golden("diffusion/step_inputs.npz"))
  tables = schedule.make_schedule(timesteps=schedule.space_timesteps(1000, "50"))
  steps = schedule.steps(tables)
  x_t, gradient = last(inputs["x_t"]), last(inputs["cond_grad"])
  count = steps.t.shape[0]
  for number, t in enumerate(file["t"]):
    step = jax.tree.map(lambda table, t=t: table[count - 1 - t], steps)
    x0 = last(file["clip/pred_xstart"])[number]
    prediction = Prediction(x0, process.eps_from_x0(x_t[number], x0, step.alpha_bar))
    found = classifier.condition_score(prediction, gradient[number], x_t[number], step)
    np.testing.assert_allclose(found.x0, last(file["ddim_cond_pred_xstart"])[number], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_the_gradient_is_the_classifier_s(golden):
  tag = "classifier_tiny"
  config, params = recipe.model(tag)
  arrays = recipe.arrays(tag)
  network = recipe.network(config)
  x, label = arrays["x0"][0], int(arrays["labels0"][0])
  step = toys.row(toys.run_steps(10), 4)._replace(t=jnp.int32(arrays["t0"][0]))
  guide = classifier.classifier_guidance(lambda x, t: network.apply({"params": params}, x, t), label, scale=3.0)
  prediction = Prediction(jnp.zeros_like(x), jnp.ones_like(x))
  update = jax.jit(lambda x: guide.update(prediction, (), x[None], x_t=x, step=step, key=None, weights=None))
  assert guide.init(x[None]) == ()
  found, _ = update(x)
  expected = 1 - np.sqrt(1 - float(step.alpha_bar)) * 3 * arrays["grad_logprob_wrt_x0"][0]
  np.testing.assert_allclose(found.eps, expected, atol=1e-5)
  np.testing.assert_allclose(found.x0, process.x0_from_eps(x, found.eps, step.alpha_bar), atol=1e-5)
