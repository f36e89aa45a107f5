"""Are the official networks the manifests', and does the command turn a file into a prior with the goldens' weights?"""

import json

import jax
import numpy as np
import pytest
import recipe
from conftest import golden_path

from dig2dig_jax.models import official
from dig2dig_jax.porting import guided_diffusion
from dig2dig_jax.porting.torch_tree import ConversionError
from dig2dig_jax.priors.checkpoint import load_checkpoint


def test_the_table_is_the_manifests():
  manifests = recipe.manifests()
  assert set(official.OFFICIAL) == set(manifests)
  for name, entry in official.OFFICIAL.items():
    assert entry.config == recipe.config_of(manifests[name]), name
    assert entry.url == manifests[name]["url"]
    assert manifests[name]["noise_schedule"] in (entry.schedule, None), name


@pytest.fixture
def released(monkeypatch):
  """Makes a golden network pass for an official checkpoint."""

  def add(tag):
    config, _ = recipe.model(tag)
    entry = official.Official(tag, config)
    monkeypatch.setitem(official.OFFICIAL, tag, entry)
    return entry

  return add


@pytest.mark.parametrize("tag", ["superres_tiny", "classifier_tiny"])
def test_the_command_writes_a_prior(tag, released, tmp_path, capsys):
  pytest.importorskip("torch", reason="PyTorch is not installed (pip install torch)")
  entry = released(tag)
  pt = golden_path(f"guided_diffusion/unet_{tag}.pt")
  out = tmp_path / "prior"
  assert guided_diffusion.main([f"--pt={pt}", f"--name={tag}", f"--out={out}", "--dtype=float16"]) == 0
  assert capsys.readouterr().out.strip() == str(out)
  assert sorted(path.name for path in out.iterdir()) == ["card.json", "model.safetensors"]
  card = json.loads((out / "card.json").read_text())
  assert card["name"] == tag and card["source_file"] == pt.name and card["dtype"] == "float16"
  prior = load_checkpoint(out)
  assert prior.config == entry.config
  assert prior.schedule == {"name": "linear", "num_timesteps": 1000}
  # The goldens' weights are exact in float16, so nothing may be lost on the way.
  # These parameters compute the golden outputs: tests/models.
  _, expected = recipe.model(tag)
  assert jax.tree.structure(prior.params) == jax.tree.structure(expected)
  jax.tree.map(np.testing.assert_array_equal, prior.params, expected)


def test_the_command_reports_a_wrong_file_in_one_line(released, tmp_path, capsys):
  pytest.importorskip("torch", reason="PyTorch is not installed (pip install torch)")
  released("superres_tiny")
  pt = golden_path("guided_diffusion/unet_classifier_tiny.pt")
  assert guided_diffusion.main([f"--pt={pt}", "--name=superres_tiny", f"--out={tmp_path / 'prior'}"]) == 2
  message = capsys.readouterr().err.strip()
  assert message.startswith(f"{pt}: ") and "\n" not in message and "it looks like a classifier" in message
  assert not (tmp_path / "prior").exists()


@pytest.mark.parametrize(
  ("tag", "other", "words"),
  [
    ("classifier_tiny", "adm_uncond_tiny", "looks like a classifier .*, not a diffusion model"),
    ("superres_tiny", "adm_uncond_tiny", "looks like an upsampler .*, not a diffusion model"),
    ("classcond_neworder_tiny", "adm_uncond_tiny", "a diffusion model .with classes, .* not .* .without classes"),
    ("adm_uncond_wide_recipe_only", "adm_uncond_tiny", "width 64, 4 input blocks.* width 32, 6 input blocks"),
  ],
)
def test_another_network_is_described(tag, other, words):
  with pytest.raises(ConversionError, match=words):
    guided_diffusion.convert(recipe.state_dict(tag), recipe.model(other)[0])


def test_something_else_is_described():
  with pytest.raises(ConversionError, match="looks like no guided-diffusion network"):
    guided_diffusion.convert({"a": np.zeros(3, np.float32)}, recipe.model("superres_tiny")[0])
