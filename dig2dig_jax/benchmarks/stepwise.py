"""How do runs that differ in weights and steps alone share their programs? One compiled step, called in turn.

A `Fuser` compiles a program per row of a table: half a minute each, and every row asks the network again what it makes
of the sources. Here one program restores the sources at a noise level, once for all rows of a pair, and one takes a
reverse step for all rows of one guidance. The images are the `Fuser`'s, to rounding.
"""

import dataclasses
import math
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.guidance import gain, weighting
from dig2dig_jax.methods.base import Method, PriorLike
from dig2dig_jax.methods.codec import Codec
from dig2dig_jax.methods.fuse import keys
from dig2dig_jax.methods.options import MethodOptions
from dig2dig_jax.methods.registry import make_method
from dig2dig_jax.ops.arrays import Array, Image, Images, Rows
from dig2dig_jax.sampling import process
from dig2dig_jax.sampling.types import Step

# Of the options, what a step's program does not depend on.
_FREE = ("steps", "spacing", "interval", "first", "distance", "units", "temperature", "smoothing", "normalise", "rule",
         "scope", "chunk")  # fmt: skip


class Programs:
  """What the rows of a run share: the compiled steps, and what the network made of the sources that it saw last."""

  def __init__(self, prior: PriorLike, codec: Codec, *, seed: int):
    self.prior, self.codec, self.seed = prior, codec, seed
    self.seconds = 0.0  # of the first calls of programs
    self._steps: dict[MethodOptions, Any] = {}
    self._shapes: set = set()
    self._restore = jax.jit(self._restored)
    self._restored_of: tuple[Any, dict[int, Array]] = (None, {})

  def _restored(self, params, key: Array, sources: Images, step: Step) -> Images:
    """The sources as the network sees them at this noise level (Eq. 9 and 10)."""
    denoise = self.prior.denoiser(params)
    noise = jax.random.normal(jax.random.fold_in(key, 0), sources.shape[1:])
    return jax.lax.map(lambda source: denoise(process.q_sample(source, noise, step.alpha_bar), step).x0, sources)

  def estimate(self, params, key: Array, sources: Images, step: Step, pair: tuple) -> Images:
    """The same, once for a `pair`, whatever asks for it."""
    if self._restored_of[0] != pair:
      self._restored_of = pair, {}
    found, t = self._restored_of[1], int(step.t)
    if t not in found:
      found[t] = self.timed(("restore", sources.shape), self._restore, params, key, sources, step)
    return found[t]

  def step_of(self, options: MethodOptions, method: Method) -> Any:
    """`(params, key, x_t, states, sources, weights, step) -> (x_{t-1}, states)`, compiled."""
    defaults = {field.name: field.default for field in dataclasses.fields(options)}
    same = dataclasses.replace(options, **{name: defaults[name] for name in _FREE}, weights="uniform")
    if same not in self._steps:
      self._steps[same] = jax.jit(_one_step(method))
    return self._steps[same]

  def timed(self, of: Any, program: Any, *arguments) -> Any:
    """A call, whose seconds count as compilation where it is the first of its shapes."""
    start = time.monotonic()
    found = jax.block_until_ready(program(*arguments))
    if of not in self._shapes:
      self._shapes.add(of)
      self.seconds += time.monotonic() - start
    return found


class Stepwise:
  """Call as a `Fuser`: (images [B, K, H, W, 3], ids [B]) -> (fused [B, H, W, 3], None). For methods with reverse steps
  whose weights are uniform or gains over intervals of them, with one draw of shared noise."""

  def __init__(self, options: MethodOptions, programs: Programs, params):
    if options.steps == 0 or options.reuse != 1 or options.weights == "dig" and (
      options.window != "interval" or options.draws != 1 or not options.shared_noise or options.scale != 1
    ):  # fmt: skip
      raise ValueError(f"options: expected steps, and gains of one shared draw over intervals, found {options}")
    self._options, self._programs, self._params = options, programs, params
    self._method = make_method(programs.prior, programs.codec, options=options)
    self._step = programs.step_of(options, self._method)

  @property
  def compile_seconds(self) -> float:
    return self._programs.seconds

  def __call__(self, images: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, None]:
    return np.stack([self._fused(jnp.asarray(one), pair) for one, pair in zip(images, ids, strict=True)]), None

  def weights(self, images: Images, number) -> Rows:
    """[U, K, H, W, 1], with which the run of one pair [K, H, W, 3] weighs its sources."""
    sources, steps, (_, weight_key, _) = self._prepared(images, number)
    return self._rows(weight_key, sources, steps, (int(number), images.shape))

  def _prepared(self, images: Images, number) -> tuple[Images, Step, Array]:
    """The sources as they are fused, the steps, and keys of the start, the weights and the run."""
    assert self._method.reverse is not None
    own = keys(jax.random.fold_in(jax.random.key(self._programs.seed), number))
    return self._method.codec.encode(images), self._method.reverse.steps(self._params), own

  def _fused(self, images: Images, number) -> np.ndarray:
    sources, steps, (start_key, weight_key, run_key) = self._prepared(images, number)
    assert self._method.reverse is not None
    rows = self._rows(weight_key, sources, steps, (int(number), images.shape))
    x = self._method.reverse.start(start_key, sources, steps)
    states = self._method.guidance.init(sources), self._method.reverse.transition.init(x)
    for i in range(self._options.steps):
      step, row = jax.tree.map(lambda table, i=i: table[i], steps), min(i // self._options.interval, len(rows) - 1)
      arguments = self._params, run_key, x, states, sources, rows[row], step
      x, states = self._programs.timed((self._step, sources.shape), self._step, *arguments)
    return np.asarray(self._method.codec.decode(x, images))

  def _rows(self, key: Array, sources: Images, steps: Step, pair: tuple) -> Rows:
    options = self._options
    if options.weights == "uniform":
      return weighting.uniform().compute(key, sources, lambda x, step: x)
    errors = []
    for i in range(0, options.steps, options.interval):
      step = jax.tree.map(lambda table, i=i: table[i], steps)
      restored = self._programs.estimate(self._params, key, sources, step, pair)
      errors.append(gain.distance_map(restored, sources, distance=options.distance, units=options.units))
    own = {name: getattr(options, name) for name in ("temperature", "smoothing", "normalise", "rule", "scope")}
    rows = weighting.interval_rows(jnp.stack(errors), first=options.first, **own)
    assert len(rows) == math.ceil(options.steps / options.interval)
    return rows


def _one_step(method: Method):
  """A round of `sampling.sampler.sample` whose weights are an argument."""

  def step_on(params, key: Array, x_t: Image, states, sources: Images, weights, step: Step):
    denoise = method.denoiser(params)
    guidance_state, transition_state = states
    guidance_key, transition_key = jax.random.split(jax.random.fold_in(key, step.index))
    prediction, guidance_state = method.guidance.update(
      denoise(x_t, step), guidance_state, sources, x_t=x_t, step=step, key=guidance_key, weights=weights,
      denoise=denoise,
    )  # fmt: skip
    assert method.reverse is not None
    x_prev, transition_state = method.reverse.transition.update(transition_key, x_t, prediction, step, transition_state)
    return x_prev, (guidance_state, transition_state)

  return step_on
