"""What is a prior on disk? A folder of `model.safetensors` (parameters by flat names, `input_blocks_0_0/kernel`) and
`card.json` (the network, its noise schedule, the weights' SHA-256, where they come from).

The card names the hash of the weights, so that a folder written half, or edited by half, is refused and not used.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from flax import traverse_util

from dig2dig_jax.errors import UserError
from dig2dig_jax.files import replacing
from dig2dig_jax.models.config import UNetConfig
from dig2dig_jax.models.shapes import parameter_shapes

FORMAT = 1
WEIGHTS, CARD = "model.safetensors", "card.json"
# The prior that ships with the repository.
EMBEDDED = Path(__file__).resolve().parents[1] / "checkpoints" / "embedded"
STORAGE_DTYPES = ("float32", "bfloat16", "float16")


@dataclasses.dataclass(frozen=True)
class Checkpoint:
  """params: nested dict of numpy arrays, Flax's "params" collection. schedule: {"name", "num_timesteps"}. card: all of
  card.json."""

  params: dict[str, Any]
  config: UNetConfig
  schedule: dict[str, Any]
  card: dict[str, Any]


def save_checkpoint(
  directory: str | Path,
  *,
  params: Mapping[str, Any],
  config: UNetConfig,
  schedule: Mapping[str, Any],
  card: Mapping[str, Any],
  dtype: str = "float32",
) -> None:
  """Writes a prior, or replaces one; each file appears whole or not at all.

  params: nested or flat parameters of the network of `config`. card: JSON-able facts beside those that are always
  written (format, config, schedule, parameters, dtype, sha256). dtype: of storage, one of `STORAGE_DTYPES`.
  Raises ValueError for parameters that are not the network's, or not finite in `dtype`.
  """
  if dtype not in STORAGE_DTYPES:
    raise ValueError(f"dtype: expected one of {STORAGE_DTYPES}, found {dtype!r}")
  reserved = ("format", "config", "schedule", "parameters", "dtype", "sha256")
  if clash := sorted(set(reserved) & set(card)):
    raise ValueError(f"card: {clash} are written by save_checkpoint")
  flat = traverse_util.flatten_dict(dict(params), sep="/")
  if fault := _misfit({path: np.shape(leaf) for path, leaf in flat.items()}, config):
    raise ValueError(f"params: {fault}")
  stored = {path: _stored(path, leaf, dtype) for path, leaf in flat.items()}
  directory = Path(directory)
  directory.mkdir(parents=True, exist_ok=True)
  with replacing(directory / WEIGHTS) as weights, replacing(directory / CARD) as text:
    safetensors.numpy.save_file(stored, weights)
    facts = {
      "format": FORMAT,
      "config": config.to_dict(),
      "schedule": dict(schedule),
      "parameters": sum(leaf.size for leaf in stored.values()),
      "dtype": dtype,
      "sha256": _sha256(weights),
    }
    text.write_text(json.dumps({**facts, **card}, indent=2) + "\n", encoding="utf-8")


def load_checkpoint(directory: str | Path, *, dtype: Any = jnp.float32) -> Checkpoint:
  """Reads a prior; its parameters come in `dtype`, as numpy arrays. Raises UserError for whatever is amiss with it."""
  directory = Path(directory)
  card = _read_card(directory)
  try:
    if card["format"] != FORMAT:
      raise UserError(f"{directory / CARD}: expected format {FORMAT}, found {card['format']!r}; update dig2dig_jax")
    config, schedule, sha256 = UNetConfig.from_dict(card["config"]), dict(card["schedule"]), card["sha256"]
  except (KeyError, TypeError, ValueError) as error:
    what = f"no {error}" if isinstance(error, KeyError) else str(error)
    raise UserError(f"{directory / CARD}: expected a checkpoint's card, found {what}; convert again") from error
  weights = directory / WEIGHTS
  if not weights.is_file():
    raise UserError(f"{weights}: expected the weights beside {CARD}, found no file; convert or copy the folder again")
  if (found := _sha256(weights)) != sha256:
    raise UserError(
      f"{weights}: expected sha256 {str(sha256)[:12]}..., found {found[:12]}...; the file is damaged or "
      "not the card's: convert or copy the folder again"
    )
  try:
    with safetensors.safe_open(weights, framework="np") as file:
      shapes = {path: tuple(file.get_slice(path).get_shape()) for path in file.keys()}
      if fault := _misfit(shapes, config):
        raise UserError(f"{weights}: {fault}; convert again with the right name")
      flat = {path: file.get_tensor(path).astype(dtype) for path in shapes}
  except safetensors.SafetensorError as error:
    raise UserError(f"{weights}: expected a safetensors file, found {error}; convert or copy it again") from error
  return Checkpoint(traverse_util.unflatten_dict(flat, sep="/"), config, schedule, card)


def _stored(path: str, leaf: Any, dtype: str) -> np.ndarray:
  with np.errstate(over="ignore"):
    array = np.ascontiguousarray(np.asarray(leaf), dtype=jnp.dtype(dtype))
  if not np.isfinite(array).all():
    raise ValueError(f"params: {path} is not finite as {dtype}")
  return array


def _misfit(shapes: Mapping[str, tuple[int, ...]], config: UNetConfig) -> str | None:
  """What tells parameters of these shapes from the network's; None where nothing does."""
  expected = parameter_shapes(config)
  found = []
  for kind, paths in (
    ("missing", [path for path in expected if path not in shapes]),
    ("unexpected", [path for path in shapes if path not in expected]),
    ("mis-shaped", [path for path in expected if path in shapes and tuple(shapes[path]) != expected[path]]),
  ):
    if paths:
      found.append(f"{len(paths)} {kind} ({', '.join(paths[:3])}{', ...' if len(paths) > 3 else ''})")
  return f"expected the {len(expected)} tensors of the network, found {'; '.join(found)}" if found else None


def _read_card(directory: Path) -> dict[str, Any]:
  path = directory / CARD
  if not path.is_file():
    shelf = Path(__file__).parents[1] / "checkpoints"
    there = sorted(str(card.parent) for folder in {directory.parent, shelf} for card in folder.glob(f"*/{CARD}"))
    raise UserError(
      f"{directory}: expected a folder with {CARD} and {WEIGHTS}, found none; there are: {', '.join(there) or 'none'}; "
      "make one with python -m convert.guided_diffusion"
    )
  try:
    card = json.loads(path.read_text(encoding="utf-8"))
  except ValueError as error:
    raise UserError(f"{path}: expected JSON, found {error}; convert or copy the folder again") from error
  if not isinstance(card, dict):
    raise UserError(f"{path}: expected a JSON object, found a {type(card).__name__}; convert or copy the folder again")
  return card


def _sha256(path: Path) -> str:
  with open(path, "rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()
