"""Is the noising process guided-diffusion's, to float32 rounding? Every step_*.npz, element by element."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dig2dig_jax.sampling import process, schedule

RESPACING = {
  "lin50_eps_learnedrange": ("linear", "50"),
  "lin1000_eps_learnedrange": ("linear", ""),
  "cos_ddim25_eps_learnedrange": ("cosine", "ddim25"),
  "lin250_eps_fixedlarge": ("linear", "250"),
  "lin250_eps_fixedsmall": ("linear", "250"),
  "lin100_xstart_learnedrange": ("linear", "100"),
  "lin100_xstart_fixedsmall": ("linear", "100"),
  "lin100_prevx_fixedlarge": ("linear", "100"),
  "lin50_eps_learned": ("linear", "50"),
}
FULL = ("lin50_eps_learnedrange", "cos_ddim25_eps_learnedrange", "lin100_xstart_fixedsmall")  # with q_* arrays


def nhwc(array):
  return jnp.asarray(np.moveaxis(array, 1, -1) if array.ndim == 4 else array)


def load(golden, tag):
  """Inputs and expected arrays (N H W C), the float64 schedule, and the five steps of the case."""
  inputs = {key: nhwc(value) for key, value in np.load(golden("diffusion/step_inputs.npz")).items()}
  expected = {key: nhwc(value) for key, value in np.load(golden(f"diffusion/step_{tag}.npz")).items()}
  name, spec = RESPACING[tag]
  tables = schedule.make_schedule(name, timesteps=schedule.space_timesteps(1000, spec))
  step = schedule.steps_at(tables, tables.timesteps[np.asarray(expected["t"])])
  return inputs, expected, tables, step


def predicted_x0(tag, inputs, step, clip):
  out = inputs["model_out6"][..., :3]
  x0 = out if "xstart" in tag else jax.vmap(process.x0_from_eps)(inputs["x_t"], out, step.alpha_bar)
  return jnp.clip(x0, -1, 1) if clip else x0


def close(actual, expected, *, tolerance=1e-5, magnitude=None):
  """Relative 1e-5, and absolute 1e-5 of each batch element's largest magnitude (at least 1)."""
  magnitude = expected if magnitude is None else magnitude
  for a, e, m in zip(np.asarray(actual), np.asarray(expected), np.asarray(magnitude), strict=True):
    np.testing.assert_allclose(a, e, rtol=tolerance, atol=tolerance * max(1.0, np.abs(m).max()))


@pytest.mark.parametrize("tag", RESPACING)
def test_cases_start_at_the_last_step_and_end_at_the_noisiest(golden, tag):
  _, expected, tables, step = load(golden, tag)
  np.testing.assert_array_equal(step.t, expected["model_t"])
  assert step.t[0] == 0 and step.t[-1] == tables.timesteps[-1]


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("tag", [tag for tag in RESPACING if "prevx" not in tag])
def test_clean_estimate_and_posterior_mean(golden, tag, clip):
  inputs, expected, _, step = load(golden, tag)
  x0 = predicted_x0(tag, inputs, step, clip)
  prefix = "clip/" if clip else "noclip/"
  # Where clipping does nothing, a difference of numbers in the hundreds has been taken: their rounding is the scale.
  close(x0, expected[prefix + "pred_xstart"], magnitude=expected["noclip/pred_xstart"])
  close(jax.vmap(process.posterior_mean)(x0, inputs["x_t"], step), expected[prefix + "mean"])


@pytest.mark.parametrize("tag", [tag for tag in RESPACING if not tag.endswith("learned")])
def test_log_variances(golden, tag):
  inputs, expected, _, step = load(golden, tag)
  log_variance = {
    "learnedrange": lambda: jax.vmap(process.learned_range_log_variance)(inputs["model_out6"][..., 3:], step),
    "fixedlarge": lambda: process.fixed_large_log_variance(step),
    "fixedsmall": lambda: process.fixed_small_log_variance(step),
  }[tag.rsplit("_", 1)[1]]()
  close(log_variance, expected["clip/log_variance"])
  if "fixedsmall" in tag:  # the reference reports the unclipped 0 at t = 0
    np.testing.assert_allclose(np.exp(log_variance)[1:], expected["clip/variance"][1:], rtol=2e-5)
  else:
    np.testing.assert_allclose(np.exp(log_variance), expected["clip/variance"], rtol=2e-5)


