"""Which frames belong together? Of every visible frame the infrared one that is nearest in time.

Both clips begin together, or `offset` seconds apart. The result has the visible clip's frames and time stamps, from
where the infrared one begins to where it ends.
"""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple

from dig2dig_jax.video.clip import Clip, Frame

_BEYOND = Fraction(3, 2)  # infrared frames after its last one, up to which that one stands
_ALIKE = Fraction(1, 1000)  # by which rates may differ and count as one


class Together(NamedTuple):
  """frames: one of every clip, the infrared one first. apart: seconds between them."""

  frames: tuple[Frame, Frame]
  apart: Fraction


def together(infrared: Clip, visible: Clip, offset: Fraction = Fraction(0)) -> Iterator[Together]:
  """offset: seconds after the visible clip's first frame that the infrared one's was taken."""
  others = infrared.frames()
  now = next(others, None)
  if now is None:
    return
  following = next(others, None)
  reach = _BEYOND / infrared.rate
  for frame in visible.frames():
    time = frame.time - offset
    while following is not None and abs(following.time - time) <= abs(now.time - time):
      now, following = following, next(others, None)
    if following is None and time - now.time > reach:
      return
    if now.time - time > reach:  # the infrared clip has not begun
      continue
    yield Together((now, frame), abs(now.time - time))


def lines(clips: Mapping[str, Clip]) -> list[str]:
  """For the user: what was passed over, and how clips of different rates come together, the infrared one first."""
  names, (infrared, visible) = list(clips), list(clips.values())
  notes = [*infrared.notes, *visible.notes]
  if abs(infrared.rate / visible.rate - 1) <= _ALIKE:
    return notes
  rates = [f"{float(clip.rate):.4g}" for clip in (infrared, visible)]
  return [*notes, f"{names[0]}: {rates[0]} frames a second, {names[1]}: {rates[1]}; every frame of {names[1]} is fused "
                  f"with the frame of {names[0]} that is nearest in time"]  # fmt: skip
