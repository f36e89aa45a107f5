"""What would DDFM and CCF make of a scene? Small and in few steps, one after the other, so that they can be ended."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.app import limits
from dig2dig_jax.app.controls import Settings, chroma
from dig2dig_jax.app.picture import Picture, random_key
from dig2dig_jax.app.scene import Placed, small
from dig2dig_jax.app.stages import Stages
from dig2dig_jax.data.padding import crop, reflect_pad
from dig2dig_jax.errors import UserError
from dig2dig_jax.methods.codec import luminance_codec, rgb_codec
from dig2dig_jax.methods.fuse import keys, parts
from dig2dig_jax.methods.options import CcfOptions, DdfmOptions
from dig2dig_jax.methods.registry import make_method
from dig2dig_jax.sampling import sampler


class Rival(NamedTuple):
  """options: its paper's, but for the steps. wait: what the page says of how long it takes. two: it fuses two sources,
  and no more."""

  options: DdfmOptions | CcfOptions
  wait: str
  two: bool = False


# CCF in less than 100 steps leaves noise, which would be unfair to it (CcfOptions.notes).
RIVALS = {
  "ddfm": Rival(DdfmOptions(steps=20), "seconds", two=True),
  "ccf": Rival(CcfOptions(steps=100), "half a minute"),
}


def described() -> list[dict[str, Any]]:
  """JSON-able, for the page."""
  return [
    {"name": name, "label": name.upper(), "steps": rival.options.steps, "own_steps": type(rival.options)().steps,
     "side": limits.SMALLER, "wait": rival.wait, "two": rival.two}
    for name, rival in RIVALS.items()
  ]  # fmt: skip


def fused(stages: Stages, whole: Placed, settings: Settings, name: str, say: Callable[[str], None]) -> Picture:
  """The picture of a method of `RIVALS`, of the longer side `limits.SMALLER` at most; of the sources as they are, for
  it neither finds nor removes noise. say: told each step; whatever it raises ends the work. UserError for another name
  and for sources that it cannot fuse."""
  if name not in RIVALS:
    raise UserError(f"method: expected one of {', '.join(RIVALS)}, found {str(name)[:40]!r}")
  count = len(whole.areas)
  if RIVALS[name].two and count != 2:
    raise UserError(f"method {name}: expected two images, found {count}; compare with ccf")
  placed = small(whole, limits.SMALLER)
  sources, chroma_from = placed.loaded.sources, chroma(settings, count)
  if settings.swapped:  # they take the first source for the infrared one
    sources, chroma_from = sources[::-1], 1
  padded = jnp.asarray(reflect_pad(sources, (limits.SMALLER, limits.SMALLER)))
  image = crop(np.asarray(_run(stages, name, chroma_from, padded, say)), sources.shape[1:3])
  if not any(placed.loaded.is_colour):
    image = image[..., :1]
  return Picture(image, np.zeros((0, *image.shape[:2], 1), np.float32), placed, placed.lines, settings)


def _run(
  stages: Stages, name: str, chroma_from: int | None, images: jax.Array, say: Callable[[str], None]
) -> jax.Array:
  """The fused image [H, W, 3] of images [K, H, W, 3]: a program for the start, and one for each step."""
  run, options = _Run(stages, name, chroma_from), RIVALS[name].options
  given = stages.prior.params, jax.random.key_data(random_key()), images
  shape = jax.tree.structure(jax.eval_shape(run.begin, *given))

  # What a kept program takes and gives: arrays, in no class of ours.
  def begin(*given):
    return tuple(jax.tree.leaves(run.begin(*given)))

  def step(number, leaves, *given):
    return tuple(jax.tree.leaves(run.step(number, jax.tree.unflatten(shape, leaves), *given)))

  title = f"{options} {chroma_from} {len(images)}"
  leaves = stages.program(f"begin {title}", begin, given, say)(*given)
  for number in range(options.steps):
    say(f"{name.upper()}, step {number + 1} of {options.steps}")
    arguments = np.int32(number), leaves, *given
    leaves = jax.block_until_ready(stages.program(f"step {title}", step, arguments, say)(*arguments))
  return run.method.codec.decode(jax.tree.unflatten(shape, leaves).x_t, images)


class _Run:
  """A reverse run in steps, of the parts that `methods.fuse.fuse` puts together."""

  def __init__(self, stages: Stages, name: str, chroma_from: int | None):
    codec, options = rgb_codec() if chroma_from is None else luminance_codec(chroma_from), RIVALS[name].options
    if chroma_from is None and isinstance(options, DdfmOptions):
      options = dataclasses.replace(options, em_colour="channels")  # the one of its ways that fuses colour
    self.method = make_method(stages.prior, codec, options=options)
    assert self.method.reverse is not None
    self.reverse = self.method.reverse

  def begin(self, params, key, images) -> sampler.Run:
    sources, table, made, (start, _) = self._parts(params, key, images)
    return sampler.begin(self.reverse.start(start, sources, table), steps=table, **made)

  def step(self, number, run: sampler.Run, params, key, images) -> sampler.Run:
    _, table, made, (_, own) = self._parts(params, key, images)
    row = jax.tree.map(lambda rows: jax.lax.dynamic_slice_in_dim(rows, number, 1), table)
    return sampler.advance(own, run, steps=row, unroll=True, **made)[0]

  def _parts(self, params, key, images):
    method, (start, weigh, own) = self.method, keys(jax.random.wrap_key_data(key))
    denoise, sources = method.denoiser(params), method.codec.encode(images)
    weights = method.weighting.compute(weigh, sources, denoise)  # uniform: nothing is computed again
    made = parts(method, self.reverse, params, sources, weights, denoise)
    return sources, self.reverse.steps(params), made, (start, own)
