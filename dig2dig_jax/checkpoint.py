"""What is a prior on disk? A folder of parameters and `card.json` (network, noise schedule, hashes, origin).

Parameters lie in `model.safetensors` (by flat names, `input_blocks_0_0/kernel`), in the orbax checkpoint `orbax/`, or
in both. The card names their hashes, and one of what it says of the network itself, so that a folder written half, or
edited by half, is refused and not used. A folder of the train job is one too: its exported prior, or before its end the
averages of its newest checkpoint.
"""

import contextlib
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors
from flax import traverse_util

from dig2dig_jax import orbax_store, tensor_file
from dig2dig_jax.errors import UserError
from dig2dig_jax.files import replacing
from dig2dig_jax.models.shapes import NetworkConfig, config_from_dict, parameter_shapes

FORMAT = 1
WEIGHTS, ORBAX, CARD, RUN = "model.safetensors", "orbax", "card.json", "run.json"
# The prior that ships with the repository.
EMBEDDED = Path(__file__).resolve().parents[1] / "checkpoints" / "embedded"
STORAGE_DTYPES = ("float32", "bfloat16", "float16")
FORMATS = ("safetensors", "orbax", "both")
# What the card says of the network has a hash of its own: another number of heads would fit the same parameters.
_DESCRIPTION = ("format", "config", "schedule", "parameters", "dtype")


@dataclasses.dataclass(frozen=True)
class Checkpoint:
  """params: nested dict of numpy arrays, Flax's "params" collection. schedule: {"name", "num_timesteps"}. card: all of
  card.json."""

  params: dict[str, Any]
  config: NetworkConfig
  schedule: dict[str, Any]
  card: dict[str, Any]


def save_checkpoint(
  directory: str | Path,
  *,
  params: Mapping[str, Any],
  config: NetworkConfig,
  schedule: Mapping[str, Any],
  card: Mapping[str, Any],
  dtype: str = "float32",
  formats: str = "safetensors",
) -> None:
  """Writes a prior, or replaces one; each file appears whole or not at all.

  params: nested or flat parameters of the network of `config`; read one at a time. card: JSON-able facts beside those
  that are always written (format, config, schedule, parameters, dtype, hashes). dtype: of storage, one of
  `STORAGE_DTYPES`. formats: one of `FORMATS`.
  Raises ValueError for parameters that are not the network's, or not finite in `dtype`.
  """
  if dtype not in STORAGE_DTYPES or formats not in FORMATS:
    raise ValueError(
      f"dtype, formats: expected one of {STORAGE_DTYPES} and one of {FORMATS}, found {dtype!r} and {formats!r}"
    )
  reserved = (*_DESCRIPTION, "description_sha256", "sha256", "orbax_sha256")
  if clash := sorted(set(reserved) & set(card)):
    raise ValueError(f"card: {clash} are written by save_checkpoint")
  flat = traverse_util.flatten_dict(dict(params), sep="/")
  shapes = {path: tuple(np.shape(leaf)) for path, leaf in flat.items()}
  if fault := _misfit(shapes, config):
    raise ValueError(f"params: {fault}")
  facts: dict[str, Any] = {
    "format": FORMAT,
    "config": config.to_dict(),
    "schedule": dict(schedule),
    "parameters": sum(int(np.prod(shape)) for shape in shapes.values()),
    "dtype": dtype,
  }
  facts["description_sha256"] = _description_hash(facts)
  directory = Path(directory)
  with _folder(directory), replacing(directory / CARD) as text:
    if formats != "orbax":
      with replacing(directory / WEIGHTS) as weights:
        facts["sha256"] = tensor_file.write(weights, shapes, flat.__getitem__, dtype=dtype)
    if formats != "safetensors":
      facts["orbax_sha256"] = orbax_store.save(directory / ORBAX, flat, dtype=dtype)
    text.write_text(json.dumps({**facts, **card}, indent=2) + "\n", encoding="utf-8")
  if formats == "orbax":
    (directory / WEIGHTS).unlink(missing_ok=True)
  elif formats == "safetensors":
    orbax_store.remove(directory / ORBAX)


def load_checkpoint(
  directory: str | Path, *, dtype: Any = jnp.float32, place: Callable[[str, np.ndarray], Any] | None = None
) -> Checkpoint:
  """Reads a prior. Raises UserError for whatever is amiss with it.

  dtype: of the parameters, which come as numpy arrays. place: instead, what becomes of each parameter as it is read,
  `place(path, array in the stored dtype) -> leaf`, so that a model too large for two copies goes straight to devices.
  """
  directory = Path(directory)
  place = place or (lambda path, array: array.astype(dtype))
  if (directory / RUN).is_file() and not (directory / CARD).is_file():
    if (directory / "prior" / CARD).is_file():
      return load_checkpoint(directory / "prior", place=place)
    return _load_run(directory, place)
  card = _read_json(directory / CARD) if (directory / CARD).is_file() else _no_card(directory)
  config, schedule = _described(directory / CARD, card)
  shapes = parameter_shapes(config)
  if "sha256" in card:
    flat = _load_safetensors(directory / WEIGHTS, card["sha256"], config, place)
  elif "orbax_sha256" in card:
    stored, sha256 = str(card.get("dtype")), str(card["orbax_sha256"])
    flat = orbax_store.load(directory / ORBAX, shapes, stored=stored, sha256=sha256, place=place)
  else:
    raise UserError(f"{directory / CARD}: expected a checkpoint's card, found no 'sha256'; convert again")
  return Checkpoint(traverse_util.unflatten_dict(flat, sep="/"), config, schedule, card)


