"""Which size does an image get inside the network, and how is it brought there and back?

A network wants sides that are multiples of its total down-sampling, and one program is compiled per size. So sides are
rounded up to a bucket, the image is mirrored into the new margin at the bottom and right, and the result is cropped.
Layout [..., H, W, C]; a size is (height, width) in pixels.
"""

import numpy as np


def bucket_size(height: int, width: int, *, multiple: int) -> tuple[int, int]:
  """Smallest (height, width) not below the given one whose sides are multiples of `multiple`."""
  if height < 1 or width < 1 or multiple < 1:
    raise ValueError(f"expected positive height, width and multiple, found {height}, {width}, {multiple}")
  return -(-height // multiple) * multiple, -(-width // multiple) * multiple


def reflect_pad(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """[..., H, W, C] -> [..., *size, C], grown at the bottom and right by mirror images that do not repeat the edge.

  The mirror is applied as often as needed, so the margin may exceed the image: rows 0 1 2 continue 1 0 1 2 1 0 ...
  A side of one pixel is repeated.
  """
  (height, width), (new_height, new_width) = image.shape[-3:-1], size
  if new_height < height or new_width < width:
    raise ValueError(f"cannot pad {height}x{width} to the smaller {new_height}x{new_width}")
  if new_height != height:
    image = image[..., _mirrored(height, new_height), :, :]
  return image if new_width == width else image[..., _mirrored(width, new_width), :]


def crop(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """[..., H, W, C] -> [..., *size, C]: the top left corner, which undoes `reflect_pad`. Takes JAX arrays too."""
  (height, width), (new_height, new_width) = image.shape[-3:-1], size
  if new_height > height or new_width > width:
    raise ValueError(f"cannot crop {height}x{width} to the larger {new_height}x{new_width}")
  return image[..., :new_height, :new_width, :]


def _mirrored(length: int, new_length: int) -> np.ndarray:
  """Source index of each of `new_length` positions: a triangle wave of period 2 (length - 1)."""
  last = length - 1
  return last - np.abs(last - np.arange(new_length) % max(2 * last, 1))
