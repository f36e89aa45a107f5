"""Does the PyTorch peer say what it lacks, and does its stem cut images into blocks as ours does?"""

import numpy as np
import pytest

from dig2dig_jax.benchmarks.peer import DdfmPeer, _with_stem
from dig2dig_jax.errors import UserError
from dig2dig_jax.models.guided_unet import depth_to_space, space_to_depth


def test_what_is_missing_is_named(tmp_path):
  """An empty folder is no checkout; where PyTorch is missing too, that is what the message tells."""
  with pytest.raises(UserError, match="expected PyTorch and a checkout of MMIF-DDFM, found No module named"):
    DdfmPeer(tmp_path)


def test_the_stem_orders_blocks_as_ours():
  torch = pytest.importorskip("torch", reason="PyTorch, the peer's library, is not installed")
  seen = []

  class Network(torch.nn.Module):
    def forward(self, blocks, timesteps):
      seen.append(blocks.numpy())
      return blocks * 2

  x = np.random.default_rng(0).normal(size=(2, 3, 6, 8)).astype(np.float32)
  y = _with_stem(torch, Network(), 2)(torch.from_numpy(x), None).numpy()
  ours = np.asarray(space_to_depth(x.transpose(0, 2, 3, 1), 2))
  np.testing.assert_array_equal(seen[0], ours.transpose(0, 3, 1, 2))
  np.testing.assert_array_equal(y, np.asarray(depth_to_space(2 * ours, 2)).transpose(0, 3, 1, 2))
