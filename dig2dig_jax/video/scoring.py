"""How much does a fused clip flicker, of any program? Its frames beside those of its sources, by their time stamps."""

from fractions import Fraction

import cv2
import numpy as np

from dig2dig_jax.data.scaling import Range, to_pixels
from dig2dig_jax.errors import UserError
from dig2dig_jax.metrics import to_gray
from dig2dig_jax.metrics.flicker import Flicker, Flickers
from dig2dig_jax.video import pairing, preparing
from dig2dig_jax.video.clip import Clip


def flicker(infrared: Clip, visible: Clip, fused: Clip, offset: Fraction = Fraction(0)) -> Flickers:
  """Of the frames that `fused` has, in the order of `visible`. Sources are brought to its size, those of more than 8
  bits into the range of a sample of their frames. UserError for a fused clip without frames, or with more."""
  found = Flicker()
  own = iter(fused.frames())
  ranges = [_range(clip) for clip in (infrared, visible)]
  count = 0
  for pair in pairing.together(infrared, visible, offset):
    frame = next(own, None)
    if frame is None:
      break
    image = _gray(frame.read(), ())
    sources = [_gray(one.read(), known) for one, known in zip(pair.frames, ranges, strict=True)]
    found.add([_sized(source, image.shape) for source in sources], image)
    count += 1
  if not count or next(own, None) is not None:
    raise UserError(f"{fused.path}: expected the frames of {visible.path}, found {'more' if count else 'none'}; score "
                    "a clip fused from these two")  # fmt: skip
  return found.found()


def _range(clip: Clip) -> tuple[Range, ...]:
  found, _ = preparing.decided_ranges({"it": clip.sample(preparing.SAMPLE)}, {})
  return found["it"]


def _gray(samples: np.ndarray, ranges: tuple[Range, ...]) -> np.ndarray:
  pixels, _ = to_pixels(samples, ranges)
  return to_gray(np.clip(127.5 * (pixels + 1), 0, 255))


def _sized(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
  return image if image.shape == shape else cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA)
