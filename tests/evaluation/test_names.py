"""Is a pair whose name is not UTF-8 fused, skipped by the rerun, scored and reported, and shown as far as it can be?"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scenes import read, scene, write
from toys import conv_denoiser, conv_params, conv_prior

from dig2dig_jax import metrics
from dig2dig_jax.benchmarks import tables
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.evaluation import fused, report
from dig2dig_jax.fusing import job, ledger
from dig2dig_jax.methods.codec import luminance_codec
from dig2dig_jax.methods.dig2dig import dig2dig
from dig2dig_jax.methods.options import Dig2DigOptions
from dig2dig_jax.sampling.schedule import NoiseSchedule

pytestmark = pytest.mark.usefixtures("quick_compile")
NAME = os.fsdecode(b"caf\xe9")
OPTIONS = Dig2DigOptions(steps=0, window="cumulative", temperature=0.01)


@pytest.fixture
def data(tmp_path):
  folder = tmp_path / "data"
  for seed, source in enumerate(("ir", "vi")):
    write(folder / source / "plain.png", scene(seed, 24, 24, 1))
    write(folder / source / "other.png", scene(seed + 5, 24, 24, 1))
    try:
      (folder / source / "other.png").rename(folder / source / f"{NAME}.png")
    except OSError:
      pytest.skip("this file system takes UTF-8 alone")
  return folder


def test_fused_rerun_scored_and_reported(data, tmp_path, monkeypatch):
  monkeypatch.setattr(metrics, "PROTOCOLS", {"toy": ("EN", "MSE"), "panel": ("EN",), "common": ("EN",)})
  out, scores, page = tmp_path / "fused", tmp_path / "scores", tmp_path / "page"
  method = dig2dig(conv_prior(), luminance_codec(1), options=OPTIONS)
  config = job.FuseConfig(data=data, out=out, sources=("ir", "vi"), bucket=8)
  params, pairs = conv_params(), DataConfig(data, ("ir", "vi"))
  first = job.run(config, method, params)
  assert (first.done, first.failed, first.notes) == (2, [], []) and (out / f"{NAME}.png").exists()
  assert read(out / "report" / "contact_sheet.png").shape[0] == 2 * (220 + 18 + 4)
  again = job.run(config, method, params)
  assert (again.done, again.skipped, set(ledger.read(out))) == (0, 2, {NAME, "plain"})
  for _ in range(2):
    found = fused.run({"ours": out}, pairs, scores, protocol="toy")
    assert found.failed == [] and sorted(found.comparison.images) == sorted([NAME, "plain"])
  assert "caf\ufffd" in (scores / "scores.csv").read_text(encoding="utf-8")
  assert NAME in json.loads((scores / "summary.json").read_text(encoding="utf-8"))["images"]
  report.run({"ours": out}, pairs, page, protocol="toy", command="x")
  assert "caf\ufffd" in (page / "report.html").read_text(encoding="utf-8")


def test_a_benchmark_has_it_in_all_its_tables(data, tmp_path, monkeypatch):
  class Toy:
    compile_seconds = 0.0

    def __init__(self, *args, **options):
      pass

    def __call__(self, images, ids):
      return images[:, 0], None

  class Prior:
    params, noise, directory = conv_params(), NoiseSchedule("linear", 1000), "toy"
    denoiser, reuse = staticmethod(conv_denoiser), None

  monkeypatch.setattr(tables, "Fuser", Toy)
  monkeypatch.setattr(metrics, "PROTOCOLS", {"toy": ("EN",)})
  config = job.FuseConfig(data=data, out=tmp_path / "out", sources=("ir", "vi"), bucket=8)
  found = tables.run(Prior, luminance_codec(1), config, OPTIONS, protocols=("toy",), keep=("Dig2DIG, tuned",))
  assert found.failed == [] and found.notes == []
  table = json.loads((tmp_path / "out" / "methods" / "scores.json").read_text(encoding="utf-8"))
  assert set(table["Dig2DIG, tuned"]["images"]) == {NAME, "plain"}
  assert np.ptp(read(tmp_path / "out" / "methods" / "contact_sheet.png")) > 100


@pytest.mark.slow
def test_the_terminal_takes_any_name(data, tmp_path):
  """A damaged pair of that name is told of in one line, and all others are scored."""
  (data / "vi" / f"{NAME}.png").write_bytes(b"")
  command = [sys.executable, "launch.py", "--job=evaluate", f"--data={data}", "--suite=fused", "--protocol=common",
             f"--out={tmp_path / 'out'}"]  # fmt: skip
  environment = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
  done = subprocess.run(command, capture_output=True, cwd=Path(__file__).parents[2], env=environment, timeout=300)
  assert done.returncode == 3, done.stderr.decode(errors="replace")
  assert b"failed: " in done.stderr and b"Traceback" not in done.stderr and b"| average |" in done.stdout
