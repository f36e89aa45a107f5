"""Are covariances and errors what they claim to be, on images whose ideal fusion is known?"""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scenes import scene, write
from toys import conv_denoiser, conv_params

from dig2dig_jax.benchmarks import theory
from dig2dig_jax.benchmarks.probe import bound_probe, oracle
from dig2dig_jax.errors import UserError
from dig2dig_jax.guidance.quadratic import quadratic
from dig2dig_jax.methods.codec import rgb_codec
from dig2dig_jax.methods.options import Dig2DigOptions
from dig2dig_jax.sampling.schedule import NoiseSchedule
from dig2dig_jax.sampling.types import Prediction

pytestmark = pytest.mark.usefixtures("quick_compile")


class Prior:
  params, noise, directory = conv_params(), NoiseSchedule("linear", 1000), "toy"
  denoiser, reuse = staticmethod(conv_denoiser), None


STRENGTH = 0.4


def probed(weights, x0, sources, ideal, best=False):
  probe = bound_probe(ideal, quadratic(STRENGTH), lambda step: STRENGTH)
  guidance = oracle(ideal, probe) if best else probe
  prediction = Prediction(x0, jnp.zeros_like(x0))
  corrected, state = guidance.update(prediction, guidance.init(sources), sources, weights=weights, step=None)
  return corrected.x0, guidance.diagnose(state)


def drawn(size, seed=0):
  """(weights, x0, sources, ideal)."""
  random = np.random.default_rng(seed)
  sources, ideal, x0 = (jnp.asarray(random.uniform(-1, 1, (*n, *size, 3)), jnp.float32) for n in ((2,), (), ()))
  first = jnp.asarray(random.uniform(0, 1, (*size, 1)), jnp.float32)
  return jnp.stack([first, 1 - first]), x0, sources, ideal


@pytest.mark.usefixtures("default_compile")
@pytest.mark.parametrize("size", [(7, 5), (160, 192)])
def test_covariance_is_that_of_numpy_and_zero_for_uniform_weights(size):
  """Compiled as the job compiles it, at a size where a plain mean of the product was once compiled wrongly too."""
  weights, x0, sources, ideal = drawn(size)
  _, told = jax.jit(lambda *arrays: probed(*arrays))(weights, x0, sources, ideal)
  for k, weight in enumerate(weights):
    share = np.mean((ideal - x0) * (sources[k] - x0), axis=-1)
    expected = np.cov(np.asarray(weight).ravel(), share.ravel(), bias=True)[0, 1]
    np.testing.assert_allclose(told["covariance"][k], expected, rtol=1e-4)
    np.testing.assert_allclose(told["projected"][k], np.mean(weight) * np.mean(share), rtol=1e-4)
    np.testing.assert_allclose(told["norm"][k], np.sqrt(np.mean((sources[k] - x0) ** 2)), rtol=1e-5)
  np.testing.assert_allclose(told["error"], np.mean((np.asarray(ideal) - x0) ** 2), rtol=1e-5)
  assert not np.any(probed(jnp.full((2, *size, 1), 0.5), x0, sources, ideal)[1]["covariance"])


def test_both_sides_of_the_bound_beside_numpy():
  weights, x0, sources, ideal = drawn((9, 8))
  corrected, told = probed(weights, x0, sources, ideal)
  after = np.mean(np.square(np.asarray(ideal) - corrected))
  assert float(told["corrected_error"]) == pytest.approx(after, rel=1e-5)
  residual = np.asarray(sources) - np.asarray(x0)
  first = np.mean((np.asarray(ideal) - np.asarray(x0)) * np.sum(np.asarray(weights) * residual, axis=0))
  longest = np.mean(np.square(residual).mean(axis=-1).max(axis=0))
  right = float(told["error"]) - 2 * STRENGTH * first + STRENGTH**2 * longest
  assert float(told["bound"]) == pytest.approx(right, rel=1e-4) and after < right
  # With one source the second order is that source's, and both sides are one.
  _, alone = probed(jnp.ones((1, 9, 8, 1)), x0, sources[:1], ideal)
  assert float(alone["bound"]) == pytest.approx(float(alone["corrected_error"]), rel=1e-4)


def test_the_oracle_lowers_the_bound_of_all_weights_the_most():
  weights, x0, sources, ideal = drawn((9, 8))
  _, best = probed(weights, x0, sources, ideal, best=True)
  for seed in range(4):
    _, other = probed(drawn((9, 8), seed)[0], x0, sources, ideal)
    assert float(best["bound"]) < float(other["bound"]) and float(other["agreement"]) < 0.7
  assert float(best["agreement"]) == pytest.approx(1)
  _, level = probed(weights, x0, jnp.stack([sources[0]] * 2), ideal, best=True)
  assert np.isfinite(level["bound"]) and float(level["agreement"]) == pytest.approx(0.5), "in equal parts"


