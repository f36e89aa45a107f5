"""One image onto another in one call: files or arrays of the usual kinds in, the image in the other's frame out."""

import os
from typing import NamedTuple

import numpy as np

from dig2dig_jax.alignment import warp
from dig2dig_jax.alignment.estimate import Alignment, estimate
from dig2dig_jax.data import validity
from dig2dig_jax.data.decoded import Decoded
from dig2dig_jax.data.images import read_decoded
from dig2dig_jax.errors import UserError


class Aligned(NamedTuple):
  """image: the source in the reference's frame, in its own type and range, [H, W, C], or None where the alignment is
  not to be believed. valid: bool [H, W], where it shows anything; None for everywhere. alignment: see `Alignment`;
  `alignment.matrix` maps pixels (x, y) of the reference to pixels of the source, after `alignment.flow`."""

  image: np.ndarray | None
  valid: np.ndarray | None
  alignment: Alignment


def align(
  reference: str | os.PathLike | np.ndarray,
  source: str | os.PathLike | np.ndarray,
  *,
  model: str = "auto",
  valid: str = "auto",
) -> Aligned:
  """Brings `source` into the frame of `reference`, whatever their modalities, exposures, focal planes and sizes.

  Args:
    reference, source: paths, or arrays [H, W], [H, W, 1] or [H, W, 3] of uint8, uint16 or floats. A second or fourth
      channel is alpha.
    model: what may differ between the two: `translation`, `similarity`, `affine`, `homography`, `auto`, a similarity
      and a little more, or `flow`, that and a smooth displacement where the images support one.
    valid: how it is found where they show nothing, a word of `data.validity`.

  Returns:
    An `Aligned`, whose image is None where the alignment is not to be believed.

  Raises:
    ValueError: naming the argument, for arguments that cannot be.
    UserError: naming the file, for files.
  """
  decoded = [_decoded(name, image) for name, image in (("reference", reference), ("source", source))]
  masks = [validity.find(one.samples, one.alpha, how=valid) for one in decoded]
  frame, samples = (one.samples for one in decoded)
  found = estimate(frame, samples, model=model, reference_mask=masks[0], source_mask=masks[1])
  if not found.accepted:
    return Aligned(None, None, found)
  return Aligned(*warp.onto(samples, found.matrix, frame.shape[:2], masks[1], found.flow), found)


def read(path: str | os.PathLike) -> Decoded:
  """Samples and alpha of a file, of any real type and range. UserError, naming it, for one that cannot be read or whose
  samples are not finite."""
  found = read_decoded(path)
  if found.samples.dtype.kind == "f" and not np.isfinite(found.samples).all():
    raise UserError(f"{os.fspath(path)}: expected finite float samples, found NaN or infinite ones; replace them and "
                    "save again")
  return found


def _decoded(name: str, image) -> Decoded:
  if isinstance(image, str | os.PathLike):
    return read(image)
  image = np.asarray(image)
  image = image[..., None] if image.ndim == 2 else image
  if image.ndim != 3 or not 1 <= image.shape[-1] <= 4 or image.size == 0:
    raise ValueError(f"{name}: expected [H, W] or [H, W, 1 to 4] (gray or RGB, alpha last), found {list(image.shape)}")
  if image.dtype not in (np.uint8, np.uint16) and image.dtype.kind != "f":
    raise ValueError(f"{name}: expected uint8, uint16 or floats, found {image.dtype}; convert it")
  image = image.astype(np.float32) if image.dtype.kind == "f" else image
  if image.dtype.kind == "f" and not np.isfinite(image).all():
    raise ValueError(f"{name}: expected finite samples, found NaN or infinite ones; replace them")
  colours = 3 if image.shape[-1] > 2 else 1
  return Decoded(image[..., :colours], image[..., colours] if image.shape[-1] > colours else None)
