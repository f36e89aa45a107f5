"""How is one scene fused in one call? Files or arrays of the usual kinds in, an 8-bit image out, by tuned settings.

  fused = fuse_images(["ir.png", "vi.png"])             # infrared and visible
  fused = fuse_images([near, far], task="mff")          # arrays of uint8, uint16, or floats in [0, 1]

Whoever wants more (gradients, batches, other codecs) takes `fuse`; whole folders are launch.py's.
"""

import dataclasses
import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from dig2dig_jax.checkpoint import EMBEDDED
from dig2dig_jax.data.images import read_image, to_uint8
from dig2dig_jax.data.padding import bucket_size, crop, reflect_pad
from dig2dig_jax.data.pairs import content_id
from dig2dig_jax.errors import UserError
from dig2dig_jax.methods.base import fuse, luminance_codec, rgb_codec
from dig2dig_jax.methods.dig2dig import Dig2DigOptions
from dig2dig_jax.methods.registry import make_method
from dig2dig_jax.prior import Prior, load_prior

TASKS = ("vif", "mef", "mff", "mif")
_BUCKET = 128  # launch.py's: sides are mirrored up to multiples of it, so that few programs are compiled
_FLAG_FILES = Path(__file__).resolve().parents[1]


class Preset(NamedTuple):
  """The tuned settings of a task. sources: their usual names, in order. colour: `luminance` or `rgb`. chroma_from:
  number of the source whose chroma a fused luminance gets; None: of the last."""

  options: Dig2DigOptions
  sources: tuple[str, ...]
  colour: str
  chroma_from: int | None


def preset(task: str) -> Preset:
  """Of `vif` (infrared and visible), `mef` (exposures), `mff` (focal planes) or `mif` (medical): what TASK.flags holds,
  the file that launch.py reads. UserError where it is not there."""
  if task not in TASKS:
    raise ValueError(f"task: expected one of {', '.join(TASKS)}, found {task!r}")
  path = _FLAG_FILES / f"{task}.flags"
  try:
    lines = path.read_text(encoding="utf-8").splitlines()
  except OSError as error:
    raise UserError(
      f"{path}: expected the settings of {task}, found {error.strerror}; run from a clone of the repository, or give "
      "fuse_images options=, colour= and sources of your own"
    ) from error
  given = dict(line.removeprefix("--").split("=", 1) for line in map(str.strip, lines) if line.startswith("--"))
  if given.get("method", "dig2dig") != "dig2dig":
    raise UserError(f"{path}: expected --method=dig2dig, found {given['method']}; use launch.py")
  options = {}
  for field in dataclasses.fields(Dig2DigOptions):  # flags of the gains carry the method's name before the option's
    text = given.get(field.name, given.get(f"dig_{field.name}"))
    if text is not None:
      options[field.name] = text == "true" if field.type in (bool, "bool") else type(field.default)(text)
  sources = tuple(given["sources"].split(","))
  chroma_from = sources.index(given["chroma_from"]) if "chroma_from" in given else None
  return Preset(Dig2DigOptions(**options), sources, given["colour"], chroma_from)


