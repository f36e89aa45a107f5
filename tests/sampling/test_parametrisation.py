"""Do networks that predict noise, image, velocity, flow or EDM's residual say the same of the same images?

For images of N(m, s^2) every ideal network is linear in what it is given: each is written here from the formulas of its
own paper, in its own variables, and its Denoiser held against the posterior mean of `gaussian.py`.
"""

import gaussian
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys

from dig2dig_jax.errors import UserError
from dig2dig_jax.sampling import schedule
from dig2dig_jax.sampling.denoiser import network_denoiser, network_reuse
from dig2dig_jax.sampling.parametrisation import NAMES, Parametrisation
from dig2dig_jax.sampling.sampler import sample
from dig2dig_jax.sampling.transition import ddim

MEAN, SPREAD = 0.2, 0.4
FULL = {name: schedule.make_schedule(name) for name in schedule.BETAS}
X = toys.normal(0, 6, 5, 3)


def levels_of(name):
  """alpha_bar of the float32 run [1000] in float64, by timestep: what a trained network has memorised."""
  return np.asarray(np.float32(FULL[name].alphas_cumprod), np.float64)


def ideal(parametrisation, of):
  """apply(params, x, t) of the ideal network, which knows its input and its time alone."""
  kind, level = parametrisation.name, jnp.asarray(levels_of(of), jnp.float32)

  def variance_preserving(x, t):
    a = level[t].reshape(-1, 1, 1, 1)
    x0 = MEAN + gaussian.gain(a, SPREAD) * (x - jnp.sqrt(a) * MEAN)
    eps = (x - jnp.sqrt(a) * x0) / jnp.sqrt(1 - a)
    return {"x0": x0, "eps": eps, "v": jnp.sqrt(a) * eps - jnp.sqrt(1 - a) * x0}[kind]

  def flow(z, t):  # z = (1 - s) x0 + s eps
    s = (t / parametrisation.time_scale).reshape(-1, 1, 1, 1)
    variance = (1 - s) ** 2 * SPREAD**2 + s**2
    centred = (z - (1 - s) * MEAN) / variance
    return s * centred - (MEAN + (1 - s) * SPREAD**2 * centred)  # E[eps | z] - E[x0 | z]

  def edm(scaled, c_noise):  # scaled = y / sqrt(sigma^2 + sigma_data^2), y = x0 + sigma eps
    sigma, data = jnp.exp(4 * c_noise).reshape(-1, 1, 1, 1), parametrisation.sigma_data
    y = scaled * jnp.sqrt(sigma**2 + data**2)
    x0 = MEAN + SPREAD**2 / (SPREAD**2 + sigma**2) * (y - MEAN)
    skip, out = data**2 / (sigma**2 + data**2), sigma * data / jnp.sqrt(sigma**2 + data**2)
    return (x0 - skip * y) / out

  network = {"flow": flow, "edm": edm}.get(kind, variance_preserving)
  return lambda params, x, t: network(x, t)


KINDS = [Parametrisation(name) for name in NAMES] + [Parametrisation("flow", time_scale=1.0),
                                                     Parametrisation("edm", sigma_data=1.3)]  # fmt: skip
IDS = [f"{kind.name}-{kind.time_scale:g}-{kind.sigma_data:g}" for kind in KINDS]


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
@pytest.mark.parametrize("of", ["linear", "flow"])
def test_the_ideal_network_of_every_kind_is_the_posterior_mean(kind, of):
  denoise = jax.jit(network_denoiser(ideal(kind, of), None, kind, clip=False))
  for t in (5, 300, 800, 999):
    step = jax.tree.map(jnp.asarray, schedule.steps_at(FULL[of], t))
    a = levels_of(of)[t]
    x0 = MEAN + gaussian.gain(a, SPREAD) * (X - a**0.5 * MEAN)
    eps = (X - a**0.5 * x0) / (1 - a) ** 0.5
    found = denoise(X, step)
    # A noise network divides by sqrt(a), which float32 rounding follows.
    np.testing.assert_allclose(found.x0, x0, atol=max(2e-5, 4e-7 * a**-0.5 if kind.name == "eps" else 0))
    np.testing.assert_allclose(found.eps, eps, atol=1e-5 + 2e-5 * (a / (1 - a)) ** 0.5)
    assert found.variance is None


