"""How does a place become a volume? DICOM or NIfTI by its bytes; voxels that are no numbers become the least one."""

import os

import numpy as np

from dig2dig_jax.errors import UserError
from dig2dig_jax.files import what_lies_at
from dig2dig_jax.volumes import dicom, libraries, nifti
from dig2dig_jax.volumes.kinds import DICOM, kind, split_series
from dig2dig_jax.volumes.volume import Volume

_LARGEST = 1e30  # of a voxel: what is beyond is no measurement


def read_volume(place: str | os.PathLike) -> Volume:
  """Reads a volume.

  Args:
    place: a folder with one series of DICOM, FOLDER:4 for its series number 4, one DICOM file, or a NIfTI file.

  Returns:
    A `Volume`, voxels float32 [Z, Y, X] in the file's unit, or uint8 [Z, Y, X, 3].

  Raises:
    UserError: naming the place, the fault and the remedy.
  """
  path, series = split_series(os.fspath(place))
  found = kind(path)
  if found is None:
    there = what_lies_at(path).replace("a file", "another file")
    raise UserError(f"{path}: expected a volume, DICOM or NIfTI, found {there}; "
                    "check the path")  # fmt: skip
  with libraries.reading(path, found):  # elements of DICOM are decoded wherever they are first asked for
    return whole(dicom.read(path, series) if found == DICOM else nifti.read(path))


def whole(volume: Volume) -> Volume:
  """Without voxels that are not finite: masks of brains and padding around a field of view."""
  if volume.voxels.dtype.kind != "f":
    return volume
  bad = ~(np.abs(volume.voxels) <= _LARGEST)
  if not bad.any():
    return volume
  if bad.all():
    raise UserError(f"{volume.name}: expected values, found none that is finite; export it again")
  if bad.mean() > 1e-6 and "padding" not in " ".join(volume.notes):
    note = f"{volume.name}: {100 * bad.mean():.1f} % of its voxels are no numbers, taken as the least value"
    volume = volume._replace(notes=(*volume.notes, note))
  return volume._replace(voxels=np.where(bad, volume.voxels[~bad].min(), volume.voxels))
