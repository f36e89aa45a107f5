"""Does the network compute what OpenAI's code computes? Every layout in float32, and those that differ in their torso
in half precision: compiling is nearly all that these tests cost."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
import recipe
from conftest import free

from dig2dig_jax.models.shapes import parameter_shapes

# tag -> cases. Every case is a shape, which is compiled: all layouts at one that is not square, and the upsampler's own
# at low_res of another ratio too; other images differ by numbers alone. The layouts of several levels are those of the
# released networks, narrower; the golden networks that lie between them and the tiny ones would say nothing more.
FLOAT32 = {
  "adm_uncond_tiny": (1,),
  "legacy_tiny": (1,),
  "classcond_neworder_tiny": (1,),
  "superres_tiny": (1, 2),
  "legacy_wide_recipe_only": (0,),  # the only one of several blocks in the oldest layout
  "adm256_layout_recipe_only": (0,),  # its second case is another size, which the small networks are run at
  "adm64_layout_recipe_only": (0,),
  "upsampler_layout_recipe_only": (0,),
}


@pytest.fixture(autouse=True)
def _free_other_networks(request):
  """One network's weights and programs at a time."""
  yield
  params = getattr(request.node, "callspec", None)
  if params is None or params.params.get("case") in (None, FLOAT32[params.params["tag"]][-1]):
    for cached in (recipe.model, recipe.apply):
      cached.cache_clear()
    free()


# Deep layouts take ten times as long to compile; the tiny ones have the same kinds of block.
SLOW = {tag for tag in FLOAT32 if tag.endswith("_recipe_only")}


@pytest.mark.parametrize(("tag", "case"), [
  pytest.param(tag, case, marks=[pytest.mark.slow] if tag in SLOW else [])
  for tag, cases in FLOAT32.items() for case in cases
])  # fmt: skip
def test_float32_output(tag, case):
  args, kwargs = recipe.inputs(tag, case)
  out = recipe.apply(tag)(*args, **kwargs)
  assert out.dtype == jnp.float32
  np.testing.assert_allclose(out, recipe.arrays(tag)[f"out{case}"], atol=3e-5, rtol=1e-4)


def test_float16_torso_is_the_reference_s_fp16_mode():
  args, _ = recipe.inputs("fp16_tiny", 0)
  out = recipe.apply("adm_uncond_tiny", jnp.float16)(*args)
  assert out.dtype == jnp.float32
  np.testing.assert_allclose(out, recipe.arrays("fp16_tiny")["out0"], atol=2e-2)


@pytest.mark.parametrize("tag", [  # the rest: float16, above
  "superres_tiny", *(pytest.param(tag, marks=pytest.mark.slow) for tag in ("legacy_tiny", "classcond_neworder_tiny")),
])  # fmt: skip
def test_bfloat16_torso_is_near_float32(tag):
  args, kwargs = recipe.inputs(tag, 0)
  out = np.asarray(recipe.apply(tag, jnp.bfloat16)(*args, **kwargs))
  expected = recipe.arrays(tag)["out0"]
  error = np.abs(out - expected)
  # bfloat16 resolves 4e-3 of a value: the worst pixel is held against the largest output, all together absolutely.
  assert error.max() < 3e-2 * np.abs(expected).max() and np.sqrt(np.mean(error**2)) < 1e-2
  assert error.max() > 1e-4, "the torso did not run in bfloat16"


def test_parameter_counts_are_the_goldens():
  for tag in FLOAT32:
    document = recipe.document(tag)
    shapes = parameter_shapes(recipe.config_of(document)).values()
    assert sum(map(math.prod, shapes)) == document["num_params"], tag
