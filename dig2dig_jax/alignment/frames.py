"""In which frame does a pair lie, and how does a source of another size come there where nothing aligns it?

Where two aspects agree both images show the same field of view, and the smaller one is enlarged to the other's pixels:
edges meet edges, each axis has a scale of its own, which differs from the other's by a rounding. Where they do not
agree the fields of view differ, or one image was squeezed, and nobody but the user can say which.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from dig2dig_jax.alignment.warp import CLOSED
from dig2dig_jax.data.images import Image
from dig2dig_jax.errors import UserError

HOW = ("aspect", "stretch", "off")
WAYS = ("--align=similarity finds where it lies, --transforms= says it (docs/alignment.md), and --resize=stretch takes "
        "it for the whole frame, squeezed")  # fmt: skip
_ROUNDED, _OFF, _SHARE = 0.5, 2.0, 0.01  # pixels of the smaller image; more than a rounding up to 1 % of its side

Size = tuple[int, int]
# (source, pixels [h, w, 3], size) -> the same image in so many pixels, [*size, 3], where that is better than bicubic.
Enlarge = Callable[[str, np.ndarray, Size], np.ndarray | None]


class Frames(NamedTuple):
  """how: `aspect`; `stretch`, whatever the aspect; or `off`, sizes stay as they are. reference: name of the source
  whose frame it is; empty for the largest, among equals the first that is not `last`. ways: what the user can do about
  another field of view."""

  how: str = "aspect"
  reference: str = ""
  last: str = ""
  ways: str = WAYS

  def decisive(self) -> dict[str, Any]:
    """What decides pixels but the images, JSON-able; nothing as long as nobody asked for another way."""
    reference = {"reference": self.reference} if self.reference else {}
    return {**({} if self.how == "aspect" else {"resize": self.how}), **reference}

  def __call__(
    self, images: Mapping[str, Image], files: Mapping[str, Path], enlarge: Enlarge | None = None
  ) -> tuple[dict[str, Image], dict[str, dict[str, Any]]]:
    """(the images in one frame, what was done to each that had another size, JSON-able). UserError, naming the file,
    for one of another aspect."""
    reference = self.frame_of(images)
    found, told = dict(images), {}
    size = images[reference].pixels.shape[:2]
    for source, image in images.items():
      if self.how == "off" or image.pixels.shape[:2] == size:
        continue
      if self.how == "aspect" and not agree(image.pixels.shape[:2], size):
        own, wanted = (f"{height}x{width}" for height, width in (image.pixels.shape[:2], size))
        raise UserError(f"{files[source]}: expected the aspect of {files[reference]}, {wanted} (height x width), "
                        f"found {own}: their fields of view differ; {self.ways}")
      found[source], told[source] = resized(source, image, size, enlarge)
      told[source]["reference"] = reference
    return found, told

  def frame_of(self, images: Mapping[str, Image]) -> str:
    """The source that the others are brought to. UserError where it is not among them."""
    return reference_of(images, self.reference, self.last)


def reference_of(images: Mapping[str, Image], wanted: str, last: str) -> str:
  """The source that the others are brought to: the one that is `wanted`, else the largest, among equals the first that
  is not `last`. UserError for one that is not there."""
  if wanted:
    if wanted not in images:
      raise UserError(f"{wanted}: expected the reference among the sources {', '.join(images)}; see --reference")
    return wanted
  return max(images, key=lambda source: (images[source].pixels[..., 0].size, source != last))


def agree(one: Size, other: Size) -> bool:
  """Whether two (height, width) have one aspect, but for rounding and for a few lines at a sensor's edge."""
  smaller, larger = sorted((one, other), key=lambda size: size[0] * size[1])
  scale = np.sqrt(larger[0] / smaller[0] * larger[1] / smaller[1])
  off = max(abs(side - whole / scale) for side, whole in zip(smaller, larger, strict=True))
  return bool(off <= max(_ROUNDED, min(_OFF, _SHARE * min(smaller))))


def resized(source: str, image: Image, size: Size, enlarge: Enlarge | None = None) -> tuple[Image, dict[str, Any]]:
  """(an image that shows the whole frame in `size` pixels, what was done): enlarged by `enlarge` where that has an
  answer, else bicubically; reduced by means over areas."""
  height, width = image.pixels.shape[:2]
  told = {"resized": [round(size[0] / height, 4), round(size[1] / width, 4)], "from": [height, width]}
  pixels = None
  if enlarge is not None and image.valid is None:
    pixels = enlarge(source, image.pixels, size)
  if pixels is not None:
    return image._replace(pixels=pixels), {**told, "restored": True}
  fewer = min(height, size[0]), min(width, size[1])
  pixels = cv2.resize(image.pixels, fewer[::-1], interpolation=cv2.INTER_AREA)
  pixels = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_CUBIC)
  pixels = np.clip(pixels, image.pixels.min(), image.pixels.max())
  valid = image.valid
  if valid is not None:
    valid = cv2.resize(valid.astype(np.float32), fewer[::-1], interpolation=cv2.INTER_AREA)
    valid = cv2.resize(valid, size[::-1], interpolation=cv2.INTER_LINEAR) > CLOSED
  return image._replace(pixels=pixels, valid=valid), told


def lines(
  told: Sequence[tuple[str, Mapping[str, Mapping[str, Any]]]], *, way_out: str = "--restore=noise"
) -> list[str]:
  """For the user, of (name of a pair, what `Frames` says of it): a line per source and way."""
  found = []
  for source in dict.fromkeys(source for _, one in told for source in one):
    mine = [one[source] for _, one in told if "resized" in one.get(source, ())]
    for restored in (True, False):
      some = [one for one in mine if one.get("restored", False) == restored]
      if not some:
        continue
      scales = [np.sqrt(np.prod(one["resized"])) for one in some]
      words = "restored with the prior" if restored else "resampled bicubically"
      less = f"; {way_out} resamples it bicubically" if restored else ""
      pairs = f"{len(some)} of {len(told)} pair{'' if len(told) == 1 else 's'}"
      asked = all("used" in one for one in some)  # and refused
      hint = "" if asked else "; if their fields of view differ, --align=auto aligns them"
      found.append(f"{source}: brought to the size of {some[0]['reference']} in {pairs}, {_span(scales)} times its "
                   f"pixels a side, {words}{less}{hint}")
  return found


def _span(values: Sequence[float]) -> str:
  low, high = (f"{value:.3g}" for value in (min(values), max(values)))
  return low if low == high else f"{low} to {high}"
