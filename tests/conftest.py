"""Where do the tests find their truth? Golden arrays and shared data, by relative path; and how strict is JAX."""

import os
import pathlib

# Set before jax is imported: the tests belong on the CPU unless whoever runs them says otherwise.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import pytest

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
