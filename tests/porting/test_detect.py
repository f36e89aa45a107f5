"""Is a network recognised from its tensors where they tell it, and asked for where they do not? Does each of OpenAI's
manifests lead to our parameters and back?

What is asked of every released layout is asked here.
"""

import json

import numpy as np
import pytest
import recipe

from dig2dig_jax.errors import UserError
from dig2dig_jax.models.config import classifier_config, diffusion_config
from dig2dig_jax.models.official import OFFICIAL
from dig2dig_jax.models.shapes import parameter_shapes
from dig2dig_jax.porting import recognise, to_torch
from dig2dig_jax.porting.torch_tree import ConversionError, convert_shapes

MANIFESTS = {name: dict((n, tuple(s)) for n, s in doc["params"]) for name, doc in recipe.manifests().items()}
SAME = {"256x256_diffusion_uncond", "lsun_bedroom", "lsun_cat", "lsun_horse", "lsun_horse_nodropout"}


# One network of each kind; to know the parameters of all takes longer than all the rest.
QUICK = {"64x64_diffusion", "64x64_classifier", "64_256_upsampler", "256x256_diffusion_uncond"}


def layouts(names):
  return [pytest.param(name, marks=[pytest.mark.slow] if name in OFFICIAL and name not in QUICK else [])
          for name in sorted(names)]  # fmt: skip


@pytest.mark.parametrize("name", layouts(OFFICIAL))
def test_every_released_layout_is_recognised(name):
  found, words = recognise.detect(MANIFESTS[name], source="file.pt")
  assert (found.name in SAME) if name in SAME else (found.name == name)
  assert name in words and found.schedule in words and recognise.describe_config(found.config) in words


@pytest.mark.parametrize("name", layouts(recipe.manifests()))
def test_official_manifest_converts_by_shape(name):
  manifest = recipe.manifests()[name]
  shapes = convert_shapes(manifest["params"], parameter_shapes(recipe.config_of(manifest)), source=name)
  assert len(shapes) == manifest["num_tensors"] == len(manifest["params"])
  assert sum(int(np.prod(shape)) for shape in shapes.values()) == manifest["num_params"]


@pytest.mark.parametrize("name", layouts(recipe.manifests()))
def test_names_and_shapes_of_every_released_layout_go_back(name):
  document = recipe.manifests()[name]
  shapes = parameter_shapes(recipe.config_of(document))
  back = {to_torch.torch_name(path): _shape(shape, path) for path, shape in shapes.items()}
  assert back == {name: tuple(shape) for name, shape in document["params"]}


def _shape(shape, path):
  return to_torch.torch_axes(np.broadcast_to(np.float32(0), shape), path).shape


def test_what_is_no_released_layout_has_to_be_said():
  shapes = {name: array.shape for name, array in recipe.state_dict("legacy_tiny").items()}
  with pytest.raises(ConversionError, match="file.pt: expected a released network, found a diffusion model .*--config"):
    recognise.detect(shapes, source="file.pt")
  with pytest.raises(ConversionError, match="found no guided-diffusion network"):
    recognise.detect({"a": (3,)}, source="file.pt")


def test_one_layout_with_two_schedules_has_to_be_named(monkeypatch):
  entry = OFFICIAL["256x256_diffusion_uncond"]
  monkeypatch.setitem(OFFICIAL, "cosine_twin", entry.__class__("cosine_twin", entry.config, "cosine"))
  with pytest.raises(ConversionError, match="its tensors are those of .*cosine_twin; select one with --name"):
    recognise.detect(MANIFESTS["256x256_diffusion_uncond"], source="file.pt")


def test_configurations_are_guided_diffusion_s_flags(tmp_path):
  flags = {"image_size": 64, "num_channels": 32, "num_res_blocks": 1, "learn_sigma": True, "channel_mult": "1,2"}
  expected = diffusion_config(**flags)
  text = "image_size=64,num_channels=32,num_res_blocks=1,learn_sigma=True,channel_mult=1;2"
  assert recognise.configured(text) == (expected, "linear")
  path = tmp_path / "network.json"
  path.write_text(json.dumps({**flags, "noise_schedule": "cosine"}))
  assert recognise.configured(str(path)) == (expected, "cosine")
  assert recognise.configured("kind=classifier,image_size=64") == (classifier_config(image_size=64), "linear")


@pytest.mark.parametrize(
  "text, message",
  [
    ("image_size", "expected name=value pairs, found 'image_size'"),
    ("kind=gan,image_size=64", "expected kind among diffusion, super_resolution, classifier"),
    ("image_size=64,depth=3", "expected guided-diffusion's flags of a diffusion model, found .*depth"),
    ("image_size=60,num_channels=32,num_res_blocks=1", "image_size 60 has no default channel_mult"),
    ("absent.json", "absent.json: expected a JSON file"),
  ],
)
def test_configurations_that_are_none_are_refused(text, message):
  with pytest.raises(UserError, match=message):
    recognise.configured(text)
