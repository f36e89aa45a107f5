"""Do all methods run on the same parts: one sampler, weights from gains or uniform, clear errors for what they lack?"""

import dataclasses

import jax
import numpy as np
import pytest
import toys

from dig2dig_jax.errors import UserError
from dig2dig_jax.methods.codec import luminance_codec, rgb_codec
from dig2dig_jax.methods.cost import evaluations
from dig2dig_jax.methods.fuse import fuse
from dig2dig_jax.methods.registry import METHODS, make_method
from dig2dig_jax.priors.prior import CustomPrior
from dig2dig_jax.sampling.denoiser import eps_denoiser
from dig2dig_jax.sampling.schedule import NoiseSchedule
from dig2dig_jax.sampling.types import Reuse

pytestmark = pytest.mark.usefixtures("quick_compile")

NOISE = NoiseSchedule("linear", 1000)
PARAMS = toys.conv_params()
IMAGES = np.repeat(toys.images(60, 2, 12, 16, 1), 3, axis=-1)


def method(name, codec=None, **options):
  kind, _ = METHODS[name]
  return make_method(toys.conv_prior(), codec or luminance_codec(1), options=kind(**options))


def program(method):
  return jax.jit(lambda images: fuse(method, PARAMS, jax.random.key(0), images))


def run(method, images=IMAGES):
  return program(method)(images)


@pytest.mark.parametrize("name", ["ddfm", pytest.param("ccf", marks=pytest.mark.slow)])
def test_gains_weigh_what_uniform_weights_leave_as_published(name):
  options = dict(steps=4, window="cumulative", temperature=0.02)
  plain, dig = program(method(name, **options)), program(method(name, weights="dig", **options))
  published, _ = plain(IMAGES)
  weighed, trace = dig(IMAGES)
  assert published.shape == (12, 16, 3) and np.isfinite(published).all()
  assert np.ptp(trace.weights) > 0.1, "the weights must choose for this test to mean anything"
  assert np.abs(weighed - published).max() > 1e-3
  # Equal sources have equal gains: the same image as without.
  same = np.stack([IMAGES[0]] * 2)
  np.testing.assert_allclose(dig(same)[0], plain(same)[0], atol=1e-4)


def test_ccf_tells_what_it_selects():
  _, trace = run(method("ccf", steps=4, top_k=2))
  assert trace.steps.guidance["selected"].shape == (4, 8)
  np.testing.assert_array_equal(trace.steps.guidance["selected"].sum(axis=1), 2)


def test_ccf_fuses_three_sources_and_ddfm_says_that_it_does_not():
  three = np.repeat(toys.images(61, 3, 12, 16, 1), 3, axis=-1)
  fused, _ = run(method("ccf", codec=rgb_codec(), steps=3), three)
  assert np.isfinite(fused).all()
  with pytest.raises(UserError, match="two sources"):
    run(method("ddfm", steps=3), three)


def test_costs_are_one_evaluation_per_step_as_published():
  assert evaluations(method("ddfm"), PARAMS, 2) == 100 and evaluations(method("ccf"), PARAMS, 2) == 200
  assert evaluations(method("ddfm", weights="dig", steps=25), PARAMS, 2) == 25 + 2 * 3


@pytest.mark.parametrize(
  "name, flag, options",
  [
    ("ddfm", "steps", dict(steps=0)),
    ("ddfm", "em_lambda", dict(em_lambda=0.0)),
    ("ddfm", "em_rho", dict(em_rho=-1.0)),
    ("ddfm", "em_colour", dict(em_colour="lab")),
    ("ddfm", "em_roles", dict(em_roles="both")),
    ("ddfm", "dig_temperature", dict(temperature=0.0)),
    ("ccf", "steps", dict(steps=0)),
    ("ccf", "conditions", dict(conditions=("ssim", "beauty"))),
    ("ccf", "ccf_top_k", dict(top_k=9)),
    ("ccf", "ccf_rate", dict(rate=0.0)),
  ],
)
def test_errors_name_the_flag(name, flag, options):
  with pytest.raises(UserError, match=f"^--{flag}="):
    method(name, **options)


@pytest.mark.usefixtures("unchecked")
def test_options_of_another_class_are_refused():
  for wrong in ({"steps": 3}, None, METHODS["ddfm"][0]()):
    with pytest.raises(ValueError, match="^options: expected Dig2DigOptions, found "):
      METHODS["dig2dig"][1](toys.conv_prior(), rgb_codec(), options=wrong)


