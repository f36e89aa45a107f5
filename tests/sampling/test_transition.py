"""Do the transitions draw what the reference draws, and do they solve a flow whose solution is known?

The known flow: for images distributed as N(m, s^2 I) the noised marginal has variance v(a) = a s^2 + 1 - a, and the
probability-flow ODE keeps (x - sqrt(a) m) / sqrt(v(a)) constant. The denoiser is exact too:
E[x0 | x] = m + sqrt(a) s^2 / v(a) (x - sqrt(a) m).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys

from dig2dig_jax.errors import UserError
from dig2dig_jax.sampling import process, schedule, transition
from dig2dig_jax.sampling.types import Prediction, Step

pytestmark = pytest.mark.usefixtures("quick_compile")

RESPACING = {  # of the reference cases that hold samples
  "lin50_eps_learnedrange": ("linear", "50", "learned_range"),
  "cos_ddim25_eps_learnedrange": ("cosine", "ddim25", "learned_range"),
  "lin100_xstart_fixedsmall": ("linear", "100", "fixed_small"),
}
MEAN, SPREAD = 0.3, 0.4


def load(golden, tag):
  def nhwc(path):
    return {k: jnp.asarray(np.moveaxis(v, 1, -1) if v.ndim == 4 else v) for k, v in np.load(golden(path)).items()}

  inputs, expected = nhwc("diffusion/step_inputs.npz"), nhwc(f"diffusion/step_{tag}.npz")
  name, spec, variance = RESPACING[tag]
  tables = schedule.make_schedule(name, timesteps=schedule.space_timesteps(1000, spec))
  step = schedule.steps_at(tables, tables.timesteps[np.asarray(expected["t"])])
  return inputs, expected, tables, step, variance


@functools.partial(jax.jit, static_argnames=("tag", "clip"))
def predict(tag, inputs, step, *, clip=True):
  out = inputs["model_out6"]
  x0 = out[..., :3]
  if "_eps_" in tag:
    x0 = jax.vmap(process.x0_from_eps)(inputs["x_t"], x0, step.alpha_bar)
  if clip:
    x0 = jnp.clip(x0, -1, 1)
  eps = jax.vmap(process.eps_from_x0)(inputs["x_t"], x0, step.alpha_bar)  # the reference's DDIM re-derives it
  return Prediction(x0=x0, eps=eps, variance=out[..., 3:] if "learnedrange" in tag else None)


def draw(moments, noise):
  mean, std = (np.asarray(moment) for moment in moments)
  return mean + np.reshape(std, std.shape + (1,) * (mean.ndim - std.ndim)) * noise


def close(actual, expected, tolerance=(1e-5,) * 5):
  """Relative, and absolute as a part of each batch element's largest magnitude (at least 1)."""
  for a, e, part in zip(np.asarray(actual), np.asarray(expected), tolerance, strict=True):
    np.testing.assert_allclose(a, e, rtol=part, atol=part * max(1.0, np.abs(e).max()))


@functools.partial(jax.jit, static_argnums=2)
def moments_of(prediction, step, eta=0.0):
  return jax.vmap(lambda p, s: transition.ddim_moments(p, s, eta=eta))(prediction, step)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("tag", RESPACING)
def test_ddim_matches_reference(golden, tag, eta):
  inputs, expected, _, step, _ = load(golden, tag)
  moments = moments_of(predict(tag, inputs, step), step, eta)
  close(draw(moments, inputs["step_noise"]), expected[f"ddim_eta{eta}"])


@pytest.mark.parametrize("tag", RESPACING)
def test_ddim_without_clipping_and_reversed_matches_reference(golden, tag):
  inputs, expected, tables, step, _ = load(golden, tag)
  moments = moments_of(predict(tag, inputs, step, clip=False), step)
  close(moments[0], expected["ddim_noclip_eta0.0"])
  # The encoding direction is the same formula towards the next noisier level.
  noisier = jnp.asarray(np.append(tables.alphas_cumprod[1:], 0.0)[np.asarray(expected["t"])], jnp.float32)
  encoded = jax.jit(jax.vmap(process.q_sample))(*predict(tag, inputs, step)[:2], noisier)
  # eps divides by sqrt(1 - alpha_bar), and the float32 alpha_bar leaves that off by up to 2^-25 under the root.
  close(encoded, expected["ddim_reverse"], 1e-5 + 2.0**-25 / (2 * (1 - np.asarray(step.alpha_bar))))


