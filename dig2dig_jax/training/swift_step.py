"""What does one training step of the swift network do? It comes nearer to the prior's estimates of noisy crops."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from dig2dig_jax.models.swift import SwiftNet
from dig2dig_jax.training.step import StepConfig, make_update

COLOUR = 0.5  # of the loss of the two planes of colour, against that of the mean


def make_swift_step(module: SwiftNet, config: StepConfig, *, seed: int) -> Callable:
  """`step(state, batch)` as `training.step.make_update` makes it; batch [N, size, size, 7] of `swift_examples`.

  The loss is the squared distance to the prior's estimates over the deviation of the noise, so that no level is
  neglected: errors grow with the noise nearly as its square root. Of gray crops the planes of colour do not count.
  """

  def loss_fn(params, batch):
    mean, colour, clean_mean, clean_colour, level = jnp.split(batch, (1, 3, 4, 6), axis=-1)
    deviation = level[:, 0, 0, 0]
    found_mean, found_colour = module.apply({"params": params}, mean, deviation, colour)
    has_colour = jnp.any(colour != 0, axis=(1, 2, 3))
    of_mean = jnp.mean(jnp.square(found_mean - clean_mean), axis=(1, 2, 3))
    of_colour = jnp.mean(jnp.square(found_colour - clean_colour), axis=(1, 2, 3))
    return jnp.mean((of_mean + COLOUR * has_colour * of_colour) / deviation)

  def draw(key, batch):
    """Turned and mirrored."""
    for number, turn in enumerate((lambda x: x[:, ::-1], lambda x: x[:, :, ::-1], lambda x: x.swapaxes(1, 2))):
      asked = jax.random.bernoulli(jax.random.fold_in(key, number), shape=(batch.shape[0], 1, 1, 1))
      batch = jnp.where(asked, turn(batch), batch)
    return (batch,)

  return make_update(loss_fn, draw, config, seed=seed)
