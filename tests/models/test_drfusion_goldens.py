"""Is DRFusion's network the released one, to PyTorch's arrays, and does its checkpoint convert?"""

import drfusion_recipe as recipe
import jax
import numpy as np
import pytest

from dig2dig_jax.models.drfusion_unet import DrFusionConfig, DrFusionNet
from dig2dig_jax.models.shapes import config_from_dict, parameter_shapes

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.mark.parametrize("case", [0, pytest.param(2, marks=pytest.mark.slow)])  # 64 x 64; 34 x 38, with cropped levels
def test_noise_and_mask_are_the_references(case):
  truth, (params, _) = recipe.arrays("noisepred_tiny"), recipe.model()
  noise, mask = recipe.network()(params, truth[f"x{case}"], truth[f"t{case}"])
  np.testing.assert_allclose(noise, truth[f"noise{case}"], atol=1e-4)
  np.testing.assert_allclose(mask, truth[f"mask{case}"], atol=1e-4)


def test_the_configuration_survives_its_dictionary():
  config = DrFusionConfig(width=32, steps=4)
  assert config_from_dict(config.to_dict()) == config
  with pytest.raises(ValueError, match="width 20"):
    DrFusionConfig(width=20)


def test_odd_sides_are_refused_before_anything_runs():
  config = DrFusionConfig(width=8, groups=8)
  x, t = jax.ShapeDtypeStruct((1, 9, 12, 3), np.float32), jax.ShapeDtypeStruct((1,), np.int32)
  with pytest.raises(ValueError, match="9x12"):
    jax.eval_shape(DrFusionNet(config).init, jax.eval_shape(lambda: jax.random.key(0)), x, t)


def test_width_32_has_the_parameters_that_the_golden_network_has():
  shapes = parameter_shapes(DrFusionConfig(width=32))
  assert sum(int(np.prod(shape)) for shape in shapes.values()) == 7_955_172 + 3
