"""Does the speed suite run where nothing but JAX, Flax and this package's core is installed?"""

import json
import os
import pathlib
import subprocess
import sys

from conftest import SIMPLE_LOOPS_FLAGS

ROOT = pathlib.Path(__file__).resolve().parents[2]
ABSENT = ("grain", "pywt", "pooch", "skimage", "cv2", "PIL", "tifffile", "imagecodecs", "matplotlib", "jinja2", "tqdm",
          "safetensors", "torch")  # fmt: skip
_CODE = f"""
import sys

class Absent:
  def find_spec(self, name, path=None, target=None):
    if name.split(".")[0] in {ABSENT!r}:
      raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
from dig2dig_jax.benchmarks import roofline, speed
from dig2dig_jax.cli.launcher import launch
speed._SIDE["cpu"], roofline._STREAM["cpu"] = 64, 2**16
sys.exit(launch(sys.argv[1:]))
"""


def test_a_bare_machine_measures_its_speed(tmp_path):
  command = [
    sys.executable, "-c", _CODE, "--job=benchmark", "--suite=speed", "--method=ddfm", "--steps=2", "--sizes=16x16",
    "--random_prior=image_size=32,num_channels=32,num_res_blocks=1,channel_mult=1,attention_resolutions=16",
    "--repeats=1", f"--out={tmp_path}", "--compile_cache=",
  ]  # fmt: skip
  environment = os.environ | {"PYTHONPATH": str(ROOT), "XLA_FLAGS": SIMPLE_LOOPS_FLAGS, "JAX_PLATFORMS": "cpu"}
  found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
  assert found.returncode == 0, found.stderr
  [row] = json.loads((tmp_path / "speed.json").read_text())["rows"]
  assert row["evaluations"] == 2 and row["seconds"] > 0 and row["bound_seconds"] > 0
  assert "roofline.png: expected a picture for display, found" in found.stdout
