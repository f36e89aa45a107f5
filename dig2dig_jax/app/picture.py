"""How does a scene become a picture, small at once and whole after? The job's own steps, each kept while it holds."""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.app import limits
from dig2dig_jax.app.controls import Settings, chroma, coloured_by
from dig2dig_jax.app.scene import NAME, Opened, Placed, Scene, small
from dig2dig_jax.app.stages import Stages
from dig2dig_jax.data import guess, overlay
from dig2dig_jax.data.images import to_uint8, to_uint16
from dig2dig_jax.data.padding import bucket_size, crop, reflect_pad
from dig2dig_jax.data.pairs import content_id
from dig2dig_jax.figures.sheet import heat
from dig2dig_jax.methods.fuse import keys
from dig2dig_jax.metrics import baselines
from dig2dig_jax.ops import color
from dig2dig_jax.restoration import blind, blind_restorer
from dig2dig_jax.restoration.blind_restorer import BlindRestorer

BUCKET = 128  # launch.py's: sides are mirrored up to multiples of it
KINDS = ("preview", "full")
# Images for comparison beside the sources: the plain fusions of every table.
PLAIN = {"average": baselines.average, "maximum": baselines.pixel_maximum, "pyramid": baselines.laplacian_pyramid,
         "wavelet": baselines.wavelet}  # fmt: skip
_SEED = 0  # the command's
_SHADE = (255, 140, 0)  # over what is not valid
_DEFLATE = 8  # TIFF's number of that compression


class Picture(NamedTuple):
  """fused: [H, W, 1 or 3] in [-1, 1]. weights: [K, H, W, 1] in [0, 1]. placed: what it was made of. lines: what was
  decided, as the command says it. settings: what it was asked for with."""

  fused: np.ndarray
  weights: np.ndarray
  placed: Placed
  lines: tuple[str, ...]
  settings: Settings


def fused(
  stages: Stages, scene: Scene, opened: Opened, settings: Settings, kind: str, say: Callable[[str], None],
  *, bucket: int = BUCKET,
) -> Picture:
  """The picture of a scene. kind: `preview`, of the longer side `limits.SMALL`, or `full`. say: told what is being
  done; whatever it raises ends the work. UserError as of the command."""
  settings.options.validate(stages.prior.noise.num_timesteps)
  say("reading" if settings.align in ("off", "hand") else "aligning")
  whole = scene.placed(settings, opened)
  placed, multiple = (small(whole, limits.SMALL), limits.SMALL) if kind == "preview" else (whole, bucket)
  made_of = id(whole), settings.options.restore
  if kind not in scene.restored or scene.restored[kind][0] != made_of:
    scene.restored.pop(kind, None)
    # `whole` is kept beside its number, so that no other gets it.
    scene.restored[kind] = made_of, (_restored(stages, placed, settings, kind, say, multiple), whole)
  observed, content, told = scene.restored[kind][1][0]
  say("fusing")
  found, weights = stages.blended(settings.options, chroma(settings, len(observed)), observed, content, say)
  size = placed.loaded.sources.shape[1:3]
  image = crop(found, size)
  if not any(placed.loaded.is_colour):
    image = image[..., :1]
  image, of_colours = _coloured(image, placed, settings)
  return Picture(image, crop(weights, size), placed, (*placed.lines, *told, *of_colours), settings)


def random_key() -> jax.Array:
  """Of the scene, as the command has it."""
  return jax.random.fold_in(jax.random.key(_SEED), content_id(NAME))


def _coloured(image: np.ndarray, placed: Placed, settings: Settings) -> tuple[np.ndarray, list[str]]:
  """(the fused image with the colour map over it, a line where its source has colours of its own)."""
  if not settings.colormap:
    return image, []
  loaded, number = placed.loaded, coloured_by(settings, len(placed.areas))
  if loaded.is_colour[number]:
    name = guess.usual_names(settings.task, len(placed.areas))[number]
    return image, [f"{name}: 1 of 1 images have colours of their own, over which no --colormap is laid"]
  area, size = loaded.areas[number], image.shape[:2]
  if area is not None and area.shape != size:  # of a small picture
    area = cv2.resize(area.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA) >= 0.5
  area = None if area is None or not area.any() else area
  return overlay.laid_over(image, loaded.sources[number], settings.colormap, area), []


