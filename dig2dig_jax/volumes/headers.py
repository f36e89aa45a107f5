"""What does a DICOM file say of its frames? Where each lies, what its values mean, which of them are black and white.

A file holds one slice, or, as "enhanced" multi-frame DICOM does, many, whose geometry stands in functional groups, per
frame or shared by all. Reconstructions of nuclear medicine say it in a way of their own.
"""

import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dig2dig_jax.errors import UserError
from dig2dig_jax.volumes import libraries
from dig2dig_jax.volumes.volume import MOST_PIXELS, MOST_VOXELS

_DEFLATED = "1.2.840.10008.1.2.1.99"  # unpacked as a whole, to whatever size, before anything can be asked of it
_MOST_FRAMES = 2**16  # of a reconstruction
_ALIKE = 1e-3  # of direction cosines
_MOST_MM, _LEAST_MM = 1e4, 1e-4  # that pixels are apart


class Frame(NamedTuple):
  """header: its file's data set, without pixels. number: among the file's frames. position: [3] mm (LPS) of the first
  pixel's centre. along: [2, 3] the directions in which columns and rows are counted. spacing: mm from column to column
  and from row to row. thickness: mm, None where it is not told. slope, intercept: stored value -> value. window: the
  values that are black and white; None where it is not told."""

  path: Path
  header: Any
  number: int
  position: np.ndarray
  along: np.ndarray
  spacing: tuple[float, float]
  thickness: float | None
  slope: float
  intercept: float
  window: tuple[float, float] | None

  @property
  def normal(self) -> np.ndarray:
    return np.cross(*self.along)


class _Bounded(io.BufferedReader):
  """A file from which no more is read, and for which no more memory is allocated, than it contains."""

  def __init__(self, path: Path):
    super().__init__(io.FileIO(path))
    self._size = path.stat().st_size

  def read(self, size=-1):
    left = max(self._size - self.tell(), 0)
    return super().read(left if size is None or size < 0 else min(size, left))


def data_set(path: Path, *, pixels: bool = False) -> Any:
  """The data set of a file, without its pixels unless asked for. UserError for what is no DICOM."""
  pydicom = libraries.pydicom(path)
  with libraries.reading(path, "DICOM"):
    if pydicom.filereader.read_file_meta_info(str(path)).get("TransferSyntaxUID") == _DEFLATED:
      raise UserError(f"{path}: expected pixels as they are or compressed by themselves, found a deflated file; save "
                      "it in another transfer syntax")  # fmt: skip
    with _Bounded(path) as file:
      return pydicom.dcmread(file, stop_before_pixels=not pixels)


def is_image(header: Any) -> bool:
  """Whether a data set announces pixels: reports, plans and DICOMDIR do not."""
  return "Rows" in header and "Columns" in header


def frames(path: Path, header: Any) -> list[Frame]:
  """Of a file's data set. UserError, naming what is missing, where it does not say where its pixels lie."""
  with libraries.reading(path, "DICOM"):
    rows, columns = int(header.Rows), int(header.Columns)
    count = int(header.get("NumberOfFrames") or 1)
    if min(rows, columns, count) < 1 or rows * columns > MOST_PIXELS or rows * columns * count > MOST_VOXELS:
      raise UserError(f"{path}: expected at most {MOST_VOXELS} voxels, {MOST_PIXELS} a slice, found {columns} x {rows} "
                      f"x {count}; crop it")  # fmt: skip
    own = list(header.get("PerFrameFunctionalGroupsSequence") or []) or _of_tomography(header, count)
    if count > 1 and len(own) != count:
      raise UserError(f"{path}: expected a position of each of its {count} frames, found those of {len(own)}; convert "
                      "it to one file per slice, or to NIfTI")  # fmt: skip
    shared = list(header.get("SharedFunctionalGroupsSequence") or [])[:1]
    groups = [[*own[number : number + 1], *shared] for number in range(count)]
    return [_frame(path, header, number, group) for number, group in enumerate(groups)]


def _of_tomography(header: Any, count: int) -> list[Any]:
  """Functional groups, per frame, of nuclear medicine's reconstructions (SPECT), which say where the first slice lies
  and how far to the next, behind it where that is above 0 (PS3.3, C.8.4.15); none for other files."""
  detector = next(iter(header.get("DetectorInformationSequence") or []), None)
  if not 1 < count <= _MOST_FRAMES or detector is None or "RECON TOMO" not in list(header.get("ImageType") or []):
    return []
  position = _numbers(detector.get("ImagePositionPatient"), 3)
  along = _numbers(detector.get("ImageOrientationPatient"), 6)
  step = _numbers(header.get("SpacingBetweenSlices"), 1)
  order = _numbers(header.get("SliceVector", list(range(1, count + 1))), count)
  if not position or not along or not step or sorted(order or []) != list(range(1, count + 1)):
    return []
  normal = step[0] * np.cross(along[:3], along[3:])
  return [{"PlanePositionSequence": [{"ImagePositionPatient": (position + (number - 1) * normal).tolist()}],
           "PlaneOrientationSequence": [{"ImageOrientationPatient": along}]} for number in order or []]  # fmt: skip