@pytest.mark.parametrize("tag", RESPACING)
def test_ddim_takes_a_guided_prediction_as_given(golden, tag):
  inputs, expected, _, step, _ = load(golden, tag)
  sigma = np.sqrt(1 - np.asarray(step.alpha_bar))[:, None, None, None]
  eps = jnp.asarray(np.asarray(predict(tag, inputs, step).eps) - sigma * np.asarray(inputs["cond_grad"]))
  x0 = jax.jit(jax.vmap(process.x0_from_eps))(inputs["x_t"], eps, step.alpha_bar)
  close(x0, expected["ddim_cond_pred_xstart"])
  close(moments_of(Prediction(x0, eps), step)[0], expected["ddim_cond_eta0.0"])


@pytest.mark.parametrize("tag", RESPACING)
def test_ancestral_matches_reference(golden, tag):
  inputs, expected, _, step, variance = load(golden, tag)
  prediction = predict(tag, inputs, step)

  def moments(x, p, s):
    mean, log_variance = transition.ancestral_moments(x, p, s, variance=variance)
    return mean, jnp.exp(0.5 * log_variance) * (s.alpha_bar_prev < 1)

  mean, std = jax.jit(jax.vmap(moments))(inputs["x_t"], prediction, step)
  close(draw((mean, std), inputs["step_noise"]), expected["p_sample"])


@pytest.mark.parametrize(
  "name, options",
  [
    ("ddim", {"eta": 0.7}),
    ("ancestral", {"variance": "learned_range"}),
    ("ancestral", {"variance": "fixed_large"}),
    ("ancestral", {"variance": "fixed_small"}),
  ],
)
def test_update_draws_from_the_moments(name, options):
  """Many draws of one pixel value have the stated mean and standard deviation; the last step draws nothing."""
  step = schedule.steps(schedule.make_schedule(timesteps=schedule.space_timesteps(1000, "10")))
  shape = (300, 300, 1)
  x_t, x0, eps, v = (jnp.full(shape, value) for value in (0.5, 0.2, -0.4, 0.3))
  prediction = Prediction(x0, eps, v)
  t = transition.TRANSITIONS[name](**options)
  middle, last = (toys.row(step, i) for i in (4, 9))
  x_prev, _ = t.update(jax.random.key(3), x_t, prediction, middle, t.init(x_t))
  a, a_prev = float(middle.alpha_bar), float(middle.alpha_bar_prev)
  beta = 1 - a / a_prev
  small = beta * (1 - a_prev) / (1 - a)
  if name == "ddim":
    variance = 0.7**2 * small
    mean = np.sqrt(a_prev) * 0.2 - np.sqrt(1 - a_prev - variance) * 0.4
  else:  # v = 0.3 lies at 0.65 of the learned range
    fraction = {"learned_range": 0.65, "fixed_large": 1.0, "fixed_small": 0.0}[options["variance"]]
    variance = beta**fraction * small ** (1 - fraction)
    mean = (beta * np.sqrt(a_prev) * 0.2 + (1 - a_prev) * np.sqrt(a / a_prev) * 0.5) / (1 - a)
  np.testing.assert_allclose(x_prev.mean(), mean, atol=0.01)
  np.testing.assert_allclose(x_prev.std(), np.sqrt(variance), rtol=0.01)
  x_last, _ = t.update(jax.random.key(3), x_t, prediction, last, t.init(x_t))
  np.testing.assert_array_equal(x_last, x0)


def flow(a, x, a_from):
  """Exact solution at signal level a of the flow through x at a_from (float64)."""
  v, v_from = (level * SPREAD**2 + 1 - level for level in (a, a_from))
  return np.sqrt(a) * MEAN + np.sqrt(v / v_from) * (np.asarray(x, np.float64) - np.sqrt(a_from) * MEAN)


