"""Do the guidances correct the clean estimate as their equations say, and keep the contract that the sampler needs?"""

import functools

import gaussian
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import scipy.special
import toys

from dig2dig_jax.guidance import quadratic
from dig2dig_jax.sampling import process
from dig2dig_jax.sampling.types import Guidance, Prediction

pytestmark = pytest.mark.usefixtures("quick_compile")

STEP = toys.row(toys.run_steps(10), 7)
LEVEL = float(STEP.alpha_bar)
SHAPE = (6, 5, 3)


# Compiled: operation by operation a pyramid is 60 programs.
laplacian_pyramid = jax.jit(quadratic.pyramid.laplacian_pyramid, static_argnums=1)
gaussian_pyramid = jax.jit(quadratic.pyramid.gaussian_pyramid, static_argnums=1)
expand = jax.jit(quadratic.pyramid.expand, static_argnums=(1, 2))
collapse = jax.jit(quadratic.pyramid.collapse)


def blend(sources, weights, **options):
  return jax.jit(functools.partial(quadratic.blend, **options))(sources, weights)


def correct(g, prediction, sources, weights, *, x_t, denoise, step=STEP, seed=0):
  """The corrected prediction of a guidance in its initial state."""

  @jax.jit
  def run(prediction, sources, weights, x_t, step):
    options = dict(x_t=x_t, step=step, key=jax.random.key(seed), weights=weights, denoise=denoise)
    return g.update(prediction, g.init(sources), sources, **options)[0]

  return run(prediction, sources, weights, x_t, step)


@pytest.mark.parametrize("count", [2, 3])
def test_one_level_is_the_weighted_mean(count):
  sources, weights = toys.images(0, count, *SHAPE), toys.convex(1, count, 6, 5, 1)
  truth = np.einsum("khwc,khwl->hwc", sources.astype(np.float64), weights.astype(np.float64))
  np.testing.assert_allclose(blend(sources, weights), truth, atol=1e-6)


@pytest.mark.parametrize("base", quadratic.BASE_RULES)
def test_equal_sources_return_themselves_in_every_band(base):
  image = toys.images(2, 9, 13, 3)
  mixed = blend(np.stack([image] * 3), toys.convex(3, 3, 9, 13, 1), levels=3, base=base)
  np.testing.assert_allclose(mixed, image, atol=2e-6)


def test_two_levels_by_hand():
  """Low-pass, subtract, weigh and add, with SciPy, for each rule of the base."""
  sources, weights = toys.images(4, 3, 8, 11, 3), toys.convex(5, 3, 8, 11, 1)
  taps = np.array([1, 4, 6, 4, 1]) / 16

  def low_pass(x):
    for axis in (1, 2):
      x = scipy.ndimage.correlate1d(x, taps, axis=axis, mode="reflect")
    return x[:, ::2, ::2]

  def interpolate(x):
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="symmetric")
    fine = np.zeros((len(x), 2 * padded.shape[1], 2 * padded.shape[2], x.shape[-1]))
    fine[:, ::2, ::2] = padded
    for axis in (1, 2):
      fine = scipy.ndimage.correlate1d(fine, 2 * taps, axis=axis, mode="constant")
    return fine[:, 2:10, 2:13]

  y, w = sources.astype(np.float64), weights.astype(np.float64)
  detail = (w * (y - interpolate(low_pass(y)))).sum(axis=0)
  base_weights = {
    "uniform": np.full_like(low_pass(w), 1 / 3),
    "dig": low_pass(w),
    "mean": np.broadcast_to(w.mean(axis=(1, 2), keepdims=True), low_pass(w).shape),
    "brightest": scipy.special.softmax(low_pass(y).mean(axis=-1, keepdims=True) / 0.05, axis=0),
  }
  blends = {}
  for base, base_weight in base_weights.items():
    blends[base] = blend(sources, weights, levels=2, base=base)
    truth = detail + interpolate((base_weight * low_pass(y)).sum(axis=0, keepdims=True))[0]
    np.testing.assert_allclose(blends[base], truth, atol=2e-6, err_msg=base)
  assert np.abs(blends["uniform"] - blends["dig"]).max() > 0.1, "the rules must differ for this test to mean anything"
  for base in ("mean", "brightest"):
    assert np.abs(blends[base] - blends["dig"]).max() > 0.1


