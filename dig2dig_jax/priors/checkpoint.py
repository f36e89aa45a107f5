"""What is a prior on disk? A folder of parameters and `card.json` (network, noise schedule, hashes, origin).

Parameters lie in `model.safetensors` (by flat names, `input_blocks_0_0/kernel`), in the orbax checkpoint `orbax/`, or
in both. The card names their hashes, and one of what it says of the network itself, so that a folder written half, or
edited by half, is refused and not used. A folder of the train job is one too: its exported prior, or before its end the
averages of its newest checkpoint.
"""

import contextlib
import dataclasses
import json
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from dig2dig_jax.assets import CHECKPOINTS
from dig2dig_jax.errors import UserError
from dig2dig_jax.files import replacing, taken
from dig2dig_jax.models.official import OFFICIAL
from dig2dig_jax.models.shapes import NetworkConfig, least_parameters, parameter_shapes
from dig2dig_jax.priors import card as cards
from dig2dig_jax.priors import orbax_store, tensor_file
from dig2dig_jax.priors.card import DESCRIPTION, FORMAT, PARAMETRISATION, STORAGE_DTYPES
from dig2dig_jax.sampling.parametrisation import Parametrisation

WEIGHTS, ORBAX, CARD, RUN = "model.safetensors", "orbax", "card.json", "run.json"
FORMATS = ("safetensors", "orbax", "both")


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
  parametrisation: Parametrisation | None = None,
) -> None:
  """Writes or replaces a prior; each file is written atomically.

  Args:
    directory: the prior's folder; it is made.
    params: nested or flat parameters of the network of `config`; read one at a time.
    config: of the network.
    schedule: name and number of timesteps of the noising process.
    card: JSON-serialisable entries in addition to those that are always written (format, config, schedule,
      parameters, dtype, hashes).
    dtype: of storage, one of `STORAGE_DTYPES`.
    formats: one of `FORMATS`.
    parametrisation: meaning of the network's output; noise if None.

  Raises:
    ValueError: for parameters that do not belong to the network, or are not finite in `dtype`.
    UserError: for a folder that cannot be written, or that holds files of another program.
  """
  if dtype not in STORAGE_DTYPES or formats not in FORMATS:
    raise ValueError(
      f"dtype, formats: expected one of {STORAGE_DTYPES} and one of {FORMATS}, found {dtype!r} and {formats!r}"
    )
  reserved = (*DESCRIPTION, PARAMETRISATION, "description_sha256", "sha256", "orbax_sha256")
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
  if parametrisation is not None and parametrisation.name != "eps":
    facts[PARAMETRISATION] = parametrisation.to_dict()
  facts["description_sha256"] = cards.description_hash(facts)
  directory = Path(directory)
  _refuse_foreign(directory, shapes)
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
  """Reads a prior.

  Args:
    directory: its folder.
    dtype: of the parameters, which come as numpy arrays.
    place: instead, a function applied to each parameter as it is read, `place(path, array in the stored dtype) ->
      leaf`, so that a model too large for two copies goes straight to devices.

  Returns:
    A `Checkpoint`: parameters, configuration, noise schedule and card.

  Raises:
    UserError: for any fault of the folder.
  """
  directory = Path(directory)
  place = place or (lambda path, array: array.astype(dtype))
  try:
    return _load(directory, place)
  except (RecursionError, MemoryError) as error:
    what = "values nested too deeply" if isinstance(error, RecursionError) else "more than there is memory for"
    raise UserError(f"{directory}: expected a checkpoint, found {what}; convert or copy the folder again") from error


def _load(directory: Path, place: Callable) -> Checkpoint:
  if (directory / RUN).is_file() and not (directory / CARD).is_file():
    if (directory / "prior" / CARD).is_file():
      return _load(directory / "prior", place)
    return _load_run(directory, place)
  path = directory / CARD
  card = cards.read(path) if path.is_file() else _no_card(directory)
  config, schedule = cards.described(path, card)
  if "sha256" in card:
    flat = _load_safetensors(directory / WEIGHTS, card["sha256"], config, place)
  elif "orbax_sha256" in card and "dtype" in card:
    flat = _load_orbax(directory / ORBAX, card["orbax_sha256"], card["dtype"], config, place)
  else:
    raise UserError(f"{path}: expected a checkpoint's card, found no 'sha256'; convert again")
  return Checkpoint(traverse_util.unflatten_dict(flat, sep="/"), config, schedule, card)


