"""Does DDFM's correction do what its released code does, step by step, and what its weights promise?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe
import toys

from dig2dig_jax.errors import UserError
from dig2dig_jax.guidance import expectation_maximization as em
from dig2dig_jax.guidance import quadratic
from dig2dig_jax.guidance.guided import guided
from dig2dig_jax.ops import color
from dig2dig_jax.sampling import process, schedule, transition
from dig2dig_jax.sampling.denoiser import eps_denoiser
from dig2dig_jax.sampling.sampler import sample
from dig2dig_jax.sampling.types import Prediction

pytestmark = pytest.mark.usefixtures("quick_compile")

CHAINS = ("em_chain_full_24x40", "em_chain_rho1_24x40", "em_degenerate_b2_17x23", "em_chain_64x96")
UNIFORM = np.full((1, 2, 1, 1, 1), 0.5, np.float32)


def last(array):
  """Channels last."""
  return np.moveaxis(array, -3, -1) if array.ndim >= 4 else array


def load(golden, name):
  with np.load(golden(f"ddfm/{name}.npz")) as file:
    return {key: last(file[key]) for key in file}


@pytest.mark.parametrize("name", CHAINS)
def test_golden_chains(golden, name):
  """Against the released code, its degenerate pixels included (f = I, I = V, a batch that shares its scales)."""
  file = load(golden, name)
  options = {"lamb": float(file["lamb"]), "rho": float(file["rho"])}
  step = jax.jit(lambda state, f: em.em_step(state, f, file["I"], file["V"], **options))
  state = em.initial_state(file["I"].shape)
  for number, f in enumerate(file["f_pre"]):
    fused, state, latent = step(state, f)
    found = {"F": fused, "H": latent.h, **{key.upper(): value for key, value in state._asdict().items()}}
    found |= {"tau_a": state.tau_a, "tau_b": state.tau_b, "1/C": 1 / latent.c, "1/D": 1 / latent.d}
    for key, value in found.items():
      truth = file.get(f"step{number}/{key.removeprefix('1/')}")
      if truth is not None:
        truth = 1 / truth if key.startswith("1/") else truth
        np.testing.assert_allclose(value, truth, atol=1e-6, err_msg=f"{key} of step {number}")
    assert np.isfinite(fused).all()


def test_golden_smoothing(golden):
  with np.load(golden("ddfm/psf2otf_prox.npz")) as file:
    images = [last(file[f"prox_{name}"]) for name in ("X", "F1", "F2")]
    np.testing.assert_allclose(em.smooth(*images), last(file["prox_H"]), atol=1e-6)


def test_golden_colour(golden):
  file = load(golden, "colour")
  np.testing.assert_allclose(color.released_ycbcr(file["rgb"]) * 255, file["ycbcr"], atol=3e-5)
  np.testing.assert_allclose(color.from_released_ycbcr(color.released_ycbcr(file["rgb"])), file["rgb"], atol=1e-6)
  np.testing.assert_allclose(
    color.from_released_ycbcr(file["y_replaced_div255"]), file["rgb_from_replaced"], atol=2e-6
  )


def run(x_init, first, second, steps, denoise, **options):
  """A DDFM run as the method makes it, with the recorded start."""
  guide = quadratic.chain(em.expectation_maximization(**options), quadratic.consistent_eps())

  @jax.jit
  def whole(x_init, sources):
    return sample(
      jax.random.key(0), x_init, denoise=denoise, transition=transition.ddim(), steps=steps,
      correct=guided(guide, sources, jnp.broadcast_to(UNIFORM, (1, *sources.shape[:3], 1)), denoise=denoise),
    )  # fmt: skip

  return whole(x_init, jnp.repeat(jnp.stack([first, second]), 3, axis=-1))


def check_run(file, steps, denoise, atol):
  x_0, trace = run(file["x_T"][0], file["I"][0], file["V"][0], steps, denoise, colour="released")
  np.testing.assert_array_equal(trace.t, file["timestep_map"][file["t_index"]])
  np.testing.assert_allclose(x_0, file["final"][0], atol=atol)
  for name in ("tau_a", "tau_b"):
    np.testing.assert_allclose(trace.guidance[name], file[name], rtol=1e-3)
  np.testing.assert_allclose(color.luma(x_0)[..., 0], file["post_y"], atol=atol)
  y = np.asarray(color.luma(x_0)[..., 0])
  np.testing.assert_allclose((y - y.min()) / (y.max() - y.min()) * 255, file["post_y255"], atol=255 * atol)


def test_golden_run_with_a_known_denoiser(golden):
  file = load(golden, "traj_oracle_10steps_24x32")
  steps = schedule.steps(schedule.make_schedule(timesteps=schedule.space_timesteps(1000, "10")))

  def denoise(x_t, step):
    x0 = jnp.clip(0.7 * file["oracle_G"][0] + 0.3 * jnp.sqrt(step.alpha_bar) * x_t, -1, 1)
    return Prediction(x0, process.eps_from_x0(x_t, x0, step.alpha_bar))

  check_run(file, steps, denoise, 5e-4)


@pytest.mark.parametrize("name, count", [
  ("traj_unet_25steps_24x32", "25"), pytest.param("traj_unet_10steps_64x96", "10", marks=pytest.mark.slow)
])  # fmt: skip
def test_golden_runs_with_a_network(golden, name, count):
  file = load(golden, name)
  config, params = recipe.model("adm_uncond_tiny")
  module = recipe.network(config)
  steps = schedule.steps(schedule.make_schedule(timesteps=schedule.space_timesteps(1000, count)))
  denoise = eps_denoiser(lambda params, x, t: module.apply({"params": params}, x, t), params)
  check_run(file, steps, denoise, 5e-4)


def correct(x0, sources, weights, **options):
  guide = em.expectation_maximization(**options)
  state = guide.init(sources)
  return guide.update(Prediction(x0, x0), state, sources, weights=weights)[0].x0


def test_weights_of_a_half_are_ddfm_and_one_hot_weights_are_that_source():
  sources = jnp.repeat(toys.images(0, 2, 6, 7, 1), 3, axis=-1)
  x0 = toys.images(1, 6, 7, 3)
  half = jnp.full((2, 6, 7, 1), 0.5)
  state = em.initial_state((6, 7, 1))
  plain, *_ = em.em_step(state, color.luma(x0), *color.luma(sources))
  np.testing.assert_allclose(color.luma(correct(x0, sources, half)), plain, atol=1e-5)
  for k in range(2):
    only = jnp.zeros((2, 6, 7, 1)).at[k].set(1)
    np.testing.assert_allclose(color.luma(correct(x0, sources, only, rho=1e-9)), sources[k][..., :1], atol=1e-4)


def test_released_roles_swap_the_sources():
  sources = jnp.repeat(toys.images(2, 2, 6, 7, 1), 3, axis=-1)
  x0, weights = toys.images(3, 6, 7, 3), jnp.asarray(toys.convex(4, 2, 6, 7, 1))
  straight = correct(x0, sources[::-1], weights[::-1])
  np.testing.assert_allclose(correct(x0, sources, weights, roles="released"), straight, atol=1e-6)
  assert np.abs(correct(x0, sources, weights) - straight).max() > 1e-3


def test_corrected_colour_keeps_the_chroma():
  sources = jnp.repeat(toys.images(5, 2, 6, 7, 1), 3, axis=-1)
  x0 = toys.images(6, 6, 7, 3)
  found = color.rgb_to_ycbcr(correct(x0, sources, jnp.full((2, 6, 7, 1), 0.5)))
  np.testing.assert_allclose(found[..., 1:], color.rgb_to_ycbcr(x0)[..., 1:], atol=1e-6)


def test_three_sources_are_refused():
  with pytest.raises(UserError, match="fuses two sources, found 3"):
    em.expectation_maximization().init(jnp.zeros((3, 4, 4, 3)))
  with pytest.raises(ValueError, match="colour, roles"):
    em.expectation_maximization(colour="lab")
