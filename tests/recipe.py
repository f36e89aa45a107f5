"""The golden networks of shared/golden/guided_diffusion: their weights, configurations, inputs and outputs."""

import functools
import gzip
import json
import math
import zlib

import jax
import jax.numpy as jnp
import numpy as np
from conftest import SIMPLE_LOOPS, golden_path

from dig2dig_jax.models.config import UNetConfig, classifier_config, diffusion_config, super_resolution_config
from dig2dig_jax.models.shapes import network, parameter_shapes
from dig2dig_jax.porting.torch_tree import convert_tree, nest

FOLDER = "guided_diffusion"
# These networks run once or twice: three times less compilation is worth slower code. The arithmetic is the same.
FAST_COMPILE = {"xla_backend_optimization_level": 0} | SIMPLE_LOOPS
# Arguments of the reference's constructors that change no parameter and no output here.
_IRRELEVANT = ("use_checkpoint", "use_fp16", "classifier_use_fp16", "small_size")

_INPUTS_OF = {
  "fp16_tiny": "adm_uncond_tiny",
  "legacy_wide_recipe_only": "adm_uncond_wide_recipe_only",
  **{f"classifier_{pool}_recipe_only": "classifier_tiny" for pool in ("adaptive", "spatial", "spatial_v2", "wide")},
}


def recipe_array(tag, name, shape, kind, std=None):
  """One tensor of random weights, in PyTorch's axes: a pure function of its arguments. Exactly float16."""
  random = np.random.RandomState(zlib.crc32(f"{tag}/{name}".encode()))
  s = (2.0 * random.random_sample(math.prod(shape)) - 1.0).reshape(shape)
  if kind == "norm_weight":
    value = 1.0 + 0.25 * s
  elif kind == "bias":
    value = 0.1 * s
  else:
    value = std * math.sqrt(3.0) * s
  return value.astype(np.float32).astype(np.float16).astype(np.float32)


@functools.cache
def _documents(name):
  return json.loads(gzip.decompress(golden_path(f"{FOLDER}/{name}.json.gz").read_bytes()))


def document(tag):
  """{"constructor", "kwargs", "num_params", "params": [[name, shape, kind, std, crc32 of its float32 bytes], ...]}."""
  return _documents("unet_documents")[tag]


def manifests():
  """{checkpoint: {"url", "constructor", "kwargs", "num_tensors", "num_params", "params": [[name, shape], ...]}}."""
  return _documents("param_manifests")


def state_dict(tag):
  """The network's weights as a PyTorch state dict of numpy arrays."""
  weights = {}
  for name, shape, kind, std, crc in document(tag)["params"]:
    weights[name] = recipe_array(tag, name, shape, kind, std)
    assert zlib.crc32(weights[name].tobytes()) == crc, f"{tag}/{name}: the recipe made other weights than the golden's"
  return weights


def config_of(doc) -> UNetConfig:
  """The configuration that a golden document's constructor and keyword arguments describe."""
  constructor = doc["constructor"].split()[0].rpartition(".")[2]
  kwargs = {name: value for name, value in doc["kwargs"].items() if name not in _IRRELEVANT}
  by_flags = {
    "create_model": diffusion_config,
    "sr_create_model": super_resolution_config,
    "create_classifier": classifier_config,
  }
  if constructor in by_flags:
    return by_flags[constructor](**kwargs)
  kwargs["attention_ds"] = kwargs.pop("attention_resolutions")
  return UNetConfig(super_resolution=constructor == "SuperResModel", **kwargs)


@functools.cache
def model(tag) -> tuple[UNetConfig, dict]:
  """(configuration, nested Flax parameters) of a golden network."""
  config = config_of(document(tag))
  return config, nest(convert_tree(state_dict(tag), parameter_shapes(config), source=tag))


@functools.cache
def apply(tag, dtype=jnp.float32):
  """The golden network as one jitted function of (x, timesteps, labels=, low_res=)."""
  config, params = model(tag)
  module = network(config, dtype=dtype)
  function = jax.jit(
    lambda params, *args, **kwargs: module.apply({"params": params}, *args, **kwargs), compiler_options=FAST_COMPILE
  )
  return functools.partial(function, params)


def inputs(tag, case):
  """(positional, keyword) arguments of a golden network for one of its cases."""
  own, shared = arrays(tag), arrays(_INPUTS_OF.get(tag, tag))
  # The wide networks and the other classifiers borrow their images.
  positional = (shared[f"x{case}"], own.get(f"t{case}", shared[f"t{case}"]))
  names = {"labels": f"y{case}", "low_res": f"low_res{case}"}
  return positional, {keyword: own[name] for keyword, name in names.items() if name in own}


def arrays(tag):
  """The golden arrays of a network, channels last where they are images."""
  with np.load(golden_path(f"{FOLDER}/unet_{tag}.npz")) as file:
    return {name: file[name].transpose(0, 2, 3, 1) if file[name].ndim == 4 else file[name] for name in file}