@pytest.mark.parametrize("kind, of", [("flow", "flow"), ("edm", "edm"), ("v", "cosine")])
def test_a_run_on_the_schedule_of_its_kind_ends_where_the_flow_does(kind, of):
  """DDIM by many steps is the probability flow, whose end is known: as for the noise network on the linear schedule."""
  parametrisation = Parametrisation(kind)
  kept = schedule.spacing_timesteps(1000, 400, "uniform", name=of)
  steps = schedule.steps(schedule.make_schedule(of, timesteps=kept))
  start = toys.normal(1, 4, 4, 1)
  denoise = network_denoiser(ideal(parametrisation, of), None, parametrisation, clip=False)
  run = jax.jit(lambda x: sample(jax.random.key(0), x, denoise=denoise, transition=ddim(), steps=steps)[0])
  a = np.asarray(steps.alpha_bar, np.float64)[0]
  np.testing.assert_allclose(run(start), gaussian.flow(start, a, MEAN, SPREAD), atol=0.01)


def test_clipping_and_learned_variance_and_reused_features_are_as_for_noise():
  kind, step = Parametrisation("v"), jax.tree.map(jnp.asarray, schedule.steps_at(FULL["linear"], 700))
  net = lambda params, x, t: jnp.concatenate([3 * x, 0 * x + 0.25], axis=-1)  # noqa: E731
  found = network_denoiser(net, None, kind)(X, step)
  a = float(step.alpha_bar)
  np.testing.assert_allclose(found.x0, np.clip(a**0.5 * X - (1 - a) ** 0.5 * 3 * X, -1, 1), atol=1e-5)
  np.testing.assert_allclose(a**0.5 * found.x0 + (1 - a) ** 0.5 * found.eps, X, atol=1e-5)
  np.testing.assert_array_equal(found.variance, np.full(X.shape, 0.25, np.float32))
  reuse = network_reuse(lambda p, x, t: (net(p, x, t), x), lambda p, x, t, deep: net(p, deep, t), None, kind)
  whole, features = reuse.full(X, step)
  for one in (whole, reuse.shallow(X, step, features)):
    jax.tree.map(np.testing.assert_array_equal, one, found)


@pytest.mark.parametrize("name, low, high", [("flow", 0.0005, 0.9995), ("edm", 0.002, 80.0)])
def test_the_schedules_have_the_levels_of_their_papers(name, low, high):
  a = FULL[name].alphas_cumprod
  noise = np.sqrt(1 - a) / (np.sqrt(a) + np.sqrt(1 - a) if name == "flow" else np.sqrt(a))
  np.testing.assert_allclose(noise[[0, -1]], [low, high], rtol=1e-6)
  if name == "flow":
    np.testing.assert_allclose(np.diff(noise), 1e-3, rtol=1e-6)
  else:
    np.testing.assert_allclose(np.diff(noise ** (1 / 7), 2), 0, atol=1e-9)
  with pytest.raises(UserError, match="expected linear, cosine, flow, edm, found 'karras'"):
    schedule.betas("karras", 1000)


def test_a_parametrisation_is_written_and_read_and_anything_else_refused():
  for kind in KINDS:
    assert Parametrisation.from_dict(kind.to_dict()) == kind
  assert Parametrisation("v").to_dict() == {"name": "v"}
  assert Parametrisation.parse("flow=1") == Parametrisation("flow", time_scale=1.0)
  assert Parametrisation.parse("x0") == Parametrisation("x0")
  for fields, said in (
    ({"name": "score"}, "expected one of eps, x0, v, flow, edm, found 'score'"),
    ({"name": "v", "sigma_data": 1.0}, "parametrisation v: expected name, found 'sigma_data'"),
    ({"name": "edm", "sigma_data": 0}, "sigma_data: expected a number above 0 to 1e[+]06, found 0"),
    ({"name": "flow", "time_scale": float("nan")}, "found nan"),
    ({"name": ["v"]}, "expected one of"),
    ("v", "expected fields by name"),
  ):
    with pytest.raises(ValueError, match=said):
      Parametrisation.from_dict(fields)
  with pytest.raises(ValueError, match="write one of eps"):
    Parametrisation.parse("v=2")
