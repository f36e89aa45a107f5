"""How does a volume come from DICOM? One series of a folder, or one file, in order, on one grid, in its own units.

Stored values become what they stand for: HU of a CT, SUV of a PET where the header tells enough, Bq/ml or counts where
it does not, by the slope and intercept of each slice. MONOCHROME1, whose smaller values are brighter, is negated.
Pixels that are said to be padding count as the least value.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dig2dig_jax.errors import UserError
from dig2dig_jax.files import what_lies_at
from dig2dig_jax.volumes import headers, libraries, pixel_data, stacking, suv
from dig2dig_jax.volumes.headers import Frame
from dig2dig_jax.volumes.kinds import DICOM, files_below, head, of_bytes
from dig2dig_jax.volumes.volume import FUNCTIONAL, MOST_VOXELS, Identity, Volume, usable

_LISTED = 8  # series that a refusal names


def read(place: Path, series: int | None = None) -> Volume:
  """The series of a folder, of this SeriesNumber where there are several, or of one file. UserError for what is
  none."""
  libraries.pydicom(place)
  frames, notes = _chosen(place, series) if place.is_dir() else (_of_file(place), [])
  name = str(place) if series is None else f"{place}:{series}"
  stacked = stacking.stacked(frames, name)
  first, count = stacked.frames[0].header, len(stacked.between)
  with libraries.reading(name, "DICOM"):
    rows, columns = int(first.Rows), int(first.Columns)
    if rows * columns * count > MOST_VOXELS:
      raise UserError(f"{name}: expected at most {MOST_VOXELS} voxels, found {columns} x {rows} x {count}; move some "
                      "of its slices away")  # fmt: skip
    if not usable(stacked.affine):
      raise UserError(f"{name}: expected positions that place every voxel, found slices at {stacked.affine[:3, 3]} and "
                      f"{stacked.affine[:3, 2]} mm from one to the next; export the series again")  # fmt: skip
    modality = str(first.get("Modality") or "")
    factor, unit, told = suv.unit([one.header for one in stacked.frames], modality)
    voxels, said = _voxels(stacked, name, factor, modality)
    frame, patient = (str(first.get(tag) or "") for tag in ("FrameOfReferenceUID", "PatientID"))
    window, line = (None, []) if modality in FUNCTIONAL else _window(stacked.frames, name, said.negated)
  nearest = tuple(stacked.frames[round(place)].header for place in stacked.between)
  lines = (*notes, *stacked.notes, *(f"{name}: {one}" for one in (*told, *said.lines)), *line)
  identity = Identity(frame=frame, patient=patient, headers=nearest)
  return Volume(voxels, stacked.affine, name, modality, unit, window, identity, lines)


def _of_file(path: Path) -> list[Frame]:
  header = headers.data_set(path)
  if not headers.is_image(header):
    raise UserError(f"{path}: expected pixels, found {header.get('Modality') or 'a data set'} without any; give the "
                    "folder of an image series")  # fmt: skip
  return headers.frames(path, header)


def _chosen(folder: Path, number: int | None) -> tuple[list[Frame], list[str]]:
  """The frames of one series, and lines."""
  found: dict[str, list[tuple[Path, Any]]] = {}
  others = 0
  for path in files_below(folder):
    header = headers.data_set(path) if of_bytes(head(path)) == DICOM else None
    with libraries.reading(path, "DICOM"):
      if header is None or not headers.is_image(header):
        others += 1
        continue
      found.setdefault(str(header.get("SeriesInstanceUID") or ""), []).append((path, header))
  if not found:
    raise UserError(f"{folder}: expected DICOM images, found {what_lies_at(folder)} without any; check the path")
  named = {uid: _series_number(files[0][1]) for uid, files in found.items()}
  wanted = [uid for uid in found if number in (None, named[uid])]
  if len(wanted) != 1:
    in_order = sorted(found, key=lambda uid: (named[uid] is None, named[uid] or 0))
    listed = "; ".join((f"{folder}:{named[uid]}" if named[uid] is not None else "one without a number")
                       + f" ({_described(found[uid])})" for uid in in_order[:_LISTED])  # fmt: skip
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    asked = f"one series of number {number}" if number is not None else "one series"
    raise UserError(f"{folder}: expected {asked}, found {listed}{more}; give one of these, or one folder for each")
  notes = [f"{folder}: {others} other files passed over"] if others else []
  return [frame for path, header in found[wanted[0]] for frame in headers.frames(path, header)], notes


def _series_number(header: Any) -> int | None:
  try:
    return int(header.get("SeriesNumber"))
  except (TypeError, ValueError):
    return None


def _described(files: Sequence[tuple[Path, Any]]) -> str:
  header = files[0][1]
  words = [str(header.get("Modality") or "?"), str(header.get("SeriesDescription") or "").strip(),
           f"{len(files)} file{'' if len(files) == 1 else 's'}"]  # fmt: skip
  return ", ".join(word for word in words if word)


class _Said:
  """What is found out about values as slices are read."""

  def __init__(self) -> None:
    self.negated = False
    self.lines: list[str] = []


def _voxels(stacked: stacking.Stacked, name: str, factor: float, modality: str) -> tuple[np.ndarray, _Said]:
  """[Z, Y, X] float32, or uint8 [Z, Y, X, 3]."""
  frames, said = stacked.frames, _Said()
  first = frames[0].header
  kind = str(first.get("PhotometricInterpretation") or "")
  said.negated = kind == "MONOCHROME1" and modality not in FUNCTIONAL
  if kind == "MONOCHROME1":
    said.lines.append("MONOCHROME1, shown inverted: its values are negated" if said.negated else
                      "MONOCHROME1, shown inverted: its values are activity, and taken as they are")  # fmt: skip
  colour = int(first.get("SamplesPerPixel") or 1) == 3 or kind == "PALETTE COLOR"
  shape = (len(frames), int(first.Rows), int(first.Columns), *((3,) if colour else ()))
  read = np.empty(shape, np.uint8 if colour else np.float32)
  padded = 0
  for path, numbers in _by_file(frames).items():
    stored = pixel_data.read(path, len(numbers), shape[1:])
    for k in numbers:
      one = stored[frames[k].number]
      if colour:
        read[k] = one
        continue
      frame = frames[k]
      read[k] = (one.astype(np.float64) * frame.slope + frame.intercept) * (-factor if said.negated else factor)
      padding = pixel_data.padding(frame.header, one)
      if padding is not None:
        read[k][padding] = np.nan
        padded += int(padding.sum())
  if padded:
    said.lines.append(f"{100 * padded / read.size:.1f} % of its pixels are padding, taken as the least value")
  return _between(read, stacked.between), said


def _by_file(frames: Sequence[Frame]) -> dict[Path, list[int]]:
  found: dict[Path, list[int]] = {}
  for k, frame in enumerate(frames):
    found.setdefault(frame.path, []).append(k)
  return found


def _between(read: np.ndarray, places: np.ndarray) -> np.ndarray:
  """The slices at these places among those that were read."""
  if len(places) == len(read) and np.array_equal(places, np.arange(len(read))):
    return read
  found = np.empty((len(places), *read.shape[1:]), read.dtype)
  for k, place in enumerate(places):
    below, share = int(place), place - int(place)
    found[k] = read[below] if not share else (1 - share) * read[below] + share * read[below + 1]
  return found


def _window(frames: Sequence[Frame], name: str, negated: bool) -> tuple[tuple[float, float] | None, list[str]]:
  """That of all slices, and a line where they have different ones, which would make the volume flicker."""
  windows = {frame.window for frame in frames}
  if len(windows) > 1:
    return None, [f"{name}: its slices have {len(windows)} different windows, of which none is taken"]
  window = windows.pop()
  return ((-window[1], -window[0]) if window and negated else window), []
