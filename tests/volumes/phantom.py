"""Synthetic volumes, written without this package: a bright ball at a known position, as DICOM series and NIfTI files.

`python tests/volumes/phantom.py FOLDER` writes FOLDER/ct and FOLDER/pet, a torso with a lesion in one lung.
"""

import argparse
import pathlib
import uuid

import numpy as np

BALL, RADIUS = np.array([12.0, -20.0, 35.0]), 9.0  # mm, LPS
FRAME = "2.25.1001"


def uid(*of):
  return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, ' '.join(map(str, of))).int}"


def affine(size, spacing, *, centre=(10.0, -15.0, 30.0), turned=0.0, tilted=0.0):
  """[4, 4], voxel (x, y, z) -> mm (LPS), of a grid around `centre`, turned by degrees about z and then about x."""
  c, s = np.cos(np.radians(turned)), np.sin(np.radians(turned))
  about_z = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
  c, s = np.cos(np.radians(tilted)), np.sin(np.radians(tilted))
  axes = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ about_z * spacing
  found = np.eye(4)
  found[:3, :3], found[:3, 3] = axes, np.array(centre) - axes @ ((np.array(size) - 1) / 2)
  return found


def places(size, matrix):
  """[Z, Y, X, 3] mm of every voxel."""
  z, y, x = np.meshgrid(*(np.arange(n) for n in size[::-1]), indexing="ij")
  return np.stack([x, y, z], -1) @ matrix[:3, :3].T + matrix[:3, 3]


def ball(size, matrix, *, outside, inside, radius=RADIUS):
  """[Z, Y, X]: a ball with a soft edge, and a larger, fainter one around it."""
  distance = np.linalg.norm(places(size, matrix) - BALL, axis=-1)
  edge = 0.5 * np.linalg.norm(matrix[:3, :3], axis=0).max()
  soft = 1 / (1 + np.exp((distance - radius) / edge * 2))
  wide = 1 / (1 + np.exp((np.linalg.norm(places(size, matrix) - np.array([10.0, -15.0, 30.0]), axis=-1) - 38) / edge))
  return outside + (inside - outside) * (0.6 * soft + 0.4 * wide)


def centre_of(voxels, matrix, share=0.8):
  """mm (LPS) of the centre of what is brighter than a share of the span."""
  values = np.asarray(voxels, float)
  bright = values > values.min() + share * (values.max() - values.min())
  z, y, x = np.nonzero(bright)
  return matrix[:3, :3] @ np.array([x.mean(), y.mean(), z.mean()]) + matrix[:3, 3]


def write_series(folder, stored, matrix, *, modality="CT", series=1, slope=1.0, intercept=-1024.0, names=None, **tags):
  """One DICOM file per slice of uint16 [Z, Y, X]. names: of the files, by slice; tags: further ones, None for none of
  it; a function of the slice's number gives each slice its own."""
  import pydicom
  from pydicom.uid import ExplicitVRLittleEndian

  folder.mkdir(parents=True, exist_ok=True)
  spacing = np.linalg.norm(matrix[:3, :3], axis=0)
  axes = matrix[:3, :3] / spacing
  for k, pixels in enumerate(stored):
    found = pydicom.Dataset()
    found.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    found.SOPInstanceUID = uid(folder.name, series, k)
    found.StudyInstanceUID, found.SeriesInstanceUID = uid("study"), uid(folder.name, series)
    found.FrameOfReferenceUID, found.PatientID, found.PatientName = FRAME, "P1", "Phantom^Ball"
    found.Modality, found.SeriesNumber, found.InstanceNumber = modality, series, len(stored) - k
    found.ImageOrientationPatient = [f"{x:.9f}" for x in axes[:, :2].T.ravel()]
    found.ImagePositionPatient = [f"{x:.6f}" for x in matrix[:3, 3] + k * matrix[:3, 2]]
    found.PixelSpacing = [f"{spacing[1]:.6f}", f"{spacing[0]:.6f}"]
    found.SliceThickness = f"{spacing[2]:.6f}"
    found.Rows, found.Columns = pixels.shape[:2]
    found.SamplesPerPixel, found.PhotometricInterpretation = 1, "MONOCHROME2"
    found.BitsAllocated = found.BitsStored = 16
    found.HighBit, found.PixelRepresentation = 15, 0
    found.RescaleSlope, found.RescaleIntercept = f"{slope:.8g}", f"{intercept:.8g}"
    found.PixelData = pixels.astype("<u2").tobytes()
    for name, value in tags.items():
      value = value(k) if callable(value) else value
      if value is not None:
        setattr(found, name, value)
      elif name in found:
        delattr(found, name)
    found.file_meta = pydicom.dataset.FileMetaDataset()
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found.save_as(folder / (names[k] if names else f"{k:03d}"), enforce_file_format=True)
  return folder


CT_SIZE, PET_SIZE = (64, 56, 12), (20, 18, 16)