@pytest.mark.parametrize("tag", FULL)
def test_forward_process(golden, tag):
  inputs, expected, tables, step = load(golden, tag)
  noisy = jax.vmap(process.q_sample)(inputs["x0"], inputs["noise"], step.alpha_bar)
  close(noisy, expected["q_sample"])
  mean = jax.vmap(process.q_sample)(inputs["x0"], jnp.zeros_like(noisy), step.alpha_bar)
  close(mean, expected["q_mean"])
  rows = np.asarray(expected["t"])
  level = tables.alphas_cumprod[rows]
  np.testing.assert_allclose(1 - level, expected["q_variance"], rtol=1e-6)
  np.testing.assert_allclose(np.log(1 - level), expected["q_log_variance"], rtol=1e-6)
  np.testing.assert_allclose(tables.posterior_variance[rows], expected["q_posterior_variance"], rtol=1e-6)
  np.testing.assert_allclose(step.posterior_log_variance, expected["q_posterior_log_variance"], rtol=1e-6)
  close(jax.vmap(process.posterior_mean)(inputs["x0"], inputs["x_t"], step), expected["q_posterior_mean"])


@pytest.mark.parametrize("tag", FULL)
def test_x0_and_eps_from_each_other(golden, tag):
  inputs, expected, _, step = load(golden, tag)
  close(jax.vmap(process.x0_from_eps)(inputs["x_t"], inputs["noise"], step.alpha_bar), expected["x_from_eps"])
  # 1 - alpha_bar from the float32 alpha_bar is off by up to 2^-25; eps divides by its root.
  eps = jax.vmap(process.eps_from_x0)(inputs["x_t"], inputs["x0"], step.alpha_bar)
  for one, truth, level in zip(eps, expected["eps_from_x0"], step.alpha_bar, strict=True):
    close(one[None], truth[None], tolerance=1e-5 + 2.0**-25 / (2 * (1 - float(level))))


def test_posterior_mean_keeps_its_digits_at_every_timestep():
  tables = schedule.make_schedule()
  step = schedule.steps_at(tables, np.arange(1000))
  one, zero = jnp.ones(1000), jnp.zeros(1000)
  of_x0 = process.posterior_mean(one, zero, step)
  of_x_t = process.posterior_mean(zero, one, step)
  np.testing.assert_allclose(of_x0, tables.posterior_mean_coef1, atol=2e-6, rtol=2e-6)
  np.testing.assert_allclose(of_x_t, tables.posterior_mean_coef2, atol=2e-6)
  assert of_x0[0] == 1 and of_x_t[0] == 0


@pytest.mark.parametrize("shape", [(), (4,), (5, 7, 3), (2, 5, 7, 1)])
def test_any_image_shape_and_round_trip(shape):
  keys = jax.random.split(jax.random.key(0), 2)
  x0, noise = (jax.random.normal(key, shape) for key in keys)
  a = jnp.float32(0.4)
  x_t = process.q_sample(x0, noise, a)
  assert x_t.shape == shape
  np.testing.assert_allclose(process.x0_from_eps(x_t, noise, a), x0, atol=1e-6)
  np.testing.assert_allclose(process.eps_from_x0(x_t, x0, a), noise, atol=1e-6)


def test_noised_image_has_the_stated_moments():
  a = jnp.float32(0.3)
  x_t = process.q_sample(jnp.full((400, 400), 0.8), jax.random.normal(jax.random.key(1), (400, 400)), a)
  np.testing.assert_allclose(x_t.mean(), 0.8 * np.sqrt(0.3), atol=0.01)
  np.testing.assert_allclose(x_t.var(), 0.7, atol=0.01)


def test_half_log_snr():
  np.testing.assert_allclose(process.half_log_snr(jnp.float32(0.5)), 0.0, atol=1e-7)
  np.testing.assert_allclose(process.half_log_snr(jnp.float32(0.9)), 0.5 * np.log(9), rtol=1e-6)