def test_one_hot_weights_choose_a_source_unless_the_base_is_uniform():
  sources = toys.images(6, 2, 8, 8, 3)
  weights = np.zeros((2, 8, 8, 1), np.float32)
  weights[1] = 1
  for base in ("dig", "mean"):
    np.testing.assert_allclose(blend(sources, weights, levels=2, base=base), sources[1], atol=2e-6)
  uniform = blend(sources, weights, levels=2)  # the default keeps the mean of the coarsest band
  assert np.abs(uniform - sources[1]).max() > 0.05


@pytest.mark.parametrize("size", [(2, 9), (1, 1)])
def test_tiny_images_limit_the_levels(size):
  sources, weights = toys.images(7, 2, *size, 3), toys.convex(8, 2, *size, 1)
  np.testing.assert_allclose(blend(sources, weights, levels=6), (weights * sources).sum(axis=0), atol=1e-6)


@pytest.mark.parametrize("count", [2, 3])
def test_salience_by_hand(count):
  """Weights x exp(salience x share of the band's smoothed energy), made convex again, with SciPy; base untouched."""
  sources, weights, strength = toys.images(9, count, 8, 11, 3), toys.convex(10, count, 8, 11, 1), 4.0
  bands = laplacian_pyramid(sources, 2)
  details, base = (np.asarray(band, np.float64) for band in bands)
  energy = (details**2).mean(axis=-1)
  radius = int(np.ceil(3 * quadratic.SALIENCE_WINDOW))
  taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / quadratic.SALIENCE_WINDOW) ** 2)
  for axis in (1, 2):
    energy = scipy.ndimage.correlate1d(energy, taps / taps.sum(), axis=axis, mode="reflect")
  favoured = weights[..., 0] * np.exp(strength * energy / energy.sum(axis=0))
  favoured /= favoured.sum(axis=0)
  detail = (favoured[..., None] * details).sum(axis=0)
  truth = detail + expand(np.float32(base.mean(axis=0)), 8, 11)
  found = blend(sources, weights, levels=2, salience=strength)
  np.testing.assert_allclose(found, truth, atol=1e-4)
  assert np.abs(found - blend(sources, weights, levels=2)).max() > 0.05, "salience must matter"


def test_salience_decides_where_gains_do_not_and_leaves_flat_parts_alone():
  """A textured and a flat source at equal weights: strong salience takes the texture whole, a mean would halve it."""
  texture = np.zeros((2, 16, 16, 3), np.float32)
  texture[0, :, :8] = np.where(np.arange(16)[:, None, None] % 2, 0.5, -0.5)
  equal = np.full((2, 16, 16, 1), 0.5, np.float32)
  found = np.asarray(blend(texture, equal, levels=2, salience=50.0))
  halved = np.asarray(blend(texture, equal, levels=2))
  np.testing.assert_allclose(found[4:12, 2:6], texture[0, 4:12, 2:6], atol=0.1)
  np.testing.assert_allclose(halved[4:12, 2:6], texture[0, 4:12, 2:6] / 2, atol=0.1)
  np.testing.assert_allclose(found[:, 12:], 0, atol=1e-6)


@pytest.mark.parametrize("salience", [0.0, 3.0])
def test_brightness_by_hand(salience):
  """Weights of the detail x exp(brightness x mean over channels) too: what salience gives at the weights so changed."""
  sources, weights, strength = toys.images(9, 3, 8, 11, 3), toys.convex(10, 3, 8, 11, 1), 4.0
  changed = weights * np.exp(strength * sources.mean(axis=-1, keepdims=True))
  changed /= changed.sum(axis=0)
  found = blend(sources, weights, levels=2, salience=salience, brightness=strength)
  np.testing.assert_allclose(found, blend(sources, changed, levels=2, salience=salience), atol=1e-5)
  assert np.abs(found - blend(sources, weights, levels=2, salience=salience)).max() > 0.05, "brightness must matter"


