"""How does a volume come from a NIfTI file? NIfTI-1 or -2 in one file, plain or compressed by gzip.

The affine is sform's where the file has one, else qform's. Values are scaled by scl_slope and scl_inter. cal_min and
cal_max are the window. Nothing is read before the header's sizes have been looked at.
"""

import gzip
import math
from pathlib import Path
from typing import BinaryIO

import numpy as np

from dig2dig_jax.errors import UserError
from dig2dig_jax.volumes import libraries
from dig2dig_jax.volumes.kinds import is_compressed
from dig2dig_jax.volumes.volume import MOST_PIXELS, MOST_VOXELS, Identity, Volume, usable

TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # from NIfTI's RAS, and back
_MM = {"meter": 1000.0, "micron": 0.001}  # a length's unit; what is not said is mm, as everybody writes it
# Codes of sform and qform: in which space positions are.
_SPACES = {1: "the scanner's", 2: "another scan's", 3: "Talairach's", 4: "MNI's", 5: "a template's"}
_LARGEST_RATIO = 1100  # no deflate stream holds more than 1032 times its own length
_FARTHEST = 2**24  # bytes into a file that voxels begin: before them are extensions alone


def read(path: Path) -> Volume:
  """The volume of a file, the first one of several. UserError, naming it, for what cannot be read."""
  nibabel = libraries.nibabel(path)
  with libraries.reading(path, "NIfTI"), _opened(path) as file:
    header = _header(nibabel, file)
    if not header.is_single or header["magic"].item()[:3] in (b"ni1", b"ni2"):
      raise UserError(f"{path}: expected NIfTI in one file, found a header whose voxels lie in an .img beside it; "
                      "convert it to .nii")  # fmt: skip
    count, volumes = _shape(header, path)
    affine, space, told = _affine(header, path)
    raw = _voxels(file, header, count, path)
  window = _window(header)
  if raw.dtype.names:  # RGB, or RGBA, whose alpha is no part of a volume
    voxels = np.stack([raw[name] for name in raw.dtype.names[:3]], axis=-1)
    voxels, window = np.ascontiguousarray(voxels.transpose(2, 1, 0, 3)), None
  else:
    voxels = _scaled(raw, header, path)
  if volumes > 1:
    told.append(f"{path}: {volumes} volumes, of which the first is taken")
  codes = (int(header["sform_code"]), int(header["qform_code"]))
  return Volume(voxels, affine, str(path), "", "", window, Identity(frame=space, spaces=codes), tuple(told))


def _opened(path: Path) -> BinaryIO:
  return gzip.open(path) if is_compressed(path) else path.open("rb")  # type: ignore[return-value]


def _header(nibabel, file: BinaryIO):
  beginning = file.read(544)
  size = int.from_bytes(beginning[:4], "little")
  kind = nibabel.Nifti2Header if 540 in (size, int.from_bytes(beginning[:4], "big")) else nibabel.Nifti1Header
  # The header block only: extensions are not needed, and their sizes cannot be trusted.
  return kind(beginning[: kind.template_dtype.itemsize], check=False)


def _shape(header, path: Path) -> tuple[tuple[int, int, int], int]:
  """((X, Y, Z), how many such volumes)."""
  shape = [int(length) for length in header.get_data_shape()]
  if not 1 <= len(shape) <= 7 or min(shape) < 1:
    raise UserError(f"{path}: expected a volume of voxels, found the shape {shape}; export it again")
  while len(shape) > 3 and shape[-1] == 1:
    shape.pop()
  if len(shape) > 4:
    raise UserError(f"{path}: expected one volume, or some over time, found {len(shape)} dimensions, {shape}; extract "
                    "the volume that is meant")  # fmt: skip
  x, y, z, *volumes = [*shape, *[1] * (3 - len(shape))]
  if x * y * z > MOST_VOXELS or x * y > MOST_PIXELS:
    raise UserError(f"{path}: expected at most {MOST_VOXELS} voxels, {MOST_PIXELS} a slice, found {x} x {y} x {z}; "
                    "crop it, or reduce its resolution")  # fmt: skip
  return (x, y, z), math.prod(volumes)


def _affine(header, path: Path) -> tuple[np.ndarray, str, list[str]]:
  """(affine to LPS in mm, name of the space, lines)."""
  told = []
  code = int(header["sform_code"]) or int(header["qform_code"])
  try:
    affine = np.asarray(header.get_best_affine(), np.float64)
  except Exception as error:  # a quaternion that is none
    raise UserError(f"{path}: expected a qform or sform that can be, found {error}; write its geometry "
                    "again") from error  # fmt: skip
  if not code:
    told.append(f"{path}: neither sform nor qform: its centre is taken as the patient's, its axes as right to left, "
                "back to front, foot to head")  # fmt: skip
  affine = affine.copy()
  affine[:3] *= _MM.get(header.get_xyzt_units()[0], 1.0)
  if not usable(affine):
    raise UserError(f"{path}: expected an affine that places every voxel, found {np.round(affine[:3], 3).tolist()}; "
                    "write its geometry again")  # fmt: skip
  return TO_LPS @ affine, _SPACES.get(code, ""), told


def _voxels(file: BinaryIO, header, count: tuple[int, int, int], path: Path) -> np.ndarray:
  """[X, Y, Z] as they are stored."""
  dtype = header.get_data_dtype()
  if dtype.names is None and dtype.kind not in "uif" or dtype.itemsize == 0:
    raise UserError(f"{path}: expected whole numbers, floats or RGB, found {dtype}; convert it")
  offset, length = int(header.get_data_offset()), math.prod(count) * dtype.itemsize
  if not 0 <= offset < _FARTHEST:
    raise UserError(f"{path}: expected voxels behind the header, found them said to begin at byte {offset}; export it "
                    "again")  # fmt: skip
  stored = path.stat().st_size
  most = _LARGEST_RATIO * stored if isinstance(file, gzip.GzipFile) else stored - offset
  _check_length(most, length, path)
  file.seek(offset)
  found = file.read(length)
  _check_length(len(found), length, path)
  return np.frombuffer(found, dtype).reshape(count, order="F")


def _check_length(there: int, wanted: int, path: Path) -> None:
  if there < wanted:
    raise UserError(f"{path}: expected {wanted} bytes of voxels, found {max(there, 0)}: the file is truncated; copy it "
                    "again")  # fmt: skip


def _scaled(raw: np.ndarray, header, path: Path) -> np.ndarray:
  """float32 [Z, Y, X]."""
  slope, inter = header.get_slope_inter()
  voxels = np.ascontiguousarray(raw.T.astype(np.float32))
  if slope is not None and (slope, inter) != (1.0, 0.0):
    with np.errstate(over="ignore", invalid="ignore"):
      voxels *= np.float32(slope)
      voxels += np.float32(inter or 0.0)
  return voxels


def _window(header) -> tuple[float, float] | None:
  low, high = float(header["cal_min"]), float(header["cal_max"])
  return (low, high) if np.isfinite([low, high]).all() and high > low else None
