"""Does DRFusion sample and learn as released: coefficients, steps, the whole run, its losses and their gradients?"""

import drfusion_recipe as recipe
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from dig2dig_jax.guidance.guided import guided
from dig2dig_jax.models import convolution
from dig2dig_jax.models.drfusion_unet import DrFusionNet
from dig2dig_jax.models.shapes import parameter_shapes
from dig2dig_jax.porting.torch_tree import flax_path
from dig2dig_jax.sampling import joint_observation as joint
from dig2dig_jax.sampling.sampler import sample
from dig2dig_jax.sampling.transition import ddim
from dig2dig_jax.sampling.types import Prediction
from dig2dig_jax.training import drfusion_loss

WEIGHTS = jnp.zeros((1, 2, 1, 1, 1))


def run(params, sources):
  """[H, W, 3] of sources [2, H, W, 1], and the trace."""
  module = DrFusionNet(recipe.model()[1])
  denoise = joint.noise_and_mask_denoiser(lambda p, x, t: module.apply({"params": p}, x, t), params)
  steps = joint.learned_steps(params["alpha"])
  return sample(
    jax.random.key(0),
    joint.start(sources, steps),
    denoise=denoise,
    transition=ddim(),
    steps=steps,
    correct=guided(joint.joint_observation(), sources, WEIGHTS, denoise=denoise),
  )


def sources_of(truth):
  return jnp.stack([truth["x1"][0], truth["x2"][0]])


def test_the_scale_is_that_of_the_released_rule():
  with np.load(recipe.golden_path("drfusion/ddnm_plus_grid.npz")) as file:
    columns = dict(zip(file["columns"].tolist(), file["grid"].T, strict=True))
  scale = joint.correction_scale(columns["alpha_bar_t"], columns["alpha_bar_prev"], columns["sigma_y"])
  np.testing.assert_allclose(scale, columns["lambda_t"], rtol=1e-3, atol=1e-7)
  assert np.ptp(columns["lambda_t"]) > 0.9


@pytest.mark.parametrize("case", ["A", "B"])
def test_learned_levels_and_scales(case):
  truth = recipe.arrays(f"net_T3_alpha{case}_32x48")
  steps = joint.learned_steps(jnp.asarray(truth["alpha"]))
  np.testing.assert_array_equal(steps.t, truth["t_order"])
  np.testing.assert_allclose(steps.alpha_bar, truth["alpha_bar"][:0:-1], rtol=1e-6)
  scale = joint.correction_scale(steps.alpha_bar, steps.alpha_bar_prev)
  np.testing.assert_allclose(scale, truth["lambda_gamma_sigma_a"][:, 0], rtol=1e-3)


def test_each_step_from_the_stored_noise_and_mask():
  truth = recipe.arrays("net_T3_alphaA_32x48")
  steps, sources = joint.learned_steps(jnp.asarray(truth["alpha"])), sources_of(truth)
  before = {3: truth["x_init"][0], 2: truth["x_after_t3"][0], 1: truth["x_after_t2"][0]}
  after = {3: truth["x_after_t3"][0], 2: truth["x_after_t2"][0], 1: truth["x_out"][0]}
  np.testing.assert_allclose(joint.start(sources, steps), before[3], atol=1e-6)
  guidance = joint.joint_observation()
  for index, t in enumerate((3, 2, 1)):
    step = jax.tree.map(lambda table, index=index: table[index], steps)
    noise, mask = truth[f"noise_t{t}"][0], truth[f"mask_t{t}"][0]
    x0 = (before[t] - jnp.sqrt(1 - step.alpha_bar) * noise) / jnp.sqrt(step.alpha_bar)
    corrected, _ = guidance.update(Prediction(x0, noise, mask=mask), guidance.init(sources), sources, step=step)
    moved, _ = ddim().update(None, before[t], corrected, step, ())
    np.testing.assert_allclose(moved, after[t], atol=2e-6)


@pytest.fixture(scope="module")
def sampled():
  return jax.jit(run, compiler_options=recipe.FAST_COMPILE)


@pytest.mark.parametrize("case", ["A", "B"])
def test_the_whole_run(sampled, case):
  truth, inputs = recipe.arrays(f"net_T3_alpha{case}_32x48"), recipe.arrays("net_T3_alphaA_32x48")
  x, trace = sampled({**recipe.model()[0], "alpha": jnp.asarray(truth["alpha"])}, sources_of(inputs))
  np.testing.assert_allclose(x, truth["x_out"][0], atol=1e-4)
  if case == "A":
    np.testing.assert_allclose(trace.guidance["source_weights"][-1, 0], truth["mask_t1"][0], atol=1e-4)


def test_losses_of_images():
  truth = recipe.arrays("loss_batch_32x32")
  luma = np.float32([[0.299], [0.587], [0.114]])
  for images, wanted in (
    ([truth[name] for name in ("f", "x1", "x2")], truth["fusionmax_l1_mean"]),
    ([truth[f"rgb{name}"] @ luma for name in "FIV"], truth["fusionmax_rgb_l1_mean"]),
  ):
    np.testing.assert_allclose(drfusion_loss.fusion_max(*images), wanted, rtol=1e-5)


def as_a_product(x, kernel, strides, padding, **options):
  """A convolution [N, H, W, C] by [3, 3, C, O], padding 1, as one matrix product of its nine shifted images."""
  padded, step = jnp.pad(x, ((0, 0), *padding, (0, 0))), strides[0]
  rows, columns = x.shape[1:3]
  parts = [padded[:, i : i + rows : step, j : j + columns : step] for i in range(3) for j in range(3)]
  return jnp.dot(jnp.concatenate(parts, axis=-1), kernel.reshape(-1, kernel.shape[-1]))


@pytest.mark.slow
def test_losses_and_gradients_of_the_whole_run(monkeypatch):
  """Convolutions are products here: XLA's gradients of its own, which small images get anyway, are loops that take a
  minute to compile, or minutes to run. `test_the_whole_run` has the convolutions themselves."""
  monkeypatch.setattr(convolution, "conv", as_a_product)
  truth = recipe.arrays("loss_batch_32x32")
  degraded = jnp.stack([truth["x1"], truth["x2"]], axis=1)
  clean = jnp.stack([truth["x3"], truth["x4"]], axis=1)

  def loss(params):
    output = jax.vmap(lambda sources: run(params, sources)[0])(degraded)
    parts = drfusion_loss.losses(output, clean)
    return parts.total, (parts, output)

  gradient_of = jax.jit(jax.grad(loss, has_aux=True), compiler_options=recipe.FAST_COMPILE)
  gradients, (parts, output) = gradient_of(jax.tree.map(jnp.asarray, recipe.model()[0]))
  np.testing.assert_allclose(output, truth["net_out"], atol=1e-4)
  for name in ("total", "pixel", "source"):
    assert float(getattr(parts, name)) == pytest.approx(float(truth[f"loss_{name}"]), rel=1e-5)
  assert float(parts.gradient) == pytest.approx(float(truth["loss_grad"]), rel=1e-5)
  np.testing.assert_allclose(gradients["alpha"], truth["grad_alpha"], rtol=1e-3, atol=1e-3)
  flat = traverse_util.flatten_dict(gradients, sep="/")
  shapes = parameter_shapes(recipe.model()[1])
  for name, norm in recipe.document()["grad_norm_per_parameter"].items():
    if norm > 1e-3:  # smaller ones are rounding: inert biases before a norm of one channel per group
      found = float(np.linalg.norm(np.ravel(flat[flax_path(name, shapes)])))
      assert found == pytest.approx(norm, rel=1e-3, abs=1e-4), name
