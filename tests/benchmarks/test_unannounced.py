"""Does the suite of unannounced damage do what it says to the sources, and score every row against the clean ones?"""

import csv

import numpy as np
import pytest
from scenes import read, write_pair

from dig2dig_jax.benchmarks import damage, unannounced
from dig2dig_jax.benchmarks.degraded_rows import Runner
from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing.config import FuseConfig
from dig2dig_jax.fusing.fuser import Fuser
from dig2dig_jax.methods.codec import luminance_codec
from dig2dig_jax.methods.dig2dig import dig2dig
from dig2dig_jax.methods.options import Dig2DigOptions
from dig2dig_jax.priors.prior import load_prior
from dig2dig_jax.restoration import classical
from dig2dig_jax.restoration.restorer import Restorer

pytestmark = pytest.mark.usefixtures("quick_compile")


def _levels(kind: str, image: np.ndarray) -> np.ndarray:
  return (damage.KINDS[kind](image, np.random.default_rng(0))[..., 0] + 1) * 127.5


def test_damage_is_what_its_name_says():
  flat = np.zeros((128, 128, 3), np.float32)
  assert np.std(_levels("noise10", flat)) == pytest.approx(10, rel=0.03)
  assert np.std(_levels("poisson_gaussian", flat)) == pytest.approx(np.sqrt(0.6 * 127.5 + 9), rel=0.03)
  columns = _levels("columns", flat)
  assert np.all(columns == columns[:1]) and np.std(columns) == pytest.approx(8, rel=0.2)
  ramp = np.broadcast_to(np.linspace(-1, 1, 128, dtype=np.float32)[:, None], (128, 128, 1)).repeat(3, -1)
  for kind in ("none", "blur1.5", "half", "quarter"):  # a ramp stays one, but at its borders
    assert np.abs(_levels(kind, ramp) - (ramp[..., 0] + 1) * 127.5)[8:-8, 8:-8].max() < 1.6
  dots = np.full((64, 64, 3), -1, np.float32)
  dots[::8, ::8] = 1
  assert _levels("blur2.5", dots).max() < _levels("blur1.5", dots).max() < 60
  assert _levels("quarter", dots).max() < _levels("half", dots).max() < 130


def test_levelled_columns_have_no_stripes():
  flat = np.zeros((64, 64, 3), np.float32)
  striped = damage.KINDS["columns"](flat, np.random.default_rng(0))
  assert classical.columns_levelled(striped).std() < 0.35 * striped.std()


@pytest.mark.slow
def test_cases_rows_and_files(tiny_prior, tmp_path):
  data, out = tmp_path / "data", tmp_path / "out"
  write_pair(data, "a", (34, 40), channels={"ir": 1, "vi": 3})
  prior = load_prior(tiny_prior)

  def runner(restore: str, seed: int = 0) -> Runner:
    options = Dig2DigOptions(steps=0, window="spectrum", bands=2, restore=restore)
    method = dig2dig(prior, luminance_codec(1), options=options)
    return Runner(Fuser(method, prior.params, seed=seed), 8)

  arguments = (
    unannounced.Rules(runner("noise"), runner("noise", 1), runner("off")),
    lambda degradations: Restorer(prior, degradations, steps=1),
    FuseConfig(data, ("ir", "vi"), out=out, bucket=8),
  )
  report = unannounced.run(*arguments, cases=("none", "noise25"), affected=("first", "both"), middle=32)
  assert not report.failed
  written = sorted(path.name for path in out.iterdir() if path.name[0] != ".")
  assert written == ["clean", "noise25_both", "noise25_first", "summary.md"]
  with (out / "noise25_first" / "scores.csv").open() as file:
    rows = {row["method"]: row for row in csv.DictReader(file)}
  classically = [f"{name}, then {rule}" for name in classical.DENOISERS for rule in ("Dig2DIG", "pyramid")]
  assert list(rows) == [unannounced.OURS, unannounced.PLAIN, unannounced.TOLD, *classically]
  assert all(5 < float(row["PSNR to clean"]) < 60 for row in rows.values())
  with (out / "clean" / "scores.csv").open() as file:
    assert {row["PSNR to clean"] for row in csv.DictReader(file) if row["method"] == unannounced.PLAIN} == {"inf"}
  summary = (out / "summary.md").read_text()
  assert "least PSNR of two seeds" in summary and f"most behind {unannounced.TOLD}" in summary
  assert read(out / "noise25_both" / "contact_sheet.png").ndim == 3
  for wrong in ({"cases": ("fog",)}, {"affected": ("third",)}):
    with pytest.raises(UserError, match="fog|third"):
      unannounced.run(*arguments, **wrong)
