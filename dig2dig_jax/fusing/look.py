"""Does a run fuse sources that lie apart, though nobody said how they lie? Its first pair is looked at, once.

That is done after the pairs are written, so that no image waits for it, and its program is stored like any other. It
decides no pixel, and whatever goes wrong in it costs a line.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np

from dig2dig_jax.alignment import hint
from dig2dig_jax.alignment.frames import Frames
from dig2dig_jax.data.pairs import Pair, in_one_frame
from dig2dig_jax.errors import one_line
from dig2dig_jax.fusing.config import FuseConfig
from dig2dig_jax.fusing.programs import Programs

_LOOKED_AT, _ALIGNED = 3, 2  # sources of a stack that are looked at, and of those doubted, the worst, that are aligned


class Look(NamedTuple):
  """pair: what was looked at. source: what lies apart from the reference, by so many pixels at its farthest corner;
  empty for nothing. fault: why nothing was found out."""

  pair: str
  source: str = ""
  reference: str = ""
  pixels: float = 0.0
  fault: str = ""


def look(pair: Pair, config: FuseConfig, say: Callable[[str], None] = lambda line: None) -> Look:
  """Looks at a pair that could be read. say: told of a compilation."""
  try:
    return _look(pair, config, say)
  except Exception as error:  # all is fused and written by now
    return Look(pair.name, fault=one_line(error))


def _look(pair: Pair, config: FuseConfig, say: Callable[[str], None]) -> Look:
  images, _ = in_one_frame(pair, pair.read())
  frames = config.frames if isinstance(config.frames, Frames) else Frames()
  reference = frames.frame_of(images)
  frame, others = images[reference], [source for source in images if source != reference]
  compare = _program(config, say)
  found = []
  for k in np.unique(np.linspace(0, len(others) - 1, min(len(others), _LOOKED_AT)).round().astype(int)).tolist():
    of_both = frame.pixels, images[others[k]].pixels, frame.valid, images[others[k]].valid
    if (doubted := hint.doubt(*of_both, compare=compare)) is not None:
      found.append((doubted, others[k], of_both))
  for doubted, source, of_both in sorted(found, key=lambda one: -one[0].preferred)[:_ALIGNED]:
    if (pixels := hint.apart(doubted, *of_both)) is not None:
      return Look(pair.name, source, reference, pixels)
  return Look(pair.name)


def _program(config: FuseConfig, say: Callable[[str], None]) -> hint.Compare:
  """`hint.compiled`, from disk where it is stored. Made at the first call: images that are too small need none."""

  def compare(*arguments):
    nonlocal program
    if program is None:
      shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, np.float32), arguments)
      program = Programs(config.program_cache, "look").get(
        "look", jax.local_devices()[:1], lambda: hint.compiled, shapes,
        compiling=lambda: say("compiling what looks whether sources lie apart (first time, about 5 s)"),
      )  # fmt: skip
    return program.compiled(*arguments)

  program = None
  return compare


def lines(found: Sequence[Look]) -> list[str]:
  """For the user: of the first pair that lies apart, or of the first that could not be looked at."""
  for one in found:
    if one.source:
      return [f"{one.source}: in pair {one.pair} lies up to {one.pixels:.0f} px from {one.reference} (at its corners); "
              "if the sources are not registered, --align=auto aligns them"]  # fmt: skip
  faults = [one for one in found if one.fault]
  return [f"{one.pair}: not looked at whether its sources lie apart ({one.fault})" for one in faults[:1]]
