"""The golden network of tests/goldens/drfusion: its weights, by the recipe of `recipe.py`, and its arrays."""

import functools
import gzip
import json
import zlib

import jax
import numpy as np
from conftest import golden_path
from recipe import FAST_COMPILE, recipe_array

from dig2dig_jax.models.drfusion_unet import DrFusionNet
from dig2dig_jax.porting.drfusion import convert


@functools.cache
def document():
  """{"tag", "params": [[name, shape, kind, std, crc32]], "manifest": [[name, shape]], "grad_norm_per_parameter"}."""
  return json.loads(gzip.decompress(golden_path("drfusion/documents.json.gz").read_bytes()))


def state_dict(alpha=(0.9, 0.7, 0.4)):
  """The state dict of the released class around the golden network."""
  weights = {"input_help_scale_factor": np.ones(1, np.float32), "merge_scale_factor": np.ones(1, np.float32)}
  weights["alpha"] = np.asarray(alpha, np.float32)
  for name, shape, kind, std, crc in document()["params"]:
    array = recipe_array(document()["tag"], name, shape, kind, std)
    assert zlib.crc32(array.tobytes()) == crc, name
    weights[f"unet.{name}"] = array
  return weights


@functools.cache
def model():
  """(nested parameters with the alpha A, configuration)."""
  return convert(state_dict())


@functools.cache
def network():
  """Jitted (params, x, t) -> (noise, mask)."""
  module = DrFusionNet(model()[1])
  return jax.jit(lambda params, x, t: module.apply({"params": params}, x, t), compiler_options=FAST_COMPILE)


def arrays(name):
  """Golden arrays, channels last where they are images."""
  with np.load(golden_path(f"drfusion/{name}.npz")) as file:
    found = {key: file[key] for key in file}
  images = {key for key in found if found[key].ndim == 4 and not key.startswith("grad_")}
  return {key: value.transpose(0, 2, 3, 1) if key in images else value for key, value in found.items()}
