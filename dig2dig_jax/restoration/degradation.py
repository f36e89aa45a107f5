"""How was each source degraded, in words? `blur(1.6)+average(4)` becomes the operator of an image's size.

One entry per source, separated by commas: `ir:blur(1.6)+average(4),vi:none`; the first stage acts first. Noise is given
apart, as standard deviation of 8-bit values, `ir:25,vi:auto`; `auto` is scikit-image's wavelet estimate of each image.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from dig2dig_jax.data.images import read_image
from dig2dig_jax.errors import UserError
from dig2dig_jax.files import typed_path, what_lies_at
from dig2dig_jax.restoration import operators
from dig2dig_jax.restoration.operators import Operator, Size

AUTO = "auto"


def _file(path: str) -> np.ndarray:
  return read_image(Path(path)).pixels.mean(axis=-1) / 2 + 0.5


def _mask(size: Size, path: str) -> Operator:
  mask = (_file(path) > 0.5).astype(np.float64)
  if mask.shape != size:
    raise UserError(f"{path}: expected a mask of the image's size {size}, found {mask.shape}")
  return operators.masked(mask)


def _kernel(size: Size, path: str) -> Operator:
  kernel = _file(path)
  if kernel.sum() <= 0:
    raise UserError(f"{path}: expected a blur kernel, found a black image")
  return operators.blur(size, kernel / kernel.sum())


def _numbers(name: str, kinds: Sequence[type], make: Callable) -> Callable:
  def build(size: Size, *texts: str) -> Operator:
    try:
      if len(texts) != len(kinds):
        raise ValueError
      values = [kind(text) for kind, text in zip(kinds, texts, strict=True)]
      if name in ("blur", *_SCALES) and values[0] <= 0:
        raise ValueError
    except ValueError:
      raise UserError(f"--degradation={name}({','.join(texts)}): expected {STAGES_HELP}") from None
    return make(size, *values)

  return build


def _lines(name: str) -> Callable:
  def build(size: Size, *texts: str) -> Operator:
    if not all(text.isdecimal() for text in texts):
      raise UserError(f"--degradation={name}({','.join(texts)}): expected indices from 0")
    return operators.dropped_lines(size, **{name: tuple(int(text) for text in texts)})

  return build


def _enlarged(size: Size, scale: str, kernel: str = "cubic") -> Operator:
  if kernel not in operators.KERNELS:
    raise UserError(f"--degradation=enlarged({scale},{kernel}): expected a kernel of {', '.join(operators.KERNELS)}")
  return operators.enlarged(size, int(scale), kernel)


# name -> (size, *arguments as texts) -> Operator
STAGES: dict[str, Callable[..., Operator]] = {
  "blur": _numbers("blur", (float,), operators.gaussian_blur),
  "motion": _numbers("motion", (int, float), operators.motion_blur),
  "kernel": _kernel,
  "average": _numbers("average", (float,), operators.average_downsample),
  "bicubic": _numbers("bicubic", (int,), operators.bicubic_downsample),
  "enlarged": _enlarged,
  "mask": _mask,
  "rows": _lines("rows"),
  "columns": _lines("columns"),
}
STAGES_HELP = (
  "none, or stages joined by +: blur(SIGMA), motion(LENGTH,ANGLE), kernel(FILE), average(SCALE), bicubic(SCALE), "
  "enlarged(SCALE,KERNEL), mask(FILE), rows(I,...), columns(I,...)"
)
_SCALES = ("average", "bicubic")  # that leave fewer pixels
_WHOLE = ("bicubic", "enlarged")
_MOST = 1000  # pixels, degrees: far beyond any camera; an operator that large would fill the memory


@dataclasses.dataclass(frozen=True)
class Degradation:
  """stages: ((name of STAGES, arguments as texts), ...), none for the identity. sigma: standard deviation of the
  noise in 8-bit values, or AUTO."""

  stages: tuple[tuple[str, tuple[str, ...]], ...] = ()
  sigma: float | str = 0.0

  @property
  def clean(self) -> bool:
    return not self.stages and self.sigma == 0

  @property
  def scale(self) -> float:
    """How many times fewer rows and columns it leaves."""
    return float(np.prod([float(arguments[0]) for name, arguments in self.stages if name in _SCALES] or [1]))

  def operator(self, size: Size) -> Operator:
    """A on images of `size`. UserError for stages that do not fit it."""
    built, now = [], size
    for name, arguments in self.stages:
      try:
        built.append(STAGES[name](now, *arguments))
      except TypeError:
        raise UserError(f"--degradation={name}({','.join(arguments)}): expected {STAGES_HELP}") from None
      now = built[-1].observed
    if not built:
      return operators.identity(size)
    return built[0] if len(built) == 1 else operators.compose(*built)

  def deviation(self, observed: np.ndarray) -> float:
    """sigma of an observation [h, w, 3] in [-1, 1], in its units; estimated where it is AUTO."""
    if self.sigma == AUTO:
      from skimage.restoration import estimate_sigma  # its import takes a second, so only where it is needed

      return float(estimate_sigma(observed.mean(axis=-1) if _is_gray(observed) else observed[..., 1]))
    return float(self.sigma) / 127.5


def _is_gray(pixels: np.ndarray) -> bool:
  return bool(np.all(pixels == pixels[..., :1]))


def parse(degradation: str, sigma: str, sources: Sequence[str]) -> dict[str, Degradation]:
  """{source: Degradation} of all `sources`; those without an entry are clean. UserError for what cannot be read, and
  for two entries of one source."""
  found = {source: Degradation() for source in sources}
  for source, text in _entries("degradation", degradation, sources):
    found[source] = dataclasses.replace(found[source], stages=_stages(text))
  for source, text in _entries("sigma", sigma, sources):
    found[source] = dataclasses.replace(found[source], sigma=_sigma(source, text))
  return found


def target_size(degradations: Mapping[str, Degradation], observed: Mapping[str, Size]) -> Size:
  """(H, W) of the fused image: of the first source with all its rows and columns; else the scaled first source's."""
  for source, degradation in degradations.items():
    if degradation.scale == 1:
      return observed[source]
  source, degradation = next(iter(degradations.items()))
  height, width = (round(side * degradation.scale) for side in observed[source])
  return height, width


