"""How many operations does a function ask for? Its convolutions and matrix products, counted in the traced program.

2 per multiply-add, as the papers of networks count; what is done element by element is left out. Counted here, because
not every device's XLA tells (NVIDIA's does not), and none knows what a library's attention costs.
"""

import math
from collections.abc import Callable

import jax
from jax.extend import core

from dig2dig_jax.ops import program


def flops(function: Callable, *arguments) -> float:
  """Of one call with arrays or ShapeDtypeStructs; see `ops.program.total` for loops and conditions."""
  return program.total(jax.make_jaxpr(function)(*arguments).jaxpr, of_equation)


def of_equation(equation: core.JaxprEqn) -> float | None:
  """Of one equation; None where what it calls, if it calls anything, is to be looked into. A kernel of Pallas counts
  what its author says of it."""
  name, params = equation.primitive.name, equation.params
  shapes = [variable.aval.shape for variable in equation.invars]
  if name == "conv_general_dilated":
    out = math.prod(equation.outvars[0].aval.shape)
    # Every output is a sum over the kernel, its axis of output channels excepted.
    return 2.0 * out * math.prod(shapes[1]) / shapes[1][params["dimension_numbers"].rhs_spec[0]]
  if name == "dot_general":
    (contracted, _), _ = params["dimension_numbers"]
    return 2.0 * math.prod(equation.outvars[0].aval.shape) * math.prod(shapes[0][axis] for axis in contracted)
  if name == "pallas_call":
    return float(getattr(params.get("cost_estimate"), "flops", 0) or 0)
  if name.startswith("dot_product_attention"):  # cuDNN's: query [N, T, heads, d], key [N, S, heads, d]
    return 4.0 * math.prod(shapes[0]) * shapes[1][1]
  return None
