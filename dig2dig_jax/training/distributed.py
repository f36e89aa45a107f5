"""Which devices train together? One mesh over all local devices of all processes; batches split, weights replicated."""

from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec


class Team(NamedTuple):
  """`batch`: sharding of a batch over all devices. `whole`: of what every device holds."""

  batch: NamedSharding
  whole: NamedSharding
  devices: int
  process: int
  processes: int

  @property
  def leads(self) -> bool:
    """Whether this process writes the log and the results."""
    return self.process == 0

  def shard(self, rows: np.ndarray) -> jax.Array:
    """The batch of which this process has read `rows`."""
    return jax.make_array_from_process_local_data(self.batch, rows)

  def replicate(self, tree):
    """`tree`, equal in all processes, on every device."""
    return jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(self.whole, np.asarray(leaf)), tree)


def team() -> Team:
  """All devices of all processes that `jax.distributed.initialize` brought together, or of this one alone."""
  mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))
  return Team(
    batch=NamedSharding(mesh, PartitionSpec("data")),
    whole=NamedSharding(mesh, PartitionSpec()),
    devices=jax.device_count(),
    process=jax.process_index(),
    processes=jax.process_count(),
  )