def _refuse_foreign(directory: Path, shapes: dict[str, tuple[int, ...]]) -> None:
  """UserError where a card or weights lie in the folder that are no checkpoint of this package. Weights without a card
  are what a killed export leaves: its own have these very shapes."""
  card, weights = directory / CARD, directory / WEIGHTS
  if card.exists():
    try:
      ours = "format" in cards.read(card)
    except UserError:
      ours = False
    if not ours:
      raise taken(card)
  elif weights.exists():
    try:
      ours = tensor_file.read(weights)[0] == shapes
    except (OSError, tensor_file.Malformed):
      ours = False
    if not ours:
      raise taken(weights)


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
  try:
    shapes, arrays = tensor_file.read(weights)
    # The required parameters are compared with those present before the file is read or memory is allocated.
    if fault := _misfit(shapes, config):
      raise UserError(f"{weights}: {fault}; convert again with the right name")
    if (found := tensor_file.sha256(weights)) != sha256:
      raise UserError(
        f"{weights}: expected sha256 {sha256[:12]}..., found {found[:12]}...; the file is damaged or "
        "not the card's: convert or copy the folder again"
      )
    return {path: place(path, array) for path, array in arrays}
  except tensor_file.Malformed as error:
    raise UserError(f"{weights}: expected a safetensors file, found {error}; convert or copy it again") from error
  except OSError as error:
    raise UserError(f"{weights}: expected a readable file, found {error.strerror}; check the path") from error


def _load_orbax(store: Path, sha256: str, dtype: str, config: NetworkConfig, place: Callable) -> dict[str, Any]:
  if fault := _misfit(orbax_store.shapes(store, sha256=sha256), config):
    raise UserError(f"{store}: {fault}; convert again with the right name")
  return orbax_store.load(store, parameter_shapes(config), stored=dtype, place=place)


def _load_run(directory: Path, place: Callable) -> Checkpoint:
  """A training run that has not exported its prior yet."""
  record = cards.read(directory / RUN)
  config, schedule = cards.described(directory / RUN, record)

  def require(shapes: Mapping[str, tuple[int, ...]]) -> None:
    if fault := _misfit(shapes, config):
      raise UserError(f"{directory / 'checkpoints'}: {fault}; the run began with another network")

  flat, step = orbax_store.newest_average(directory, require=require)
  params = traverse_util.unflatten_dict({path: place(path, leaf) for path, leaf in flat.items()}, sep="/")
  return Checkpoint(params, config, schedule, {**record, "step": step})


def _misfit(shapes: Mapping[str, tuple[int, ...]], config: NetworkConfig) -> str | None:
  """What tells parameters of these shapes from the network's; None where nothing does."""
  numbers, (tensors, least) = sum(map(math.prod, shapes.values())), least_parameters(config)
  if len(shapes) < tensors or numbers < least:
    # Told apart without a look at the network, whose shapes take the longer to work out the more it asks for.
    return (
      f"expected the network's tensors, at least {tensors} of {least} numbers, found {len(shapes)} of {numbers}"
    )
  try:
    expected = parameter_shapes(config)
  except Exception as error:  # Flax and JAX raise errors of many kinds for a network that cannot be built
    return f"expected a network that can be built, found {(str(error) or type(error).__name__).splitlines()[0][:200]}"
  found = []
  for kind, paths in (
    ("missing", [path for path in expected if path not in shapes]),
    ("unexpected", [path for path in shapes if path not in expected]),
    ("mis-shaped", [path for path in expected if path in shapes and tuple(shapes[path]) != expected[path]]),
  ):
    if paths:
      names = ", ".join(path if path.isprintable() and len(path) < 100 else ascii(path[:60]) for path in paths[:3])
      found.append(f"{len(paths)} {kind} ({names}{', ...' if len(paths) > 3 else ''})")
  return f"expected the {len(expected)} tensors of the network, found {'; '.join(found)}" if found else None


def _no_card(directory: Path):
  folders = {folder.resolve(): folder for folder in (CHECKPOINTS, directory.parent)}  # one name each, as it was given
  there = sorted(str(card.parent) for folder in folders.values() for card in folder.glob(f"*/{CARD}"))
  released = f" --name={directory.name} --out={directory}" if directory.name in OFFICIAL else ""
  raise UserError(
    f"{directory}: expected a folder with {CARD} and {WEIGHTS}, found none; there are: {', '.join(there) or 'none'}; "
    f"make one with dig2dig convert guided_diffusion{released}"
  )

