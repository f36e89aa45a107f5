"""Is a run the loop that it says, and does it end where closed forms and the reference's recorded loops end?"""

import gaussian
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe
import toys

from dig2dig_jax.guidance import quadratic
from dig2dig_jax.guidance.guided import guided
from dig2dig_jax.sampling import schedule, transition
from dig2dig_jax.sampling.denoiser import eps_denoiser
from dig2dig_jax.sampling.sampler import advance, begin, sample
from dig2dig_jax.sampling.types import Transition

pytestmark = pytest.mark.usefixtures("quick_compile")

KEY = jax.random.key(11)
SHAPE = (6, 5, 3)
CONV = toys.conv_denoiser(toys.conv_params())
DDIM = transition.ddim()


def run(
  x, sources, weights, *, guide, denoise=CONV, step_by=DDIM, steps=None, interval=2**30, key=KEY, jit=True
):
  steps = toys.run_steps(8) if steps is None else steps

  def whole(key, x, sources, weights):
    return sample(
      key,
      x,
      denoise=denoise,
      transition=step_by,
      steps=steps,
      correct=guided(guide, sources, weights, denoise=denoise, interval=interval),
    )

  return (jax.jit(whole) if jit else whole)(key, *map(jnp.asarray, (x, sources, weights)))


def consistent(guide):
  return quadratic.chain(guide, quadratic.consistent_eps())


@pytest.fixture
def inputs():
  return toys.normal(0, *SHAPE), toys.images(1, 3, *SHAPE), toys.convex(2, 3, 3, 6, 5, 1)


def test_a_run_in_parts_is_the_run_in_one():
  """Of a transition that remembers."""
  x, steps = jnp.asarray(toys.normal(0, *SHAPE)), toys.run_steps(4)
  parts = {"denoise": CONV, "transition": transition.TRANSITIONS["dpm_solver_pp_2m"]()}
  whole, trace = sample(KEY, x, steps=steps, **parts)
  first, second = (jax.tree.map(lambda rows, cut=cut: rows[cut], steps) for cut in (slice(0, 1), slice(1, 4)))
  run, told = advance(KEY, begin(x, steps=steps, **parts), steps=first, unroll=True, **parts)
  run, rest = advance(KEY, run, steps=second, **parts)
  np.testing.assert_allclose(run.x_t, whole, atol=1e-5)
  np.testing.assert_allclose([*told.x0_max, *rest.x0_max], trace.x0_max, rtol=1e-5)


