"""What are the messages for unreadable images, and how large may an image be?"""

import PIL.Image


class DecodeError(ValueError):
  """Bytes that are not an image which this package reads. One line: what was expected, what was found, what to do.
  Unprintable characters from a damaged file are replaced."""

  def __init__(self, message: str):
    super().__init__("".join(letter if letter.isprintable() else "?" for letter in message))


# No deflate stream holds more than 1032 times its own length, no JPEG more than about 512 times.
_LARGEST_RATIO = 1100
_HEADERS = 1 << 16  # bytes that a file may spend on other things than samples, before the ratio counts


def damaged(kind: str, reason: str) -> DecodeError:
  """`reason`: of a library or of ours; its first line is given."""
  reason = (reason.strip().splitlines() or [""])[0]
  return DecodeError(f"expected an intact {kind} file, found a damaged or truncated one ({reason}); "
                     "copy or export it again")


def several(count: int) -> DecodeError:
  return DecodeError(f"expected one image, found {count} pages or frames; save the one you want on its own")


class CameraRaw(DecodeError):
  """A camera raw file, whose embedded preview must not be used as the photograph. `maker`: of the camera."""

  def __init__(self, maker: str, why: str = ""):
    super().__init__(f"expected a developed image, found a camera raw file ({maker}{why}); develop it first, to 16-bit "
                     "TIFF or PNG")
    self.maker = maker


def needs(kind: str, extra: str) -> DecodeError:
  """Of a format that a package reads which is not installed. extra: of this package, that brings it."""
  return DecodeError(f"expected a supported image, found {kind}, which needs another package; "
                     f"pip install dig2dig_jax[{extra}], or convert it to PNG")


def most_pixels() -> int:
  """A larger image is refused before memory is allocated. Pillow's own bound, so that there is one setting."""
  return 2 * PIL.Image.MAX_IMAGE_PIXELS if PIL.Image.MAX_IMAGE_PIXELS else 1 << 40


class TooLarge(DecodeError):
  """An image of more pixels than `most_pixels`. found: how many."""

  def __init__(self, found: str):
    super().__init__(f"expected at most {most_pixels()} pixels, found {found}; crop it or reduce its size")


def check_size(height, width, *, kind: str, bits: int = 0, stored: int | None = None) -> None:
  """Refuses absurd sizes of a header. With `bits` per pixel and `stored` bytes, also more than these can hold."""
  if not _is_size(height) or not _is_size(width):
    raise damaged(kind, f"the header announces {height!r} x {width!r} pixels")
  if height * width > most_pixels():
    raise TooLarge(str(height * width))
  if stored is not None and height * width * bits // 8 > _LARGEST_RATIO * stored + _HEADERS:
    raise damaged(kind, f"the header announces {height} x {width} pixels, more than {stored} bytes can hold")


def is_size(height, width) -> bool:
  """Whether a header's size is one that an image can have."""
  return _is_size(height) and _is_size(width) and height * width <= most_pixels()


def _is_size(length) -> bool:
  return isinstance(length, int) and not isinstance(length, bool) and length > 0
