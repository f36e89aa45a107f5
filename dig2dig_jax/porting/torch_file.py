"""What is in a PyTorch checkpoint file? Its tensors as numpy arrays by name, without running anything the file says.

Torch is imported when a file is read, not before: nothing else needs it.
"""

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dig2dig_jax.errors import UserError


def read_state_dict(path: str | Path) -> dict[str, np.ndarray]:
  """{name: array} of a `torch.save`d state dict, in the file's order and PyTorch's axes.

  Floating tensors (half, bfloat16, float, double) come as float32, all others in their own dtype. Takes any mapping
  from names to tensors or Parameters, zipped or in the older container. Raises UserError naming the file otherwise.
  A zipped file is checked against its own checksums, then mapped: float32 arrays are views of it and take memory only
  as they are read.
  """
  path = Path(path)
  torch = _import_torch(path)
  if not path.is_file():
    raise UserError(f"{path}: expected a PyTorch checkpoint, found {'a folder' if path.is_dir() else 'no file'}")
  try:
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")  # about pickle protocols; what cannot be read raises
      zipped = zipfile.is_zipfile(path)
      if zipped and (broken := _broken_member(path)):
        raise UserError(f"{path}: expected a PyTorch checkpoint, found damaged bytes in {broken}; download it again")
      content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
  except UserError:
    raise
  except pickle.UnpicklingError as error:
    if "global" in str(error).lower():
      raise UserError(
        f"{path}: expected tensors only, found a pickle that would run code; save model.state_dict() instead"
      ) from error
    raise UserError(f"{path}: expected a PyTorch checkpoint, found another format; download it again") from error
  except Exception as error:  # torch raises RuntimeError, EOFError, KeyError and others for a damaged file
    raise UserError(f"{path}: expected a PyTorch checkpoint, found a damaged file; download it again") from error
  if not isinstance(content, Mapping):
    raise UserError(f"{path}: expected a state dict, found a {type(content).__name__}; save model.state_dict() instead")
  return {_checked_name(path, name): _to_numpy(torch, path, name, value) for name, value in content.items()}


def _broken_member(path: Path) -> str | None:
  """The first member of a zip file whose bytes are not those of its checksum."""
  with zipfile.ZipFile(path) as file:
    return file.testzip()


def _import_torch(path: Path):
  try:
    import torch
  except ImportError as error:
    raise UserError(f"{path}: reading it needs PyTorch, which is not installed; do: pip install torch") from error
  return torch


def _checked_name(path: Path, name) -> str:
  if not isinstance(name, str):
    raise UserError(f"{path}: expected names of tensors, found the key {name!r}; save model.state_dict() instead")
  return name


def _to_numpy(torch, path: Path, name: str, value) -> np.ndarray:
  if not isinstance(value, torch.Tensor):
    kind = type(value).__name__
    inner = f"; the tensors may be inside: save [{name!r}] alone" if isinstance(value, Mapping) else ""
    raise UserError(f"{path}: expected tensors, found {name!r} to be a {kind}{inner}")
  if value.layout != torch.strided or value.is_quantized:
    raise UserError(f"{path}: expected dense tensors, found {name!r} to be sparse or quantised; save it dense")
  value = value.detach()
  return (value.float() if value.is_floating_point() else value).numpy()
