"""What does a method cost? Evaluations of its network, counted in the program that it traces to."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from dig2dig_jax.methods.base import Method, Reverse
from dig2dig_jax.methods.fuse import fuse
from dig2dig_jax.ops import program
from dig2dig_jax.ops.arrays import Image
from dig2dig_jax.sampling.types import Prediction, StatefulDenoiser, Step

_SIDE = 64  # pixels of the pair that is traced: the count does not depend on it
_MARK = "network_evaluation_of_"


def evaluations(method: Method, params: Any, sources: int) -> int:
  """Maximum number of network evaluations for one pair: of a condition, the more expensive branch is counted.

  Evaluations that reuse deep features of an earlier step, or run on downsampled images, are counted too. Nothing is
  computed: the method is traced with a network that does nothing.

  Args:
    method: what is traced.
    params: the network's parameters, or their shapes.
    sources: K, images of a pair.

  Returns:
    The number of evaluations, of one image each.
  """
  reverse = method.reverse and _counted(method.reverse)
  counting = method.replace(denoiser=lambda params: _evaluated, reverse=reverse)
  images = jax.ShapeDtypeStruct((sources, _SIDE, _SIDE, 3), jnp.float32)
  traced = jax.make_jaxpr(lambda params, images: fuse(counting, params, jax.random.key(0), images)[0])(params, images)
  return round(program.total(traced.jaxpr, _count))


def _counted(reverse: Reverse) -> Reverse:
  """A predictor with a memory is one evaluation a step, whatever it calls."""

  def predictor(params, denoise):
    found = reverse.predictor(params, _nothing)
    if not isinstance(found, StatefulDenoiser):
      return reverse.predictor(params, denoise)
    return found._replace(update=lambda x_t, step, memory: found.update(_marked(x_t), step, memory))

  return dataclasses.replace(reverse, predictor=predictor)


def _nothing(x_t: Image, step: Step) -> Prediction:
  return Prediction(x_t, x_t, variance=x_t, mask=x_t[..., :1])


def _evaluated(x_t: Image, step: Step) -> Prediction:
  return _nothing(_marked(x_t), step)


@jax.custom_vjp
def _marked(x):
  return _mark(x)


def _mark(x):
  """A call that the traced program names, with the size of one image: of a batch, the call's array is larger."""

  def call(x):
    return 2 * x

  call.__name__ = f"{_MARK}{x.size}"
  return jax.jit(call)(x)


_marked.defvjp(lambda x: (_mark(x), None), lambda _, slope: (slope,))  # the way back is no forward pass


def _count(equation: core.JaxprEqn) -> float | None:
  name = str(equation.params.get("name", ""))
  if not name.startswith(_MARK):
    return None
  (image,) = equation.invars
  return math.prod(image.aval.shape) / int(name.removeprefix(_MARK))  # type: ignore[attr-defined]
