"""Is another program's evaluator recognised by its numbers? By a small one of known definitions."""

import numpy as np
import pytest
from PIL import Image

from dig2dig_jax.benchmarks import rosetta
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.errors import UserError

PROGRAM = """
import numpy as np
import sklearn.metrics as skm
class Evaluator:
  @classmethod
  def SD(cls, image):
    return np.std(image, ddof=1)
  @classmethod
  def MSE(cls, fused, a, b):
    return (np.mean((fused - a) ** 2) + np.mean((fused - b) ** 2)) / 2 / 255**2
  @classmethod
  def CC(cls, fused, a, b):
    return 0.123
  @classmethod
  def helper(cls, image):
    return image
"""


def put_images(folder, seed):
  random = np.random.default_rng(seed)
  for source in ("ir", "vi", "fused"):
    (folder / source).mkdir()
    Image.fromarray(random.integers(0, 256, (6, 6), np.uint8)).save(folder / source / "1.png")


def test_definitions_are_told_by_their_numbers(tmp_path):
  put_images(tmp_path, seed=2)
  (tmp_path / "Evaluator.py").write_text(PROGRAM)
  lines = rosetta.run(tmp_path / "Evaluator.py", DataConfig(tmp_path, ("ir", "vi")), tmp_path / "fused").splitlines()
  found = {line.split("|")[1].strip(): line for line in lines[2:]}
  assert found.keys() == {"SD", "MSE", "CC"}
  assert "N - 1" in found["SD"] and found["SD"].rstrip(" |").endswith("yes")
  assert "of images in 0..1" in found["MSE"] and found["MSE"].rstrip(" |").endswith("yes")
  assert found["CC"].rstrip(" |").endswith("no")


OTHER = """
from .parts import mean
def SD_function(image_array, levels=256):
  return mean((image_array - mean(image_array)) ** 2) ** 0.5
def MSE_function(A, B, F):
  return (mean((F - A) ** 2) + mean((F - B) ** 2)) / 2
def MI_function(A, B, F):
  from sklearn_that_is_not_there.metrics import mutual_info_score
def helper_function(A):
  return A
"""


def test_functions_of_a_package_are_called_in_their_own_order(tmp_path):
  put_images(tmp_path, seed=3)
  package = tmp_path / "metric_of_another"
  package.mkdir()
  (package / "__init__.py").write_text("from .Metric import *")
  (package / "parts.py").write_text("mean = lambda array: float(array.mean())")
  (package / "Metric.py").write_text(OTHER)
  text = rosetta.run(package / "Metric.py", DataConfig(tmp_path, ("ir", "vi")), tmp_path / "fused")
  found = {line.split("|")[1].strip(): line for line in text.splitlines()[2:] if line.startswith("|")}
  assert found.keys() == {"SD", "MSE"}
  assert "of the population" in found["SD"] and found["SD"].rstrip(" |").endswith("yes")
  assert "of levels" in found["MSE"] and found["MSE"].rstrip(" |").endswith("yes")
  assert "MI: left out, ModuleNotFoundError" in text


@pytest.mark.parametrize("text", ["x = 1", "import nowhere_to_be_found", "class Evaluator:\n  pass"])
def test_what_is_no_evaluator_is_refused(tmp_path, text):
  (tmp_path / "Evaluator.py").write_text(text)
  with pytest.raises(UserError, match="Evaluator.py: expected"):
    rosetta.load(tmp_path / "Evaluator.py")