def test_a_run_is_the_loop_over_its_steps(inputs):
  """The same keys, rows and states in a Python loop; two rows are left when the steps end, one is read too long."""
  x, sources, weights = inputs
  steps = toys.run_steps(8)
  guide, step_by = consistent(quadratic.quadratic(lambda step: 1 - step.alpha_bar)), transition.ddim(eta=0.8)
  path = {}
  x_0, trace = run(
    x, sources, weights[:2], guide=guide, step_by=toys.watched(step_by, path), steps=steps, interval=3
  )
  jax.effects_barrier()

  @jax.jit
  def one(x, step, key, row):
    guidance_key, transition_key = jax.random.split(key)
    raw = CONV(x, step)
    out, _ = guide.update(
      raw, guide.init(sources), sources, x_t=x, step=step, key=guidance_key, weights=row, denoise=CONV
    )
    return step_by.update(transition_key, x, out, step, ())[0], raw, out

  for i in range(8):
    step, u = toys.row(steps, i), min(i // 3, 1)
    x, raw, out = one(x, step, jax.random.fold_in(KEY, i), weights[u])
    np.testing.assert_allclose(path[i], x, atol=1e-5)
    assert trace.t[i] == step.t
    np.testing.assert_allclose(trace.correction[i], np.sqrt(np.mean((out.x0 - raw.x0) ** 2)), rtol=1e-4)
    residual = np.sqrt(np.mean((sources - np.asarray(out.x0)) ** 2, axis=(1, 2, 3)))
    np.testing.assert_allclose(trace.guidance["residual"][i], residual, rtol=1e-4)
    np.testing.assert_allclose(trace.guidance["weight"][i], weights[u].mean(axis=(1, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(trace.x0_max[i], np.abs(out.x0).max(), rtol=1e-4)
  np.testing.assert_allclose(x_0, x, atol=1e-5)
  assert x_0.shape == SHAPE and x_0.dtype == jnp.float32
  assert {name: leaf.shape for name, leaf in trace.guidance.items()} == {"residual": (8, 3), "weight": (8, 3)}
  assert trace.t.shape == trace.correction.shape == trace.x0_max.shape == (8,)


def test_strength_zero_is_plain_ddim(inputs):
  x, sources, weights = inputs
  plain, trace = run(x, sources, weights, guide=quadratic.chain())
  np.testing.assert_array_equal(trace.correction, 0)
  for name in quadratic.GUIDANCES:
    off, _ = run(x, sources, weights, guide=quadratic.GUIDANCES[name](0.0))
    np.testing.assert_array_equal(off, plain, err_msg=name)
  off, _ = run(x, sources, weights, guide=consistent(quadratic.quadratic(0.0)))
  np.testing.assert_allclose(off, plain, atol=1e-5)


def test_one_hot_weights_at_full_strength_return_that_source(inputs):
  x, sources, _ = inputs
  weights = np.zeros((1, 3, 6, 5, 1), np.float32)
  weights[:, 1] = 1
  x_0, trace = run(x, sources, weights, guide=consistent(quadratic.quadratic(1.0)))
  np.testing.assert_allclose(x_0, sources[1], atol=1e-6)
  np.testing.assert_allclose(trace.guidance["residual"][:, 1], 0, atol=1e-6)


@pytest.mark.parametrize("strength", ["0.3", "likelihood"])
def test_guided_run_on_a_gaussian_prior_is_an_affine_recursion(strength):
  mean, spread, steps = 0.15, 0.4, toys.run_steps(12)
  x, sources, weights = toys.normal(3, *SHAPE), toys.images(4, 2, *SHAPE), toys.convex(5, 1, 2, 6, 5, 1)
  amount = quadratic.likelihood_strength(0.5) if strength == "likelihood" else 0.3
  path = {}
  x_0, trace = run(
    x,
    sources,
    weights,
    guide=consistent(quadratic.quadratic(amount)),
    denoise=gaussian.denoiser(mean, spread),
    step_by=toys.watched(DDIM, path),
    steps=steps,
  )
  jax.effects_barrier()
  a, _ = gaussian.levels(steps)
  amounts = np.minimum((1 - a) / (a * 0.5), 1) if strength == "likelihood" else 0.3
  target = (weights[0].astype(np.float64) * sources).sum(axis=0)
  truth = gaussian.guided_path(x, steps, mean=mean, spread=spread, target=target, strength=amounts)
  for i in range(12):
    np.testing.assert_allclose(path[i], truth[i], atol=2e-5, err_msg=f"step {i}")
  np.testing.assert_allclose(x_0, truth[-1], atol=2e-5)
  residual = np.sqrt(np.mean((sources - truth[-1]) ** 2, axis=(1, 2, 3)))
  np.testing.assert_allclose(trace.guidance["residual"][-1], residual, rtol=1e-4)  # the last x0 is the image


def test_unguided_run_takes_noise_to_the_prior():
  mean, spread, steps = 0.15, 0.4, toys.run_steps(200, "logsnr")
  x = toys.normal(6, *SHAPE)
  denoise = gaussian.denoiser(mean, spread)
  x_0, trace = jax.jit(lambda x: sample(KEY, x, denoise=denoise, transition=DDIM, steps=steps))(x)
  assert trace.guidance == {}
  np.testing.assert_allclose(x_0, gaussian.flow(x, float(steps.alpha_bar[0]), mean, spread), atol=0.015)


def test_exact_likelihood_takes_noise_to_the_posterior():
  """dps with r_t^2 = noise^2 + Var(x0 | x_t) is the posterior's own score: the run is its probability flow."""
  mean, spread, noise, steps = 0.15, 0.6, 0.3, toys.run_steps(200, "logsnr")
  x, y = toys.normal(7, *SHAPE), toys.images(8, *SHAPE)
  x_0, _ = run(
    x,
    np.stack([y, y]),
    np.full((1, 2, 6, 5, 1), 0.5, np.float32),
    guide=consistent(quadratic.dps(gaussian.posterior_strength(spread, noise))),
    denoise=gaussian.denoiser(mean, spread),
    steps=steps,
  )
  total = spread**2 + noise**2
  posterior_mean, posterior_spread = (mean * noise**2 + y * spread**2) / total, spread * noise / np.sqrt(total)
  truth = gaussian.flow(x, float(steps.alpha_bar[0]), posterior_mean, posterior_spread)
  np.testing.assert_allclose(x_0, truth, atol=0.015)


def test_rows_are_read_by_interval(inputs):
  x, sources, weights = inputs
  rows = {}
  for interval in (1, 4):
    _, trace = run(x, sources, weights, guide=quadratic.quadratic(0.5), interval=interval)
    distance = np.abs(np.asarray(trace.guidance["weight"])[:, None] - weights.mean(axis=(2, 3, 4)))
    rows[interval] = distance.max(axis=-1).argmin(axis=1).tolist()
  assert rows == {1: [0, 1, 2, 2, 2, 2, 2, 2], 4: [0] * 4 + [1] * 4}


def test_one_trace_per_shape(inputs):
  x, sources, weights = inputs
  traced = []

  def denoise(x_t, step):
    traced.append(x_t.shape)
    return CONV(x_t, step)

  @jax.jit
  def whole(x, sources, weights):
    return run(x, sources, weights, guide=quadratic.quadratic(0.5), denoise=denoise, jit=False)[0]

  first = whole(x, sources, weights)
  once = len(traced)
  second = whole(x + 1, -sources, weights)
  assert len(traced) == once <= 2, "8 steps must share one trace of the scan's body"
  assert np.abs(first - second).max() > 0.1


def test_gradient_through_a_run_is_finite_where_the_diagnostics_are_not_smooth(inputs):
  """Root mean squares of the trace have no slope at 0: at strength 0 (correction) and on a source (residual)."""
  x, sources, _ = inputs
  weights = np.zeros((1, 3, 6, 5, 1), np.float32)
  weights[:, 1] = 1
  for strength in (0.0, 1.0):

    def loss(x, sources, strength=strength):
      guide = consistent(quadratic.quadratic(strength))
      return jnp.sum(run(x, sources, weights, guide=guide, denoise=gaussian.denoiser(0.1, 0.5), jit=False)[0])

    of_x, of_sources = jax.jit(jax.grad(loss, argnums=(0, 1)))(x, sources)
    np.testing.assert_allclose(of_sources, np.broadcast_to(strength * weights[0], sources.shape), atol=1e-5)
    assert np.all(np.isfinite(of_x)) and (np.abs(of_x).max() > 0.01) == (strength == 0)


@pytest.fixture(scope="module")
def unet():
  config, params = recipe.model("adm_uncond_tiny")
  module = recipe.network(config)
  return lambda params, x, t: module.apply({"params": params}, x, t), params


@pytest.mark.parametrize("clip", [True, False])
def test_golden_loops(golden, unet, clip):
  """Six steps of guided-diffusion's own loops with recorded noise. A traced number chooses the kind of step, so that
  the U-Net compiles once: 0 ancestral with learned variance, 1 DDIM, 2 DDIM with eta 0.5."""
  file = np.load(golden("diffusion/loop_unet_adm_uncond_tiny.npz"))
  expected = {name: np.moveaxis(array, -3, -1) for name, array in file.items()}
  steps = schedule.steps(schedule.make_schedule(timesteps=schedule.space_timesteps(1000, "6")))
  apply, params = unet
  path = {}

  @jax.jit
  def loop(params, kind):
    def update(key, x_t, prediction, step, state):
      mean, log_variance = transition.ancestral_moments(x_t, prediction, step)
      moments = [(mean, jnp.exp(0.5 * log_variance) * (step.alpha_bar_prev < 1))]
      for eta in (0.0, 0.5):
        mean, sigma = transition.ddim_moments(prediction, step, eta=eta)
        moments.append((mean, jnp.broadcast_to(sigma, mean.shape)))
      means, deviations = (jnp.stack(parts) for parts in zip(*moments, strict=True))
      return means[kind] + deviations[kind] * jnp.asarray(expected["noise"])[step.index, 0], state

    x, _ = run(
      expected["x_T"][0],
      np.zeros((2, 16, 24, 3), np.float32),
      np.full((1, 2, 16, 24, 1), 0.5, np.float32),
      guide=quadratic.chain(),
      denoise=eps_denoiser(apply, params, clip=clip),
      step_by=toys.watched(Transition(lambda x: (), update), path),
      steps=steps,
      jit=False,
    )
    return x

  if not clip:
    truth = expected["ddim_noclip_final"][0]  # in the hundreds: a network outside its range
    np.testing.assert_allclose(loop(params, 1), truth, atol=2e-6 * np.abs(truth).max())
    return
  for kind, name in enumerate(("p_samples", "ddim_samples")):
    loop(params, kind).block_until_ready()
    jax.effects_barrier()
    for i in range(6):
      np.testing.assert_allclose(path[i], expected[name][i, 0], atol=2e-4, err_msg=f"{name} {i}")
  np.testing.assert_allclose(loop(params, 2), expected["ddim_eta0p5_final"][0], atol=2e-4)
