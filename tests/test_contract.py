"""Do all parts keep the contract that the sampler relies on: pure, key first, the same jitted, the same in a batch?"""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import toys
from chex import assert_trees_all_close

import dig2dig_jax as d2d
from dig2dig_jax.guidance.spectrum import Rule
from dig2dig_jax.sampling import schedule, transition
from dig2dig_jax.sampling.denoiser import eps_denoiser
from dig2dig_jax.sampling.schedule import NoiseSchedule

pytestmark = pytest.mark.usefixtures("quick_compile")

NOISE = NoiseSchedule("linear", 1000)
FULL = schedule.make_schedule("linear", num_timesteps=1000)
STEPS = schedule.steps_at(FULL, [800, 500, 200, 50])
STEP = toys.row(STEPS, 1)
DENOISE = eps_denoiser(toys.conv_apply, toys.conv_params())
SOURCES = jnp.asarray(np.repeat(toys.images(3, 2, 12, 14, 1), 3, axis=-1))
WEIGHTS = jnp.asarray(toys.convex(4, 2, 12, 14, 1))
ERRORS = {"distance": "l2", "draws": 1, "shared_noise": True, "scale": 1, "chunk": 0}
SOFTMAX = {"temperature": 0.02, "smoothing": 1.0, "normalise": "none"}

GUIDANCES = {
  "quadratic": lambda: d2d.quadratic(0.7),
  "quadratic, bands": lambda: d2d.quadratic(0.7, levels=2, base="mean", salience=2.0),
  "dps": lambda: d2d.dps(0.3),
  "expectation_maximization": lambda: d2d.expectation_maximization(),
  "controlled": lambda: d2d.controlled(("mse", "sf"), optimiser=optax.adam(0.03), top_k=1),
  "chain": lambda: d2d.chain(d2d.quadratic(0.5), d2d.consistent_eps()),
  "classifier": lambda: d2d.classifier_guidance(lambda x, t: jnp.stack([x.sum(), -x.sum()])[None], 0),
}
WEIGHTINGS = {
  "uniform": d2d.uniform,
  "interval": lambda: d2d.interval_dig(STEPS, interval=2, weights=SOFTMAX, errors=ERRORS),
  "cumulative": lambda: d2d.cumulative_dig(schedule.steps_at(FULL, [600, 20]), weights=SOFTMAX, errors=ERRORS),
  "spectrum": lambda: d2d.dig_spectrum(schedule.steps_at(FULL, range(1000)), rule=Rule(bands=2)),
}


def the_same_jitted_and_in_a_batch(f, key, *arguments, atol=2e-5, eager=True):
  """f(key, *arguments) for one pair: as itself, traced once, and as a member of a batch of two. eager: whether
  operation by operation too, each of which is compiled: not what has hundreds."""
  traced = []

  def counted(*given):
    traced.append(None)
    return f(*given)

  program = jax.jit(counted)
  once = program(key, *arguments)
  assert_trees_all_close(program(key, *arguments), once)
  assert len(traced) == 1, "traced again for the same shapes"
  if eager:
    assert_trees_all_close(f(key, *arguments), once, atol=atol)
  keys = jax.random.split(key, 2)
  arguments = [np.asarray(argument) for argument in arguments]
  batch = [np.stack([argument, argument[..., ::-1, :]]) for argument in arguments]
  batched = jax.jit(jax.vmap(f))(keys, *batch)
  for member in range(2):
    alone = program(keys[member], *(argument[member] for argument in batch))
    assert_trees_all_close(jax.tree.map(lambda leaf, k=member: np.asarray(leaf)[k], batched), alone, atol=atol)
  return once


@pytest.mark.parametrize("name", GUIDANCES)
def test_guidances(name):
  guidance = GUIDANCES[name]()

  def run(key, x_t, sources):
    prediction = DENOISE(x_t, STEP)
    state = guidance.init(sources)
    found, state = guidance.update(
      prediction, state, sources, x_t=x_t, step=STEP, key=key, weights=WEIGHTS, denoise=DENOISE
    )
    return found, jax.tree.leaves(state), guidance.diagnose(state)

  x_t = jnp.asarray(toys.normal(5, *SOURCES.shape[1:]))
  the_same_jitted_and_in_a_batch(run, jax.random.key(0), x_t, SOURCES, atol=2e-4)


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_weightings(name):
  weighting = WEIGHTINGS[name]()
  assert list(inspect.signature(weighting.compute).parameters)[:2] == ["key", "sources"]
  run = lambda key, sources: weighting.compute(key, sources, DENOISE)  # noqa: E731
  rows = the_same_jitted_and_in_a_batch(run, jax.random.key(0), SOURCES, atol=1e-3, eager=name != "spectrum")
  assert rows.shape[1:] == (2, 12, 14, 1)
  np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=1e-4)


@pytest.mark.parametrize("name", transition.TRANSITIONS)
def test_transitions(name):
  own = {"eta": 0.5} if name == "ddim" else {"variance": "fixed_small"} if name == "ancestral" else {}
  step_on = transition.TRANSITIONS[name](**own)

  def run(key, x_t):
    found, state = step_on.update(key, x_t, DENOISE(x_t, STEP), STEP, step_on.init(x_t))
    return found, jax.tree.leaves(state)

  assert list(inspect.signature(step_on.update).parameters)[0] == "key"
  the_same_jitted_and_in_a_batch(run, jax.random.key(1), jnp.asarray(toys.normal(5, *SOURCES.shape[1:])))


@pytest.mark.parametrize("name", [
  "dig2dig", "dig2dig in closed form", "ddfm", pytest.param("ccf", marks=pytest.mark.slow),
])  # fmt: skip
def test_methods(name):
  kind = {"ddfm": d2d.DdfmOptions, "ccf": d2d.CcfOptions}.get(name, d2d.Dig2DigOptions)
  closed = name.endswith("form")
  options = kind(steps=0, window="spectrum", bands=2) if closed else kind(steps=3, weights="uniform")
  make = {"ddfm": d2d.ddfm, "ccf": d2d.ccf}.get(name, d2d.dig2dig)
  method = make(toys.conv_prior(), d2d.luminance_codec(1), options=options)
  assert list(inspect.signature(d2d.fuse).parameters) == ["method", "params", "key", "images"]

  def run(key, images):
    return d2d.fuse(method, toys.conv_params(), key, images)[0]

  the_same_jitted_and_in_a_batch(run, jax.random.key(2), SOURCES, atol=5e-3, eager=False)