def _restored(
  stages: Stages, placed: Placed, settings: Settings, kind: str, say: Callable[[str], None], multiple: int
) -> tuple[jax.Array, jax.Array, list[str]]:
  """(sources without stripes, without noise, lines about both), of sides that are multiples of this."""
  loaded, names = placed.loaded, guess.usual_names(settings.task, len(placed.areas))
  sources, restore, lines = loaded.sources, settings.options.restore, []
  if restore == "auto" and kind == "full":  # a small picture has lost what could be found lost
    say("looking for blur and lost resolution")
    restorer = BlindRestorer(stages.prior, seed=_SEED, bucket=multiple)
    sources, lost = restorer.restored(sources, loaded.name, loaded.valid)
    lines = blind_restorer.told(names, [lost])
  padded = reflect_pad(sources, bucket_size(*sources.shape[1:3], multiple=multiple))
  if restore == "off":
    plain = jnp.asarray(padded)
    return plain, plain, lines
  key = keys(random_key())[1]
  observed, content, noise = [], [], []
  for number, source in enumerate(padded, start=1):
    say(f"looking for noise in image {number} of {len(padded)}")
    found = stages.measured(source, say)
    noise.append((float(found.noise.deviation), float(found.striped)))
    if noise[-1][0] > blind.FROM:
      say(f"removing noise from image {number} of {len(padded)}")
    observed.append(found.observed)
    content.append(stages.cleaned(key, found, say) if noise[-1][0] > blind.FROM else found.observed)
  return jnp.stack(observed), jnp.stack(content), blind.told(names, [np.array(noise)]) + lines


def png(picture: Picture, what: str, number: int) -> bytes:
  """A part of it as PNG of 8 bits: `fused`; `plain`, one of `PLAIN`, gray; or, of a source, `source`, `weight` in
  colours, and `valid`, which shades what is not. KeyError for any other, IndexError for one that is not there."""
  if what == "fused":
    return _encoded(to_uint8(picture.fused))
  if what == "plain":
    gray = [to_uint8(np.asarray(color.luma(source)))[..., 0] for source in picture.placed.loaded.sources]
    return _encoded(list(PLAIN.values())[number](gray)[..., None].round().astype(np.uint8))
  count = len(picture.placed.loaded.sources)
  if not 0 <= number < count:
    raise IndexError(number)
  if what == "source":
    pixels = picture.placed.loaded.sources[number]
    return _encoded(to_uint8(pixels if picture.placed.loaded.is_colour[number] else pixels[..., :1]))
  if what == "weight":
    return _encoded(to_uint8(heat(picture.weights[number])))
  if what != "valid":
    raise KeyError(what)
  height, width = picture.fused.shape[:2]
  shade, area = np.zeros((height, width, 4), np.uint8), picture.placed.areas[number]
  if area is not None:
    seen = cv2.resize(area.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    shade[..., :3], shade[..., 3] = _SHADE, np.where(seen < 0.5, 160, 0)
  return _encoded(shade)


def thumbnail(picture: Picture, number: int, height: int = 72) -> bytes:
  """A source for the film strip, PNG."""
  pixels = picture.placed.loaded.sources[number]
  width = max(1, min(4 * height, round(pixels.shape[1] * height / pixels.shape[0])))
  return _encoded(to_uint8(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)))


def tiff(picture: Picture) -> bytes:
  """The fused image as TIFF of 16 bits, without loss."""
  return _encoded(to_uint16(picture.fused), ".tif", (cv2.IMWRITE_TIFF_COMPRESSION, _DEFLATE))


def _encoded(
  levels: np.ndarray, ending: str = ".png", options: tuple[int, ...] = (cv2.IMWRITE_PNG_COMPRESSION, 1)
) -> bytes:
  """Quickly: what is shown is not kept."""
  order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[levels.shape[-1]]
  ok, encoded = cv2.imencode(ending, np.ascontiguousarray(levels[..., order]), options)
  if not ok:
    raise ValueError(f"expected an image that {ending} can hold, found {levels.shape}")
  return encoded.tobytes()
