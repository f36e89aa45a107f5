"""Which bytes must pass a device's memory? A traced program as passes over it: operations and bytes of each.

What is done element by element is taken to fuse: with the sum or mean that reads it, or into one pass that writes what
a convolution, a matrix product or a library's kernel reads. Sums over the same arrays are one pass. So a pass reads
arrays that lie in memory and writes one; caches are taken to hold nothing between passes, and registers everything
within one. That is what XLA does to the networks here on a GPU, but for fusions that it declines; it is no law.
"""

import collections
import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import jax
from jax.extend import core
from jax.interpreters import partial_eval

from dig2dig_jax.benchmarks import flops
from dig2dig_jax.ops import program


class Pass(NamedTuple):
  """flops, bytes: of one of its `runs`."""

  kind: str
  flops: float
  bytes: float
  runs: float


_BY_NAME = {"conv_general_dilated": "convolution", "dot_general": "matrix product", "pallas_call": "kernel"}
_SUMS = ("reduce_", "argmax", "argmin")
# Of the rest, those that read and write whole arrays by themselves.
_WHOLE = (
  "fft", "sort", "top_k", "cum", "gather", "scatter", "select_and_scatter", "reduce_window", "while",
  "triangular_solve", "cholesky", "eigh", "svd", "lu", "ffi_call", "custom_call", "all_", "ppermute", "psum",
)  # fmt: skip
_ALIASES = ("reshape", "squeeze", "expand_dims")  # the same bytes, in the same order
_ELEMENTWISE, _SUM = "element by element", "sum or mean"


def passes(function: Callable, *arguments, platform: str | None = None) -> list[Pass]:
  """Of one call with arrays or ShapeDtypeStructs. Loops, conditions and `platform` count as in `ops.program.total`."""
  return of_jaxpr(jax.make_jaxpr(function)(*arguments).jaxpr, platform)


def of_jaxpr(jaxpr: core.Jaxpr, platform: str | None = None) -> list[Pass]:
  """Of a program that is traced already. Unused results are not computed."""
  jaxpr, _ = partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars), instantiate=True)
  walk = _Walk(platform)
  inputs = [walk.in_memory(variable.aval) for variable in (*jaxpr.constvars, *jaxpr.invars)]
  for value in walk.through(jaxpr, inputs, 1.0):
    walk.keep(value, 1.0)
  return walk.found


def total(found: Iterable[Pass]) -> tuple[float, float]:
  """(operations, bytes) of all passes together."""
  found = list(found)
  return sum(one.flops * one.runs for one in found), sum(one.bytes * one.runs for one in found)


class _Value:
  """An array as it comes about. sources: {number of an array in memory: bytes that are read of it}; an array in memory
  has itself alone."""

  def __init__(self, size: float, sources: dict[int, float], kept: bool):
    self.size, self.sources, self.kept = size, sources, kept

  @property
  def read(self) -> float:
    return sum(self.sources.values())


