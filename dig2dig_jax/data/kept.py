"""What does a fused image keep of what its colour source says of itself? When, where and with what it was taken.

EXIF as far as it is true of another image too: no orientation, for pixels stand upright; no size, no thumbnail, no
notes in a maker's own format, which do not bear being moved. And that colours had a profile, which is sRGB's by then.
"""

import io
from typing import Any, NamedTuple

import PIL.Image

# Description, make, model, resolution and its unit, software, date, artist, copyright.
_TOLD = (270, 271, 272, 282, 283, 296, 305, 306, 315, 33432)
_PHOTOGRAPH, _PLACE = 0x8769, 0x8825  # where EXIF keeps what is of the exposure, and of the place
_OF_THE_FILE = (0x927C, 0xA002, 0xA003, 0xA005)  # maker's notes, width, height, interoperability
_LONGEST = 1 << 16  # bytes
_HEAD = b"Exif\0\0"


class Kept(NamedTuple):
  """exif: as a PNG's eXIf chunk holds it, empty for none. profile: whether the file had an ICC profile."""

  exif: bytes = b""
  profile: bool = False


NOTHING = Kept()


def of(exif: Any, profile: object) -> Kept:
  """exif: of Pillow's kind, or bytes, or None. What cannot be read of it is not kept, and no fault of the image."""
  try:
    if isinstance(exif, bytes):
      found = PIL.Image.Exif()
      found.load(exif)
      exif = found
    return Kept(_normal(exif) if exif else b"", isinstance(profile, bytes))
  except Exception:  # damaged entries surface as almost any type
    return Kept(b"", isinstance(profile, bytes))


def of_tiff(data: bytes, profile: object) -> Kept:
  """The same of a TIFF file, whose tags are its EXIF."""
  try:
    with PIL.Image.open(io.BytesIO(data), formats=["TIFF"]) as image:
      return of(image.getexif(), profile)
  except Exception:  # a kind of TIFF that is not Pillow's
    return of(None, profile)


def _normal(exif: PIL.Image.Exif) -> bytes:
  new = PIL.Image.Exif()
  for tag in _TOLD:
    if tag in exif:
      new[tag] = exif[tag]
  for place in (_PHOTOGRAPH, _PLACE):
    if found := {tag: value for tag, value in exif.get_ifd(place).items() if tag not in _OF_THE_FILE}:
      new.get_ifd(place).update(found)
  if not len(new) and not any(new.get_ifd(place) for place in (_PHOTOGRAPH, _PLACE)):
    return b""
  found = new.tobytes().removeprefix(_HEAD)
  return found if len(found) <= _LONGEST else b""
