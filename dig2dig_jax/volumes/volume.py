"""What is a volume? Voxels, where each of them lies in the patient, and what its values mean.

Positions are in mm along DICOM's axes of the patient, LPS: to the left, to the back, to the head. NIfTI's point to the
right and to the front (RAS); they are turned when a file is read and when one is written.
"""

from typing import Any, NamedTuple

import numpy as np

# Voxels of one volume, at most, and of one slice: larger headers are refused before memory is allocated.
MOST_VOXELS, MOST_PIXELS = 2**29, 2**26
FUNCTIONAL = ("PT", "NM")  # modalities of DICOM whose values are activity: PET, and SPECT among nuclear medicine
_LETTERS = (("R", "L"), ("A", "P"), ("I", "S"))  # where an axis of the patient begins and ends


class Identity(NamedTuple):
  """Whose volume it is, as far as its files tell. frame: UID of DICOM's frame of reference, or the name of a space of
  NIfTI. patient: PatientID. headers: data sets of DICOM, one per slice of the volume, in its order. spaces: NIfTI's
  codes of (sform, qform). Of a fused volume, made_of: data sets of all slices of DICOM that it was made of, settings:
  what it was made with, in words."""

  frame: str = ""
  patient: str = ""
  headers: tuple[Any, ...] = ()
  spaces: tuple[int, int] | None = None
  made_of: tuple[Any, ...] = ()
  settings: str = ""


class Volume(NamedTuple):
  """A volume as it was read, or fused.

  voxels: [Z, Y, X] float32, or uint8 [Z, Y, X, 3] of RGB; a fused one is uint8 or uint16. affine: [4, 4] float64, (x,
  y, z, 1) of a voxel's centre, counted from 0, to mm (LPS). name: used in messages. modality: DICOM's word (CT,
  MR, PT, NM, ...), empty if unknown. unit: of the values, such as HU or SUV; empty if unknown. window:
  the values that are black and white, from the header, or None. notes: lines for the user about how it was read.
  """

  voxels: np.ndarray
  affine: np.ndarray
  name: str = "volume"
  modality: str = ""
  unit: str = ""
  window: tuple[float, float] | None = None
  identity: Identity = Identity()  # whose it is and what it was made of, for DICOM that is written
  notes: tuple[str, ...] = ()

  @property
  def is_colour(self) -> bool:
    return self.voxels.ndim == 4

  @property
  def size(self) -> tuple[int, int, int]:
    """(X, Y, Z): columns, rows and slices."""
    return self.voxels.shape[2], self.voxels.shape[1], self.voxels.shape[0]

  @property
  def spacing(self) -> np.ndarray:
    """[3] mm between the centres of neighbouring voxels, along x, y and z."""
    return np.linalg.norm(self.affine[:3, :3], axis=0)

  @property
  def in_plane(self) -> float:
    """Side in mm of a square of the same area as a voxel has within its slice."""
    return float(np.sqrt(self.spacing[0] * self.spacing[1]))


def usable(affine: np.ndarray) -> bool:
  """Whether an affine gives every voxel a place of its own."""
  if not np.isfinite(affine).all() or np.abs(affine).max() > 1e6:
    return False
  spacing = np.linalg.norm(affine[:3, :3], axis=0)
  return bool(spacing.min() > 1e-6 and abs(np.linalg.det(affine[:3, :3] / spacing)) > 1e-3)


def box(volume: Volume) -> np.ndarray:
  """[2, 3]: the least and the largest mm along the patient's axes, edges of the voxels included."""
  ends = np.array(np.meshgrid(*((-0.5, count - 0.5) for count in volume.size))).reshape(3, -1)
  corners = volume.affine[:3, :3] @ ends + volume.affine[:3, 3:]
  return np.stack([corners.min(axis=1), corners.max(axis=1)])


def directions(affine: np.ndarray) -> str:
  """Where x, y and z of the voxels point, roughly: LPS for most of DICOM's axial slices, RAS for most of NIfTI."""
  axes = _axes(affine)
  return "".join(_LETTERS[axis][int(affine[axis, k] > 0)] for k, axis in enumerate(axes))


def for_viewing(image: np.ndarray, affine: np.ndarray) -> np.ndarray:
  """A slice [Y, X, ...] as radiologists look at it: the patient's right, or front, on the left; front, or head,
  above."""
  x, y, _ = _axes(affine)
  if x > y:  # rows are columns
    image, affine = np.swapaxes(image, 0, 1), affine[:, [1, 0, 2, 3]]
    x, y = y, x
  if affine[x, 0] < 0:
    image = image[:, ::-1]
  return image if (affine[y, 1] < 0) == (y == 2) else image[::-1]


def _axes(affine: np.ndarray) -> tuple[int, int, int]:
  """The axis of the patient that each axis of the voxels follows most, each taken once."""
  cosines = np.abs(affine[:3, :3]) / np.linalg.norm(affine[:3, :3], axis=0)
  orders = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
  return max(orders, key=lambda order: sum(cosines[axis, k] for k, axis in enumerate(order)))