def _frame(path: Path, header: Any, number: int, groups: Sequence[Any]) -> Frame:
  def told(name: str, sequence: str, count: int) -> list[float] | None:
    return next((found for where in _places(header, groups, sequence)
                 if (found := _numbers(where.get(name), count)) is not None), None)  # fmt: skip

  def needed(name: str, sequence: str, count: int) -> list[float]:
    found = told(name, sequence, count)
    if found is None:
      raise UserError(f"{path}: expected {name}, which says where its pixels lie in the patient, found none that can "
                      "be read; save it as PNG to fuse it as an image")  # fmt: skip
    return found

  position = needed("ImagePositionPatient", "PlanePositionSequence", 3)
  along = needed("ImageOrientationPatient", "PlaneOrientationSequence", 6)
  spacing = needed("PixelSpacing", "PixelMeasuresSequence", 2)
  axes = np.array(along).reshape(2, 3)
  if np.abs(axes @ axes.T - np.eye(2)).max() > _ALIKE * 10:
    raise UserError(f"{path}: expected an ImageOrientationPatient of two directions at right angles, found {along}")
  if not all(_LEAST_MM <= length <= _MOST_MM for length in spacing) or max(map(abs, position)) > 1e6:
    raise UserError(f"{path}: expected positions and spacings in mm, found {position} and {spacing}; export it again")
  thickness = told("SpacingBetweenSlices", "PixelMeasuresSequence", 1) or told(
    "SliceThickness", "PixelMeasuresSequence", 1)  # fmt: skip
  slope = (told("RescaleSlope", "PixelValueTransformationSequence", 1) or [1.0])[0]
  intercept = (told("RescaleIntercept", "PixelValueTransformationSequence", 1) or [0.0])[0]
  return Frame(
    path, header, number, np.array(position), axes / np.linalg.norm(axes, axis=1, keepdims=True),
    (spacing[1], spacing[0]),  # DICOM has that between rows first
    abs(thickness[0]) if thickness and _LEAST_MM <= abs(thickness[0]) <= _MOST_MM else None, slope or 1.0, intercept,
    _window(header, groups),
  )  # fmt: skip


def _window(header: Any, groups: Sequence[Any]) -> tuple[float, float] | None:
  """The first window, as values (PS3.3, C.11.2.1.2): of LINEAR the last black one is half a value below the centre less
  half of the width less one."""
  for where in _places(header, groups, "FrameVOILUTSequence"):
    centre, width = (_numbers(where.get(name), 1) for name in ("WindowCenter", "WindowWidth"))
    if not centre or not width:
      continue
    if str(where.get("VOILUTFunction") or "LINEAR") != "LINEAR":
      low, high = centre[0] - width[0] / 2, centre[0] + width[0] / 2
    else:
      low, high = centre[0] - 0.5 - (width[0] - 1) / 2, centre[0] - 0.5 + (width[0] - 1) / 2
    if high > low:
      return low, high
  return None


def _places(header: Any, groups: Sequence[Any], sequence: str) -> Iterator[Any]:
  """Where an attribute may stand, the frame's own first."""
  for group in groups:
    yield from list(group.get(sequence) or [])[:1]
  yield header


def _numbers(value: Any, count: int) -> list[float] | None:
  """The first `count` of a value as finite floats; None where it has fewer."""
  if value is None or value == "":
    return None
  values = list(value) if hasattr(value, "__iter__") and not isinstance(value, str) else [value]
  try:
    found = [float(one) for one in values[:count]]
  except (TypeError, ValueError):
    return None
  return found if len(found) == count and all(map(math.isfinite, found)) else None


def same(one: Frame, other: Frame) -> bool:
  """Whether two frames have a size, directions and spacing in common."""
  sizes = [(int(frame.header.Rows), int(frame.header.Columns)) for frame in (one, other)]
  return (sizes[0] == sizes[1] and np.abs(one.along - other.along).max() <= _ALIKE
          and np.allclose(one.spacing, other.spacing, rtol=_ALIKE, atol=0))  # fmt: skip
