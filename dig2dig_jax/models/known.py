"""How is a parameter read that is there already? Flax traces its initialiser once more, to compare shapes.

That is nearly half of the time it takes to trace a network. The layers of this module compare the shape that they ask
for, and leave all else to Flax: the initialisation, and what is said of a shape that does not fit.
"""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

_BLANK = contextvars.ContextVar("blank", default=False)


@contextlib.contextmanager
def blank() -> Iterator[None]:
  """Within, parameters are made as zeros: where only their shapes are needed."""
  token = _BLANK.set(True)
  try:
    yield
  finally:
    _BLANK.reset(token)


def _zeros(key, shape, dtype=jnp.float32):
  return jnp.zeros(shape, dtype)


class Known:
  """Of a Flax module, before it in the list of bases."""

  def param(self, name: str, init_fn, *init_args, **options) -> Any:
    """`flax.linen.Module.param` for initialisers whose first argument, after the key, is the shape."""
    there = self.get_variable("params", name)  # type: ignore[attr-defined]
    if there is not None and init_args and np.shape(there) == tuple(init_args[0]):
      return there
    return super().param(name, _zeros if _BLANK.get() else init_fn, *init_args, **options)  # type: ignore[misc]


class Dense(Known, nn.Dense):
  """`flax.linen.Dense`."""


class Conv(Known, nn.Conv):
  """`flax.linen.Conv`."""


class ConvTranspose(Known, nn.ConvTranspose):
  """`flax.linen.ConvTranspose`."""


class Embed(Known, nn.Embed):
  """`flax.linen.Embed`."""
