"""What does a traced program do, and how often? Sums over its equations, loops and conditions counted as they run."""

from collections.abc import Callable

import jax
from jax.extend import core


def total(
  jaxpr: core.Jaxpr, measure: Callable[[core.JaxprEqn], float | None], platform: str | None = None
) -> float:
  """Sum of `measure` over all equations. measure: of one equation, or None where what it calls is to be looked into; an
  equation that calls nothing then counts 0.

  A scan counts its body `length` times, a condition its dearest branch, a loop that ends of itself its body once. Where
  a function has one way per platform, that of this process's default backend counts, or of `platform` (`cuda`, ...).
  """
  return sum(_of(equation, measure, platform) for equation in jaxpr.eqns)


def _of(equation: core.JaxprEqn, measure, platform) -> float:
  if (found := measure(equation)) is not None:
    return found
  name, params = equation.primitive.name, equation.params
  if name == "scan":
    return params["length"] * total(params["jaxpr"].jaxpr, measure, platform)
  if name == "cond":
    return total(branch(params, measure, platform), measure, platform)
  inner = [value for value in params.values() if isinstance(value, core.Jaxpr | core.ClosedJaxpr)]
  return sum(total(getattr(jaxpr, "jaxpr", jaxpr), measure, platform) for jaxpr in inner)


def branch(
  params, measure: Callable[[core.JaxprEqn], float | None], platform: str | None = None
) -> core.Jaxpr:
  """Of a condition's parameters the branch that counts: the platform's, or the one of the largest `total`."""
  branches, platforms = [one.jaxpr for one in params["branches"]], params.get("branches_platforms")
  if not platforms:
    return max(branches, key=lambda jaxpr: total(jaxpr, measure, platform))
  name = platform or jax.default_backend()
  backend = {"gpu": {"gpu", "cuda", "rocm"}}.get(name, {name})
  return next(jaxpr for jaxpr, names in zip(branches, platforms, strict=True) if names is None or backend & set(names))
