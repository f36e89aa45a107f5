"""How is a scene fused in stages, so that what was restored once can be blended many times? Programs, per size.

What noise a source has; what it is without it; what the rule makes of all. The first needs no network and the second
runs for noisy sources alone, so that clean ones wait for no large program. The third has no network in it either, and
the numbers that are turned by hand are its arguments: one program serves every position of every slider.
"""

import dataclasses
import functools
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing import memory
from dig2dig_jax.fusing.programs import Programs
from dig2dig_jax.guidance.weighting import composition
from dig2dig_jax.methods.codec import luminance_codec, rgb_codec
from dig2dig_jax.methods.dig2dig import rule_of
from dig2dig_jax.methods.fuse import fuse
from dig2dig_jax.methods.options import Dig2DigOptions
from dig2dig_jax.methods.registry import make_method
from dig2dig_jax.priors.prior import Prior
from dig2dig_jax.restoration import blind
from dig2dig_jax.restoration.noise_level import Noise
from dig2dig_jax.sampling import schedule

# Arguments of the third program: always, and where they act, for what does not act would take its time there too.
LIVE, WHERE_ACTING = ("exponent", "brightness", "target"), {"region": 0.0, "undershoot": -1.0, "overshoot": -1.0}
# Half of the time that XLA takes to compile for a CPU goes to loops that run no faster here.
_SIMPLE_LOOPS = {"xla_cpu_use_fusion_emitters": False}
_NOISE = len(Noise._fields)


@functools.cache
def _has_simple_loops() -> bool:
  """Newer versions of XLA have one way to emit loops, and refuse the option."""
  try:
    jax.jit(lambda: 0).lower().compile(compiler_options=_SIMPLE_LOOPS)
  except jax.errors.JaxRuntimeError:
    return False
  return True


class Stages:
  """prior: whose network restores. folder: where compiled programs are kept, None for nowhere."""

  def __init__(self, prior: Prior, folder: Path | None = None):
    self.prior = prior
    options = _SIMPLE_LOOPS if jax.default_backend() == "cpu" and _has_simple_loops() else None
    self._programs = Programs(folder, f"app {prior.config} {prior.noise} {prior.dtype} {prior.label}", options)
    self._compiled: dict[str, jax.stages.Compiled] = {}
    self._locks: dict[str, threading.Lock] = {}  # what one thread makes ready another waits for
    self._levels = schedule.steps_at(prior.noise.tables(), range(prior.noise.num_timesteps))

  def measured(self, image: np.ndarray, say: Callable[[str], None]) -> blind.Measured:
    """What noise is in a source [H, W, 3] in [-1, 1], and the source without stripes."""
    program = self.program("measured", lambda image: tuple(_flat(blind.measured(image))), (image,), say)
    return _measured(program(jnp.asarray(image)))

  def cleaned(self, key: jax.Array, found: blind.Measured, say: Callable[[str], None]) -> jax.Array:
    """A source [H, W, 3] without its noise. key: of the pair's weights (`fuse.keys`)."""
    def run(params, key, *parts):
      return blind.cleaned(jax.random.wrap_key_data(key), _measured(parts), self._levels, self.prior.denoiser(params))
    arguments = (self.prior.params, jax.random.key_data(key), *_flat(found))
    return self.program("cleaned", run, arguments, say)(*arguments)

  def blended(
    self, options: Dig2DigOptions, chroma_from: int | None, observed: jax.Array, content: jax.Array,
    say: Callable[[str], None],
  ) -> tuple[np.ndarray, np.ndarray]:
    """(fused [H, W, 3] in [-1, 1], weights [K, H, W, 1]) of sources [K, H, W, 3] without stripes, and without noise.
    chroma_from: number of a source, None to fuse RGB."""
    acting = [name for name, off in WHERE_ACTING.items() if getattr(options, name) > off]
    values = {name: np.float32(getattr(options, name)) for name in (*LIVE, *acting)}
    off = dict.fromkeys(LIVE, 0.0) | dict(WHERE_ACTING)
    fixed = dataclasses.replace(options, **off, restore="off")

    def run(*arguments):  # the method is made where it is traced, and not where a program is there already
      return _blend(self.prior, fixed, chroma_from)(*arguments)

    arguments = (values, observed, content)
    program = self.program(f"blended {fixed} {sorted(values)} {chroma_from}", run, arguments, say)
    fused, weights = jax.device_get(program(*arguments))
    return fused, weights

  def program(self, name: str, run: Callable, arguments: Any, say: Callable[[str], None]) -> jax.stages.Compiled:
    """A program of `run` for arguments of these shapes, images among them, which take and give arrays alone. say: told
    where it is compiled. UserError where it would need more memory than there is."""
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype), arguments)
    images = [leaf.shape for leaf in jax.tree.leaves(shapes) if leaf.ndim in (3, 4) and leaf.shape[-1] == 3]
    key = f"{name} {images[-1]}"
    with self._locks.setdefault(key, threading.Lock()):
      if key not in self._compiled:
        self._compiled[key] = self._made(key, run, shapes, images[-1][-3:-1], say)
      return self._compiled[key]

  def _made(self, key: str, run: Callable, shapes: Any, size: tuple[int, int], say) -> jax.stages.Compiled:
    told, devices = f"{size[1]} x {size[0]} pixels", jax.local_devices()[:1]
    found = self._programs.get(
      key, devices, lambda: jax.jit(run), shapes,
      compiling=lambda: say(f"preparing for {told}, which takes seconds the first time"),
    ).compiled  # fmt: skip
    need, free = memory.needed(found, {}), memory.available(devices)
    if need is not None and free is not None and need > free:
      raise UserError(f"expected memory for {told}, {need / 1e9:.1f} GB, found {free / 1e9:.1f} GB; the command below "
                      "takes such images in tiles")
    return found


def _blend(prior: Prior, options: Dig2DigOptions, chroma_from: int | None) -> Callable:
  """The method's own function of a pair, its sources taken as they were restored."""
  method = make_method(prior, rgb_codec() if chroma_from is None else luminance_codec(chroma_from), options=options)

  def run(values: Mapping[str, Any], observed, content):
    count = jnp.zeros(observed.shape[0])
    restored = blind.Restored(observed, content, Noise(*[count] * _NOISE), count)
    rule = dataclasses.replace(rule_of(options), **values)
    weighting = method.weighting._replace(compose=lambda _, images, encode, __: composition(restored, encode, rule))
    fused, trace = fuse(method.replace(weighting=weighting), None, jax.random.key(0), observed)
    return fused, trace.weights[-1]

  return run


def _flat(found: blind.Measured) -> tuple[jax.Array, ...]:
  """What a kept program takes and gives: arrays, in no class of ours."""
  return (found.observed, found.gray, *found.noise, found.striped)


def _measured(parts) -> blind.Measured:
  observed, gray, *noise, striped = parts
  return blind.Measured(observed, gray, Noise(*noise), striped)
