"""Does CCF select, descend and reweigh as its released code does, over whole runs and with a user's own condition?"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import recipe
import toys

from dig2dig_jax.errors import UserError
from dig2dig_jax.guidance import controlled
from dig2dig_jax.guidance.guided import guided
from dig2dig_jax.sampling import process, schedule, transition
from dig2dig_jax.sampling.denoiser import eps_denoiser
from dig2dig_jax.sampling.sampler import sample
from dig2dig_jax.sampling.types import Prediction

pytestmark = pytest.mark.usefixtures("quick_compile")

TORCH_TIES = (6, 5, 4)  # what torch's top-k of eight equal weights returned when the goldens were recorded


def last(array):
  return np.moveaxis(array, -3, -1)


@pytest.mark.parametrize("name", ["gradnorm_toy", "gradnorm_sign_flip"])
def test_golden_reweighing(golden, name):
  with np.load(golden(f"ccf/{name}.npz")) as file:
    first = file["losses"][0]
    for losses, grads, before, after in zip(
      file["losses"], file["grads"], file["w_before"], file["w_after"], strict=True
    ):
      norms = np.sqrt((grads.reshape(len(losses), -1) ** 2).sum(axis=1))
      np.testing.assert_allclose(controlled.gradnorm(before, norms, losses / first), after, rtol=1e-5, atol=1e-6)


def run(file, shared, denoise, count, first_ids):
  steps = schedule.steps(schedule.make_schedule(timesteps=schedule.space_timesteps(1000, count)))
  sources = np.stack([last(shared[name][0]) for name in ("I", "V")])
  guide = controlled.controlled(first_ids=first_ids)

  @jax.jit
  def whole(x_init, sources):
    return sample(
      jax.random.key(0), x_init, denoise=denoise, transition=transition.ddim(), steps=steps,
      correct=guided(guide, sources, jnp.full((1, *sources.shape[:3], 1), 0.5), denoise=denoise),
    )  # fmt: skip

  x_0, trace = whole(last(shared["x_T"][0]), sources)
  np.testing.assert_allclose(x_0, last(file["final"][0]), atol=1e-3)
  for selected, ids in zip(trace.guidance["selected"], file["topk_ids"], strict=True):
    assert set(np.flatnonzero(np.asarray(selected))) == set(ids.tolist())
  # Weights are told before they are moved.
  np.testing.assert_allclose(trace.guidance["weights"][1:], file["w_after"][:-1], atol=1e-5)


def test_golden_run_with_a_known_denoiser(golden):
  with np.load(golden("ccf/traj_oracle_10steps_24x32.npz")) as npz:
    file = dict(npz)

  def denoise(x_t, step):
    x0 = jnp.clip(0.7 * last(file["oracle_G"][0]) + 0.3 * jnp.sqrt(step.alpha_bar) * x_t, -1, 1)
    return Prediction(x0, process.eps_from_x0(x_t, x0, step.alpha_bar))

  run(file, file, denoise, "10", TORCH_TIES)


@pytest.mark.parametrize(
  "name, count, ties",
  [
    pytest.param("traj_unet_25steps_24x32", "25", TORCH_TIES, marks=pytest.mark.slow),
    pytest.param("traj_unet_25steps_24x32_lowest_index_ties", "25", None, marks=pytest.mark.slow),
    ("traj_unet_10steps_32x48", "10", TORCH_TIES),
  ],
)
def test_golden_runs_with_a_network(golden, name, count, ties):
  config, params = recipe.model("adm_uncond_tiny")
  module = recipe.network(config)
  denoise = eps_denoiser(lambda params, x, t: module.apply({"params": params}, x, t), params)
  with np.load(golden(f"ccf/{name}.npz")) as npz, np.load(golden("ccf/traj_unet_25steps_24x32.npz")) as other:
    file = dict(npz)
    shared = file if "x_T" in file else dict(other)
  run(file, shared, denoise, count, ties)


def test_a_user_s_own_condition_pulls_the_image():
  """Plain gradient descent on one condition: x0 - rate x (weight x its gradient + that of what always acts)."""
  x0, sources = toys.images(0, 6, 8, 3), toys.images(1, 2, 6, 8, 3)
  toward_black = lambda x0, sources, weights: jnp.mean(jnp.square(x0 + 1))  # noqa: E731
  nothing = lambda x0, sources, weights: jnp.zeros(())  # noqa: E731
  guide = controlled.controlled({"black": toward_black}, optimiser=optax.sgd(2.0), top_k=1, always=nothing)
  step = toys.row(toys.run_steps(5), 0)
  prediction = Prediction(x0, x0 * 2)
  found, state = guide.update(
    prediction, guide.init(sources), sources, step=step, weights=jnp.full((2, 6, 8, 1), 0.5)
  )
  np.testing.assert_allclose(found.x0, x0 - 2 * 2 * (x0 + 1) / x0.size, rtol=1e-5, atol=1e-6)
  np.testing.assert_array_equal(found.eps, prediction.eps)  # left to the network
  np.testing.assert_allclose(state.weights, 1)  # one condition has all the weight


def test_runs_alone_and_in_a_batch_agree():
  guide = controlled.controlled(("ssim", "sd", "edge"), top_k=2)
  step, weights = toys.row(toys.run_steps(5), 0), jnp.full((2, 6, 8, 1), 0.5)
  pairs, x0 = toys.images(2, 3, 2, 6, 8, 3), toys.images(3, 3, 6, 8, 3)

  def one(x0, sources):
    return guide.update(Prediction(x0, x0), guide.init(sources), sources, step=step, weights=weights)

  together = jax.jit(jax.vmap(one))(x0, pairs)
  alone = jax.jit(one)(x0[1], pairs[1])
  for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
    np.testing.assert_allclose(np.asarray(a[1], np.float32), np.asarray(b, np.float32), rtol=1e-4, atol=1e-5)


def test_unknown_conditions_are_refused():
  with pytest.raises(UserError, match="--conditions=beauty: expected names among ssim, mse"):
    controlled.controlled(("ssim", "beauty"))
  with pytest.raises(ValueError, match="top_k: expected 1 to the 2 conditions, found 3"):
    controlled.controlled(("ssim", "mse"), top_k=3)
