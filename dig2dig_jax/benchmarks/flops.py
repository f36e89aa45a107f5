"""How many operations does a function ask for? Its convolutions and matrix products, counted in the traced program.

2 per multiply-add, as the papers of networks count; what is done element by element is left out. Counted here, because
not every device's XLA tells (NVIDIA's does not), and none knows what a library's attention costs.
"""

import math
from collections.abc import Callable

import jax
from jax.extend import core


def flops(function: Callable, *arguments) -> float:
  """Of one call with arrays or ShapeDtypeStructs, on this process's default backend: where a function has one way per
  platform, that one is counted, and of other branches the most expensive."""
  return _of(jax.make_jaxpr(function)(*arguments).jaxpr)


def _of(jaxpr: core.Jaxpr) -> float:
  return sum(map(_equation, jaxpr.eqns))


def _equation(equation) -> float:
  name, params = equation.primitive.name, equation.params
  shapes = [variable.aval.shape for variable in equation.invars]
  if name == "conv_general_dilated":
    out = math.prod(equation.outvars[0].aval.shape)
    # Every output is a sum over the kernel, its axis of output channels excepted.
    return 2.0 * out * math.prod(shapes[1]) / shapes[1][params["dimension_numbers"].rhs_spec[0]]
  if name == "dot_general":
    (contracted, _), _ = params["dimension_numbers"]
    return 2.0 * math.prod(equation.outvars[0].aval.shape) * math.prod(shapes[0][axis] for axis in contracted)
  if name.startswith("dot_product_attention"):  # cuDNN's: query [N, T, heads, d], key [N, S, heads, d]
    return 4.0 * math.prod(shapes[0]) * shapes[1][1]
  if name == "scan":
    return params["length"] * _of(params["jaxpr"].jaxpr)
  if name == "cond":
    return _branch(params)
  return sum(_of(inner.jaxpr if hasattr(inner, "jaxpr") else inner) for inner in _programs(params))


def _branch(params) -> float:
  counted = [_of(branch.jaxpr) for branch in params["branches"]]
  platforms = params.get("branches_platforms")
  if not platforms:
    return max(counted)
  backend = {"gpu": {"gpu", "cuda", "rocm"}}.get(jax.default_backend(), {jax.default_backend()})
  return next(count for count, names in zip(counted, platforms, strict=True) if names is None or backend & set(names))


def _programs(params) -> list:
  """What an equation calls: jit, custom_vjp and others, each under a name of its own; loops that end of themselves
  count once."""
  return [value for value in params.values() if isinstance(value, core.Jaxpr | core.ClosedJaxpr)]
