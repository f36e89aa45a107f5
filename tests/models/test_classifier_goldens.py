"""Does the noisy classifier compute what OpenAI's does? Every pool's logits, and the guidance gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe

from dig2dig_jax.models.shapes import network

TAGS = ("classifier_tiny", "classifier_wide_recipe_only") + tuple(
  f"classifier_{pool}_recipe_only" for pool in ("adaptive", "spatial", "spatial_v2")
)


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("case", [0, 1])
def test_logits(tag, case):
  args, _ = recipe.inputs(tag, case)
  np.testing.assert_allclose(
    recipe.apply(tag)(*args), recipe.arrays(tag)[f"out{case}"], atol=5e-6, rtol=1e-4
  )


@pytest.mark.parametrize("tag", TAGS)
def test_bfloat16_torso_is_near_float32(tag):
  args, _ = recipe.inputs(tag, 0)
  logits, expected = recipe.apply(tag, jnp.bfloat16)(*args), recipe.arrays(tag)["out0"]
  np.testing.assert_allclose(logits, expected, atol=3e-2)
  assert np.abs(logits - expected).max() > 1e-5, "the torso did not run in bfloat16"


def test_guidance_gradient():
  golden = recipe.arrays("classifier_tiny")
  (x, t), _ = recipe.inputs("classifier_tiny", 0)
  config, params = recipe.model("classifier_tiny")

  def selected(x):
    log_probabilities = jax.nn.log_softmax(network(config).apply({"params": params}, x, t))
    chosen = log_probabilities[np.arange(len(x)), golden["labels0"]]
    return chosen.sum(), chosen

  guide = jax.jit(jax.value_and_grad(selected, has_aux=True), compiler_options=recipe.FAST_COMPILE)
  (_, chosen), gradient = guide(x)
  np.testing.assert_allclose(chosen, golden["logprob_selected0"], atol=5e-6, rtol=1e-4)
  expected = golden["grad_logprob_wrt_x0"]
  np.testing.assert_allclose(gradient, expected, atol=1e-4 * np.abs(expected).max(), rtol=1e-3)


def test_attention_pool_refuses_another_number_of_positions():
  (x, t), _ = recipe.inputs("classifier_tiny", 0)
  with pytest.raises(ValueError, match="expected 256 positions, found 16 x 8"):
    recipe.apply("classifier_tiny")(x[:, :, :16], t)