@pytest.mark.usefixtures("unchecked")
def test_options_of_no_method_are_refused():
  @dataclasses.dataclass(frozen=True)
  class Other:
    steps: int = 3

  with pytest.raises(ValueError, match="expected those of one of dig2dig, ddfm, ccf, drfusion, found Other"):
    make_method(toys.conv_prior(), rgb_codec(), options=Other())


@pytest.mark.parametrize(
  "name, options",
  [
    ("dig2dig", dict(window="cumulative")),
    ("dig2dig", dict(weights="uniform")),
    ("dig2dig", dict(steps=0, window="cumulative", scale=2)),
    ("ddfm", {}),
    ("ccf", {}),
  ],
)
def test_a_second_pair_of_the_same_size_is_not_traced_again(name, options):
  traced = []

  def denoiser(params):
    traced.append(None)
    return eps_denoiser(toys.conv_apply, params)

  kind, _ = METHODS[name]
  options = kind(**{"steps": 3} | options)
  chosen = make_method(CustomPrior(denoiser, NOISE), luminance_codec(1), options=options)
  program = jax.jit(lambda params, key, images: fuse(chosen, params, key, images)[0])
  first = program(PARAMS, jax.random.key(0), IMAGES)
  second = program(PARAMS, jax.random.key(1), -IMAGES)
  assert len(traced) == 1 and program._cache_size() == 1
  assert np.abs(first - second).max() > 1e-4


def test_reuse_is_refused_where_the_network_gives_no_features():
  with pytest.raises(UserError, match="--reuse=2"):
    method("ddfm", steps=4, reuse=2)
  with pytest.raises(UserError, match="--reuse=0: expected at least 1"):
    method("ddfm", steps=4, reuse=0)
  with pytest.raises(UserError, match="--dig_scale=9"):
    method("dig2dig", steps=4, window="cumulative", scale=9)


@pytest.mark.parametrize("name", ["dig2dig", "ddfm", pytest.param("ccf", marks=pytest.mark.slow)])
def test_reuse_through_the_method_itself_is_honoured_or_refused(name):
  kind, constructor = METHODS[name]
  # At full strength the images of Dig2DIG are the blend, whatever the network says.
  own = dict(steps=4, weights="uniform", **({"strength": 0.5} if name == "dig2dig" else {}))
  with pytest.raises(UserError, match="^--reuse=2: expected a network that exposes its deep features.*a prior "
                                      "that has"):
    constructor(toys.conv_prior(), luminance_codec(1), options=kind(**own, reuse=2))
  calls = []

  def features(params):
    def full(x, step):
      calls.append("full")
      return toys.conv_denoiser(params)(x, step), x

    def shallow(x, step, deep):
      calls.append("shallow")
      return toys.conv_denoiser(params)(deep, step)

    return Reuse(full, shallow)

  prior = CustomPrior(toys.conv_denoiser, NOISE, features)
  chosen = constructor(prior, luminance_codec(1), options=kind(**own, reuse=2))
  assert evaluations(chosen, PARAMS, 2) == 4
  calls.clear()
  reused, _ = run(chosen)
  assert "full" in calls and "shallow" in calls
  every, _ = run(method(name, **own))
  assert np.abs(reused - every).max() > 1e-3
  calls.clear()
  np.testing.assert_array_equal(run(constructor(prior, luminance_codec(1), options=kind(**own)))[0], every)
  assert not calls, "not asked for"


def test_ccf_in_few_steps_is_worth_a_note():
  for steps, noted in ((200, False), (100, False), (99, True), (20, True)):
    (*notes,) = METHODS["ccf"][0](steps=steps).notes()
    assert len(notes) == noted and all(f"--steps={steps}: the released CCF takes 200 steps" in note for note in notes)
  assert METHODS["ddfm"][0](steps=2).notes() == ()


def test_one_pass_has_no_steps_and_keeps_what_weighs():
  from dig2dig_jax.methods.dig2dig import one_pass
  from dig2dig_jax.methods.options import Dig2DigOptions

  tuned = Dig2DigOptions(temperature=0.3, smoothing=2.0, bands=3, strength=0.5, strength_schedule="likelihood")
  found = one_pass(tuned)
  found.validate(1000)
  assert (found.steps, found.strength, found.window) == (0, 1.0, "cumulative")
  assert (found.temperature, found.smoothing, found.bands) == (0.3, 2.0, 3)