def _entries(flag: str, text: str, sources: Sequence[str]) -> Iterable[tuple[str, str]]:
  """(source, value) of each entry. UserError for an unknown source, or one with two entries."""
  found: dict[str, str] = {}
  for entry in re.split(r",(?![^(]*\))", text) if text.strip() else ():
    source, colon, value = entry.strip().partition(":")
    if not colon or source not in sources:
      raise UserError(f"--{flag}={entry.strip()}: expected SOURCE:VALUE with a source of {', '.join(sources)}")
    if source in found:
      raise UserError(f"--{flag}={entry.strip()}: expected one entry for {source}, found {source}:{found[source]} too; "
                      "leave one out")
    found[source] = value.strip()
  return found.items()


def _stages(text: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
  if text == "none":
    return ()
  stages = []
  for part in text.split("+"):
    match = re.fullmatch(r"\s*(\w+)\(([^()]*)\)\s*", part)
    if not match or match[1] not in STAGES:
      raise UserError(f"--degradation={text}: expected {STAGES_HELP}; found {part!r}")
    arguments = tuple(argument.strip() for argument in match[2].split(","))
    if match[1] in _WHOLE and not arguments[0].isdecimal():
      raise UserError(f"--degradation={text}: expected a whole scale, found {part!r}")
    if match[1] in ("blur", "average", *_WHOLE) and _sensible(arguments[0]) and not float(arguments[0]) > 0:
      raise UserError(f"--degradation={text}: expected {STAGES_HELP}, with numbers above 0; found {part!r}")
    if match[1] in ("mask", "kernel"):
      arguments = str(typed_path(arguments[0])), *arguments[1:]
    if match[1] in ("mask", "kernel") and not Path(arguments[0]).is_file():
      raise UserError(f"--degradation={text}: expected an image file, found {what_lies_at(Path(arguments[0]))}")
    numbers = arguments[:1] if match[1] == "enlarged" else arguments
    if match[1] in ("blur", "motion", "average", *_WHOLE) and not all(map(_sensible, numbers)):
      raise UserError(f"--degradation={text}: expected numbers of at most {_MOST}, found {part!r}")
    stages.append((match[1], arguments))
  return tuple(stages)


def _sensible(argument: str) -> bool:
  try:
    return abs(float(argument)) <= _MOST
  except ValueError:
    return False


def _sigma(source: str, text: str) -> float | str:
  if text == AUTO:
    return AUTO
  try:
    value = float(text)
  except ValueError:
    value = -1.0
  if not 0 <= value < 1000:
    raise UserError(f"--sigma={source}:{text}: expected a deviation of 8-bit values, from 0 to below 1000, or auto")
  return value
