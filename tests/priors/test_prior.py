"""Is a folder a prior: an exported one, a training run, a class-conditional one with its class, in half precision?"""

import json

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
import recipe
import toys
from flax import traverse_util

from dig2dig_jax.errors import UserError
from dig2dig_jax.models.guided_unet import UNet
from dig2dig_jax.priors import checkpoint
from dig2dig_jax.priors.card import description_hash
from dig2dig_jax.priors.prior import load_prior
from dig2dig_jax.sampling.parametrisation import Parametrisation, reading

pytestmark = pytest.mark.usefixtures("quick_compile")

SCHEDULE = {"name": "linear", "num_timesteps": 1000}


def saved(folder, tag):
  config, params = recipe.model(tag)
  checkpoint.save_checkpoint(folder, params=params, config=config, schedule=SCHEDULE, card={})
  return folder


@pytest.mark.parametrize("label", [0, 7])
def test_a_class_conditional_prior_is_asked_for_its_class(tmp_path, label):
  tag = "classcond_neworder_tiny"
  prior = load_prior(saved(tmp_path, tag), label=label)
  config, params = recipe.model(tag)
  x = np.asarray(toys.normal(0, 16, 16, 3), np.float32)
  step = toys.row(toys.run_steps(10), 9)
  truth = recipe.apply(tag)(x[None], step.t[None], labels=jnp.asarray([label]))
  expected = (x - np.sqrt(1 - step.alpha_bar) * truth[0, ..., :3]) / np.sqrt(step.alpha_bar)
  found = jax.jit(lambda params, x: prior.denoiser(params)(x, step).x0)(prior.params, x)
  np.testing.assert_allclose(found, np.clip(expected, -1, 1), atol=1e-4)


def test_what_is_no_prior_is_refused(tmp_path, tiny_prior):
  classes = saved(tmp_path / "classes", "classcond_neworder_tiny")
  for directory, options, message in (
    (saved(tmp_path / "c", "classifier_tiny"), {}, "expected a diffusion model of whole images, found a classifier"),
    (saved(tmp_path / "s", "superres_tiny"), {}, "found a super-resolution model"),
    (classes, {}, "a class-conditional model takes --class_label=0 to 10, found none"),
    (classes, {"label": 11}, "--class_label=0 to 10, found 11"),
    (tiny_prior, {"label": 1}, "is not class-conditional; leave it out"),
    (tiny_prior, {"dtype": "int8"}, "--dtype=int8: expected one of float32"),
  ):
    with pytest.raises(UserError, match=message):
      load_prior(directory, **options)


def test_a_card_says_what_the_network_predicts(tmp_path, tiny_prior):
  whole = checkpoint.load_checkpoint(tiny_prior)
  kept = {"params": whole.params, "config": whole.config, "schedule": SCHEDULE, "card": {}}
  folder = tmp_path / "edm"
  checkpoint.save_checkpoint(folder, **kept, parametrisation=Parametrisation("edm", sigma_data=0.7))
  prior = load_prior(folder)
  assert prior.parametrisation == Parametrisation("edm", sigma_data=0.7) and "predicts edm" in repr(prior)
  assert load_prior(tiny_prior).parametrisation == Parametrisation("eps")
  x, step = np.asarray(toys.normal(0, 16, 16, 3), np.float32), toys.row(toys.run_steps(10), 4)
  call = reading(prior.parametrisation, x, step)

  def both(params):
    output = UNet(whole.config).apply({"params": params}, call.x[None], call.time[None])[0]
    return prior.denoiser(params)(x, step).x0, jnp.clip(call.read(output), -1, 1)

  np.testing.assert_allclose(*jax.jit(both)(prior.params), atol=1e-4)
  card = json.loads((folder / "card.json").read_text())
  for changed, said in (
    ({"name": "edm", "sigma_data": 0.5}, "expected the network and schedule of its 'description_sha256', found others"),
    (None, "expected the network and schedule of its 'description_sha256', found others"),
    ({"name": "score"}, "parametrisation: expected one of eps, x0, v, flow, edm, found 'score'"),
  ):
    edited = {**card, "parametrisation": changed}
    if said.startswith("parametrisation"):
      edited["description_sha256"] = description_hash(edited)
    (folder / "card.json").write_text(json.dumps({name: value for name, value in edited.items() if value is not None}))
    with pytest.raises(UserError, match=said):
      load_prior(folder)


def test_half_precision_halves_the_torso_and_computes_the_same(tmp_path):
  tag = "adm_uncond_tiny"
  prior = load_prior(saved(tmp_path, tag), dtype="bfloat16")
  kept = {path: leaf.dtype for path, leaf in traverse_util.flatten_dict(prior.params, sep="/").items()}
  assert kept["input_blocks_1_0/in_layers_2/kernel"] == jnp.bfloat16
  assert {kept["time_embed_0/kernel"], kept["out_2/kernel"], kept["input_blocks_1_0/in_layers_0/scale"]} == {
    jnp.dtype("float32")
  }
  x, step = np.asarray(toys.normal(1, 16, 16, 3), np.float32), toys.row(toys.run_steps(10), 9)
  whole = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), load_prior(tmp_path).params)
  denoise = jax.jit(lambda params: prior.denoiser(params)(x, step).x0)
  np.testing.assert_array_equal(*map(denoise, (prior.params, whole)))


def test_a_training_run_is_a_prior_before_and_after_its_end(tmp_path, tiny_prior):
  exported = checkpoint.load_checkpoint(tiny_prior)
  record = {"format": 1, "config": exported.config.to_dict(), "schedule": SCHEDULE, "recipe": {}}
  (tmp_path / "run.json").write_text(json.dumps(record))
  with pytest.raises(UserError, match="expected a training run with a checkpoint, found none yet"):
    load_prior(tmp_path)
  with ocp.CheckpointManager(tmp_path / "checkpoints") as manager:
    for step in (5, 20):
      average = jax.tree.map(lambda leaf, step=step: leaf * step, exported.params)
      manager.save(step, args=ocp.args.StandardSave({"params": exported.params, "ema": average}))
  prior = load_prior(tmp_path)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b * 20, rtol=1e-6), prior.params, exported.params)
  checkpoint.save_checkpoint(
    tmp_path / "prior", params=exported.params, config=exported.config, schedule=SCHEDULE, card={}
  )
  jax.tree.map(np.testing.assert_array_equal, load_prior(tmp_path).params, exported.params)


def test_a_prior_shows_neither_weights_nor_layout(tiny_prior):
  prior = load_prior(tiny_prior)
  assert repr(prior).startswith(f"Prior('{tiny_prior}', ") and len(repr(prior)) < len(str(tiny_prior)) + 80
  assert "parameters, float32, 1000 linear timesteps" in repr(prior)
  assert hash(prior) and prior == prior and prior != load_prior(tiny_prior)
