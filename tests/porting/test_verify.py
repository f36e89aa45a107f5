"""Does the line of `convert.verify` tell networks apart, and does it compare with a guided-diffusion checkout?"""

import sys

import jax
import numpy as np
import pytest
import recipe

from dig2dig_jax.porting import verify
from dig2dig_jax.priors.checkpoint import save_checkpoint

pytestmark = pytest.mark.usefixtures("quick_compile")

SCHEDULE = {"name": "linear", "num_timesteps": 1000}


@pytest.fixture(autouse=True)
def no_checkout_yet():
  yield
  for name in ("guided_diffusion", "guided_diffusion.unet"):
    sys.modules.pop(name, None)


def saved(folder, tag, change=0.0):
  config, params = recipe.model(tag)
  params = {**params, "time_embed_0": {**params["time_embed_0"]}}
  params["time_embed_0"]["bias"] = params["time_embed_0"]["bias"] + np.float32(change)
  save_checkpoint(folder, params=params, config=config, schedule=SCHEDULE, card={})
  return folder


def test_one_line_that_depends_on_the_weights(tmp_path, capsys):
  lines = []
  for folder, change in (("a", 0.0), ("again", 0.0), ("b", 1e-3)):
    assert verify.main([f"--prior={saved(tmp_path / folder, 'classcond_neworder_tiny', change)}"]) == 0
    lines.append(capsys.readouterr().out)
  assert lines[0] == lines[1] and lines[0].count("\n") == 1
  first, other = (line.split() for line in (lines[0], lines[2]))
  assert first[:2] == other[:2] and first[4] != other[4] and first[0] == "parameters"


# A stand-in for the checkout: its classes take the real ones' arguments and compute something known.
CHECKOUT = '''
import torch
class _Net(torch.nn.Module):
  def __init__(self, **options):
    super().__init__()
    self.options = options
  def load_state_dict(self, tensors):
    self.tensors = tensors
  def forward(self, x, t, **kw):
    assert x.shape[1] == 3 and t.dtype == torch.int64 and "out.2.weight" in self.tensors
    assert self.options["model_channels"] == 32 and self.options["in_channels"] == 3
    return torch.from_numpy(torch.load({output!r}, weights_only=False))
class UNetModel(_Net): pass
class SuperResModel(_Net): pass
class EncoderUNetModel(_Net): pass
'''


@pytest.mark.parametrize("error, status, word", [(0.0, 0, "agrees"), (0.1, 1, "DISAGREES")])
def test_a_checkout_is_compared(tmp_path, capsys, error, status, word):
  torch = pytest.importorskip("torch", reason="PyTorch is not installed (pip install torch)")
  config, params = recipe.model("adm_uncond_tiny")
  positional, keywords = verify.fixed_inputs(config)
  truth = jax.jit(recipe.network(config).apply)({"params": params}, *positional, **keywords)
  torch.save(np.asarray(truth).transpose(0, 3, 1, 2) + np.float32(error), tmp_path / "output")
  package = tmp_path / "checkout" / "guided_diffusion"
  package.mkdir(parents=True)
  (package / "__init__.py").write_text("")
  (package / "unet.py").write_text(CHECKOUT.format(output=str(tmp_path / "output")))
  prior = saved(tmp_path / "prior", "adm_uncond_tiny")
  found = verify.main([f"--prior={prior}", f"--guided_diffusion={tmp_path / 'checkout'}"])
  assert found == status and word in capsys.readouterr().out


def test_what_cannot_be_compared_is_said(tmp_path, capsys):
  assert verify.main([f"--prior={tmp_path / 'none'}"]) == 2
  assert "expected a folder with card.json" in capsys.readouterr().err
  prior = saved(tmp_path / "prior", "adm_uncond_tiny")
  assert verify.main([f"--prior={prior}", f"--guided_diffusion={tmp_path}"]) == 2
  assert "a checkout of openai/guided-diffusion" in capsys.readouterr().err
