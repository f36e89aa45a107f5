"""Does every example of docs/extending.md run, and do what the page says?"""

import pathlib
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys
from absl.testing import flagsaver
from conftest import SIMPLE_LOOPS_FLAGS
from scenes import read, write_pair

import dig2dig_jax as d2d
from dig2dig_jax import metrics
from dig2dig_jax.cli import main
from dig2dig_jax.methods import registry
from dig2dig_jax.sampling import schedule

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
FOUND = re.findall(r"```python\n(.*?)```", PAGE, re.S)
BLOCKS = dict(zip(("method", "weighting", "prior", "flow", "measure"), FOUND, strict=True))


def names_of(block):
  scope = {}
  exec(compile(BLOCKS[block], f"docs/extending.md, {block}", "exec"), scope)
  return scope


def test_a_method_of_a_file_outside_the_repository_runs_by_the_command(tiny_prior, tmp_path, monkeypatch):
  assert len(BLOCKS["method"].strip().splitlines()) <= 14
  (tmp_path / "mine.py").write_text(BLOCKS["method"])
  write_pair(tmp_path, "a", (24, 28), channels={"left": 1, "right": 3})
  command = [
    sys.executable, "-m", "dig2dig_jax", "fuse", "left/a.png", "right/a.png", "-o", "fused.png", "--task=thermal",
    "--method=mine:make", "--steps=2", f"--prior={tiny_prior}", "--compile_cache=", "--bucket=8",
  ]  # fmt: skip
  monkeypatch.setenv("PYTHONPATH", str(ROOT))
  monkeypatch.setenv("XLA_FLAGS", SIMPLE_LOOPS_FLAGS)
  found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
  assert found.returncode == 0, found.stderr
  assert read(tmp_path / "fused.png").shape == (24, 28, 3)


def test_a_method_that_its_file_has_not_is_refused_by_the_command(tmp_path, monkeypatch, capsys):
  (tmp_path / "theirs.py").write_text(BLOCKS["method"])
  write_pair(tmp_path, "a", (24, 28), channels={"left": 1, "right": 3})
  monkeypatch.syspath_prepend(tmp_path)
  monkeypatch.chdir(tmp_path)
  with flagsaver.flagsaver():
    status = main.main(["fuse", "left/a.png", "right/a.png", "-o", "fused.png", "--task=thermal",
                        "--method=theirs:nothing", "--steps=2", "--compile_cache="])  # fmt: skip
  assert status == 2 and "error: --method=theirs:nothing: expected a function" in capsys.readouterr().err
  assert not (tmp_path / "fused.png").exists()


@pytest.mark.parametrize(
  "code, said",
  [
    ("raise SystemExit('gone')", "expected a function that can be imported, found SystemExit: gone"),
    ("def make(prior, codec): pass", "expected a Method of .*, found TypeError: make.. got an unexpected keyword"),
    ("def make(prior, codec, *, options):\n  return options.nowhere", r".*found AttributeError: .* \(\w+.py, line 2\)"),
  ],
)
def test_what_is_wrong_with_a_method_is_one_line(code, said, tmp_path, monkeypatch):
  name = f"wrong_{len(code)}"
  (tmp_path / f"{name}.py").write_text(code)
  monkeypatch.syspath_prepend(tmp_path)
  with pytest.raises(d2d.UserError, match=f"^--method={name}:make: {said}") as found:
    options = registry.user_options(f"{name}:make", steps=2)
    registry.make_method(toys.conv_prior(), d2d.luminance_codec(1), options=options)
  assert "\n" not in str(found.value)


def test_a_guidance_of_ones_own_gets_the_sources_and_weights_per_pixel(tmp_path, monkeypatch):
  """Whatever the task's flag file says of bands."""
  (tmp_path / "watching.py").write_text(BLOCKS["method"])
  monkeypatch.syspath_prepend(tmp_path)
  options = registry.user_options("watching:make", steps=2, weights="dig", window="spectrum")
  method = registry.make_method(toys.conv_prior(), d2d.luminance_codec(1), options=options)
  assert method.weighting.compose is None
  denoise = toys.conv_denoiser(toys.conv_params())
  compute = lambda images: method.weighting.compute(jax.random.key(0), images, denoise)  # noqa: E731
  rows = jax.eval_shape(compute, jnp.zeros((2, 16, 20, 3)))
  assert rows.shape == (1, 2, 16, 20, 1)


def test_a_weighting_takes_the_place_of_a_methods_own():
  weighting = names_of("weighting")["local_contrast"]()
  sources = jnp.asarray(toys.images(0, 3, 8, 9, 3))
  (row,) = weighting.compute(jax.random.key(1), sources, None)
  assert row.shape == (3, 8, 9, 1)
  np.testing.assert_allclose(row.sum(axis=0), 1, rtol=1e-5)


def test_a_prior_fuses_and_is_the_posterior_mean_of_its_model():
  found = names_of("prior")
  images = np.tanh(toys.normal(0, 2, 8, 8, 3))
  fused, trace = jax.jit(lambda key, images: d2d.fuse(found["method"], {}, key, images))(jax.random.key(1), images)
  assert fused.shape == (8, 8, 3) and trace.weights.shape[1] == 2
  step = toys.row(found["method"].reverse.steps({}), 0)
  x0 = 0.5 * toys.normal(2, 100, 100, 3)
  level = np.asarray(step.alpha_bar)
  x_t = jnp.asarray(np.sqrt(level) * x0 + np.sqrt(1 - level) * toys.normal(3, 100, 100, 3))
  estimate = found["shrinking"]({})(x_t, step).x0
  # Of a posterior mean, what is left is uncorrelated with it.
  assert abs(float(jnp.mean(estimate * (x0 - estimate)))) < 2e-3


def test_a_flow_network_says_what_its_images_are():
  prior = names_of("flow")["prior"]
  full = prior.noise.tables()
  step = jax.tree.map(jnp.asarray, schedule.steps_at(full, 500))
  level = full.alphas_cumprod[500]
  x_t = toys.normal(3, 6, 6, 3)
  gain = 0.25 * level**0.5 / (0.25 * level + 1 - level)
  found = prior.denoiser({"deviation": 0.5})(x_t, step)
  np.testing.assert_allclose(found.x0, np.clip(gain * x_t, -1, 1), atol=1e-5)


def test_a_measure_is_scored_by_its_name(monkeypatch):
  monkeypatch.setattr(metrics, "METRICS", dict(metrics.METRICS))
  names_of("measure")
  fused = np.arange(30.0).reshape(5, 6)
  found = metrics.score([fused, fused], fused, ("mean level",))
  assert found["mean level"] == pytest.approx(14.5)
