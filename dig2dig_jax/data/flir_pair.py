"""How does one radiometric JPEG become a pair? Its photograph, brought to the thermal image by what the file says.

The photograph sees `ratio` times as much across as the thermal camera, about a centre that is `right` and `down` of its
own by whole pixels of it: where its maker's programs put the thermal image into it. What the file says is right
for one distance; nearer things are off by the parallax of the two lenses, which alignment can mend.
"""

import io
import math
from pathlib import Path

import cv2
import numpy as np

from dig2dig_jax.data import decode, flir, images, kept
from dig2dig_jax.data.decoded import upright
from dig2dig_jax.errors import UserError, one_line

_SMOOTH = 16  # samples of the photograph per pixel of the thermal image and side, at most, that are averaged


def is_radiometric(path: Path) -> bool:
  """Whether a file is a radiometric JPEG, as far as it can be read."""
  try:
    with path.open("rb") as file:
      return file.read(3) == b"\xff\xd8\xff" and flir.block(file) is not None
  except (OSError, decode.DecodeError):
    return False


def photograph(path: Path) -> tuple[np.ndarray, kept.Kept, str]:
  """(uint8 [H, W, 4] in the frame of the file's thermal image, transparent where it does not reach; what of its
  description another image may bear; how it was brought there, a clause). UserError for a file without one."""
  description = images.read_decoded(path).kept  # says what is wrong with the file
  data = path.read_bytes()
  try:
    own = flir.block(io.BytesIO(data))
    found = flir.second(data, own) if own is not None else None
  except Exception as error:  # damaged bytes surface from the libraries as almost any type
    told = decode.DecodeError("expected a radiometric JPEG with an intact photograph, found a damaged one "
                              f"({one_line(error)}); copy it again")  # fmt: skip
    raise UserError(f"{path}: {told}") from error
  if found is None or found.photograph is None:
    raise UserError(f"{path}: expected a radiometric JPEG with a photograph in it, found none that is readable; give a "
                    "visible image too: dig2dig fuse THERMAL.jpg VISIBLE.jpg -o FUSED.png")
  placed = found.placed or flir.Placed(1.0, 0, 0)
  told = f"at the ratio {placed.ratio:.4g} and the offset ({placed.right}, {placed.down}) that the file states"
  if found.placed is None:
    told = "as if both saw the same field, for the file does not say; --align=auto looks"
  image = in_frame(found.photograph, placed, flir.size(own))
  return upright(image, found.orientation), description, told


def in_frame(photograph: np.ndarray, placed: flir.Placed, size: tuple[int, int]) -> np.ndarray:
  """uint8 [h, w, 3] -> uint8 [H, W, 4] of the thermal image's size (height, width), by the mean of what falls into
  each of its pixels; alpha is 0 where that reaches outside."""
  height, width = size
  step = photograph.shape[1] / placed.ratio / width  # pixels of the photograph per pixel of the thermal image
  centre = np.array([photograph.shape[1] / 2 + placed.right, photograph.shape[0] / 2 + placed.down])
  parts = min(_SMOOTH, max(1, math.ceil(step)))
  # Centre of a part, in pixels whose centres are whole numbers, of the photograph.
  scale = step / parts
  offset = centre - step * np.array([width, height]) / 2 + scale / 2 - 0.5
  matrix = np.array([[scale, 0, offset[0]], [0, scale, offset[1]]])
  opaque = np.full((*photograph.shape[:2], 1), 255, np.uint8)
  source = np.concatenate([photograph, opaque], axis=-1)
  fine = cv2.warpAffine(source, matrix, (width * parts, height * parts), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                        borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
  reach = [np.arange(length * parts) * scale + start for length, start in zip((width, height), offset, strict=True)]
  inside = [(-0.5 <= at) & (at <= end - 0.5) for at, end in zip(reach, photograph.shape[1::-1], strict=True)]
  fine[..., 3] = np.where(inside[1][:, None] & inside[0][None, :], 255, 0)
  found = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA) if parts > 1 else fine
  found[..., 3] = np.where(found[..., 3] == 255, 255, 0)
  return found
