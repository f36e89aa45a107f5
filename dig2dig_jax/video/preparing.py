"""How does a frame become what a method fuses? By what a sample of frames has decided for the whole sequence.

Asked of every frame by itself, ranges, noise, valid areas and what has colour would change from frame to frame, and the
picture would flicker with them.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.alignment import stored, warp
from dig2dig_jax.data import filling, ranges, validity
from dig2dig_jax.data.ranges import Setting
from dig2dig_jax.data.scaling import Range, extremes, to_pixels
from dig2dig_jax.errors import UserError
from dig2dig_jax.restoration import blind, noise_level, stripes
from dig2dig_jax.video.clip import Clip

SAMPLE = 9  # frames of each clip
_ASPECT = 0.01  # by which the sides' ratios of two clips may differ and count as one



class Placing(NamedTuple):
  """How a source comes to the size of the result. matrix: pixels of the result -> pixels of the source, where it is
  known; None for a scaling. valid: bool [H, W], where it shows anything; None for everywhere."""

  size: tuple[int, int]
  matrix: np.ndarray | None = None
  valid: np.ndarray | None = None

  def __call__(self, pixels: np.ndarray) -> np.ndarray:
    """Pixels [h, w, C] in [-1, 1] at the result's size."""
    if self.matrix is None and pixels.shape[:2] == self.size:
      return pixels
    if self.matrix is None:
      found = cv2.resize(pixels, self.size[::-1], interpolation=cv2.INTER_CUBIC)
    else:
      way = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
      found = cv2.warpPerspective(pixels, self.matrix, self.size[::-1], flags=way, borderMode=cv2.BORDER_REPLICATE)
    return np.clip(found, -1, 1).reshape(*self.size, pixels.shape[-1])