def _description_hash(card: Mapping[str, Any]) -> str:
  """SHA-256 of what a card says of the network, in one spelling: white space and the order of keys do not matter."""
  text = json.dumps({name: card.get(name) for name in _DESCRIPTION}, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


@contextlib.contextmanager
def _folder(directory: Path):
  """Makes a folder, and takes a new one away again if what is put into it fails."""
  fresh = not directory.exists()
  directory.mkdir(parents=True, exist_ok=True)
  try:
    yield
  except BaseException:
    if fresh:
      shutil.rmtree(directory, ignore_errors=True)
    raise


def _load_safetensors(weights: Path, sha256: str, config: NetworkConfig, place: Callable) -> dict[str, Any]:
  if not weights.is_file():
    raise UserError(f"{weights}: expected the weights beside {CARD}, found no file; convert or copy the folder again")
  if (found := tensor_file.sha256(weights)) != sha256:
    raise UserError(
      f"{weights}: expected sha256 {str(sha256)[:12]}..., found {found[:12]}...; the file is damaged or "
      "not the card's: convert or copy the folder again"
    )
  try:
    shapes, arrays = tensor_file.read(weights)
    if fault := _misfit(shapes, config):
      raise UserError(f"{weights}: {fault}; convert again with the right name")
    return {path: place(path, array) for path, array in arrays}
  except safetensors.SafetensorError as error:
    raise UserError(f"{weights}: expected a safetensors file, found {error}; convert or copy it again") from error


def _load_run(directory: Path, place: Callable) -> Checkpoint:
  """A training run that has not exported its prior yet."""
  record = _read_json(directory / RUN)
  config, schedule = _described(directory / RUN, record)
  flat, step = orbax_store.newest_average(directory)
  if fault := _misfit({path: leaf.shape for path, leaf in flat.items()}, config):
    raise UserError(f"{directory / 'checkpoints'}: {fault}; the run began with another network")
  params = traverse_util.unflatten_dict({path: place(path, leaf) for path, leaf in flat.items()}, sep="/")
  return Checkpoint(params, config, schedule, {**record, "step": step})


def _described(path: Path, card: dict[str, Any]) -> tuple[NetworkConfig, dict[str, Any]]:
  try:
    if card["format"] != FORMAT:
      raise UserError(f"{path}: expected format {FORMAT}, found {card['format']!r}; update dig2dig_jax")
    # Cards of older versions, and records of training runs, have no such hash.
    if "description_sha256" in card and card["description_sha256"] != _description_hash(card):
      raise UserError(
        f"{path}: expected the network and schedule of its 'description_sha256', found others; the card is damaged or "
        "was edited: convert or copy the folder again"
      )
    config, schedule = config_from_dict(card["config"]), dict(card["schedule"])
    if not isinstance(schedule["name"], str) or not isinstance(schedule["num_timesteps"], int):
      raise ValueError(f"a schedule of {schedule}")
    parameter_shapes(config)  # raises for a network that nobody can build
    return config, schedule
  except (KeyError, TypeError, ValueError, ArithmeticError) as error:
    what = f"no {error}" if isinstance(error, KeyError) else str(error)
    raise UserError(f"{path}: expected a checkpoint's card, found {what}; convert again") from error


def _misfit(shapes: Mapping[str, tuple[int, ...]], config: NetworkConfig) -> str | None:
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


def _no_card(directory: Path):
  shelf = Path(__file__).parents[1] / "checkpoints"
  there = sorted(str(card.parent) for folder in {directory.parent, shelf} for card in folder.glob(f"*/{CARD}"))
  raise UserError(
    f"{directory}: expected a folder with {CARD} and {WEIGHTS}, found none; there are: {', '.join(there) or 'none'}; "
    "make one with python -m convert.guided_diffusion"
  )


def _read_json(path: Path) -> dict[str, Any]:
  try:
    card = json.loads(path.read_text(encoding="utf-8"))
  except ValueError as error:
    raise UserError(f"{path}: expected JSON, found {error}; convert or copy the folder again") from error
  if not isinstance(card, dict):
    raise UserError(f"{path}: expected a JSON object, found a {type(card).__name__}; convert or copy the folder again")
  return card