def test_brightness_smooths_a_source_to_the_level_of_the_band():
  """In the second band a bright pixel counts as its neighbourhood's mean, in the first as itself."""
  sources, weights = toys.images(9, 2, 16, 16, 3), toys.convex(10, 2, 16, 16, 1)
  bands = laplacian_pyramid(sources, 3)
  values = gaussian_pyramid(sources.mean(axis=-1, keepdims=True), 3)
  own = gaussian_pyramid(weights, 3)
  bands, values, own = ([np.asarray(level) for level in levels] for levels in (bands, values, own))
  mixed = [w * np.exp(5 * v) for w, v in zip(own[:2], values[:2], strict=True)]
  details = [(w / w.sum(axis=0) * b).sum(axis=0) for w, b in zip(mixed, bands[:2], strict=True)]
  truth = collapse([*details, bands[2].mean(axis=0)])
  np.testing.assert_allclose(blend(sources, weights, levels=3, brightness=5.0), truth, atol=1e-5)


def test_the_strongest_scores_neither_overflow_nor_divide_by_nothing():
  sources = np.stack([np.ones((8, 8, 3)), -np.ones((8, 8, 3))]).astype(np.float32)
  for certain in (0, 1):  # the weights leave one source, the scores the other, or the same
    weights = np.zeros((2, 8, 8, 1), np.float32)
    weights[certain] = 1
    found = blend(sources, weights, levels=2, salience=50.0, brightness=50.0)
    np.testing.assert_allclose(found, 0, atol=1e-6)


def test_salience_is_symmetric_in_the_sources_and_keeps_equal_ones():
  sources, weights = toys.images(11, 3, 9, 13, 3), toys.convex(12, 3, 9, 13, 1)
  order = np.array([2, 0, 1])
  options = {"levels": 3, "salience": 8.0}
  found = blend(sources, weights, **options)
  np.testing.assert_allclose(found, blend(sources[order], weights[order], **options), atol=1e-5)
  same = np.stack([sources[0]] * 3)
  np.testing.assert_allclose(blend(same, weights, **options), sources[0], atol=2e-6)


@pytest.mark.parametrize("size", [(2, 9), (1, 1), (3, 5)])
def test_salience_on_tiny_images(size):
  found = blend(toys.images(7, 2, *size, 3), toys.convex(8, 2, *size, 1), levels=7, salience=8.0)
  assert found.shape == (*size, 3) and np.all(np.isfinite(found))


def test_unknown_base_is_refused():
  with pytest.raises(ValueError, match="uniform"):
    blend(toys.images(0, 2, 4, 4, 3), toys.convex(1, 2, 4, 4, 1), levels=2, base="none")


@pytest.mark.parametrize("strength", [0.7, lambda step: 1 - step.alpha_bar])
def test_quadratic_is_eq_3_in_x0(strength):
  sources, weights, x0, x_t = toys.images(0, 3, *SHAPE), toys.convex(1, 3, 6, 5, 1), *toys.images(2, 2, *SHAPE)
  out = correct(quadratic.quadratic(strength), Prediction(x0, x_t), sources, weights, x_t=x_t, denoise=None)
  amount = 1 - LEVEL if callable(strength) else strength
  residual = (weights.astype(np.float64) * (sources.astype(np.float64) - x0)).sum(axis=0)
  np.testing.assert_allclose(out.x0, x0 + amount * residual, atol=1e-6)
  np.testing.assert_array_equal(out.eps, x_t)  # left to consistent_eps


def log_likelihood_step(denoise, x_t, y, variance):
  """Tweedie: (1 - a) / sqrt(a) times the gradient of log N(y; x0(x_t), variance I), by autodiff."""

  def log_p(x):
    return -0.5 * jnp.sum((y - denoise(x, STEP).x0) ** 2) / variance

  return (1 - LEVEL) / np.sqrt(LEVEL) * jax.jit(jax.grad(log_p))(x_t)


