"""How is one scene fused in one call? Files or arrays of the usual kinds in, an 8-bit image out, by tuned settings.

  fused = fuse_images(["ir.png", "vi.png"])             # infrared and visible
  fused = fuse_images([near, far], task="focus")          # arrays of uint8, uint16, or floats in [0, 1]

Whoever wants more (gradients, batches, other codecs) takes `fuse`; whole folders are launch.py's.
"""

import dataclasses
import functools
import logging
import numbers
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from dig2dig_jax.alignment import aligner, estimate, frames, ghosts
from dig2dig_jax.assets import EMBEDDED
from dig2dig_jax.data import filling, guess, validity
from dig2dig_jax.data.images import to_uint8
from dig2dig_jax.data.padding import bucket_size, crop, reflect_pad
from dig2dig_jax.data.pairs import content_id
from dig2dig_jax.errors import UserError
from dig2dig_jax.front.given import in_one_frame, in_python, infrared_second, known_transforms, read
from dig2dig_jax.front.preset import preset
from dig2dig_jax.methods import option
from dig2dig_jax.methods.codec import luminance_codec, rgb_codec
from dig2dig_jax.methods.fuse import fuse
from dig2dig_jax.methods.options import Dig2DigOptions
from dig2dig_jax.methods.registry import make_method
from dig2dig_jax.models.swift import SwiftConfig
from dig2dig_jax.priors.prior import Prior, load_prior
from dig2dig_jax.priors.swift import Swift
from dig2dig_jax.restoration import blind, blind_restorer
from dig2dig_jax.restoration.blind_restorer import BlindRestorer
from dig2dig_jax.sampling.schedule import NoiseSchedule

_log = logging.getLogger(__name__)
_THERMAL = ("thermal", guess.TASKS["thermal"])
_BUCKET = 128  # launch.py's: sides are mirrored up to multiples of it, so that few programs are compiled


