"""Do devices that share an image make the image of one device? On two simulated ones, in a process of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_fuser import make

from dig2dig_jax.errors import UserError

TESTS = Path(__file__).parents[1]
PROGRAM = """
import jax
jax.config.update("jax_num_cpu_devices", 2)
import numpy as np
from test_fuser import make
from toys import images

pairs, ids = np.asarray(images(0, 1, 2, 33, 24, 3)), np.zeros(1, np.uint32)
alone, together = make(), make(devices=jax.devices(), shard_image=True)
assert together.plan((2, 33, 24), batch_size=0) == (1, 0)
assert together.notes == ["24x33: 2 devices share the rows of each image"], together.notes
np.testing.assert_allclose(together(pairs, ids)[0], alone(pairs, ids)[0], atol=1e-5)
assert "collective-permute" in together._program(pairs.shape, 0).as_text()  # neighbours' rows, so that it is shared
"""


@pytest.mark.slow
def test_two_devices_that_share_an_image_make_that_of_one():
  path = os.pathsep.join(map(str, (TESTS, TESTS / "fusing", TESTS.parent)))
  done = subprocess.run([sys.executable, "-c", PROGRAM], env={**os.environ, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu"},
                        capture_output=True, text=True)  # fmt: skip
  assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("tile", [0, 64])
def test_one_device_has_nothing_to_share_and_tiles_are_another_way(tile):
  with pytest.raises(UserError, match="--shard_image: expected several devices and no tiles"):
    make(shard_image=True, tile=tile)