@pytest.mark.parametrize("variance", [5.0, 0.01])
def test_likelihood_strength_is_the_paper_s_score_term(variance):
  """For a flat prior x0 = x_t / sqrt(a), J = I / sqrt(a): the Jacobian-free update is the exact score term."""
  y, x_t = toys.images(0, *SHAPE), toys.normal(1, *SHAPE)

  def flat(x, step):
    return Prediction(x / jnp.sqrt(step.alpha_bar), jnp.zeros_like(x))

  amount = float(quadratic.likelihood_strength(variance)(STEP))
  unlimited = (1 - LEVEL) / (LEVEL * variance)
  assert (unlimited > 1) == (variance == 0.01)
  np.testing.assert_allclose(amount, min(unlimited, 1.0), rtol=1e-5)
  prediction = flat(x_t, STEP)
  weights = np.ones((1, 6, 5, 1), np.float32)
  options = dict(x_t=x_t, denoise=flat)
  exact = correct(quadratic.dps(quadratic.likelihood_strength(variance)), prediction, y[None], weights, **options)
  free = correct(quadratic.quadratic(quadratic.likelihood_strength(variance)), prediction, y[None], weights, **options)
  np.testing.assert_allclose(exact.x0, free.x0, atol=1e-5)  # dps is quadratic where J = I / sqrt(a)
  if unlimited < 1:
    score_term = log_likelihood_step(flat, x_t, y, variance)
    np.testing.assert_allclose(free.x0 - prediction.x0, score_term, atol=1e-5)
  else:
    np.testing.assert_allclose(free.x0, y, atol=1e-5)


def test_dps_on_a_gaussian_prior():
  """Its Jacobian is g I: x0 + lambda sqrt(a) g (target - x0); and autodiff of the log-likelihood agrees."""
  mean, spread, variance = 0.2, 0.5, 40.0
  denoise = gaussian.denoiser(mean, spread)
  sources, weights, x_t = toys.images(0, 2, *SHAPE), toys.convex(1, 2, 6, 5, 1), toys.normal(2, *SHAPE)
  prediction = denoise(x_t, STEP)
  amount = (1 - LEVEL) / (LEVEL * variance)
  assert amount < 1
  out = correct(
    quadratic.dps(quadratic.likelihood_strength(variance)), prediction, sources, weights, x_t=x_t, denoise=denoise
  )
  target = (weights * sources).sum(axis=0)
  truth = prediction.x0 + amount * np.sqrt(LEVEL) * gaussian.gain(LEVEL, spread) * (target - prediction.x0)
  np.testing.assert_allclose(out.x0, truth, atol=1e-6)
  score_term = log_likelihood_step(denoise, x_t, target, variance)
  np.testing.assert_allclose(out.x0 - prediction.x0, score_term, atol=1e-6)


def test_dps_gives_the_exact_posterior_mean():
  """Conjugate Gaussians: precisions of prior, of x_t and of y add up."""
  mean, spread, noise = -0.3, 0.6, 0.4
  denoise = gaussian.denoiser(mean, spread)
  y, x_t = toys.images(0, *SHAPE), toys.normal(1, *SHAPE)
  weights = np.ones((1, 6, 5, 1), np.float32)
  g = quadratic.dps(gaussian.posterior_strength(spread, noise))
  out = correct(g, denoise(x_t, STEP), y[None], weights, x_t=x_t, denoise=denoise)
  precisions = 1 / spread**2, LEVEL / (1 - LEVEL), 1 / noise**2
  truth = (mean * precisions[0] + x_t / np.sqrt(LEVEL) * precisions[1] + y * precisions[2]) / sum(precisions)
  np.testing.assert_allclose(out.x0, truth, atol=1e-5)


def test_consistent_eps_reconstructs_x_t():
  x0, eps, x_t = toys.normal(0, 3, *SHAPE)
  out = correct(quadratic.consistent_eps(), Prediction(x0, eps), x0[None], None, x_t=x_t, denoise=None)
  np.testing.assert_array_equal(out.x0, x0)
  np.testing.assert_allclose(process.q_sample(out.x0, out.eps, STEP.alpha_bar), x_t, atol=1e-6)


