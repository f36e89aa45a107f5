"""Where do the tests find their truth? Golden arrays and shared data, by relative path; and how strict is JAX."""

import os
import pathlib

# Set before jax is imported: the tests belong on the CPU unless whoever runs them says otherwise.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
import pytest
from flax import traverse_util

from dig2dig_jax import checkpoint
from dig2dig_jax.models.config import UNetConfig
from dig2dig_jax.models.shapes import parameter_shapes

# Tests measure and count what is compiled: nothing may come from an earlier run.
jax.config.update("jax_enable_compilation_cache", False)
# A [3] meeting an [H, W, C] by accident is a bug that no shape check downstream would show.
jax.config.update("jax_numpy_rank_promotion", "raise")

TESTS = pathlib.Path(__file__).resolve().parent
SHARED = pathlib.Path(os.environ.get("DIG2DIG_SHARED", TESTS.parents[1] / "shared"))


def golden_path(relative):
  """Path of a golden file: the copy in tests/goldens, else the one in $DIG2DIG_SHARED/golden, else the test skips."""
  for folder in (TESTS / "goldens", SHARED / "golden"):
    if (folder / relative).exists():
      return folder / relative
  pytest.skip(f"golden file {relative} is neither in tests/goldens nor in {SHARED / 'golden'}")


@pytest.fixture
def golden():
  """The function `golden_path(relative) -> Path`."""
  return golden_path


@pytest.fixture
def shared_data():
  """Path of the shared image data ($DIG2DIG_SHARED/data), else the test skips."""
  folder = SHARED / "data"
  if not folder.is_dir():
    pytest.skip(f"no shared data: {folder} does not exist; set DIG2DIG_SHARED")
  return folder


# A few thousand parameters: compiled in seconds, and any H x W.
TINY = UNetConfig(
  image_size=16,
  model_channels=8,
  out_channels=3,
  num_res_blocks=1,
  attention_ds=(),
  channel_mult=(1, 2),
  patch=2,
  norm_groups=4,
  middle_attention=False,
)


@pytest.fixture(scope="session")
def tiny_prior(tmp_path_factory):
  """Checkpoint folder of a tiny network with random weights; unlike at the start of training, its output is not 0."""
  rng = np.random.default_rng(0)
  flat = {
    path: (rng.normal(size=shape) / np.sqrt(max(1, np.prod(shape[:-1])))).astype(np.float32)
    for path, shape in parameter_shapes(TINY).items()
  }
  folder = tmp_path_factory.mktemp("priors") / "tiny"
  checkpoint.save_checkpoint(
    folder,
    params=traverse_util.unflatten_dict(flat, sep="/"),
    config=TINY,
    schedule={"name": "linear", "num_timesteps": 1000},
    card={"note": "random weights, for tests"},
  )
  return folder


@pytest.fixture(scope="module")
def quick_compile():
  """For tests of bookkeeping, whose programs are tiny and many: XLA optimises little and compiles in half the time."""
  jax.config.update("jax_disable_most_optimizations", True)
  yield
  jax.config.update("jax_disable_most_optimizations", False)
