"""How is every slice fused? By one compiled program, in batches, with the same random numbers for all of them."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from dig2dig_jax.data.images import to_uint8, to_uint16
from dig2dig_jax.data.padding import bucket_size, crop, reflect_pad
from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing import faults
from dig2dig_jax.fusing.fuser import Fuser
from dig2dig_jax.volumes.slices import Slices


def fused(
  slices: Slices,
  numbers: Sequence[int],
  fuser: Fuser,
  *,
  batch_size: int,
  bucket: int,
  bit_depth: int = 8,
  colour: bool = False,
  denoise: Callable[[np.ndarray], np.ndarray] | None = None,
  done: Callable[[int], Any] = lambda count: None,
) -> np.ndarray:
  """The fused slices of these numbers: uint8 or uint16 [len(numbers), Y, X], of colours [..., 3].

  Args:
    batch_size: slices per device and call; 0 chooses by memory.
    bucket: padded sides are multiples of it.
    denoise: applied to every slice of sources [K, H, W, 3], padded.
    done: told how many slices are.

  UserError where a slice does not fit the memory there is.
  """
  columns, rows = slices.reference.size[:2]
  size = bucket_size(rows, columns, multiple=bucket)
  batch = fuser.plan((len(slices.sources), *size), batch_size=batch_size).batch
  quantise = to_uint8 if bit_depth == 8 else to_uint16
  found = np.empty((len(numbers), rows, columns, *((3,) if colour else ())), np.uint8 if bit_depth == 8 else np.uint16)
  ids = np.zeros(batch, np.uint32)  # one for all: slices draw the same noise, and do not flicker
  begun: list[tuple[int, int, np.ndarray, Any]] = []

  def take() -> None:
    start, count, images, result = begun.pop(0)
    image = crop(_result(fuser, images, ids, result)[:count], (rows, columns))
    found[start : start + count] = quantise(image if colour else image[..., 0])
    done(start + count)

  for start, count, images in _batches(slices, numbers, batch, size, denoise):
    begun.append((start, count, images, fuser.begin(images, ids)))
    if len(begun) > 1:  # the next batch is made ready while this one is computed
      take()
  while begun:
    take()
  return found


def _batches(slices, numbers, batch, size, denoise) -> Iterator[tuple[int, int, np.ndarray]]:
  """(number of the first, how many, images [batch, K, *size, 3]); the last ones are repeated to fill a batch up."""
  for start in range(0, len(numbers), batch):
    images = [reflect_pad(slices.slice(k), size) for k in numbers[start : start + batch]]
    if denoise is not None:
      images = [denoise(one) for one in images]
    yield start, len(images), np.stack(images + images[-1:] * (batch - len(images)))


def _result(fuser: Fuser, images: np.ndarray, ids: np.ndarray, begun) -> np.ndarray:
  """Waited for."""
  try:
    return fuser.finish(images, ids, begun)[0]
  except jax.errors.JaxRuntimeError as error:
    raise UserError(faults.line("a slice", error, **fuser.figures(images.shape))) from error
