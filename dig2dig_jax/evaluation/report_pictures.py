"""Which pictures does a page hold, and how small must they be? Data URIs within a budget of bytes.

A report is one file, so that it can be mailed and opened years later: pictures stand in it as WebP in base64, and the
budget keeps it from growing with the data. Most goes to thumbnails of all pairs (as many as fit, evenly spaced), the
rest to close-ups of a few, without loss where that fits: zooming into compression artifacts would mislead.
"""

import base64
from collections.abc import Mapping
from typing import NamedTuple

import cv2
import numpy as np

CLOSE_UPS = 12  # pairs, at most
SHARE = 0.6  # of the budget, for thumbnails
_THUMBNAILS = ((200, 82), (160, 78), (120, 72), (90, 66), (64, 60), (48, 40))  # height in pixels, quality
_WIDEST = 6  # of a thumbnail, in heights
_SMALLEST = 2000  # bytes of base64 that the last of them needs, generously
_LOSSLESS = 101  # WebP's quality above 100
_CLOSE_UPS = ((None, _LOSSLESS), (None, 95), (None, 85), (1280, 85), (960, 80))  # longest side, quality


class Pictures(NamedTuple):
  """Data URIs of one pair, in the order of the images given; close_ups is empty for most pairs. exact: without loss.
  focus: (x, y) in 0..1 where the methods differ most."""

  thumbnails: list[str]
  close_ups: list[str]
  exact: bool
  focus: tuple[float, float]


class Album:
  """Decides for pair after pair: add(images) -> Pictures, None where the budget has no room for the pair."""

  def __init__(self, *, pairs: int, images: int, budget: int):
    """pairs, images: how many there will be, and per pair. budget: bytes of all data URIs together."""
    room = max(1, int(SHARE * budget // (images * _SMALLEST)))
    self._shown = _spaced(pairs, min(pairs, room))
    self._close = set(sorted(self._shown)[i] for i in _spaced(len(self._shown), min(CLOSE_UPS, len(self._shown))))
    self._per_pair = SHARE * budget / len(self._shown)
    self._per_close_up = (1 - SHARE) * budget / len(self._close)
    self._count = 0

  def add(self, images: Mapping[str, np.ndarray], methods: list[str]) -> Pictures | None:
    """images: {label: uint8 [H, W, 1 or 3]}, one size. methods: the labels whose difference decides the focus."""
    number, self._count = self._count, self._count + 1
    if number not in self._shown:
      return None
    thumbnails = _fit(images, _THUMBNAILS, self._per_pair, _by_height)
    if thumbnails is None:  # an unusual picture: the pair goes without rather than the page over its budget
      return None
    close_ups = _fit(images, _CLOSE_UPS, self._per_close_up, _by_side) if number in self._close else None
    uris, step = close_ups or ([], None)
    return Pictures(thumbnails[0], uris, step == _CLOSE_UPS[0], focus([images[name] for name in methods]))


def focus(images: list[np.ndarray]) -> tuple[float, float]:
  """Centre (x, y), 0..1, of the window of an eighth of the image in which the images' detail deviates most."""
  grays = [image.astype(np.float32).mean(axis=-1) for image in images]
  # Brightness apart: methods differ most in the sky, where there is nothing to see.
  detail = [gray - cv2.GaussianBlur(gray, (0, 0), 3) for gray in grays]
  spread = np.std(detail, axis=0).astype(np.float32)
  height, width = spread.shape
  smooth = cv2.blur(spread, (max(1, width // 8), max(1, height // 8)), borderType=cv2.BORDER_CONSTANT)
  row, column = np.unravel_index(np.argmax(smooth), smooth.shape)
  return (float(column) + 0.5) / width, (float(row) + 0.5) / height


def data_uri(image: np.ndarray, quality: int) -> str:
  """uint8 [H, W, 1 or 3] RGB as a WebP data URI; quality above 100 is without loss."""
  pixels = image[..., ::-1] if image.shape[-1] == 3 else np.repeat(image, 3, axis=-1)
  ok, encoded = cv2.imencode(".webp", np.ascontiguousarray(pixels), [cv2.IMWRITE_WEBP_QUALITY, quality])
  if not ok:
    raise ValueError(f"expected an image that WebP can hold, found {image.shape}")
  return "data:image/webp;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")


def _fit(images: Mapping[str, np.ndarray], ladder, limit: float, shrink):
  """(URIs, step of the ladder) of the first step whose URIs fit into `limit` bytes; None when none does."""
  for size, quality in ladder:
    uris = [data_uri(shrink(image, size), quality) for image in images.values()]
    if sum(map(len, uris)) <= limit:
      return uris, (size, quality)
  return None


def _by_height(image: np.ndarray, height: int) -> np.ndarray:
  # A strip of few rows has no height to lose, and WebP no room for its width.
  return _resized(image, min(1.0, height / image.shape[0], _WIDEST * height / image.shape[1]))


def _by_side(image: np.ndarray, side: int | None) -> np.ndarray:
  # WebP holds sides below 16384 pixels.
  return _resized(image, min(1.0, (side or 16383) / max(image.shape[:2])))


def _resized(image: np.ndarray, scale: float) -> np.ndarray:
  if scale == 1:
    return image
  height, width = (max(1, round(length * scale)) for length in image.shape[:2])
  resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
  return resized.reshape(height, width, image.shape[-1])


def _spaced(count: int, kept: int) -> set[int]:
  return set(np.linspace(0, count - 1, kept).round().astype(int).tolist())
