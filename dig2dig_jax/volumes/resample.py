"""What does a volume show at the voxels of another? Resampled once, linearly, by where both lie in the patient.

A volume that is finer than the grid is smoothed before, as far as the grid has no place for its detail.
"""

import numpy as np
from scipy import ndimage

from dig2dig_jax.errors import UserError
from dig2dig_jax.volumes.volume import Volume, box

_REDUCED = 1.2  # voxels of the volume per voxel of the grid, from which it is smoothed before
_ROUNDING = 1e-4  # of a voxel
_LOOKED_AT = 48  # voxels of the grid along each axis, to see how much of it a volume covers


class Resampled:
  """A volume on the grid of a reference, slice by slice."""

  def __init__(self, volume: Volume, reference: Volume):
    self._grid = reference.size
    self._matrix = np.linalg.solve(volume.affine, reference.affine)  # voxel of the grid -> voxel of the volume
    self._size = volume.size
    self._is_grid = volume.size == reference.size and np.abs(self._matrix - np.eye(4)).max() < _ROUNDING**2
    self._channels = _smoothed(volume.voxels, self._matrix)

  def slice(self, k: int) -> tuple[np.ndarray, np.ndarray | None]:
    """(values float32 [Y, X, C] of the grid's slice number k, where the volume holds any: bool [Y, X], None for
    everywhere). Outside of it stand its nearest values."""
    if self._is_grid:
      return np.stack([channel[k] for channel in self._channels], axis=-1).astype(np.float32), None
    x, y = np.meshgrid(np.arange(self._grid[0]), np.arange(self._grid[1]))
    places = self._places(x, y, np.full_like(x, k))
    found = [ndimage.map_coordinates(channel, places[::-1], np.float32, order=1, mode="nearest")
             for channel in self._channels]  # fmt: skip
    inside = self._inside(places)
    return np.stack(found, axis=-1), None if inside.all() else inside

  def covered(self) -> np.ndarray:
    """[Z] what share of each of the grid's slices the volume covers, as far as some of its voxels tell; of many slices
    some, and those between as they are."""
    x, y, z = (np.unique(np.linspace(0, count - 1, min(count, _LOOKED_AT)).round()) for count in self._grid)
    inside = self._inside(self._places(*np.meshgrid(x, y, z, indexing="ij")))
    return np.interp(np.arange(self._grid[2]), z, inside.mean(axis=(0, 1)))

  def _places(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """[3, ...] (x, y, z) of the volume, of voxels of the grid."""
    return np.tensordot(self._matrix[:3, :3], np.stack([x, y, z]), 1) + self._matrix[:3, 3].reshape(3, *[1] * x.ndim)

  def _inside(self, places: np.ndarray) -> np.ndarray:
    ends = np.array(self._size).reshape(3, *[1] * (places.ndim - 1)) - 0.5 + _ROUNDING
    return np.logical_and.reduce((places >= -0.5 - _ROUNDING) & (places <= ends), axis=0)


def _smoothed(voxels: np.ndarray, matrix: np.ndarray) -> list[np.ndarray]:
  """Each channel [Z, Y, X]. The widths are those that make a voxel as wide as the grid's, were both Gaussian."""
  channels = list(np.moveaxis(voxels, -1, 0)) if voxels.ndim == 4 else [voxels]
  ratios = np.linalg.norm(matrix[:3, :3], axis=1)  # of the volume's voxels per step of the grid, along x, y and z
  widths = np.where(ratios > _REDUCED, 0.5 * np.sqrt(np.maximum(ratios**2 - 1, 0)), 0)
  widths = np.where(np.array(voxels.shape[2::-1]) > 1, widths, 0)
  if not widths.any():
    return channels
  return [ndimage.gaussian_filter(channel.astype(np.float32), widths[::-1], mode="nearest") for channel in channels]


def check_overlap(volume: Volume, reference: Volume, covered: np.ndarray) -> None:
  """UserError where a volume shows nothing of its reference."""
  if covered.max() > 0:
    return
  spans = (" x ".join(f"{low:.0f}..{high:.0f}" for low, high in box(one).T) for one in (volume, reference))
  raise UserError(f"{volume.name}: expected to overlap {reference.name}, found it elsewhere: at {next(spans)} mm (LPS) "
                  f"and not at {next(spans)}; register the two first")


def lines(volume: Volume, reference: Volume) -> list[str]:
  """For the user: what the files do not vouch for, and is taken as it is."""
  one, other = volume.identity, reference.identity
  told = []
  if one.patient and other.patient and one.patient != other.patient:
    told.append("the two volumes have different patient IDs")
  if bool(one.headers) != bool(other.headers):
    told.append("one volume is DICOM, the other NIfTI, which has no frame of reference")
  elif one.frame and other.frame and one.frame != other.frame:
    told.append("the two volumes have different frames of reference" if one.headers else
                f"positions of one volume are {one.frame}, of the other {other.frame}")  # fmt: skip
  return [f"{line}: positions are trusted as they are; register the volumes first if they are not" for line in told]
