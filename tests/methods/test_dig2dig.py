"""Is Dig2DIG the paper's loop, with its limits; and does every option that cannot run name its flag?"""

import dataclasses

import jax
import numpy as np
import pytest
import scipy.ndimage
import scipy.special
import toys

from dig2dig_jax.errors import UserError
from dig2dig_jax.methods.codec import luminance_codec, rgb_codec
from dig2dig_jax.methods.cost import evaluations
from dig2dig_jax.methods.dig2dig import dig2dig
from dig2dig_jax.methods.fuse import fuse
from dig2dig_jax.methods.options import Dig2DigOptions
from dig2dig_jax.sampling import schedule, transition
from dig2dig_jax.sampling.denoiser import eps_denoiser
from dig2dig_jax.sampling.schedule import NoiseSchedule
from dig2dig_jax.sampling.types import Prediction

pytestmark = pytest.mark.usefixtures("quick_compile")

PARAMS = toys.conv_params()
NOISE = NoiseSchedule("linear", 1000)
KEY = jax.random.key(21)


def method(codec=None, **options):
  return dig2dig(toys.conv_prior(), codec or rgb_codec(), options=Dig2DigOptions(**options))


def run(method, images):
  return jax.jit(lambda images: fuse(method, PARAMS, KEY, images))(images)


def test_gains_inside_the_loop_give_the_same_images():
  """The paper's algorithm literally: noise the sources, denoise and weigh them whenever an update is due."""
  images = toys.images(0, 3, 6, 5, 3)
  options = dict(steps=8, interval=3, temperature=0.02, strength=0.4)
  fused, trace = run(method(**options), images)
  denoise = jax.jit(eps_denoiser(toys.conv_apply, PARAMS))
  steps = toys.run_steps(8)
  start_key, weight_key, _ = jax.random.split(KEY, 3)
  noise = jax.random.normal(jax.random.fold_in(weight_key, 0), images.shape[1:])
  x, before, weights = np.asarray(jax.random.normal(start_key, images.shape[1:]), np.float64), None, None
  for i in range(8):
    step = toys.row(steps, i)
    a, a_prev = float(step.alpha_bar), float(step.alpha_bar_prev)
    if i % 3 == 0:
      restored = [denoise((np.sqrt(a) * y + np.sqrt(1 - a) * noise).astype(np.float32), step).x0 for y in images]
      error = np.mean((np.array(restored, np.float64) - images) ** 2, axis=-1, keepdims=True)
      gains = np.zeros_like(error) if before is None else before - error
      before, weights = error, scipy.special.softmax(gains / 0.02, axis=0)
      np.testing.assert_allclose(trace.weights[i // 3], weights, atol=1e-4)
    x0 = np.asarray(denoise(x.astype(np.float32), step).x0, np.float64)
    x0 = x0 + 0.4 * (weights * (images - x0)).sum(axis=0)
    eps = (x - np.sqrt(a) * x0) / np.sqrt(1 - a)
    x = np.sqrt(a_prev) * x0 + np.sqrt(1 - a_prev) * eps
    np.testing.assert_allclose(trace.steps.guidance["weight"][i], weights.mean(axis=(1, 2, 3)), atol=1e-4)
  np.testing.assert_allclose(fused, np.clip(x, -1, 1), atol=1e-4)
  assert np.ptp(trace.weights[1:]) > 0.3, "the weights must choose for this test to mean anything"


def test_equal_sources_are_the_fixed_guidance_baseline():
  images = np.stack([toys.images(1, 6, 5, 3)] * 2)
  options = dict(steps=8, interval=3, temperature=0.02, strength=0.4)
  fixed, fixed_trace = run(method(**options, weights="uniform"), images)
  assert fixed_trace.steps.correction.min() > 0.1, "the guidance must do something"
  for window in ("interval", "cumulative"):
    dig, trace = run(method(**options, window=window), images)
    np.testing.assert_allclose(trace.weights, 0.5, atol=1e-5)
    np.testing.assert_allclose(dig, fixed, atol=1e-5)


def test_cumulative_window_with_every_option_of_the_gains():
  images = toys.images(2, 2, 6, 5, 3)
  options = dict(distance="l1", draws=2, shared_noise=False, temperature=0.7, smoothing=0.8, normalise="mean_abs")
  fused, trace = run(method(steps=0, window="cumulative", t_high=700, t_low=30, **options), images)
  bounds = schedule.steps_at(schedule.make_schedule(), [700, 30])
  _, weight_key, _ = jax.random.split(KEY, 3)
  denoise = jax.jit(eps_denoiser(toys.conv_apply, PARAMS))
  error = np.zeros((2, 2, 6, 5, 1))
  for draw in range(2):
    for level in range(2):
      step = toys.row(bounds, level)
      a = float(step.alpha_bar)
      for k, y in enumerate(images):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.fold_in(weight_key, draw), level), k)
        noise = jax.random.normal(key, y.shape)
        restored = denoise((np.sqrt(a) * y + np.sqrt(1 - a) * noise).astype(np.float32), step).x0
        error[level, k] += np.abs(np.asarray(restored, np.float64) - y).mean(axis=-1, keepdims=True) / 2
  gains = scipy.ndimage.gaussian_filter(error[0] - error[1], 0.8, radius=3, axes=(1, 2), mode="reflect")
  truth = scipy.special.softmax(gains / np.abs(gains).mean() / 0.7, axis=0)
  np.testing.assert_allclose(trace.weights[0], truth, atol=1e-4)
  np.testing.assert_allclose(fused, (trace.weights[0] * images).sum(axis=0), atol=1e-6)  # one pass is the blend


