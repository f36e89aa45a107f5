"""Does a prior go back to PyTorch bit for bit, and is one that cannot go refused?"""

import numpy as np
import pytest
import recipe
from flax import traverse_util

from dig2dig_jax.assets import EMBEDDED
from dig2dig_jax.porting import guided_diffusion, to_torch
from dig2dig_jax.porting.torch_file import read_state_dict
from dig2dig_jax.priors.checkpoint import save_checkpoint

TAGS = ("adm_uncond_tiny", "legacy_tiny", "classcond_neworder_tiny", "superres_tiny", "classifier_tiny")


@pytest.mark.parametrize("tag", [*TAGS, "classifier_spatial_recipe_only", "classifier_adaptive_recipe_only"])
def test_there_and_back(tag):
  original = recipe.state_dict(tag)
  config, params = recipe.model(tag)
  back = to_torch.state_dict(traverse_util.flatten_dict(params, sep="/"), config)
  assert back.keys() == original.keys()
  for name, array in original.items():
    np.testing.assert_array_equal(back[name], array, err_msg=name)


def test_the_command_writes_what_the_command_reads(tmp_path, capsys):
  pytest.importorskip("torch", reason="PyTorch is not installed (pip install torch)")
  config, params = recipe.model("legacy_tiny")
  schedule = {"name": "linear", "num_timesteps": 1000}
  save_checkpoint(tmp_path / "prior", params=params, config=config, schedule=schedule, card={})
  pt = tmp_path / "out" / "back.pt"
  assert guided_diffusion.main(["--to=torch", f"--prior={tmp_path / 'prior'}", f"--out={pt}"]) == 0
  original, found = recipe.state_dict("legacy_tiny"), read_state_dict(pt)
  assert found.keys() == original.keys()
  assert all(np.array_equal(found[name], original[name]) for name in original)


def test_what_guided_diffusion_cannot_build_is_refused(tmp_path, capsys):
  pt = tmp_path / "embedded.pt"
  assert guided_diffusion.main(["--to=torch", f"--prior={EMBEDDED}", f"--out={pt}"]) == 2
  assert "found one with a 2 x 2 space-to-depth stem" in capsys.readouterr().err and not pt.exists()
  assert guided_diffusion.main(["--to=torch", f"--out={pt}"]) == 2
  assert "expected --prior=DIR and --out=FILE.pt" in capsys.readouterr().err