def denoise(x, step):
  a = step.alpha_bar
  x0 = MEAN + jnp.sqrt(a) * SPREAD**2 / (a * SPREAD**2 + 1 - a) * (x - jnp.sqrt(a) * MEAN)
  return Prediction(x0, process.eps_from_x0(x, x0, a))


def run(t, run_steps, x, predict=denoise):
  def body(carry, step):
    x, state = carry
    x, state = t.update(jax.random.key(0), x, predict(x, step), step, state)
    return (x, state), x

  (x, _), path = jax.lax.scan(body, (x, t.init(x)), run_steps)
  return x, path


def even_steps(count, *, start=-1.0, stop=1.0):
  """`count` steps of equal length in lambda, ending short of the clean image."""
  level = 1 / (1 + np.exp(-2 * np.linspace(start, stop, count + 1)))
  zeros = jnp.zeros(count)
  return Step(
    index=jnp.arange(count),
    t=jnp.arange(count)[::-1],
    alpha_bar=jnp.asarray(level[:-1], jnp.float32),
    alpha_bar_prev=jnp.asarray(level[1:], jnp.float32),
    log_beta=zeros,  # neither solver looks at the variances
    posterior_log_variance=zeros,
  )


@pytest.mark.parametrize("name, order", [("ddim", 1), ("dpm_solver_pp_2m", 2)])
def test_convergence_order_on_the_gaussian_flow(name, order):
  x = jnp.linspace(-2.0, 2.0, 12).reshape(2, 2, 3)
  errors = []
  for count in (20, 40, 80):
    steps = even_steps(count)
    end, _ = jax.jit(lambda x, steps: run(transition.TRANSITIONS[name](), steps, x))(x, steps)
    truth = flow(float(steps.alpha_bar_prev[-1]), x, float(steps.alpha_bar[0]))
    errors.append(np.abs(end - truth).max())
  measured = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
  np.testing.assert_allclose(measured, order, atol=0.12, err_msg=str(errors))
  assert errors[-1] < (0.005 if order == 1 else 0.0001)


@pytest.mark.parametrize("spacing, count", [("logsnr", 50), ("quadratic", 50), ("uniform", 1000)])
@pytest.mark.parametrize("name, tolerance", [("ddim", 0.05), ("dpm_solver_pp_2m", 0.01)])
def test_whole_schedule_reaches_the_exact_sample(name, tolerance, spacing, count):
  steps = schedule.steps(schedule.make_schedule(timesteps=schedule.spacing_timesteps(1000, count, spacing)))
  x = toys.normal(7, 6, 5, 3)
  end, _ = run(transition.TRANSITIONS[name](), steps, x)
  np.testing.assert_allclose(end, flow(1.0, x, float(steps.alpha_bar[0])), atol=tolerance)


def test_ancestral_samples_what_its_chain_says():
  """The chain is linear and Gaussian here: its mean and variance follow from the float64 tables in closed form."""
  tables = schedule.make_schedule(timesteps=schedule.spacing_timesteps(1000, 100, "uniform"))
  steps = schedule.steps(tables)
  t = transition.ancestral(variance="fixed_small")
  mean, variance = 0.0, 1.0
  for row in range(99, -1, -1):
    a, of_x0, of_x_t = (
      table[row] for table in (tables.alphas_cumprod, tables.posterior_mean_coef1, tables.posterior_mean_coef2)
    )
    gain = np.sqrt(a) * SPREAD**2 / (a * SPREAD**2 + 1 - a)
    mean = of_x0 * (MEAN + gain * (mean - np.sqrt(a) * MEAN)) + of_x_t * mean
    variance = (of_x0 * gain + of_x_t) ** 2 * variance + tables.posterior_variance[row]

  def body(x, inputs):
    key, step = inputs
    return t.update(key, x, denoise(x, step), step, ())[0], None

  keys = jax.random.split(jax.random.key(1), 100)
  end, _ = jax.lax.scan(body, jax.random.normal(jax.random.key(0), (100, 100, 1)), (keys, steps))
  np.testing.assert_allclose(end.mean(), mean, atol=0.015)
  np.testing.assert_allclose(end.std(), np.sqrt(variance), rtol=0.03)
  np.testing.assert_allclose(mean, MEAN, atol=0.01)  # and the chain samples the prior, but for its coarse steps
  np.testing.assert_allclose(np.sqrt(variance), SPREAD, rtol=0.1)