class Source(NamedTuple):
  """What was decided of one clip. ranges: of `data.ranges`. stripes: [H, W, 1] that a detector adds to its columns and
  rows, None for nothing. noise: fields are numbers. valid: bool [H, W], where it holds a scene; None for everywhere."""

  name: str
  ranges: tuple[Range, ...]
  placing: Placing
  gray: bool
  noise: noise_level.Noise
  stripes: np.ndarray | None = None
  valid: np.ndarray | None = None

  def frame(self, samples: np.ndarray) -> np.ndarray:
    """[H, W, 1 or 3]: uint8 whose ends are black and white, or float32 in [-1, 1]."""
    as_it_is = samples.dtype == np.uint8 and self.placing.matrix is None and samples.shape[:2] == self.placing.size
    whole = all(tuple(one[:2]) == extremes("uint8") for one in self.ranges if one.kind in ("", "uint8"))
    if as_it_is and whole and self.stripes is None:
      return samples
    return self.pixels(samples)[..., : 1 if self.gray else 3]

  def pixels(self, samples: np.ndarray) -> np.ndarray:
    """[H, W, 3] in [-1, 1]."""
    try:
      found, _ = to_pixels(samples, self.ranges)
    except ValueError as error:
      raise UserError(f"{self.name}: {error}") from None
    found = self.placing(found)
    if found.shape[-1] == 3 and self.gray:
      found = found.mean(axis=-1, keepdims=True, dtype=np.float32)
    if self.stripes is not None:
      found = np.clip(found - self.stripes, -1, 1)
    return np.repeat(found, 3 // found.shape[-1], axis=-1)


class Prepared(NamedTuple):
  """What was decided of all clips. size: (height, width) of the result. lines: that, for the user."""

  sources: tuple[Source, ...]
  size: tuple[int, int]
  lines: list[str]

  @property
  def is_colour(self) -> bool:
    """Whether any source is in colour."""
    return not all(source.gray for source in self.sources)

  def frames(self, samples: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Of one frame of every clip what `video.program` takes: the same, in as few bytes as may be."""
    if any(source.valid is not None for source in self.sources):
      return tuple(self.images(samples))
    return tuple(source.frame(own) for source, own in zip(self.sources, samples, strict=True))

  def images(self, samples: Sequence[np.ndarray]) -> np.ndarray:
    """[K, H, W, 3] float32 in [-1, 1] of one frame of every clip."""
    pixels = [source.pixels(own) for source, own in zip(self.sources, samples, strict=True)]
    return filling.fill(np.stack(pixels), [source.valid for source in self.sources])


def prepared(
  clips: Mapping[str, Clip],
  *,
  settings: Mapping[str, Setting],
  transforms: stored.Transforms | None = None,
  valid: str = "auto",
  restore: bool = True,
) -> Prepared:
  """Looks at `SAMPLE` frames of every clip.

  Args:
    clips: by the sources' names, in the method's order.
    settings: of their ranges, see `data.ranges`.
    transforms: how the clips lie on each other; None where they do, but for their sizes.
    valid: a word of `data.validity`.
    restore: whether noise and stripes are looked for.

  UserError where the clips cannot be brought to one size.
  """
  size, placings, lines = _placings(clips, transforms)
  looked_at = {name: clip.sample(SAMPLE) for name, clip in clips.items()}
  if empty := [name for name, frames in looked_at.items() if not frames]:
    raise UserError(f"{clips[empty[0]].path}: expected frames that can be decoded, found none; copy or export it again")
  found, told = decided_ranges(looked_at, settings)
  lines += told
  sources = []
  for name, frames in looked_at.items():
    gray = all(not np.any(frame != frame[..., :1]) for frame in frames)
    source = Source(name, found[name], placings[name], gray, noise_level.Noise(*3 * [jnp.zeros(())]))
    area = _valid(frames, valid, placings[name])
    if area is not None:
      lines.append(f"{name}: transparent or of one value outside a part of the frame ({100 * (1 - area.mean()):.0f} % "
                   "of it), in all frames that were inspected; only the other source is used there; --valid=off counts "
                   "it as content")  # fmt: skip
    source = source._replace(valid=area)
    if restore:
      source, told = _with_noise(source, frames)
      lines += told
    sources.append(source)
  return Prepared(tuple(sources), size, lines)


def _placings(clips: Mapping[str, Clip], transforms: stored.Transforms | None):
  """(size of the result, {source: its Placing}, lines)."""
  sizes = {name: clip.size for name, clip in clips.items()}
  if transforms is not None:
    return _known(clips, transforms)
  size = max(sizes.values(), key=lambda one: one[0] * one[1])
  lines = []
  for name, (height, width) in sizes.items():
    if (height, width) == size:
      continue
    if abs(width / height / (size[1] / size[0]) - 1) > _ASPECT:
      raise UserError(f"{clips[name].path}: expected frames of the same aspect as {size[1]}x{size[0]}, found "
                      f"{width}x{height}; dig2dig align a frame of each, then add --transforms=FOLDER/transforms.json")
    lines.append(f"{name}: {width} x {height} brought to {size[1]} x {size[0]}, assuming equal fields of view; "
                 "if they differ, align a frame of each with dig2dig align and give --transforms")  # fmt: skip
  return size, {name: Placing(size) for name in clips}, lines


def _known(clips: Mapping[str, Clip], transforms: stored.Transforms):
  if transforms.reference not in clips:
    raise UserError(f"--transforms: expected the reference {transforms.reference} among {', '.join(clips)}; write it "
                    "again with dig2dig align, --sources names them")  # fmt: skip
  size = transforms.size
  placings, lines = {}, []
  for name, clip in clips.items():
    expected = size
    if name != transforms.reference:
      if name not in transforms.sources:
        raise UserError(f"--transforms: expected a transform of {name}, found those of "
                        f"{', '.join(transforms.sources)}; write it again with dig2dig align")  # fmt: skip
      expected = transforms.sources[name].size
    if clip.size != expected:
      raise UserError(f"{clip.path}: expected frames of {expected[0]}x{expected[1]} (height x width) as in "
                      f"--transforms, found {clip.size[0]}x{clip.size[1]}; use transforms for such frames")  # fmt: skip
    if name == transforms.reference:
      placings[name] = Placing(size)
      continue
    if transforms.sources[name].flow is not None:
      raise UserError(f"--transforms: expected a transform that suits every frame, found a displacement of {name}, "
                      "which suits the distances of one scene; write it again with dig2dig align --align=auto")
    matrix = transforms.sources[name].matrix
    _, area = warp.onto(np.zeros((*clip.size, 1), np.uint8), matrix, size)
    if area is not None and not area.any():
      raise UserError(f"{clip.path}: expected to overlap {transforms.reference}, found no overlap; check "
                      "--transforms")  # fmt: skip
    placings[name] = Placing(size, matrix, area)
    lines.append(f"{name}: aligned with {transforms.reference} by --transforms in all frames")
  return size, placings, lines


def decided_ranges(looked_at: Mapping[str, list[np.ndarray]], settings: Mapping[str, Setting]):
  """({source: ranges}, lines) of samples of every source's frames. settings: see `data.ranges`."""
  found, _ = ranges.of_arrays({name: np.concatenate(frames) for name, frames in looked_at.items()}, settings)
  lines = []
  for name, own in found.items():
    how = "as given" if isinstance(settings.get(name), Range) else f"found in {len(looked_at[name])} frames"
    for one in own:
      if not one.kind or tuple(one[:2]) != extremes(one.kind):
        lines.append(f"range of {name}: {one.low:g} to {one.high:g} in all frames, {how}; --range sets another")
  return found, lines


def _valid(frames: Sequence[np.ndarray], how: str, placing: Placing) -> np.ndarray | None:
  """Where the source holds a scene in any frame, in the result's frame: an area that is empty in some frames only is
  content."""
  areas = [area for frame in frames if (area := validity.find(frame, None, how=how)) is not None and area.any()]
  found = placing.valid
  if len(areas) == len(frames):
    own = placing(2 * np.logical_or.reduce(areas).astype(np.float32)[..., None] - 1)[..., 0] > 0
    found = own if found is None else found & own
  return found


def _with_noise(source: Source, frames: Sequence[np.ndarray]) -> tuple[Source, list[str]]:
  """The source with the noise and the stripes of its frames, and a line for each that there is."""
  planes = [source.pixels(frame)[..., 1] for frame in frames]
  estimate = jax.jit(noise_level.estimate)
  each = [jax.device_get(estimate(plane)) for plane in planes]
  noise = sorted(each, key=lambda one: float(one.deviation))[len(each) // 2]
  lines: list[str] = []
  offsets = None
  if source.gray:  # a thermal detector's
    offsets = _stripes(planes, [np.asarray(one.deviation) for one in each])
  if offsets is not None:
    lines.append(f"{source.name}: stripes of standard deviation {127.5 * offsets.std():.1f} of 255, taken off all "
                 "frames alike; --restore=off keeps them")  # fmt: skip
  if noise.deviation > blind.FROM:
    lines.append(f"{source.name}: noise of standard deviation {127.5 * float(noise.deviation):.1f} of 255, removed "
                 "from all frames alike; --restore=off keeps it")  # fmt: skip
  return source._replace(noise=noise, stripes=offsets), lines


def _stripes(planes: Sequence[np.ndarray], deviations: Sequence[np.ndarray]) -> np.ndarray | None:
  """[H, W, 1]: the medians over frames, since a detector's stripes stay where a scene moves."""
  find = jax.jit(stripes.find)
  columns = np.median([np.asarray(find(plane, deviation))
                       for plane, deviation in zip(planes, deviations, strict=True)], axis=0)
  rows = np.median([np.asarray(find((plane - columns).T, deviation)).T
                    for plane, deviation in zip(planes, deviations, strict=True)], axis=0)  # fmt: skip
  found = (columns + rows)[..., None].astype(np.float32)
  return found if np.any(found) else None
