"""Does a training step learn to predict the noise, by the recipe it claims?"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import conv_apply, conv_params, images

from dig2dig_jax.sampling.schedule import make_schedule
from dig2dig_jax.training import step as training

pytestmark = pytest.mark.usefixtures("quick_compile")

ALPHAS = make_schedule("linear", num_timesteps=1000).alphas_cumprod
CONFIG = training.StepConfig(learning_rate=3e-3, warmup_steps=5, total_steps=200, ema_decay=0.9)


def constant(params, x, t):
  """A network that predicts the same noise everywhere: its loss is known."""
  return jnp.broadcast_to(params["bias"], x.shape)


def start(config=CONFIG, bias=0.5):
  return training.init_state({"bias": np.full((1, 1, 1, 1), bias, np.float32)}, config)


@pytest.mark.parametrize("sampling", training.TIME_SAMPLINGS)
def test_time_distributions_are_distributions(sampling):
  probability = training.time_distribution(ALPHAS, sampling)
  assert probability.shape == (1000,) and probability.min() > 0
  assert probability.sum() == pytest.approx(1, abs=1e-12)


def test_mixed_is_half_uniform_in_t_and_half_in_the_log_of_the_noise_ratio():
  assert training.time_distribution(ALPHAS, "uniform") == pytest.approx(1 / 1000)
  mixed = training.time_distribution(ALPHAS, "mixed")
  log_part = 2 * mixed - 1 / 1000
  log_ratio = np.log(1 / ALPHAS - 1)
  # Between two timesteps lies the share of the logarithm that lies between their ratios.
  for low, high in ((50, 200), (200, 700), (50, 950)):
    share = (log_ratio[high] - log_ratio[low]) / (log_ratio[-1] - log_ratio[0])
    assert log_part[low:high].sum() == pytest.approx(share, abs=0.03)


def test_the_timesteps_that_a_batch_sees_follow_the_distribution():
  seen = []

  def spy(params, x, t):
    jax.debug.callback(lambda t: seen.append(np.asarray(t)), t)
    return constant(params, x, t)

  step = jax.jit(training.make_step(spy, ALPHAS, CONFIG, seed=0))
  state, _ = step(start(), np.zeros((1000, 1, 1, 1), np.float32))
  jax.block_until_ready(state)
  jax.effects_barrier()
  times = np.concatenate(seen[:1])
  assert times.min() >= 0 and times.max() <= 999
  expected = np.cumsum(training.time_distribution(ALPHAS, "mixed"))
  for t in (10, 100, 500, 900):  # stratified: within one draw of a thousand, not within its square root
    assert np.mean(times <= t) == pytest.approx(expected[t], abs=2e-3)


def test_the_loss_is_the_error_of_the_noise():
  """Of a constant prediction b of standard normal noise: 1 + b^2."""
  step = jax.jit(training.make_step(constant, ALPHAS, CONFIG, seed=0))
  _, metrics = step(start(bias=0.5), np.zeros((64, 16, 16, 3), np.float32))
  assert float(metrics["loss"]) == pytest.approx(1.25, abs=0.03)
  assert float(metrics["gradient_norm"]) == pytest.approx(2 * 0.5, abs=0.03)


def test_the_input_is_the_noisy_image():
  """A network that returns its own input is off by sqrt(a) x0 + (sqrt(1 - a) - 1) eps."""
  step = jax.jit(training.make_step(lambda params, x, t: x + 0 * params["bias"], ALPHAS, CONFIG, seed=0))
  _, metrics = step(start(), np.full((512, 4, 4, 3), 0.7, np.float32))
  errors = ALPHAS * 0.7**2 + (np.sqrt(1 - ALPHAS) - 1) ** 2
  assert float(metrics["loss"]) == pytest.approx(np.sum(training.time_distribution(ALPHAS, "mixed") * errors), rel=0.02)


@pytest.mark.parametrize("signal, weight", [(0.95, 5 / 19), (0.5, 1.0)])
def test_min_snr_weighs_by_five_over_the_signal_to_noise_ratio(signal, weight):
  config = dataclasses.replace(CONFIG, weighting="min_snr", time_sampling="uniform")
  step = jax.jit(training.make_step(constant, np.full(10, signal), config, seed=0))  # one noise level at all times
  _, metrics = step(start(bias=0.0), np.zeros((64, 16, 16, 3), np.float32))
  assert float(metrics["loss"]) == pytest.approx(weight, rel=0.03)


def test_an_overfit_batch_is_learned_and_the_average_follows():
  batch = images(0, 8, 12, 12, 3)
  step = jax.jit(training.make_step(conv_apply, ALPHAS, CONFIG, seed=0))
  state = training.init_state(conv_params(), CONFIG)
  first, losses, average = state, [], state.params
  for number in range(60):
    state, metrics = step(state, batch)
    losses.append(float(metrics["loss"]))
    decay = min(0.9, (1 + number) / (10 + number))
    average = jax.tree.map(lambda mean, new, decay=decay: decay * mean + (1 - decay) * new, average, state.params)
  assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:3])
  assert int(state.step) == 60
  for name, leaf in average.items():
    np.testing.assert_allclose(state.ema[name], leaf, rtol=1e-4, atol=1e-6)
    assert np.any(np.asarray(state.ema[name]) != np.asarray(first.params[name]))
    assert np.any(np.asarray(state.ema[name]) != np.asarray(state.params[name]))


def test_a_step_is_a_function_of_seed_state_and_batch():
  batch = images(1, 4, 8, 8, 3)
  step = jax.jit(training.make_step(conv_apply, ALPHAS, CONFIG, seed=0))
  state = training.init_state(conv_params(), CONFIG)
  assert float(step(state, batch)[1]["loss"]) == float(step(state, batch)[1]["loss"])
  later = state._replace(step=state.step + 1)
  assert float(step(state, batch)[1]["loss"]) != float(step(later, batch)[1]["loss"])
  other = jax.jit(training.make_step(conv_apply, ALPHAS, CONFIG, seed=1))
  assert float(step(state, batch)[1]["loss"]) != float(other(state, batch)[1]["loss"])


def test_weight_decay_spares_biases_and_the_rate_warms_up():
  params = {"kernel": np.ones((3, 3), np.float32), "bias": np.ones(3, np.float32)}
  assert training.decay_mask(params) == {"kernel": True, "bias": False}
  tx = training.optimizer(dataclasses.replace(CONFIG, weight_decay=0.5))
  state = tx.init(params)
  zero = jax.tree.map(jnp.zeros_like, params)
  sizes = []
  for _ in range(7):
    updates, state = tx.update(zero, state, params)
    assert np.all(np.asarray(updates["bias"]) == 0)
    sizes.append(-float(updates["kernel"][0, 0]))
  # Without gradients an update is the decay alone: rate x 0.5, over a warm-up of 5 steps.
  np.testing.assert_allclose(sizes, 0.5 * 3e-3 * np.minimum(np.arange(7) / 5, 1), rtol=1e-5, atol=1e-9)


def test_a_batch_in_parts_gives_the_same_update():
  batch, updates = images(3, 8, 8, 8, 3), []
  for parts in (1, 4):
    config = dataclasses.replace(CONFIG, accumulate=parts)
    step = jax.jit(training.make_step(conv_apply, ALPHAS, config, seed=0))
    state, metrics = step(training.init_state(conv_params(), config), batch)
    updates.append((metrics["loss"], metrics["gradient_norm"], state.opt_state))
  for one, four in zip(*(jax.tree.leaves(update) for update in updates), strict=True):
    np.testing.assert_allclose(one, four, rtol=1e-4, atol=1e-6)


def test_the_rate_is_constant_until_the_last_share_of_the_steps():
  """And does not depend on the length of the run before: a run may be lengthened while it goes."""
  params = {"kernel": np.ones((2, 2), np.float32)}
  rates = []
  for total in (20, 40):
    tx = training.optimizer(dataclasses.replace(CONFIG, weight_decay=0.5, total_steps=total, decay_share=0.5))
    state, own = tx.init(params), []
    for _ in range(total):
      updates, state = tx.update(jax.tree.map(jnp.zeros_like, params), state, params)
      own.append(-float(updates["kernel"][0, 0]) / 0.5)
    rates.append(own)
  np.testing.assert_allclose(rates[0][:10], rates[1][:10], rtol=1e-5)
  np.testing.assert_allclose(rates[1][5:20], 3e-3, rtol=1e-5)
  assert rates[1][39] < 0.08 * 3e-3 and np.all(np.diff(rates[1][20:]) < 0)


def test_unknown_recipes_are_refused():
  with pytest.raises(ValueError, match="decay_share: expected above 0"):
    training.StepConfig(decay_share=0.0)
  with pytest.raises(ValueError, match="time_sampling: expected one of .*'often'"):
    training.StepConfig(time_sampling="often")
  with pytest.raises(ValueError, match="weighting: expected one of .*'heavy'"):
    training.StepConfig(weighting="heavy")