def test_2m_with_constant_x0_is_ddim():
  steps = schedule.steps(schedule.make_schedule(timesteps=schedule.spacing_timesteps(1000, 12, "quadratic")))
  target = jnp.linspace(-1, 1, 12).reshape(2, 2, 3)
  x = toys.normal(2, *target.shape)

  def constant(x, step):
    return Prediction(target, process.eps_from_x0(x, target, step.alpha_bar))

  _, ddim = run(transition.ddim(), steps, x, constant)
  _, solver = run(transition.dpm_solver_pp_2m(), steps, x, constant)
  np.testing.assert_allclose(solver, ddim, atol=2e-5)
  np.testing.assert_array_equal(solver[-1], target)


@pytest.mark.parametrize("steps", [1, 2, 3, 1000])
def test_2m_is_finite_under_jit_vmap_and_grad(steps):
  run_steps = schedule.steps(
    schedule.make_schedule("cosine", timesteps=schedule.spacing_timesteps(1000, steps, "uniform"))
  )
  batch = toys.normal(4, 3, 4, 4, 1)
  _, path = jax.jit(jax.vmap(lambda x: run(transition.dpm_solver_pp_2m(), run_steps, x)))(batch)
  assert np.all(np.isfinite(path))
  slope = jax.grad(lambda x: run(transition.dpm_solver_pp_2m(), run_steps, x)[0].sum())(batch[0])
  assert np.all(np.isfinite(slope))
  _, alone = run(transition.dpm_solver_pp_2m(), run_steps, batch[1])
  np.testing.assert_allclose(path[1], alone, atol=1e-5)


@pytest.mark.parametrize("name", transition.TRANSITIONS)
def test_no_intermediate_is_infinite(name):
  """Operation by operation: an infinity that a `where` hides would still alarm whoever debugs with jax_debug_infs."""
  t = transition.TRANSITIONS[name]()
  steps = schedule.steps(schedule.make_schedule(timesteps=[0, 500, 999]))
  x = jnp.full((2, 2, 1), 0.5)
  state = t.init(x)
  with jax.debug_nans(True), jax.debug_infs(True):
    for row in range(3):
      step = toys.row(steps, row)
      prediction = denoise(x, step)._replace(variance=0.0 * x)
      x, state = t.update(jax.random.key(0), x, prediction, step, state)
  assert np.all(np.isfinite(x))


@pytest.mark.parametrize("name", transition.TRANSITIONS)
def test_last_step_returns_x0_and_keeps_shapes(name):
  t = transition.TRANSITIONS[name]()
  step = toys.row(schedule.steps(schedule.make_schedule()), -1)
  x = jnp.ones((3, 4, 1))
  prediction = Prediction(0.25 * x, 0.5 * x, 0.0 * x)
  x_prev, state = t.update(jax.random.key(0), x, prediction, step, t.init(x))
  np.testing.assert_array_equal(x_prev, prediction.x0)
  assert jax.tree.map(lambda a: (a.shape, a.dtype), state) == jax.tree.map(lambda a: (a.shape, a.dtype), t.init(x))


def test_bad_settings_are_refused():
  with pytest.raises(UserError, match="0 to 1"):
    transition.ddim(eta=1.5)
  with pytest.raises(UserError, match="learned_range, fixed_small, fixed_large"):
    transition.ancestral(variance="learned")
  t = transition.ancestral()
  step = toys.row(schedule.steps(schedule.make_schedule()), 0)
  x = jnp.ones((2, 2, 1))
  with pytest.raises(UserError, match="variance channels"):
    t.update(jax.random.key(0), x, Prediction(x, x), step, ())
