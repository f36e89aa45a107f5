"""Are deep features those of the step that they were computed at, and is all else as without reuse?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys

from dig2dig_jax.errors import UserError
from dig2dig_jax.models.config import UNetConfig
from dig2dig_jax.models.guided_unet import UNet
from dig2dig_jax.priors.prior import random_prior
from dig2dig_jax.sampling import transition
from dig2dig_jax.sampling.denoiser import eps_reuse, reusing
from dig2dig_jax.sampling.sampler import sample
from dig2dig_jax.sampling.schedule import NoiseSchedule

pytestmark = pytest.mark.usefixtures("quick_compile")

NOISE = NoiseSchedule("linear", 1000)
# Attention at both levels, two blocks each, so that a wrong count of blocks or of levels shows.
CONFIG = UNetConfig(16, 32, 3, 2, (1, 2), (1, 2))


@pytest.fixture(scope="module")
def prior():
  return random_prior(CONFIG, NOISE, name="toy")


def test_features_of_the_same_input_give_the_same_output(prior):
  x, t = toys.normal(0, 2, 16, 12, 3), jnp.array([7, 400])

  @jax.jit
  def outputs(params, x, t):
    whole, deep = UNet(CONFIG).apply({"params": params}, x, t, keep_deep=True)
    return UNet(CONFIG).apply({"params": params}, x, t), whole, UNet(CONFIG).apply({"params": params}, x, t, deep=deep)

  plain, whole, shallow = outputs(prior.params, x, t)
  np.testing.assert_array_equal(whole, plain)
  np.testing.assert_allclose(shallow, plain, atol=1e-5)


def test_a_shallow_pass_leaves_the_lower_levels_out_and_depends_on_the_features(prior):
  x, t = toys.normal(0, 1, 16, 16, 3), jnp.array([7])
  run = jax.jit(lambda params, deep: UNet(CONFIG).apply({"params": params}, x, t, deep=deep))
  _, deep = UNet(CONFIG).apply({"params": prior.params}, x, t, keep_deep=True)
  without = {name: leaf for name, leaf in prior.params.items() if not name.startswith("middle_block")}
  assert np.abs(run(without, deep) - run(without, 2 * deep)).max() > 1e-3


def trail(apply):
  """`apply` as a network whose deep feature is the time that it was computed at, and whose output tells it."""
  full = lambda params, x, t: (apply(params, x, t), t)  # noqa: E731
  shallow = lambda params, x, t, deep: apply(params, x, t) + 1e-3 * deep.reshape(-1, 1, 1, 1)  # noqa: E731
  return eps_reuse(full, shallow, toys.conv_params(), clip=False)


@pytest.mark.parametrize("every", [1, 2, 3, 20])
def test_features_are_new_at_every_so_manieth_step(every):
  x, steps = toys.normal(1, 6, 5, 3), toys.run_steps(7)
  path, reuse = {}, trail(toys.conv_apply)

  @jax.jit
  def run(x):
    return sample(
      jax.random.key(0), x, denoise=reusing(reuse, every), transition=toys.watched(transition.ddim(), path), steps=steps
    )[0]

  found = run(x)
  jax.effects_barrier()
  for i in range(7):
    step = toys.row(steps, i)
    if i % every == 0:
      prediction, deep = reuse.full(x, step)
    else:
      prediction = reuse.shallow(x, step, deep)
    assert i == 0 or int(deep[0]) == int(steps.t[i - i % every])
    x, _ = transition.ddim().update(jax.random.key(0), x, prediction, step, ())
    np.testing.assert_allclose(path[i], x, atol=2e-4)
  np.testing.assert_allclose(found, x, atol=2e-4)


def test_a_network_of_one_level_says_that_it_has_nothing_to_reuse():
  flat = random_prior(UNetConfig(16, 32, 3, 1, (), (1,)), NOISE, name="flat")
  with pytest.raises(UserError, match="--reuse: flat has only one level"):
    flat.reuse(flat.params)
