"""How is LPIPS taken of a fused image? With weights from a folder that `convert.lpips` wrote; none are bundled."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from dig2dig_jax.errors import UserError
from dig2dig_jax.models import lpips
from dig2dig_jax.priors import tensor_file

WEIGHTS, CARD = "lpips.safetensors", "card.json"
_REMEDY = "make it with dig2dig convert lpips"


class Score(Protocol):
  """identity: SHA-256 of the weights."""

  identity: str

  def __call__(self, sources: Sequence[np.ndarray], fused: np.ndarray) -> float: ...


def load(folder: Path) -> Score:
  """`score(sources, fused)`: the mean over K gray sources [H, W], levels 0..255, of their distance to `fused`.

  NaN for images with a side below 31 pixels, for which LPIPS is not defined. UserError for a folder that is not whole.
  """
  params, identity = _read(folder)

  @jax.jit
  def distances(params, sources, fused):
    a, b = (jnp.repeat(x[..., None] / 127.5 - 1, 3, axis=-1) for x in (sources, fused))
    return lpips.distance(params, a, jnp.broadcast_to(b, a.shape))

  def score(sources: Sequence[np.ndarray], fused: np.ndarray) -> float:
    if min(fused.shape) < lpips.SMALLEST:
      return float("nan")
    found = distances(params, np.stack(sources).astype(np.float32), fused[None].astype(np.float32))
    return float(np.mean(np.float64(found)))

  score.identity = identity
  return score


def _read(folder: Path) -> tuple[dict, str]:
  """(parameters, SHA-256 of their file)."""
  path = folder / WEIGHTS
  try:
    card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    shapes, arrays = tensor_file.read(path)
    flat = dict(arrays)
  except FileNotFoundError as error:
    missing = Path(error.filename).name
    raise UserError(f"{folder}: expected {WEIGHTS} and {CARD}, found no {missing}; {_REMEDY}") from error
  except (OSError, ValueError, RecursionError) as error:
    raise UserError(f"{folder}: expected {WEIGHTS} and {CARD}, found {error}; {_REMEDY}") from error
  if shapes != lpips.shapes():
    raise UserError(f"{path}: expected LPIPS of AlexNet, found other tensors; {_REMEDY}")
  if (found := tensor_file.sha256(path)) != card.get("sha256"):
    raise UserError(f"{path}: expected the hash {card.get('sha256')} of its card, found {found}; {_REMEDY}")
  return traverse_util.unflatten_dict(flat, sep="/"), found