def write_ct(folder, **options):
  """HU, 1.5 x 1.5 x 5 mm, file names in no order; window 50 +- 200. Returns its affine."""
  matrix = affine(CT_SIZE, (1.5, 1.5, 5.0))
  hu = ball(CT_SIZE, matrix, outside=-900, inside=200)
  options = {"WindowCenter": "50", "WindowWidth": "400", **options}
  write_series(folder, np.rint(hu + 1024), matrix, **options)
  return matrix


def write_pet(folder, *, turned=0.0, centre=(10.0, -15.0, 30.0), **options):
  """Bq/ml, 5 x 5 x 4 mm. Returns its affine."""
  matrix = affine(PET_SIZE, (5.0, 5.0, 4.0), turned=turned, centre=centre)
  activity = ball(PET_SIZE, matrix, outside=0, inside=8000)
  options = {"modality": "PT", "slope": 0.5, "intercept": 0.0, "Units": "BQML", **options}
  write_series(folder, np.rint(2 * activity), matrix, **options)
  return matrix


def write_nifti(path, voxels, matrix, *, codes=(1, 1), slope=None, **fields):
  """Of voxels [Z, Y, X] and an affine in LPS."""
  import nibabel

  image = nibabel.Nifti1Image(np.ascontiguousarray(voxels.T), np.diag([-1, -1, 1, 1]) @ matrix)
  image.set_sform(np.diag([-1, -1, 1, 1]) @ matrix, codes[0])
  image.set_qform(np.diag([-1, -1, 1, 1]) @ matrix, codes[1])
  image.header.set_xyzt_units("mm")
  if slope is not None:
    image.header.set_slope_inter(*slope)
  for name, value in fields.items():
    image.header[name] = value
  path.parent.mkdir(parents=True, exist_ok=True)
  nibabel.save(image, path)
  return path


def torso(size, matrix, values):
  """[Z, Y, X] of {ellipsoid: value}, later ones over earlier ones, an ellipsoid being (centre, half axes) in mm."""
  found = np.zeros(size[::-1]) + values.pop("air")
  where = places(size, matrix)
  for (centre, half), value in values.items():
    inside = (np.square((where - np.array(centre)) / np.array(half))).sum(-1) < 1
    found[inside] = value
  return found


BODY, FAT = ((0, 0, 0), (165, 115, 400)), ((0, 0, 0), (180, 130, 400))
LUNGS = [((side * 80, -8, 0), (58, 85, 130)) for side in (-1, 1)]
HEART, SPINE, CORD = ((22, -45, 0), (45, 40, 60)), ((0, 75, 0), (24, 20, 400)), ((0, 88, 0), (8, 7, 400))
RIBS = [((side * 152 * np.cos(a), 106 * np.sin(a), 0), (9, 6, 400))
        for side in (-1, 1) for a in np.linspace(-0.8, 0.9, 5)]  # fmt: skip
LESION = ((85, 20, 5), (9, 9, 9))
VESSELS = [((side * (45 + 22 * k), 15 - 30 * k % 55, 0), (3, 3, 60)) for side in (-1, 1) for k in range(3)]


def write_torso(root):
  """A CT of 1.5 x 1.5 x 5 mm in HU and a PET of 4 x 4 x 4 mm with a point spread of 6 mm, both noisy."""
  from scipy import ndimage

  random = np.random.default_rng(0)
  size = (256, 200, 20)
  matrix = affine(size, (1.5, 1.5, 5.0), centre=(0, 0, 0))
  values = {"air": -1000, FAT: -100, BODY: 40} | dict.fromkeys(LUNGS, -820) | {HEART: 50} | dict.fromkeys(VESSELS, 45)
  hu = torso(size, matrix, values | {SPINE: 380, CORD: 30, LESION: 30} | dict.fromkeys(RIBS, 450))
  hu = ndimage.gaussian_filter(hu, (0, 0.5, 0.5)) + random.normal(0, 4, hu.shape)
  write_series(root / "ct", np.clip(np.rint(hu + 1024), 0, None), matrix, WindowCenter="-150", WindowWidth="1300",
               SeriesDescription="made torso")  # fmt: skip
  size = (110, 90, 27)
  matrix = affine(size, (4.0, 4.0, 4.0), centre=(3, -2, 0))
  values = {"air": 0, FAT: 0.4, BODY: 1} | dict.fromkeys(LUNGS, 0.5) | {HEART: 3.5, SPINE: 1.8, LESION: 9}
  suv = ndimage.gaussian_filter(torso(size, matrix, values), 0.65) * random.normal(1, 0.04, size[::-1])
  write_series(root / "pet", np.clip(np.rint(suv * 2000), 0, None), matrix, modality="PT", intercept=0.0, slope=0.0005,
               Units="GML", SeriesDescription="made torso")  # fmt: skip


if __name__ == "__main__":
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("folder", type=pathlib.Path, metavar="FOLDER")
  write_torso(parser.parse_args().folder)
