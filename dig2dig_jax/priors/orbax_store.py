"""How do parameters go to and from orbax? As a standard checkpoint folder, with one hash over all its files."""

import hashlib
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from dig2dig_jax.errors import UserError
from dig2dig_jax.priors import tensor_file

# Numbers per byte on disk, at most. Trained weights hardly compress: it is below one for them.
_PACKED = 32


def _orbax():
  import orbax.checkpoint  # half as long as JAX: only who reads or writes its format waits for it

  return orbax.checkpoint


def save(directory: Path, params: Mapping[str, np.ndarray], *, dtype: str) -> str:
  """Writes flat parameters as the orbax checkpoint `directory`, whole or not at all, in place of an older one; returns
  the hash of its files."""
  cast = {path: np.asarray(leaf).astype(jnp.dtype(dtype), copy=False) for path, leaf in params.items()}
  with _orbax().StandardCheckpointer() as checkpointer:
    checkpointer.save(directory.absolute(), traverse_util.unflatten_dict(cast, sep="/"), force=True)
  return _digest(directory)


def shapes(directory: Path, *, sha256: str) -> dict[str, tuple[int, ...]]:
  """{path: shape} of a checkpoint, none of which is read for it. UserError for a damaged or foreign one."""
  if _digest(directory) != sha256:  # damaged files are not passed to orbax
    raise _damaged(directory, "other files than the card's")
  try:
    with _orbax().StandardCheckpointer() as checkpointer:
      return _shapes(directory, checkpointer.metadata(directory.absolute()).item_metadata.tree)
  except UserError:
    raise
  except Exception as error:  # orbax and tensorstore raise ValueError, KeyError, FileNotFoundError and others
    raise _damaged(directory, f"one that cannot be read ({type(error).__name__})") from error


def load(
  directory: Path, shapes: Mapping[str, tuple[int, ...]], *, stored: str, place: Callable[[str, Any], Any]
) -> dict[str, Any]:
  """Flat parameters of `shapes`, each through `place(path, array)`. UserError for a checkpoint that cannot be read."""
  abstract = {path: jax.ShapeDtypeStruct(shape, jnp.dtype(stored)) for path, shape in shapes.items()}
  try:
    with _orbax().StandardCheckpointer() as checkpointer:
      tree = checkpointer.restore(directory.absolute(), traverse_util.unflatten_dict(abstract, sep="/"))
  except Exception as error:
    raise _damaged(directory, f"one that cannot be read ({type(error).__name__})") from error
  flat = traverse_util.flatten_dict(tree, sep="/")
  if flat.keys() != shapes.keys() or any(flat[path].shape != tuple(shape) for path, shape in shapes.items()):
    raise _damaged(directory, "one of another network")
  return {path: place(path, np.asarray(flat.pop(path))) for path in list(flat)}


def newest_average(
  run: Path, *, require: Callable[[Mapping[str, tuple[int, ...]]], None]
) -> tuple[dict[str, np.ndarray], int]:
  """(flat averaged weights, step) of the newest checkpoint of a training run. `require` is called with their shapes
  before they are read, and may raise. UserError where there is no checkpoint."""
  folder = run / "checkpoints"
  names = [path.name for path in folder.glob("*")] if folder.is_dir() else []
  steps = sorted(int(name) for name in names if name.isascii() and name.isdecimal())
  if not steps:
    raise UserError(f"{run}: expected a training run with a checkpoint, found none yet; wait for it, or choose another")
  try:
    item = (folder / str(steps[-1]) / "default").absolute()
    with _orbax().PyTreeCheckpointer() as checkpointer:
      # The averages alone: with the optimiser's state, a training state is four times as large.
      averages = {"ema": checkpointer.metadata(item).item_metadata.tree["ema"]}
      require(_shapes(item, averages["ema"]))
      arrays = jax.tree.map(lambda leaf: _orbax().RestoreArgs(restore_type=np.ndarray), averages)
      wanted = _orbax().args.PyTreeRestore(item=averages, restore_args=arrays, partial_restore=True)
      state = checkpointer.restore(item, args=wanted)
  except UserError:
    raise
  except Exception as error:
    raise _damaged(folder / str(steps[-1]), f"one that cannot be read ({type(error).__name__})") from error
  flat = traverse_util.flatten_dict(state["ema"], sep="/")
  return {path: np.asarray(leaf) for path, leaf in flat.items()}, steps[-1]


def _shapes(directory: Path, tree: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
  """Of the arrays that a checkpoint's own description names; UserError where they are out of proportion to its files:
  parts that are not there count as zeros, so that a few bytes may stand for terabytes."""
  flat = {path: tuple(leaf.shape) for path, leaf in traverse_util.flatten_dict(dict(tree), sep="/").items()}
  numbers, size = sum(map(math.prod, flat.values())), sum(path.stat().st_size for path in _files(directory))
  if numbers > _PACKED * size:
    raise _damaged(directory, f"{numbers} numbers in {size} bytes")
  return flat


def remove(directory: Path) -> None:
  """Deletes an older checkpoint that the card no longer names."""
  shutil.rmtree(directory, ignore_errors=True)


def _damaged(directory: Path, found: str) -> UserError:
  return UserError(f"{directory}: expected an orbax checkpoint, found {found}; convert or copy the folder again")


def _digest(directory: Path) -> str:
  """SHA-256 over all files of a folder, their names and their bytes."""
  digest = hashlib.sha256()
  try:
    for path in _files(directory):
      digest.update(f"{path.relative_to(directory)}:{tensor_file.sha256(path)};".encode())
  except OSError as error:
    raise _damaged(directory, f"files that cannot be read ({error.strerror})") from error
  return digest.hexdigest()


def _files(directory: Path) -> list[Path]:
  return sorted(path for path in directory.rglob("*") if path.is_file())