def fuse_images(
  images: Sequence[str | os.PathLike | np.ndarray],
  *,
  task: str = "vif",
  prior: Prior | str | os.PathLike | None = None,
  seed: int = 0,
  chroma_from: int | None = None,
  **options: Any,
) -> np.ndarray:
  """Fuses two or more registered images of one size; returns uint8, [H, W, 3], or [H, W] where no source has colour.

  Args:
    images: paths, or arrays [H, W], [H, W, 1] or [H, W, 3] of uint8, uint16, or floats in [0, 1], in the order of the
      task's sources (`preset(task).sources`).
    task: whose tuned settings are taken: `vif`, `mef`, `mff` or `mif`.
    prior: a `Prior`, or its folder; the embedded one by default.
    seed: of all randomness. As with launch.py the noise also depends on the first file's name, arrays have none.
    chroma_from: number of the source that gives a fused luminance its colour, in place of the task's.
    options: of `Dig2DigOptions`, in place of the task's, such as steps=25.

  ValueError, naming the argument, for arguments that cannot be; UserError, naming the file, for files. The first call
  for a task and a size compiles. The image is taken whole: see launch.py for those that do not fit memory.
  """
  if isinstance(images, str | os.PathLike) or getattr(images, "ndim", 4) < 4 or len(images := list(images)) < 2:
    raise ValueError("images: expected a sequence of two or more paths or arrays, found fewer; give all of a scene")
  tuned = preset(task)
  known = {field.name for field in dataclasses.fields(Dig2DigOptions)}
  if unknown := sorted(set(options) - known):
    raise ValueError(f"{unknown[0]}: expected an option among {', '.join(sorted(known))}; see Dig2DigOptions")
  pixels = [_pixels(number, image) for number, image in enumerate(images)]
  size = pixels[0].shape[:2]
  for number, image in enumerate(pixels):
    if image.shape[:2] != size:
      raise ValueError(
        f"images[{number}]: expected {size[0]}x{size[1]} (height x width) as images[0], found "
        f"{image.shape[0]}x{image.shape[1]}; register or resize the images first"
      )
  if prior is None or not isinstance(prior, Prior):
    prior = _loaded(Path(prior) if prior is not None else EMBEDDED)
  chroma = tuned.chroma_from if chroma_from is None else chroma_from
  chroma = (len(images) - 1 if chroma is None else chroma) if tuned.colour == "luminance" else None
  program = _program(dataclasses.replace(tuned.options, **options), chroma, _Network.of(prior))
  first = images[0]
  name = Path(first).stem if isinstance(first, str | os.PathLike) else ""
  key = jax.random.fold_in(jax.random.key(seed), content_id(name))
  padded = reflect_pad(np.stack(pixels), bucket_size(*size, multiple=_BUCKET))
  fused = to_uint8(crop(np.asarray(program(prior.params, key, padded)), size))
  return fused if any(np.any(image != image[..., :1]) for image in pixels) else fused[..., 0]


def _pixels(number: int, image: Any) -> np.ndarray:
  """Float32 [H, W, 3] in [-1, 1]."""
  if isinstance(image, str | os.PathLike):
    return read_image(image).pixels
  image, name = np.asarray(image), f"images[{number}]"
  if image.ndim == 2:
    image = image[..., None]
  if image.ndim != 3 or image.shape[-1] not in (1, 3) or image.size == 0:
    raise ValueError(f"{name}: expected [H, W], [H, W, 1] or [H, W, 3], found {list(image.shape)}; drop other channels")
  if image.dtype in (np.uint8, np.uint16):
    # As files are read: every level is the nearest float32.
    image = np.linspace(-1, 1, np.iinfo(image.dtype).max + 1).astype(np.float32)[image]
  elif image.dtype.kind == "f":
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 1):  # written so that NaN fails too
      raise ValueError(f"{name}: expected floats in [0, 1], found {low:g} to {high:g}; scale it to them")
    image = (image.astype(np.float64) * 2 - 1).astype(np.float32)
  else:
    raise ValueError(f"{name}: expected uint8, uint16 or floats in [0, 1], found {image.dtype}; convert it")
  return np.repeat(image, 3 // image.shape[-1], axis=-1)


@functools.lru_cache(maxsize=2)
def _loaded(directory: Path) -> Prior:
  return load_prior(directory)


class _Network(NamedTuple):
  """What a program depends on of a prior: all but its weights; hashable."""

  config: Any
  noise: tuple[tuple[str, Any], ...]
  dtype: str
  directory: Path
  label: int | None

  @classmethod
  def of(cls, prior: Prior) -> "_Network":
    return cls(prior.config, tuple(prior.noise.items()), prior.dtype, prior.directory, prior.label)


@functools.lru_cache(maxsize=16)
def _program(options: Dig2DigOptions, chroma_from: int | None, network: _Network):
  prior = Prior({}, network.config, dict(network.noise), network.dtype, network.directory, network.label)
  codec = rgb_codec() if chroma_from is None else luminance_codec(chroma_from)
  method = make_method(prior.denoiser, codec, noise=prior.noise, options=options, reuse=prior.reuse)
  return jax.jit(lambda params, key, images: fuse(method, params, key, images)[0])
