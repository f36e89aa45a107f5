"""What of images that are not multiples, labels that are missing, layouts that OpenAI never trained?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe

from dig2dig_jax.models.config import UNetConfig
from dig2dig_jax.models.guided_unet import depth_to_space, pad_to_multiple, space_to_depth
from dig2dig_jax.models.shapes import network, parameter_shapes
from dig2dig_jax.porting.torch_tree import nest

COMPACT = UNetConfig(
  image_size=16,
  model_channels=8,
  out_channels=3,
  num_res_blocks=1,
  attention_ds=(),
  channel_mult=(1,),
  patch=2,
  norm_groups=4,
  middle_attention=False,
)


def test_odd_image_is_mirrored_and_cropped():
  (x, t), _ = recipe.inputs("adm_uncond_wide_recipe_only", 0)
  odd = x[:, :15, :23]
  mirrored = np.pad(odd, ((0, 0), (0, 1), (0, 1), (0, 0)), mode="reflect")
  apply = recipe.apply("adm_uncond_wide_recipe_only")
  out = apply(odd, t)
  assert out.shape == (2, 15, 23, 6)
  np.testing.assert_allclose(out, apply(mirrored, t)[:, :15, :23], atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (5, 7)])
def test_patch_stem_takes_any_size(size):
  module = network(COMPACT)
  x = jax.random.normal(jax.random.key(0), (2, *size, 3))
  t = jnp.array([3, 800])
  rng = np.random.default_rng(0)
  flat = {path: rng.normal(0, 0.2, shape).astype(np.float32) for path, shape in parameter_shapes(COMPACT).items()}
  params = nest(flat)
  apply = jax.jit(lambda x: module.apply({"params": params}, x, t), compiler_options=recipe.FAST_COMPILE)
  out = apply(x)
  assert out.shape == x.shape
  padded = apply(pad_to_multiple(x, COMPACT.size_multiple))
  np.testing.assert_allclose(out, padded[:, : size[0], : size[1]], atol=1e-5)
  assert np.abs(out).max() > 0.1, "the comparison would hold for a network that returns nothing"


@pytest.mark.parametrize("size", [(5, 7), (1, 3), (8, 8)])
def test_padding_mirrors_at_the_bottom_and_right(size):
  x = np.arange(2 * size[0] * size[1] * 3, dtype=np.float32).reshape(2, *size, 3)
  out = np.asarray(pad_to_multiple(jnp.asarray(x), 8))
  assert out.shape == (2, 8, 8, 3)
  np.testing.assert_array_equal(out[:, : size[0], : size[1]], x)
  if size == (5, 7):
    np.testing.assert_array_equal(out, np.pad(x, ((0, 0), (0, 3), (0, 1), (0, 0)), mode="reflect"))


def test_space_to_depth_and_back():
  x = jnp.arange(2 * 4 * 6 * 3, dtype=jnp.float32).reshape(2, 4, 6, 3)
  deep = space_to_depth(x, 2)
  assert deep.shape == (2, 2, 3, 12)
  np.testing.assert_array_equal(deep[0, 1, 2], np.asarray(x)[0, 2:4, 4:6].reshape(-1))
  np.testing.assert_array_equal(depth_to_space(deep, 2), x)


def test_labels_and_low_res_are_asked_for():
  plain, _ = recipe.model("adm_uncond_wide_recipe_only")
  conditional, _ = recipe.model("classcond_neworder_tiny")
  upsampler, _ = recipe.model("superres_tiny")
  x, t = jnp.zeros((1, 16, 16, 3)), jnp.zeros(1)
  for config, kwargs, match in (
    (plain, {"labels": jnp.zeros(1, int)}, "labels: a network with num_classes=None"),
    (conditional, {}, "labels: a network with num_classes=11"),
    (plain, {"low_res": x}, "low_res: expected none"),
    (upsampler, {}, "low_res: expected an image"),
  ):
    with pytest.raises(ValueError, match=match):
      jax.eval_shape(network(config).init, jax.random.key(0), x, t, **kwargs)


def test_configuration_survives_json_and_refuses_nonsense():
  assert UNetConfig.from_dict(COMPACT.to_dict()) == COMPACT
  with pytest.raises(ValueError, match="unknown network fields"):
    UNetConfig.from_dict(COMPACT.to_dict() | {"depth": 3})
  with pytest.raises(ValueError, match="incomplete"):
    UNetConfig.from_dict({"image_size": 3})
  with pytest.raises(ValueError, match="not a multiple of norm_groups"):
    UNetConfig.from_dict(COMPACT.to_dict() | {"norm_groups": 3})