def fuse_images(
  images: Sequence[str | os.PathLike | np.ndarray],
  *,
  task: str = "thermal",
  prior: Prior | str | os.PathLike | None = None,
  seed: int = 0,
  chroma_from: int | None = None,
  value_range: str | tuple[float, float] = "",
  valid: str = "",
  align: str = "off",
  align_or: str = "warn",
  transforms: str | os.PathLike | None = None,
  reference: int | None = None,
  resize: str = "aspect",
  deghost: str = "",
  palette: str = "auto",
  **options: Any,
) -> np.ndarray:
  """Fuses two or more images of one scene. The first call for a task and a size compiles. Images are processed whole;
  use launch.py for those that do not fit into memory.

  Args:
    images: paths, or arrays [H, W], [H, W, 1] or [H, W, 3] of whole numbers or floats, in the order of the task's
      sources (`preset(task).sources`; infrared first, and the log says so where the second seems to be it). A second
      or fourth channel is alpha.
    task: selects the settings: `thermal`, `exposure`, `focus` or `medical`.
    prior: a `Prior`, or its folder; the embedded one by default.
    seed: of the random numbers. As with launch.py the noise also depends on the name of the first file, if any.
    chroma_from: number of the source whose chroma is added to a fused luminance, instead of the task's.
    value_range: values of black and white in all images: a pair, or `auto`, `shared` or `full`, see `data.ranges`;
      by default images that use a narrow part of their type's range are rescaled, and the log says how.
    valid: how pixels to be ignored are found, instead of the task's setting: `auto`, by alpha and by the constant
      borders of a warp; `alpha`; or `off`. The log reports them.
    align: class of transforms by which the images are aligned first: `off`, none; `auto`, a similarity, refined;
      `flow`, also a smooth displacement, for parallax; `translation`, `similarity`, `affine` or `homography`. The log
      reports the result.
    align_or: what happens to an image without a reliable alignment: `warn` takes it as it is, `skip` refuses it.
    transforms: file of `dig2dig align`, applied in place of an alignment; its sources are named as those of the task.
    reference: number of the image to whose frame the others are resampled, instead of the largest.
    resize: images of other sizes that are not aligned: `aspect` resamples them to the reference's size if the aspect
      ratios agree, `stretch` at any aspect ratio; `off` refuses them.
    deghost: takes whatever moved between the images from one of them, instead of the task's setting; the word says in
      what else they differ: `exposure` or `focus`; or `off`.
    palette: false-colour palette of a thermal source, see `data.palette`: `auto` recognises known ones and logs them;
      `off`; or a name.
    options: fields of `Dig2DigOptions`, instead of the task's, such as steps=25.

  Returns:
    uint8 [H, W, 3], or [H, W] if no source has colour. H and W are the reference's.

  Raises:
    ValueError: naming the argument, for invalid arguments.
    UserError: naming the file, for files.
  """
  if not isinstance(images, Iterable):
    raise ValueError(f"images: expected a sequence of two or more paths or arrays, found {type(images).__name__}")
  if isinstance(images, str | os.PathLike) or getattr(images, "ndim", 4) < 4 or len(images := list(images)) < 2:
    raise ValueError("images: expected a sequence of two or more paths or arrays, found fewer; give all of a scene")
  if isinstance(seed, bool) or not isinstance(seed, numbers.Integral) or not 0 <= seed < 2**32:
    raise ValueError(f"seed: expected a whole number from 0 to 4294967295, found {seed!r}")
  if not isinstance(prior, Prior | str | os.PathLike | None):
    raise ValueError(f"prior: expected a Prior or its folder, found {type(prior).__name__}; see fuse for others")
  tuned = preset(task)
  known = {field.name for field in dataclasses.fields(Dig2DigOptions)}
  if unknown := sorted(set(options) - known):
    raise ValueError(f"{unknown[0]}: expected an option among {', '.join(sorted(known))}; see Dig2DigOptions")
  for argument, value, words in (
    ("valid", valid, ("", *validity.WORDS)), ("align", align, ("off", *estimate.MODELS)),
    ("align_or", align_or, aligner.OTHERWISE), ("resize", resize, frames.HOW),
    ("deghost", deghost, ("", "off", *ghosts.KINDS)),
  ):  # fmt: skip
    if value not in words:
      raise ValueError(f"{argument}: expected {', '.join(filter(None, words))}, found {value!r}")
  if reference is not None and (not isinstance(reference, numbers.Integral) or not 0 <= reference < len(images)):
    raise ValueError(f"reference: expected the number of an image, 0 to {len(images) - 1}, found {reference!r}")
  placed = None if transforms is None else known_transforms(transforms, tuned, len(images), align, reference)
  given = read(images, tuned, palette=palette, value_range=value_range, valid=valid)
  if not isinstance(prior, Prior):
    prior = _loaded(Path(prior) if prior is not None else EMBEDDED)
  chroma = tuned.chroma_from if chroma_from is None else chroma_from
  chroma = (len(images) - 1 if chroma is None else chroma) if tuned.colour == "luminance" else None
  chosen = dataclasses.replace(tuned.options, **options)
  try:
    chosen.validate(prior.noise.num_timesteps)
  except UserError as error:
    raise ValueError(option.in_python(str(error), Dig2DigOptions)) from None
  # Blur and lost resolution are undone before: one program for both.
  within = dataclasses.replace(chosen, restore="noise") if chosen.restore == "auto" else chosen
  program = _program(within, chroma, _Network.of(prior))
  first = images[0]
  name = Path(first).stem if isinstance(first, str | os.PathLike) else ""
  key = jax.random.fold_in(jax.random.key(seed), content_id(name))
  restorer = BlindRestorer(prior, seed=seed, bucket=_BUCKET) if chosen.bandwise and chosen.restore == "auto" else None
  wanted = "" if reference is None else f"images[{reference}]"
  last = f"images[{chosen.functional}]" if chosen.base == "functional" else ""
  bring = (aligner.Aligner(align, align_or, wanted, last, placed) if align != "off" or placed is not None else
           frames.Frames(resize, wanted, last))  # fmt: skip
  found, aligned = in_one_frame(bring, images, given, restorer, name)
  shares, size = validity.shares([image.valid for image in found.values()]), next(iter(found.values())).pixels.shape[:2]
  moved: Mapping[str, ghosts.Moved] = {}
  if (kind := deghost or tuned.deghost) != "off":
    found, moved = ghosts.Deghoster(kind, wanted)(found)
  names = list(found)
  tally = validity.Tally(names)
  tally.add(shares)
  done = aligner.lines([(name or "images", aligned)]) + ghosts.lines([(name or "images", moved)])
  ordered = task in _THERMAL and len(images) == 2 and chosen.base == "functional" and chosen.functional == 0
  doubts = infrared_second(images, list(given.pixels.values())) if ordered else []
  for line in (*doubts, *given.lines, *map(in_python, done), *tally.lines()):
    _log.warning(line)
  areas = [image.valid for image in found.values()]
  sources = filling.fill(np.stack([image.pixels for image in found.values()]), areas)
  if restorer is not None:
    known = [aligned.get(source, {}).get("restored", False) for source in found]
    sources, lost = restorer.restored(sources, name, shares, known)
    for line in blind_restorer.told(names, [lost], way_out='restore="noise"'):
      _log.warning(line)
  padded = reflect_pad(sources, bucket_size(*size, multiple=_BUCKET))
  fused, noise = program(prior.params, key, padded)
  if noise is not None:
    for line in blind.told(names, [np.asarray(noise)], way_out='restore="off"'):
      _log.warning(line)
  fused = to_uint8(crop(np.asarray(fused), size))
  return fused if any(image.is_colour for image in found.values()) else fused[..., 0]


@functools.lru_cache(maxsize=2)
def _loaded(directory: Path) -> Prior:
  return load_prior(directory)


class _Network(NamedTuple):
  """What a program depends on of a prior: all but its weights; hashable."""

  config: Any
  noise: NoiseSchedule
  dtype: str
  directory: Path
  label: int | None
  quick: SwiftConfig | None

  @classmethod
  def of(cls, prior: Prior) -> "_Network":
    quick = prior.quick if isinstance(prior, Swift) else None
    return cls(prior.config, prior.noise, prior.dtype, prior.directory, prior.label, quick)

  def prior(self) -> Prior:
    """One without weights."""
    fields = self.config, self.noise, self.dtype, self.directory, self.label
    whole = Prior({}, *fields)
    return whole if self.quick is None else Swift({}, *fields, whole=whole, quick=self.quick)


@functools.lru_cache(maxsize=16)
def _program(options: Dig2DigOptions, chroma_from: int | None, network: _Network):
  prior = network.prior()
  codec = rgb_codec() if chroma_from is None else luminance_codec(chroma_from)
  method = make_method(prior, codec, options=options)

  def run(params, key, images):
    fused, trace = fuse(method, params, key, images)
    return fused, trace.noise

  return jax.jit(run)
