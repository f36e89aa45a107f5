"""How does one of our priors become a guided-diffusion state dict? The inverse of `torch_tree`, bit for bit."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dig2dig_jax.errors import UserError
from dig2dig_jax.files import replacing
from dig2dig_jax.models.config import UNetConfig

_LEAVES = {"kernel": "weight", "scale": "weight", "embedding": "weight"}
# One-dimensional convolutions in PyTorch: their kernels have one more axis there.
_CONV1D = ("qkv", "proj_out", "qkv_proj", "c_proj")


def torch_name(path: str) -> str:
  """`input_blocks_1_0/in_layers_2/kernel` -> `input_blocks.1.0.in_layers.2.weight`."""
  *modules, leaf = path.split("/")
  return ".".join([*(re.sub(r"_(\d+)(?=_\d|$)", r".\1", module) for module in modules), _LEAVES.get(leaf, leaf)])


def torch_axes(array: np.ndarray, path: str) -> np.ndarray:
  """Outputs first: kernels (h, w, I, O) -> (O, I, h, w), (I, O) -> (O, I) or (O, I, 1); others as they are."""
  *modules, leaf = path.split("/")
  if leaf != "kernel":
    return array
  if array.ndim == 4:
    return array.transpose(3, 2, 0, 1)
  return array.T[..., None] if modules[-1] in _CONV1D else array.T


def torch_array(path: str, array: np.ndarray) -> np.ndarray:
  """A parameter as `torch.save` wants it: float32, contiguous, PyTorch's axes."""
  return np.ascontiguousarray(torch_axes(np.asarray(array, np.float32), path))


def require_expressible(config: UNetConfig, *, source: str = "prior") -> None:
  """UserError for a network that guided-diffusion cannot build."""
  for wrong, what in (
    (config.patch != 1, f"a {config.patch} x {config.patch} space-to-depth stem"),
    (config.norm_groups != 32, f"GroupNorm of {config.norm_groups} groups"),
    (not config.middle_attention, "no attention in the middle"),
  ):
    if wrong:
      raise UserError(
        f"{source}: expected a network of guided-diffusion, found one with {what}, which guided-diffusion cannot "
        "build; export a "
        "prior with patch 1, 32 groups and attention in the middle"
      )


def state_dict(params: Mapping[str, np.ndarray], config: UNetConfig, *, source: str = "prior") -> dict[str, np.ndarray]:
  """{PyTorch name: float32 array} of flat parameters. UserError for a network that guided-diffusion cannot build."""
  require_expressible(config, source=source)
  return {torch_name(path): torch_array(path, leaf) for path, leaf in params.items()}


def write(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
  """`torch.save`s a state dict, whole or not at all. UserError without PyTorch."""
  try:
    import torch
  except ImportError as error:
    raise UserError(f"{path}: writing it needs PyTorch, which is not installed; do: pip install torch") from error
  path.parent.mkdir(parents=True, exist_ok=True)
  with replacing(path) as temporary:
    torch.save({name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in tensors.items()}, temporary)
