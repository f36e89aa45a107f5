"""Where does a fused volume go? A NIfTI file, a folder of DICOM, or one slice as PNG: whole or not at all, and never in
the place of somebody else's file."""

import gzip
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dig2dig_jax.data.images import write_levels
from dig2dig_jax.errors import UserError
from dig2dig_jax.files import is_free, replacing, taken, what_lies_at
from dig2dig_jax.volumes import libraries, secondary_capture
from dig2dig_jax.volumes.kinds import NIFTI, head, of_bytes
from dig2dig_jax.volumes.nifti import TO_LPS
from dig2dig_jax.volumes.volume import Volume, for_viewing

PNG, NII, SERIES = "png", "nii", "series"
_MARK = b"dig2dig_jax"  # the beginning of NIfTI-1's descrip, bytes 148 to 227: this program wrote it
_DESCRIP = 148
_RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
_SCANNER = 1  # NIfTI's code for positions of a scanner


def kind_of(place: Path) -> str:
  """What is written there: PNG (of one slice), NII or SERIES. UserError for a name that says another format."""
  name = place.name.casefold()
  if name.endswith((".nii", ".nii.gz")):
    return NII
  if name.endswith(".png"):
    return PNG
  if place.suffix and not place.is_dir():
    raise UserError(f"--out={place}: expected a .nii.gz, .nii or .png file, or a folder for DICOM, found "
                    f"{place.suffix}; choose one")  # fmt: skip
  return SERIES


def check(place: Path, sources: Sequence[Volume], *, overwrite: bool) -> None:
  """UserError where a result of these sources cannot be written, to be asked before anything is computed."""
  above = next(folder for folder in place.absolute().parents if folder.exists() or folder.is_symlink())
  if not above.is_dir() or not os.access(above, os.W_OK):
    found = "no permission" if above.is_dir() else what_lies_at(above)
    raise UserError(f"{place}: expected a folder to write to, found {found} at {above}; choose another -o")
  if kind_of(place) == SERIES:
    secondary_capture.check(place, sources, overwrite=overwrite)
    return
  if kind_of(place) == NII:
    libraries.nibabel(place)
  for source in sources:
    if place.exists() and Path(source.name).exists() and place.samefile(source.name):
      raise UserError(f"{place}: expected a file other than the sources; choose another name")
  if (place.exists() or place.is_symlink()) and not overwrite:
    raise UserError(f"{place}: expected nothing there, found a file; choose another name, or add --overwrite")
  if not _is_free(place):
    raise taken(place)


def write_volume(place: str | os.PathLike, fused: Volume, *, overwrite: bool = False) -> str:
  """Writes a result of `fuse_volumes`. Files of this program are overwritten only with `overwrite`, others never.

  Args:
    place: NAME.nii.gz, NAME.nii, NAME.png (its middle slice, in radiological orientation) or a folder, of DICOM
      secondary captures, which need a source in DICOM.
    fused: the volume.
    overwrite: whether this program's own files are replaced.

  Returns:
    A description of what was written.

  Raises:
    ValueError: for voxels of another type than `fuse_volumes` gives.
    UserError: for an existing file, and for a place that cannot be written.
  """
  place = Path(place)
  if fused.voxels.dtype not in (np.uint8, np.uint16):
    raise ValueError(f"fused: expected voxels of uint8 or uint16, as of fuse_volumes, found {fused.voxels.dtype}")
  whose = fused._replace(identity=fused.identity._replace(headers=fused.identity.made_of))
  check(place, [whose], overwrite=overwrite)
  kind = kind_of(place)
  try:
    place.parent.mkdir(parents=True, exist_ok=True)
    if kind == SERIES:
      return f"{place}, {secondary_capture.write(place, fused)} DICOM files"
    if kind == PNG:
      levels = for_viewing(fused.voxels[len(fused.voxels) // 2], fused.affine)
      write_levels(place, np.ascontiguousarray(levels if fused.is_colour else levels[..., None]))
      return f"{place}, one slice"
    content = _nifti(place, fused)
    with replacing(place) as temporary:
      temporary.write_bytes(content)
    return f"{place}, {len(fused.voxels)} slices"
  except OSError as error:
    raise UserError(f"{place}: expected a place to write, found {error.strerror or error}; choose "
                    "another -o") from error  # fmt: skip


def _nifti(place: Path, fused: Volume) -> bytes:
  """The bytes of a file of this name. Sform and qform both hold the geometry, where qform can: it knows no shear."""
  nibabel = libraries.nibabel(place)
  voxels = np.ascontiguousarray(fused.voxels)
  if fused.is_colour:
    voxels = voxels.view(_RGB)[..., 0]
  affine = TO_LPS @ fused.affine
  with libraries.reading(place, "NIfTI", "choose another -o"):
    image = nibabel.Nifti1Image(voxels.T, affine)
    sform, qform = fused.identity.spaces or (_SCANNER, _SCANNER)
    code = sform or qform or _SCANNER
    image.set_sform(affine, code)
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    sheared = np.abs(directions.T @ directions - np.eye(3)).max() > 1e-4
    image.set_qform(affine, 0 if sheared else code)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = _MARK + b" " + fused.name.encode("ascii", "replace")[:60]
    if not fused.is_colour and fused.window:
      image.header["cal_min"], image.header["cal_max"] = fused.window
    content = image.to_bytes()
  return gzip.compress(content, 6, mtime=0) if place.name.casefold().endswith(".gz") else content


def _is_free(place: Path) -> bool:
  """Whether a file may be written there: nothing is there, or one of this program."""
  if kind_of(place) == PNG:
    return is_free(place)
  try:
    beginning = head(place)
  except OSError:
    return False
  if not place.exists():
    return not place.is_symlink()
  return of_bytes(beginning) == NIFTI and beginning[_DESCRIP : _DESCRIP + len(_MARK)] == _MARK