class _Walk:
  def __init__(self, platform: str | None):
    self._platform = platform
    self.found: list[Pass] = []
    self._arrays = 0
    self._summed: set = set()

  def in_memory(self, aval) -> _Value:
    self._arrays += 1
    return _Value(_bytes(aval), {self._arrays: _bytes(aval)}, True)

  def keep(self, value: _Value, runs: float) -> None:
    """Written down where it is not in memory yet."""
    if not value.kept:
      self.found.append(Pass(_ELEMENTWISE, 0.0, value.read + value.size, runs))
      self._arrays += 1
      value.sources, value.kept = {self._arrays: value.size}, True

  def through(self, jaxpr: core.Jaxpr, inputs: Sequence[_Value], runs: float) -> list[_Value]:
    known = dict(zip((*jaxpr.constvars, *jaxpr.invars), inputs, strict=True))
    read = [*(v for equation in jaxpr.eqns for v in equation.invars), *jaxpr.outvars]
    uses = collections.Counter(v for v in read if not isinstance(v, core.Literal))

    def value(variable):
      return _Value(0, {}, True) if isinstance(variable, core.Literal) else known[variable]

    for equation in jaxpr.eqns:
      outputs = self._equation(equation, [value(variable) for variable in equation.invars], runs)
      for variable, made in zip(equation.outvars, outputs, strict=True):
        known[variable] = made
        # Read by several and much dearer to work out again than to read: it is written down.
        if not made.kept and uses[variable] > 1 and made.read > 1.5 * made.size:
          self.keep(made, runs)
    return [value(variable) for variable in jaxpr.outvars]

  def _equation(self, equation: core.JaxprEqn, inputs: list[_Value], runs: float) -> list[_Value]:
    name, params = equation.primitive.name, equation.params
    avals = [variable.aval for variable in equation.outvars]
    if name == "scan":
      return self._scan(params, inputs, avals, runs)
    if name == "cond":
      branch = program.branch(params, flops.of_equation, self._platform)
      return self._inline(branch, inputs[1:], avals, runs)
    if name == "optimization_barrier":
      for value in inputs:
        self.keep(value, runs)
      return inputs
    if name in _ALIASES and inputs[0].kept:
      return [inputs[0]]
    if name == "dynamic_update_slice":  # in place
      self.keep(inputs[0], runs)
      self.found.append(Pass(_ELEMENTWISE, 0.0, inputs[1].read + inputs[1].size, runs))
      return [inputs[0]]
    kind = _BY_NAME.get(name) or ("attention" if name.startswith("dot_product_attention") else None)
    if kind or (name.startswith(_WHOLE) and not name.startswith("custom_jvp")):
      return self._whole(kind or "other", equation, inputs, avals, runs)
    if name.startswith(_SUMS) and name != "reduce_precision":
      return self._sum(inputs, avals, runs)
    if (inner := _inner(params)) is not None:
      return self._inline(inner, inputs, avals, runs)
    return [self._elementwise(name, inputs, aval) for aval in avals]

  def _whole(self, kind, equation, inputs, avals, runs) -> list[_Value]:
    for value in inputs:
      self.keep(value, runs)
    read = sum({number: size for value in inputs for number, size in value.sources.items()}.values())
    if equation.primitive.name in ("gather", "dynamic_gather"):
      read = sum(map(_bytes, avals))
    work = flops.of_equation(equation) or 0.0
    self.found.append(Pass(kind, work, read + sum(map(_bytes, avals)), runs))
    return [self.in_memory(aval) for aval in avals]

  def _sum(self, inputs, avals, runs) -> list[_Value]:
    sources = {number: size for value in inputs for number, size in value.sources.items()}
    key = frozenset(sources)
    read = 0.0 if key in self._summed else sum(sources.values())
    self._summed.add(key)
    self.found.append(Pass(_SUM, 0.0, read + sum(map(_bytes, avals)), runs))
    return [self.in_memory(aval) for aval in avals]

  def _scan(self, params, inputs, avals, runs) -> list[_Value]:
    body, length = params["jaxpr"].jaxpr, params["length"]
    # Newer versions of JAX tell the inputs as (constants, carry, slices) in place of their numbers.
    before = params["num_consts"] if "num_consts" in params else len(params["ft_in"].unpack()[0])
    for value in inputs:
      self.keep(value, runs)
    own = [self.in_memory(variable.aval) for variable in body.invars[before:]]
    outputs = self.through(body, [*inputs[:before], *own], runs * length)
    for value in outputs:
      self.keep(value, runs * length)
    return [self.in_memory(aval) for aval in avals]

  def _inline(self, jaxpr, inputs, avals, runs) -> list[_Value]:
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    constants = [self.in_memory(variable.aval) for variable in jaxpr.constvars]
    return self.through(jaxpr, [*constants, *inputs], runs)

  def _elementwise(self, name, inputs, aval) -> _Value:
    sources: dict[int, float] = {}
    for value in inputs:
      for number, size in value.sources.items():
        sources[number] = max(size, sources.get(number, 0.0))
    size = _bytes(aval)
    if name in ("slice", "dynamic_slice"):  # of what is cut out no more is read than there is
      share = min(1.0, size / max(inputs[0].size, 1))
      sources = {number: share * size for number, size in sources.items()}
    return _Value(size, sources, False)


def _inner(params) -> core.Jaxpr | None:
  found = [value for value in params.values() if isinstance(value, core.Jaxpr | core.ClosedJaxpr)]
  return getattr(found[0], "jaxpr", found[0]) if found else None


def _bytes(aval) -> float:
  return float(math.prod(aval.shape) * getattr(aval.dtype, "itemsize", 4))
