"""What does a camera raw file show? Developed by LibRaw, alike for all files: exposures of a scene stay comparable.

The camera's own white balance; 16 bits of sRGB, colours and tone curve; black and white from the sensor's levels; no
brightening by what is in the image, which would make all exposures of a bracket alike. Needs the package rawpy. The
preview that lies in such a file is never taken: it is small, and developed by other rules.
"""

import io

import numpy as np

from dig2dig_jax.data.faults import CameraRaw, check_size

TOLD = "camera raw, developed with the camera's white balance to 16-bit sRGB, without brightening"
_WITHOUT = ", which is developed here with pip install dig2dig_jax[raw]"


def develop(data: bytes, maker: str) -> np.ndarray:
  """uint16 [H, W, 3], turned as the camera was held. maker: whose file it is, for messages. Raises DecodeError."""
  rawpy = _library(maker)
  try:
    with rawpy.imread(io.BytesIO(data)) as file:
      check_size(*_size(file), kind="camera raw")
      return file.postprocess(
        use_camera_wb=True, no_auto_bright=True, output_bps=16, output_color=rawpy.ColorSpace.sRGB,
        gamma=(2.4, 12.92), adjust_maximum_thr=0,  # white is the sensor's, not the brightest pixel's
      )  # fmt: skip
  except rawpy.LibRawError as error:
    reason = error.args[0] if error.args else ""
    text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
    raise CameraRaw(maker, f", which LibRaw cannot develop: {text.strip() or type(error).__name__}") from error


def size(data: bytes, maker: str) -> tuple[int, int]:
  """(height, width) that `develop` gives. Raises DecodeError, and what LibRaw raises."""
  with _library(maker).imread(io.BytesIO(data)) as file:
    return _size(file)


def _size(file) -> tuple[int, int]:
  found = file.sizes
  return (found.width, found.height) if found.flip in (5, 6) else (found.height, found.width)


def _library(maker: str):
  try:
    import rawpy
  except ImportError:
    raise CameraRaw(maker, _WITHOUT) from None
  return rawpy