def test_weights_that_take_the_better_source_have_a_positive_covariance():
  ideal = jnp.zeros((6, 6, 3)).at[:3].set(0.5)
  sources = jnp.stack([ideal.at[3:].add(0.4), ideal.at[:3].add(0.4)])  # each right in one half
  right = jnp.zeros((6, 6, 1)).at[:3].set(1)
  x0 = ideal + 0.2
  assert probed(jnp.stack([right, 1 - right]), x0, sources, ideal)[1]["covariance"].sum() > 0
  assert probed(jnp.stack([1 - right, right]), x0, sources, ideal)[1]["covariance"].sum() < 0


@pytest.mark.parametrize("degradation", theory.DEGRADATIONS)
def test_each_copy_is_whole_where_the_other_is_not(degradation):
  ideal = jnp.asarray(np.random.default_rng(1).uniform(-0.5, 0.5, (64, 80, 3)), jnp.float32)
  copies = jax.jit(theory.degraded_copies, static_argnums=2)(jax.random.key(0), ideal, degradation)
  wrong = jnp.abs(copies - ideal[None]).mean(axis=-1) > 0.1 * jnp.abs(copies - ideal[None]).mean()
  if degradation == "unequal":
    copies = copies.at[1].add(-theory.OFFSET)
    wrong = jnp.abs(copies - ideal[None]).mean(axis=-1) > 0.1 * jnp.abs(copies - ideal[None]).mean()
  assert 0.2 < wrong[0].mean() < 0.9 and 0.2 < wrong[1].mean() < 0.9
  errors = jnp.mean(jnp.square(copies - ideal[None]), axis=-1)
  assert jnp.minimum(errors[0], errors[1]).mean() < 0.3 * errors.mean()


@pytest.mark.slow
def test_the_job_reports_every_row_on_every_image(tmp_path):
  for name in ("a", "b"):
    write(tmp_path / "photographs" / f"{name}.png", scene(ord(name), 32, 40))
  rows = {
    "uniform": Dig2DigOptions(steps=3, weights="uniform"),
    "dig": Dig2DigOptions(steps=3, window="cumulative", temperature=1e-3),
    "closed form": Dig2DigOptions(steps=3, window="spectrum", bands=4),
    "oracle": Dig2DigOptions(steps=3, weights="uniform"),
  }
  (tmp_path / "photographs" / "c.png").write_bytes(b"")
  report = theory.run(Prior, rgb_codec(), rows, tmp_path / "photographs", tmp_path / "out", bucket=8)
  assert len(report.failed) == 1 and "c.png: expected an image, found an empty file" in report.failed[0]
  text = report.text
  record = json.loads((tmp_path / "out" / "theory.json").read_text())
  for kind in theory.DEGRADATIONS:
    uniform, dig = record["found"][kind]["uniform"], record["found"][kind]["dig"]
    assert len(uniform) == len(dig) == 2 and len(dig[0]["covariance"]) == 3
    assert not np.any([run["covariance"] for run in uniform]) and np.all([run["covariance"] for run in dig])
    # Strength 1: the last clean estimate is the output, so the last error is the PSNR's.
    decibel = 10 * np.log10(4 / uniform[0]["error"][-1])
    assert abs(decibel - uniform[0]["psnr"]) < 1e-3
    assert f"| {kind} | dig | 2 |" in text
    best = record["found"][kind]["oracle"]
    assert all(run["agreement"][0] == pytest.approx(1, abs=2e-3) for run in best), "but for ties"
    for runs in record["found"][kind].values():
      assert all(np.all(np.array(run["bound"]) - run["error"] > -1e-6) for run in runs), "the bound holds"
      assert all(np.allclose(run["strength"], 1) for run in runs)
  assert text.count("| blur | closed form |") == 1 + 2, "a line of the run, and its first and last step"
  assert (tmp_path / "out" / "theory.png").stat().st_size and (tmp_path / "out" / "contact_sheet.png").stat().st_size


def test_runs_without_steps_or_images_are_refused(tmp_path):
  with pytest.raises(UserError, match="expected --steps above 0"):
    theory.run(Prior, rgb_codec(), {"none": Dig2DigOptions(steps=0, window="cumulative")}, tmp_path, tmp_path)
  (tmp_path / "empty").mkdir()
  with pytest.raises(UserError, match="expected photographs, found none"):
    theory.run(Prior, rgb_codec(), {"dig": Dig2DigOptions()}, tmp_path / "empty", tmp_path)
