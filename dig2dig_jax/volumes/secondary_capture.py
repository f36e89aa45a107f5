"""How does a fused volume become DICOM? A series of secondary captures, one file per slice, beside those it was made
of.

Patient, study, frame of reference, positions and spacing are the sources'. Series and instances get UIDs of their own,
which follow from the sources' and from the settings: the same fusion has the same UIDs. ImageType is DERIVED\\SECONDARY
and DerivationDescription says by what: nobody can take a slice for an acquired one.
"""

import hashlib
import os
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dig2dig_jax.errors import UserError
from dig2dig_jax.files import what_lies_at
from dig2dig_jax.volumes import headers, libraries
from dig2dig_jax.volumes.kinds import DICOM, head, of_bytes
from dig2dig_jax.volumes.volume import Volume

_STORAGE = "1.2.840.10008.5.1.4.1.1.7"  # Secondary Capture Image Storage
_IMPLEMENTATION = "DIG2DIG_JAX"  # of a file's meta information: this program wrote it
_SQUARE = 1e-3  # cosine between rows and columns
_OWN_NUMBER = 9000  # added to the source's SeriesNumber
# Modules of the patient, the study and the frame of reference (PS3.3, C.7.1.1, C.7.2.1, C.7.2.2, C.7.4.1).
_KEPT = (
  "SpecificCharacterSet", "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex",
  "PatientAge",
  "PatientSize", "PatientWeight", "PatientIdentityRemoved", "DeidentificationMethod", "StudyInstanceUID", "StudyDate",
  "StudyTime", "StudyID", "StudyDescription", "AccessionNumber", "ReferringPhysicianName", "FrameOfReferenceUID",
  "PositionReferenceIndicator", "PatientPosition", "LossyImageCompression", "LossyImageCompressionRatio",
  "LossyImageCompressionMethod",
)  # fmt: skip
_NEVER_MISSING = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
                  "AccessionNumber", "ReferringPhysicianName")  # may be empty


def check(folder: Path, sources: Sequence[Volume], *, overwrite: bool) -> None:
  """UserError where a series cannot be written to a folder: nothing but results of this program may lie there, and
  those are written over only if asked."""
  if not any(volume.identity.headers for volume in sources):
    raise UserError(f"{folder}: expected a source in DICOM, whose patient and study the series belongs to, found NIfTI "
                    "alone; take -o FUSED.nii.gz")  # fmt: skip
  for volume in sources:
    source = Path(os.path.realpath(volume.name))
    if source.is_dir() and Path(os.path.realpath(folder)).is_relative_to(source):
      raise UserError(f"{folder}: expected a folder beside the sources, found a place in {volume.name}; choose another "
                      "-o")  # fmt: skip
  if not folder.exists() and not folder.is_symlink():
    return
  if folder.is_symlink() or not folder.is_dir():
    raise UserError(f"{folder}: expected nothing there, or a folder, found {what_lies_at(folder)}; choose another -o")
  files = sorted(folder.iterdir())
  if foreign := [path for path in files if not _is_own(path)]:
    raise UserError(f"{folder}: expected nothing there, or a series of this program, found {foreign[0].name}, which it "
                    "did not write; choose another -o")  # fmt: skip
  if files and not overwrite:
    raise UserError(f"{folder}: expected nothing there, found {len(files)} slices; choose another -o, or add "
                    "--overwrite")  # fmt: skip


def write(folder: Path, fused: Volume) -> int:
  """Writes the series, whole or not at all, in the place of one that `check` let pass. How many slices it has."""
  pydicom = libraries.pydicom(folder)
  rows, columns = (fused.affine[:3, :2] / fused.spacing[:2]).T
  if abs(rows @ columns) > _SQUARE:
    raise UserError(f"{folder}: expected pixels of right angles, which DICOM alone knows, found sheared ones; take -o "
                    "FUSED.nii.gz")  # fmt: skip
  folder.parent.mkdir(parents=True, exist_ok=True)
  temporary = folder.with_name(f".{uuid.uuid4().hex}.tmp")
  with libraries.reading(folder, "DICOM", "choose another -o"):
    try:
      temporary.mkdir()
      series = _of_series(pydicom, fused)
      for k, voxels in enumerate(fused.voxels):
        found = _slice(pydicom, series, fused, k, voxels)
        found.save_as(temporary / f"{k + 1:04d}.dcm", enforce_file_format=True)
      if folder.exists():
        before = folder.with_name(f".{uuid.uuid4().hex}.tmp")
        os.rename(folder, before)
        os.rename(temporary, folder)
        shutil.rmtree(before, ignore_errors=True)
      else:
        os.rename(temporary, folder)
    finally:
      shutil.rmtree(temporary, ignore_errors=True)
  return len(fused.voxels)


