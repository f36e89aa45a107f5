"""How does a PyTorch state dict become a Flax parameter tree? One rule for names, one for axes, checked both ways.

Names: `input_blocks.1.0.in_layers.2.weight` is `input_blocks_1_0/in_layers_2/kernel`: a list index joins the name
before it, and `weight` is whichever of kernel, scale and embedding the Flax module has there. Axes: PyTorch puts
outputs first (O, I, ...), Flax puts them last. Parameter trees are flat here, {"a/b/kernel": array};
`nest` makes them Flax's.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import ml_dtypes
import numpy as np

from dig2dig_jax.errors import UserError

_WEIGHTS = ("kernel", "scale", "embedding")
_FLOATS = (np.float16, np.float32, np.float64, ml_dtypes.bfloat16)


class ConversionError(UserError):
  """The state dict and the network are not the same network."""


def flax_modules(name: str) -> tuple[str, str]:
  """`a.1.0.b.weight` -> (`a_1_0/b`, `weight`): the module path and PyTorch's name of the leaf."""
  path: list[str] = []
  for part in name.split("."):
    if part.isdigit() and path:
      path[-1] += f"_{part}"
    else:
      path.append(part)
  return "/".join(path[:-1]), path[-1]


def flax_path(name: str, target: Mapping[str, tuple[int, ...]]) -> str:
  """The path in `target` that the tensor `name` fills; where `target` has none, the path it would have as a kernel."""
  modules, leaf = flax_modules(name)
  prefix = f"{modules}/" if modules else ""
  if leaf != "weight":
    return prefix + leaf
  return next((prefix + weight for weight in _WEIGHTS if prefix + weight in target), f"{prefix}kernel")


def flax_axes(array: np.ndarray, path: str) -> np.ndarray:
  """A view with Flax's axes: kernels (O, I, h, w) -> (h, w, I, O), (O, I, 1) and (O, I) -> (I, O); others as is."""
  if path.rpartition("/")[2] != "kernel":
    return array
  if array.ndim == 4:
    return array.transpose(2, 3, 1, 0)
  if array.ndim == 3 and array.shape[2] == 1:
    array = array[:, :, 0]
  return array.T if array.ndim == 2 else array


def convert_tree(
  state_dict: Mapping[str, np.ndarray], target: Mapping[str, tuple[int, ...]], *, source: str = "state dict"
) -> dict[str, np.ndarray]:
  """Flat parameters {path: float32 array} with exactly the paths and shapes of `target`.

  state_dict: {PyTorch name: array of any floating dtype}; float32 arrays are not copied, only viewed.
  target: {path: shape} of the network, such as `dig2dig_jax.models.shapes.parameter_shapes(config)`.
  Raises ConversionError, which names both sides, unless every tensor is used once, every leaf filled once, every shape
  right and every dtype floating.
  """
  names: dict[str, str] = {}
  converted: dict[str, np.ndarray] = {}
  faults: dict[str, list[str]] = {"missing": [], "unexpected": [], "twice": [], "mis-shaped": [], "not floating": []}
  for name, array in state_dict.items():
    path = flax_path(name, target)
    if path not in target:
      faults["unexpected"].append(f"{name} {tuple(array.shape)}")
      continue
    if path in names:
      faults["twice"].append(f"{names[path]} and {name} -> {path}")
      continue
    names[path] = name
    view = flax_axes(array, path)
    if view.shape != tuple(target[path]):
      faults["mis-shaped"].append(f"{name} {tuple(array.shape)}, where {path} is {tuple(target[path])}")
    elif array.dtype not in _FLOATS:
      faults["not floating"].append(f"{name} {array.dtype}")
    else:
      converted[path] = view.astype(np.float32, copy=False)
  faults["missing"] = [f"{path} {tuple(shape)}" for path, shape in target.items() if path not in names]
  if any(faults.values()):
    found = "; ".join(_first_few(kind, items) for kind, items in faults.items() if items)
    raise ConversionError(
      f"{source}: expected the {len(target)} tensors of the network, found {len(state_dict)} that do not fit: {found}"
    )
  return {path: converted[path] for path in target}


def convert_shapes(
  manifest: Iterable[tuple[str, tuple[int, ...]]], target: Mapping[str, tuple[int, ...]], *, source: str = "manifest"
) -> dict[str, tuple[int, ...]]:
  """`convert_tree` on names and shapes alone, for networks too large to hold. Raises ConversionError likewise."""
  manifest = [(name, tuple(shape)) for name, shape in manifest]
  # Arrays of one repeated element: the rules see every shape, and no memory is taken.
  abstract = {name: np.broadcast_to(np.float32(0), shape) for name, shape in manifest}
  if len(abstract) != len(manifest):
    raise ConversionError(f"{source}: {len(manifest) - len(abstract)} names occur twice; expected every name once")
  return {path: array.shape for path, array in convert_tree(abstract, target, source=source).items()}


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
  """{"a/b": x} -> {"a": {"b": x}}."""
  tree: dict[str, Any] = {}
  for path, leaf in flat.items():
    *modules, last = path.split("/")
    node = tree
    for module in modules:
      node = node.setdefault(module, {})
    node[last] = leaf
  return tree


def _first_few(kind: str, items: list[str], shown: int = 3) -> str:
  more = f", and {len(items) - shown} more" if len(items) > shown else ""
  return f"{len(items)} {kind} ({', '.join(items[:shown])}{more})"
