"""How are two volumes fused in one call? Brought onto one grid by their geometry, then slice by slice with one method.

  fused = fuse_volumes("ct", "pet")      # folders of DICOM, or NIfTI files
  write_volume("fused.nii.gz", fused)
"""

import dataclasses
import logging
import numbers
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dig2dig_jax.assets import EMBEDDED
from dig2dig_jax.data.scaling import Range, is_usable
from dig2dig_jax.errors import UserError
from dig2dig_jax.front.preset import preset
from dig2dig_jax.methods import option
from dig2dig_jax.methods.codec import luminance_codec, rgb_codec
from dig2dig_jax.methods.options import Dig2DigOptions
from dig2dig_jax.methods.registry import make_method
from dig2dig_jax.methods.sequence import looks_for_noise, without_restoring
from dig2dig_jax.priors.prior import Prior, load_prior
from dig2dig_jax.volumes import roles
from dig2dig_jax.volumes.job import VolumeConfig, fused
from dig2dig_jax.volumes.read import read_volume, whole
from dig2dig_jax.volumes.volume import Volume, usable

_log = logging.getLogger(__name__)
_KINDS = ("auto", "full")


def fuse_volumes(
  structure: str | os.PathLike | Volume,
  function: str | os.PathLike | Volume,
  *,
  reference: int | None = None,
  value_range: Sequence[str | tuple[float, float] | None] = (None, None),
  prior: Prior | str | os.PathLike | None = None,
  seed: int = 0,
  batch_size: int = 0,
  bit_depth: int = 8,
  **options: Any,
) -> Volume:
  """Fuses two volumes of one patient, such as CT and PET, or MRI and SPECT, with the settings of `medical`.

  Args:
    structure, function: folders with one DICOM series, DICOM or NIfTI files, or `Volume`s; the second is the functional
      one, which is bright where there is activity.
    reference: 0 or 1, whose grid the result has; by default the finer within a slice.
    value_range: for each, the values that are black and white: a pair, `auto` (robust extremes), `full`, or None for
      the header's window, of PET and SPECT from 0 to a robust extreme.
    prior: a `Prior`, or its folder; the embedded one by default.
    seed: of all randomness.
    batch_size: number of slices computed at once; 0 chooses automatically.
    bit_depth: of the result, 8 or 16.
    options: of `Dig2DigOptions`, in place of the task's.

  Returns:
    A `Volume` of uint8 or uint16 [Z, Y, X], of uint8 [Z, Y, X, 3] where a source has colour, with the reference's
    geometry. What is decided is logged, a line each.

  Raises:
    ValueError: naming the argument, for invalid arguments.
    UserError: naming the file, for files, and for volumes that do not overlap.
  """
  _check_arguments(reference, value_range, seed, bit_depth)
  given = {"structure": structure, "function": function}
  volumes = [roles.with_modality(_volume(name, one)) for name, one in given.items()]
  names, _, _ = roles.ordered(volumes)
  if not isinstance(prior, Prior | str | os.PathLike | None):
    raise ValueError(f"prior: expected a Prior or its folder, found {type(prior).__name__}")
  tuned = preset("medical")
  known = {field.name for field in dataclasses.fields(Dig2DigOptions)}
  if unknown := sorted(set(options) - known):
    raise ValueError(f"{unknown[0]}: expected an option among {', '.join(sorted(known))}; see Dig2DigOptions")
  if not isinstance(prior, Prior):
    prior = load_prior(Path(prior) if prior is not None else EMBEDDED)
  chosen = dataclasses.replace(tuned.options, **options)
  try:
    chosen.validate(prior.noise.num_timesteps)
  except UserError as error:
    raise ValueError(option.in_python(str(error), Dig2DigOptions)) from None
  codec = rgb_codec() if tuned.colour == "rgb" else luminance_codec(1)
  config = VolumeConfig(
    names=names,
    ranges={name: found if isinstance(found, str) else Range(*found)
            for name, found in zip(names, value_range, strict=True) if found is not None},
    reference="" if reference is None else names[reference],
    restore=looks_for_noise(chosen),
    seed=seed,
    batch_size=batch_size,
    bit_depth=bit_depth,
    settings={"method": "dig2dig", "options": dataclasses.asdict(chosen)},
  )  # fmt: skip
  method = make_method(prior, codec, options=without_restoring(chosen))
  return fused(volumes, config, method, prior, _log.warning)


def _check_arguments(reference, value_range, seed, bit_depth) -> None:
  if reference not in (None, 0, 1):
    raise ValueError(f"reference: expected 0, 1 or None, found {reference!r}")
  if isinstance(value_range, str) or len(value_range) != 2:
    raise ValueError(f"value_range: expected a setting for each of the two volumes, found {value_range!r}")
  for found in value_range:
    pair = isinstance(found, Sequence) and not isinstance(found, str) and len(found) == 2
    if not (found is None or found in _KINDS if not pair else is_usable(*found)):
      raise ValueError(f"value_range: expected {', '.join(_KINDS)}, None or a pair (black, white), found {found!r}")
  if isinstance(seed, bool) or not isinstance(seed, numbers.Integral) or not 0 <= int(seed) < 2**32:
    raise ValueError(f"seed: expected a whole number from 0 to 4294967295, found {seed!r}")
  if bit_depth not in (8, 16):
    raise ValueError(f"bit_depth: expected 8 or 16, found {bit_depth!r}")


def _volume(name: str, given: Any) -> Volume:
  if isinstance(given, str | os.PathLike):
    return read_volume(given)
  if not isinstance(given, Volume):
    raise ValueError(f"{name}: expected a folder, a file or a Volume, found {type(given).__name__}")
  voxels = given.voxels
  colours = voxels.ndim == 4 and voxels.shape[3] == 3 and voxels.dtype == np.uint8
  if voxels.size == 0 or voxels.ndim != 3 and not colours:
    raise ValueError(f"{name}: expected voxels [Z, Y, X], or uint8 [Z, Y, X, 3], found {voxels.dtype} "
                     f"{list(voxels.shape)}")  # fmt: skip
  if given.affine.shape != (4, 4) or not usable(given.affine):
    raise ValueError(f"{name}: expected an affine [4, 4] that places every voxel, found {given.affine.tolist()}")
  if voxels.ndim == 3 and voxels.dtype != np.float32:
    given = given._replace(voxels=voxels.astype(np.float32))
  return whole(given)
