"""Which methods are there, by name? Each as the class of its options and its constructor."""

from collections.abc import Callable
from typing import Any

from dig2dig_jax.methods.base import Codec, Method
from dig2dig_jax.methods.ccf import ccf
from dig2dig_jax.methods.ddfm import ddfm
from dig2dig_jax.methods.dig2dig import dig2dig
from dig2dig_jax.methods.drfusion import drfusion
from dig2dig_jax.methods.options import OPTIONS, DrFusionOptions, MethodOptions
from dig2dig_jax.sampling.types import Reuse

METHODS: dict[str, tuple[type[MethodOptions | DrFusionOptions], Callable[..., Method]]] = {
  name: (OPTIONS[name], constructor)
  for name, constructor in (("dig2dig", dig2dig), ("ddfm", ddfm), ("ccf", ccf), ("drfusion", drfusion))
}


def make_method(
  denoiser: Callable,
  codec: Codec,
  *,
  noise: dict,
  options: MethodOptions | DrFusionOptions,
  reuse: Callable[[Any], Reuse] | None = None,
) -> Method:
  """The method whose options these are. reuse: params -> Reuse, of a network that can. Raises UserError for values out
  of range, and for `options.reuse` above 1 without it."""
  for kind, constructor in METHODS.values():
    if type(options) is kind:
      own = {"reuse": reuse} if issubclass(kind, MethodOptions) else {}
      return constructor(denoiser, codec, noise=noise, options=options, **own)
  raise ValueError(f"options: expected those of one of {', '.join(METHODS)}, found {type(options).__name__}")