def _of_series(pydicom, fused: Volume) -> Any:
  """What all slices have in common."""
  whose = (*fused.identity.headers, *fused.identity.made_of)[0]
  found = pydicom.Dataset()
  for name in _KEPT:
    if name in whose:
      found[name] = whose[name]
  for name in _NEVER_MISSING:
    if name not in found:
      setattr(found, name, None)
  number = whose.get("SeriesNumber")
  found.SOPClassUID = _STORAGE
  found.Modality = "OT"
  found.ConversionType = "WSD"  # by a workstation
  found.ImageType = ["DERIVED", "SECONDARY"]
  found.SeriesInstanceUID = _uid(pydicom, fused, "series")
  found.SeriesNumber = min(_OWN_NUMBER + (int(number) if number is not None else 0), 2**31 - 1)
  found.SeriesDescription = fused.name[:64]
  found.DerivationDescription = (f"{fused.name}, slice by slice with dig2dig_jax, a computed image and no acquisition; "
                                 f"settings {_hash(fused.identity.settings)}")  # fmt: skip
  found.Manufacturer, found.ManufacturerModelName = "dig2dig_jax", "dig2dig_jax"
  found.BurnedInAnnotation = "NO"
  found.ImageOrientationPatient = [_decimal(x) for x in (fused.affine[:3, :2] / fused.spacing[:2]).T.ravel()]
  found.PixelSpacing = [_decimal(fused.spacing[1]), _decimal(fused.spacing[0])]
  normal = np.cross(*(fused.affine[:3, :2] / fused.spacing[:2]).T)
  found.SpacingBetweenSlices = _decimal(abs(normal @ fused.affine[:3, 2]))
  found.SliceThickness = found.SpacingBetweenSlices
  return found


def _slice(pydicom, series: Any, fused: Volume, k: int, voxels: np.ndarray) -> Any:
  found = pydicom.Dataset()
  found.update(series)
  bits = 8 * voxels.dtype.itemsize
  found.SOPInstanceUID = _uid(pydicom, fused, f"slice {k}")
  found.InstanceNumber = k + 1
  found.ImagePositionPatient = [_decimal(x) for x in fused.affine[:3, 3] + k * fused.affine[:3, 2]]
  if fused.identity.headers:
    of = fused.identity.headers[k]
    reference = pydicom.Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = of.SOPClassUID, of.SOPInstanceUID
    found.SourceImageSequence = [reference]
  found.Rows, found.Columns = voxels.shape[:2]
  found.SamplesPerPixel = 3 if fused.is_colour else 1
  found.PhotometricInterpretation = "RGB" if fused.is_colour else "MONOCHROME2"
  if fused.is_colour:
    found.PlanarConfiguration = 0
  else:
    found.WindowCenter, found.WindowWidth = 2 ** (bits - 1), 2**bits
  found.BitsAllocated = found.BitsStored = bits
  found.HighBit, found.PixelRepresentation = bits - 1, 0
  data = voxels.astype(voxels.dtype.newbyteorder("<")).tobytes()
  found.PixelData = data + b"\0" * (len(data) % 2)
  found["PixelData"].VR = "OW" if bits > 8 else "OB"
  found.file_meta = pydicom.dataset.FileMetaDataset()
  found.file_meta.MediaStorageSOPClassUID = _STORAGE
  found.file_meta.MediaStorageSOPInstanceUID = found.SOPInstanceUID
  found.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
  found.file_meta.ImplementationClassUID = pydicom.uid.PYDICOM_IMPLEMENTATION_UID
  found.file_meta.ImplementationVersionName = _IMPLEMENTATION
  return found


def _uid(pydicom, fused: Volume, of: str) -> str:
  """Of the sources' UIDs, the settings and what it is the UID of: a version 5 UUID below 2.25 (PS3.5, B.2)."""
  sources = " ".join(str(header.get("SOPInstanceUID", "")) for header in fused.identity.made_of)
  text = f"dig2dig_jax {sources} {fused.identity.settings} {len(fused.voxels)} {of}"
  return pydicom.uid.UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, text).int}")


def _hash(text: str) -> str:
  return hashlib.sha256(text.encode()).hexdigest()[:16]


def _decimal(value: float) -> str:
  """A decimal string, 16 characters at most."""
  return f"{float(value) + 0.0:.10g}" if abs(value) >= 1e-4 or value == 0 else f"{float(value):.9f}"


def _is_own(path: Path) -> bool:
  """Whether this program wrote a file."""
  if of_bytes(head(path)) != DICOM:
    return False
  try:
    return str(headers.data_set(path).file_meta.get("ImplementationVersionName", "")) == _IMPLEMENTATION
  except UserError:
    return False