@pytest.mark.parametrize(
  "options",
  [
    dict(transition="ancestral", guidance="dps", strength=0.1, strength_schedule="likelihood"),
    dict(transition="dpm_solver_pp_2m", spacing="logsnr", bands=2, base="dig", normalise="mean_abs"),
    dict(transition="ddim", eta=1.0, spacing="2,3", distance="ssim", smoothing=1.0, shared_noise=False),
  ],
  ids=lambda options: options["transition"],
)
def test_options_run_on_three_gray_sources(options):
  images = np.repeat(toys.images(3, 3, 6, 5, 1), 3, axis=-1)
  fused, trace = run(method(luminance_codec(2), **{"steps": 5, "interval": 3, **options}), images)
  assert fused.shape == (6, 5, 3) and np.all(np.isfinite(fused)) and np.all(np.abs(fused) <= 1)
  np.testing.assert_allclose(fused[..., :1] - fused, 0, atol=1e-6)
  np.testing.assert_allclose(trace.weights.sum(axis=1), 1, atol=1e-5)
  assert trace.steps.t.shape == (5,)


@pytest.mark.parametrize(
  ("name", "own"), [("ddim", {"eta": 0.5}), ("ancestral", {"variance": "fixed_large"}), ("dpm_solver_pp_2m", {})]
)
def test_transition_gets_its_options(name, own):
  x, prediction, step = toys.normal(5, 2, 2, 3), Prediction(*toys.normal(6, 2, 2, 2, 3)), toys.row(toys.run_steps(5), 2)
  ours, truth = (
    t.update(KEY, x, prediction, step, t.init(x))[0]
    for t in (method(transition=name, **own).reverse.transition, transition.TRANSITIONS[name](**own))
  )
  np.testing.assert_array_equal(ours, truth)


def test_cost_of_the_paper_s_settings():
  """25 + K evaluations per noise level of the gains, at steps 0, 10 and 20."""
  assert evaluations(method(), PARAMS, 2) == 31
  assert evaluations(method(), PARAMS, 3) == 34
  assert evaluations(method(weights="uniform"), PARAMS, 2) == 25
  assert evaluations(method(window="cumulative", draws=4), PARAMS, 2) == 25 + 2 * 2 * 4
  assert evaluations(method(steps=0, window="cumulative"), PARAMS, 2) == 4


def test_defaults_are_the_paper_s():
  paper = dict(steps=25, interval=10, distance="l2", temperature=1.0, weights="dig", window="interval", smoothing=0.0)
  assert paper.items() <= dataclasses.asdict(Dig2DigOptions()).items()
  Dig2DigOptions().validate(1000)
  Dig2DigOptions().validate(100)  # bounds that are not used need not fit the prior


@pytest.mark.parametrize(
  ("flag", "options"),
  [
    ("steps", dict(steps=-1)),
    ("steps", dict(steps=1001)),
    ("dig_interval", dict(interval=0)),
    ("dig_interval", dict(steps=10)),
    ("dig_interval", dict(steps=8, interval=20)),
    ("dig_temperature", dict(temperature=0.0)),
    ("dig_temperature", dict(temperature=float("nan"))),
    ("dig_smoothing", dict(smoothing=-1.0)),
    ("dig_draws", dict(draws=0)),
    ("dig_chunk", dict(chunk=-1)),
    ("bands", dict(bands=0)),
    ("strength", dict(strength=-0.1)),
    ("salience", dict(salience=-1.0, bands=2)),
    ("salience", dict(salience=51.0, bands=2)),
    ("salience", dict(salience=5.0)),
    ("brightness", dict(brightness=-1.0, bands=2)),
    ("brightness", dict(brightness=1.0)),
    ("eta", dict(eta=1.5)),
    ("dig_t_high", dict(window="cumulative", t_high=1000)),
    ("dig_t_low", dict(window="cumulative", t_low=600)),
    ("dig_t_low", dict(window="cumulative", t_low=-1)),
    ("guidance", dict(guidance="exact")),
    ("strength_schedule", dict(strength_schedule="linear")),
    ("transition", dict(transition="euler")),
    ("variance", dict(variance="learned")),
    ("weights", dict(weights="max")),
    ("dig_window", dict(window="all")),
    ("dig_distance", dict(distance="lpips")),
    ("dig_normalise", dict(normalise="std")),
    ("base", dict(base="max")),
    ("steps", dict(steps=0)),
    ("steps", dict(steps=0, weights="uniform", guidance="dps")),
    ("steps", dict(steps=0, window="cumulative", strength_schedule="likelihood")),
  ],
)
def test_errors_name_the_flag(flag, options):
  with pytest.raises(UserError, match=f"^--{flag}=") as error:
    method(**options)
  assert "\n" not in str(error.value)
  assert str(options.get(flag.removeprefix("dig_"), "")) in str(error.value)


def test_spacing_is_refused_by_the_schedule():
  with pytest.raises(UserError, match="spacing"):
    method(spacing="cosine")


def test_blend_of_a_full_strength_run_is_its_one_pass():
  """lambda = 1 and one row of weights: the loop ends at the blended sources, whatever the prior says."""
  images = toys.images(4, 2, 6, 5, 3)
  options = dict(window="cumulative", temperature=0.05, bands=2, base="uniform")
  (looped, trace), (one_pass, _) = (run(method(steps=steps, **options), images) for steps in (4, 0))
  np.testing.assert_allclose(looped, one_pass, atol=1e-5)
  assert np.abs(one_pass - (trace.weights[0] * images).sum(axis=0)).max() > 0.01, "bands are not pixels"
