"""How are two clips fused in one call? Frame by frame, as a generator, with the tuned settings of `thermal`.

  for frame in fuse_video("ir.mp4", "vi.mp4"):      # uint8 [H, W, 3]
    ...
"""

import dataclasses
import logging
import numbers
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from dig2dig_jax.alignment import stored
from dig2dig_jax.assets import EMBEDDED
from dig2dig_jax.data.scaling import Range, is_usable
from dig2dig_jax.errors import UserError
from dig2dig_jax.front.preset import preset
from dig2dig_jax.methods import option
from dig2dig_jax.methods.codec import luminance_codec
from dig2dig_jax.methods.options import Dig2DigOptions
from dig2dig_jax.methods.registry import make_method
from dig2dig_jax.methods.sequence import looks_for_noise, without_restoring
from dig2dig_jax.priors.prior import Prior, load_prior
from dig2dig_jax.video import steady, stream
from dig2dig_jax.video.clip import open_clip
from dig2dig_jax.video.config import VideoConfig
from dig2dig_jax.video.job import flow_of

NAMES = ("ir", "vi")
_KINDS = ("auto", "full")
_log = logging.getLogger(__name__)


def fuse_video(
  infrared: str | os.PathLike,
  visible: str | os.PathLike,
  *,
  prior: Prior | str | os.PathLike | None = None,
  seed: int = 0,
  steady_share: float = steady.SHARE,
  transforms: str | os.PathLike | None = None,
  offset: float = 0.0,
  rate: float | None = None,
  value_range: tuple[str | tuple[float, float] | None, ...] = (None, None),
  **options: Any,
) -> Iterator[np.ndarray]:
  """Fuses two clips, frame by frame. Only a few frames are held in memory, whatever the length of the clips.
  Automatic settings are logged, one line each, when the first frame is requested.

  Args:
    infrared, visible: video files, folders of numbered images, or TIFF files of several pages.
    prior: a `Prior`, or its folder; the embedded one by default.
    seed: of all frames.
    steady_share: of a frame's own weights where nothing moves, above 0 and at most 1, which carries nothing.
    transforms: a file of `dig2dig align`, whose sources are named ir and vi.
    offset: seconds after the visible clip's first frame that the infrared one's was taken.
    rate: frames per second of images, which have no time stamps; 25 by default.
    value_range: for each, the values that are black and white: a pair, `auto`, `full`, or None, see `data.ranges`.
    options: of `Dig2DigOptions`, in place of the task's.

  Yields:
    The fused frames, uint8 [H, W, 3], or [H, W] where neither clip has colour: as many as the visible clip has, up to
    where the infrared one ends.

  Raises:
    ValueError: naming the argument, for invalid arguments.
    UserError: naming the file, for files.
  """
  config = _config(seed, steady_share, offset, value_range)
  if rate is not None and not 0.001 <= rate <= 1000:
    raise ValueError(f"rate: expected frames per second, 0.001 to 1000, found {rate!r}")
  known = {field.name for field in dataclasses.fields(Dig2DigOptions)}
  if unknown := sorted(set(options) - known):
    raise ValueError(f"{unknown[0]}: expected an option among {', '.join(sorted(known))}; see Dig2DigOptions")
  if not isinstance(prior, Prior | str | os.PathLike | None):
    raise ValueError(f"prior: expected a Prior or its folder, found {type(prior).__name__}")
  fraction = None if rate is None else Fraction(rate).limit_denominator(10**6)
  clips = {name: open_clip(place, fraction) for name, place in zip(NAMES, (infrared, visible), strict=True)}
  if transforms is not None:
    config = dataclasses.replace(config, transforms=stored.read(Path(transforms)))
  if not isinstance(prior, Prior):
    prior = load_prior(Path(prior) if prior is not None else EMBEDDED)
  chosen = dataclasses.replace(preset("thermal").options, **options)
  try:
    chosen.validate(prior.noise.num_timesteps)
  except UserError as error:
    raise ValueError(option.in_python(str(error), Dig2DigOptions)) from None
  config = dataclasses.replace(config, restore=looks_for_noise(chosen))
  within = without_restoring(chosen)
  return _frames(clips, config, make_method(prior, luminance_codec(1), options=within), within, prior)


def _frames(clips, config: VideoConfig, method, options, prior) -> Iterator[np.ndarray]:
  flow = flow_of(clips, config, method, options, prior, _log.warning)
  for done in stream.fused(flow):
    yield done.image if done.image.shape[-1] == 3 else done.image[..., 0]


def _config(seed, share, offset, value_range) -> VideoConfig:
  if isinstance(seed, bool) or not isinstance(seed, numbers.Integral) or not 0 <= int(seed) < 2**32:
    raise ValueError(f"seed: expected a whole number from 0 to 4294967295, found {seed!r}")
  if not isinstance(share, int | float) or not 0 < share <= 1:
    raise ValueError(f"steady_share: expected above 0 and at most 1, found {share!r}")
  if not isinstance(offset, int | float) or not abs(offset) <= 1e6:
    raise ValueError(f"offset: expected seconds, found {offset!r}")
  if isinstance(value_range, str) or len(value_range) != 2:
    raise ValueError(f"value_range: expected a setting for each of the two clips, found {value_range!r}")
  settings = {}
  for name, found in zip(NAMES, value_range, strict=True):
    pair = isinstance(found, list | tuple) and len(found) == 2
    if not (found is None or found in _KINDS if not pair else is_usable(*found)):
      raise ValueError(f"value_range: expected {', '.join(_KINDS)}, None or a pair (black, white), found {found!r}")
    if found is not None:
      settings[name] = Range(*found) if pair else found
  return VideoConfig(seed=int(seed), share=float(share), offset=Fraction(offset), ranges=settings)