def test_identity_and_empty_chain_change_nothing():
  prediction = Prediction(*toys.normal(0, 3, *SHAPE))
  for g in (quadratic.chain(), quadratic.chain(quadratic.chain(), quadratic.chain())):
    out = correct(g, prediction, prediction.x0[None], None, x_t=prediction.eps, denoise=None)
    jax.tree.map(np.testing.assert_array_equal, out, prediction)


def test_chain_applies_in_order_with_own_states_and_keys():
  def counting(factor):
    """x0 <- factor x0 + the number of earlier calls + noise."""

    def update(prediction, state, sources, *, key, **kw):
      x0 = factor * prediction.x0 + state + jax.random.normal(key, ())
      return prediction._replace(x0=x0), state + factor

    return Guidance(lambda sources: jnp.float32(0), update)

  parts = counting(2.0), counting(-1.0)
  both = quadratic.chain(*parts)
  sources = toys.images(0, 2, *SHAPE)
  prediction, state = Prediction(sources[0], sources[1]), both.init(sources)
  by_hand, states = prediction, [part.init(sources) for part in parts]
  for call in range(2):
    key = jax.random.key(call)
    options = dict(x_t=sources[0], step=STEP, weights=None, denoise=None)
    prediction, state = both.update(prediction, state, sources, key=key, **options)
    for i, own_key in enumerate(jax.random.split(key, 2)):
      by_hand, states[i] = parts[i].update(by_hand, states[i], sources, key=own_key, **options)
  np.testing.assert_array_equal(prediction.x0, by_hand.x0)
  assert state == tuple(states) == (4.0, -2.0)


@pytest.mark.parametrize("options", [{}, {"levels": 2, "base": "mean", "salience": 5.0}], ids=["pixels", "bands"])
@pytest.mark.parametrize("name", quadratic.GUIDANCES)
def test_contract(name, options):
  """Pure under jit and vmap, a fixed-point state, float32, finite, one trace per shape."""
  traces = []
  denoise = toys.conv_denoiser(toys.conv_params())
  g = quadratic.chain(
    quadratic.GUIDANCES[name](quadratic.likelihood_strength(0.5), **options), quadratic.consistent_eps()
  )

  def run(x_t, sources, weights, seed):
    traces.append(x_t.shape)
    state = g.init(sources)
    raw = denoise(x_t, STEP)
    out, new = g.update(
      raw, state, sources, x_t=x_t, step=STEP, key=jax.random.key(seed), weights=weights, denoise=denoise
    )
    assert jax.tree.map(jnp.shape, new) == jax.tree.map(jnp.shape, state)
    assert jax.tree.map(jnp.result_type, new) == jax.tree.map(jnp.result_type, state)
    assert jax.tree.structure(out) == jax.tree.structure(raw)
    return out

  batch = toys.normal(0, 2, 8, 7, 3), toys.images(1, 2, 3, 8, 7, 3), toys.convex(2, 2, 3, 8, 7, 1), np.arange(2)
  one, many = jax.jit(run), jax.jit(jax.vmap(run))
  together = many(*batch)
  for i in range(2):
    alone = one(*(part[i] for part in batch))
    for leaf, row in zip(jax.tree.leaves(alone), jax.tree.leaves(together), strict=True):
      assert leaf.dtype == jnp.float32 and leaf.shape == (8, 7, 3)
      assert np.all(np.isfinite(leaf))
      np.testing.assert_allclose(leaf, row[i], atol=1e-5)
  assert len(traces) == 2, "one trace alone, one in the batch"


def test_a_chain_tells_what_its_links_tell():
  counting = Guidance(
    lambda sources: 0,
    lambda prediction, state, sources, **kw: (prediction, state + 1),
    lambda state: {"count": jnp.asarray(state)},
  )
  both = quadratic.chain(quadratic.quadratic(0.5), counting)
  sources = toys.images(40, 2, *SHAPE)
  prediction = Prediction(*toys.normal(41, 2, *SHAPE))
  options = dict(x_t=sources[0], step=STEP, key=jax.random.key(0), weights=toys.convex(42, 2, 6, 5, 1), denoise=None)
  _, state = both.update(prediction, both.init(sources), sources, **options)
  assert quadratic.quadratic().diagnose(()) == {} and both.diagnose(state) == {"count": 1}
