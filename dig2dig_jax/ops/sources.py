"""Sums, greatest values and softmax over the sources, the first axis of a few images [K, ...].

Unrolled: of a short leading axis a CPU's compiler makes a loop that takes ten times as long as the same additions.
"""

import functools

import jax
import jax.numpy as jnp


def total(x: jax.Array) -> jax.Array:
  """The sum over K, without that axis."""
  return functools.reduce(jnp.add, list(x))


def greatest(x: jax.Array) -> jax.Array:
  """The greatest of K, without that axis."""
  return functools.reduce(jnp.maximum, list(x))


def least(x: jax.Array) -> jax.Array:
  """The least of K, without that axis."""
  return functools.reduce(jnp.minimum, list(x))


def softmax(x: jax.Array) -> jax.Array:
  """exp(x_k) / sum over K of exp(x_k); the same shape."""
  powers = jnp.exp(x - greatest(x)[None])
  return powers / total(powers)[None]
