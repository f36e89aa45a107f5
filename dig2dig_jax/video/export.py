"""How does the swift path run where this package is not? As programs of `jax.export`, weights within.

`clean(image [1, H, W, C], deviation [1]) -> [1, H, W, C]`: one source, of any size of multiples of 16, float32 in
[-1, 1]; deviation is that of the noise in every channel. `fused(infrared uint8 [H, W, 1], visible uint8 [H, W, 3],
deviations float32 [2]) -> uint8 [H, W, 3]`: a whole frame, of one size, by itself: with the tuned settings of
`thermal`, each source restored as far as its noise asks for it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from dig2dig_jax.files import replacing
from dig2dig_jax.front.preset import preset
from dig2dig_jax.guidance import spectrum
from dig2dig_jax.methods.codec import luminance_codec
from dig2dig_jax.methods.dig2dig import rule_of
from dig2dig_jax.models.swift import SwiftConfig
from dig2dig_jax.priors import swift
from dig2dig_jax.record import make_folder as make_folder
from dig2dig_jax.restoration import blind, clipping

PLATFORMS = ("cpu", "cuda")


def clean(config: SwiftConfig, params: Any, *, gray: bool) -> export.Exported:
  """Sizes are symbolic."""

  def run(image, deviation):
    level = deviation[0] if gray else deviation[0] / np.sqrt(3)
    three = jnp.broadcast_to(image[0], (*image.shape[1:3], 3))
    return swift.estimate(config, params, three, level, gray=gray)[None, ..., : image.shape[-1]]

  channels = 1 if gray else 3
  multiple = config.size_multiple
  shape = export.symbolic_shape(f"1, {multiple}*h, {multiple}*w, {channels}")
  arguments = jax.ShapeDtypeStruct(shape, jnp.float32), jax.ShapeDtypeStruct((1,), jnp.float32)
  return export.export(jax.jit(run), platforms=PLATFORMS)(*arguments)


def fused(config: SwiftConfig, params: Any, size: tuple[int, int]) -> export.Exported:
  """size: (height, width): the levels of the pyramid depend on it."""
  height, width = size
  struct = jax.ShapeDtypeStruct
  arguments = (
    struct((height, width, 1), jnp.uint8), struct((height, width, 3), jnp.uint8), struct((2,), jnp.float32)
  )  # fmt: skip
  return export.export(jax.jit(frame_program(config, params)), platforms=PLATFORMS)(*arguments)


def frame_program(config: SwiftConfig, params: Any) -> Callable:
  """What `fused` exports."""
  rule, codec = rule_of(preset("thermal").options), luminance_codec(1)

  def run(infrared, visible, deviations):
    images = [jnp.broadcast_to(x.astype(jnp.float32) / 127.5 - 1, (*x.shape[:2], 3)) for x in (infrared, visible)]
    content = [_restored(config, params, image, deviations[k], gray=k == 0) for k, image in enumerate(images)]
    observed, restored = codec.to_fuse(jnp.stack(images)), codec.to_fuse(jnp.stack(content))
    weights, bands = spectrum.weigh(observed, restored, rule)
    image = spectrum.blend(weights, bands, restored, rule).image
    found = codec.decode(jnp.broadcast_to(image, images[0].shape), jnp.stack(content))
    return jnp.clip(jnp.round((found + 1) * 127.5), 0, 255).astype(jnp.uint8)

  return run


def _restored(config: SwiftConfig, params: Any, image, deviation, *, gray: bool):
  share = jnp.clip((deviation - blind.FROM) / (blind.TO - blind.FROM), 0, 1)
  level = blind.without_detail(deviation) / (1 if gray else np.sqrt(3))
  found = swift.estimate(config, params, image, level, gray=gray)
  return image + share * (clipping.unclipped(found, image, deviation) - image)


def write(path: Path, program: export.Exported) -> None:
  """The file that `jax.export.deserialize` reads."""
  with replacing(path) as temporary:
    temporary.write_bytes(program.serialize())
