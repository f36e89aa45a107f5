"""How does a place look to any camera? By the direction of its edges, and by what a small network has learned.

Channel features of orientated gradients (`structure`) are the network's input and stay beside its answer. It was taught
to make the right displacement of blocks likely (`training.descriptor`), of infrared with visible images and of images
made to look like those of other sensors, focal planes and exposures; for scans, whose edges in two modalities are of
different tissue, further on MRI and CT.
"""

import functools
import zipfile
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.alignment import structure
from dig2dig_jax.assets import DESCRIPTOR
from dig2dig_jax.errors import UserError, one_line
from dig2dig_jax.models.descriptor import DescriptorNet
from dig2dig_jax.ops.arrays import Array
from dig2dig_jax.ops.filters import gaussian_kernel, separable_filter

CHANNELS = structure.DIRECTIONS + 2  # that the network reads
_AROUND = 6.0  # pixels: standard deviation of the neighbourhood that contrast is measured in
_LEAST = 0.1  # of the range, the deviation below which contrast is not stretched further
_FLOOR = 0.3  # length of an answer, well below which it counts as none

Params = Mapping[str, Mapping[str, Array]]


@functools.cache
def embedded(scans: bool = False) -> Params:
  """Parameters of the network that comes with the package, for scans or for anything else. UserError for a file that
  does not hold them."""
  return read(DESCRIPTOR / ("scans.npz" if scans else "model.npz"))


def read(path: Path) -> Params:
  """Parameters in a file as `training.descriptor` writes it. UserError for one that does not hold them."""
  found: dict[str, dict[str, np.ndarray]] = {}
  try:
    with path.open("rb") as raw:
      if not zipfile.is_zipfile(raw):
        raise ValueError("no .npz archive")
    with np.load(path) as file:
      for name in file.files:
        layer, leaf = name.split("/")
        found.setdefault(layer, {})[leaf] = file[name]
    network = DescriptorNet()
    expected = jax.eval_shape(lambda: network.init(jax.random.key(0), jnp.zeros((1, 8, 8, CHANNELS))))["params"]
    if jax.tree.map(np.shape, found) != jax.tree.map(np.shape, expected):
      raise ValueError("layers of another network")
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found)):
      raise ValueError("values that are not finite")
  except (EOFError, OSError, TypeError, ValueError, zipfile.BadZipFile) as error:
    raise UserError(f"{path}: expected the network that alignment compares images by, found {one_line(error)}; "
                    "it comes with the repository, or from training.descriptor") from error  # fmt: skip
  return found


def maps(params: Params | None, gray: Array, mask: Array) -> jax.Array:
  """[H, W, DIRECTIONS + 8]: orientated structure and the network's answer, each of length 1 at most before its mean
  over the image is subtracted; 0 outside.

  Args:
    params: of `DescriptorNet`; None for orientated structure alone.
    gray: [H, W] in [0, 1], even sides.
    mask: [H, W], 1 where the image is valid and 0 elsewhere.
  """
  edges, mask = structure.orientations(gray, mask), mask[..., None]
  if params is None:
    return edges
  gray, taps = gray[..., None], gaussian_kernel(_AROUND)
  weight = jnp.maximum(separable_filter(mask, taps, border="constant"), 1e-3)
  contrast = (gray - separable_filter(gray * mask, taps, border="constant") / weight) * mask
  deviation = jnp.sqrt(separable_filter(contrast**2, taps, border="constant") / weight + _LEAST**2)
  seen = jnp.concatenate([edges, contrast / deviation, (gray - 0.5) * mask], -1)
  answer = DescriptorNet().apply({"params": params}, seen[None])[0]
  answer /= jnp.sqrt((answer**2).sum(-1, keepdims=True) + _FLOOR**2)
  return jnp.concatenate([edges, structure.centred(answer, structure.usable(mask))], -1)
