"""Do DRFusion's released weights convert: every tensor used, width and steps recognised, anything else refused?"""

import drfusion_recipe as recipe
import numpy as np
import pytest

from dig2dig_jax.errors import UserError
from dig2dig_jax.models.shapes import parameter_shapes
from dig2dig_jax.porting import drfusion
from dig2dig_jax.porting.torch_tree import ConversionError, convert_shapes
from dig2dig_jax.priors.prior import load_drfusion, load_prior


def test_the_released_checkpoint_fits_by_shape():
  manifest = {name: tuple(shape) for name, shape in recipe.document()["manifest"]}
  config = drfusion.described(manifest)
  assert (config.width, config.steps) == (64, 3)
  used = [(name, shape) for name, shape in manifest.items() if name not in drfusion.UNUSED]
  target = parameter_shapes(config)
  assert convert_shapes(used, target) == target and len(used) == 359
  assert sum(int(np.prod(shape)) for shape in manifest.values()) == 31_773_121


def test_other_weights_are_refused():
  weights = {name: array for name, array in recipe.state_dict().items() if "upBlock.4" not in name}
  with pytest.raises(ConversionError, match="upBlock_4_0"):
    drfusion.convert(weights)
  with pytest.raises(ConversionError, match="alpha"):
    drfusion.convert({"conv.weight": np.zeros((3, 3), np.float32)})


def test_a_pickled_state_dict_becomes_a_folder_for_the_method_and_for_no_other(tmp_path, capsys):
  torch = pytest.importorskip("torch")
  path = tmp_path / "net_params30.pkl"
  torch.save({name: torch.from_numpy(array) for name, array in recipe.state_dict().items()}, path)
  assert drfusion.main([f"--pt={path}", f"--out={tmp_path / 'net'}", "--dtype=float16"]) == 0
  loaded = load_drfusion(tmp_path / "net")
  assert loaded.noise.num_timesteps == 3
  np.testing.assert_array_equal(loaded.params["alpha"], np.float16([0.9, 0.7, 0.4]).astype(np.float32))
  with pytest.raises(UserError, match="--method=drfusion"):
    load_prior(tmp_path / "net")
  assert drfusion.main([f"--pt={tmp_path / 'none.pkl'}"]) == 2
  assert "none.pkl" in capsys.readouterr().err
