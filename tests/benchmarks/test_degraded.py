"""Does the suite of degraded sources score every row against the clean fusion, and say what it did?"""

import csv
import json

import numpy as np
import pytest
from drfusion_toy import toy
from scenes import read, write_pair

from dig2dig_jax.benchmarks import degraded, degraded_rows
from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing.config import FuseConfig
from dig2dig_jax.methods.codec import luminance_codec
from dig2dig_jax.methods.dig2dig import dig2dig
from dig2dig_jax.methods.drfusion import drfusion
from dig2dig_jax.methods.options import Dig2DigOptions, DrFusionOptions
from dig2dig_jax.priors.prior import load_prior
from dig2dig_jax.restoration import classical
from dig2dig_jax.restoration.degradation import Degradation
from dig2dig_jax.restoration.restorer import Restorer

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.mark.slow
def test_rows_cases_and_files(tiny_prior, tmp_path):
  data, out = tmp_path / "data", tmp_path / "out"
  write_pair(data, "a", (34, 40), channels={"ir": 1, "vi": 3})
  prior, network = load_prior(tiny_prior), toy()
  codec = luminance_codec(1)
  options = Dig2DigOptions(steps=0, window="cumulative", temperature=0.01)
  method = dig2dig(prior, codec, options=options)
  trained = drfusion(network, codec, options=DrFusionOptions(output="channels"))
  arguments = (
    lambda degradations: Restorer(prior, degradations, steps=1),
    (method, prior.params),
    FuseConfig(data, ("ir", "vi"), out=out, bucket=8),
  )
  text = degraded.run(*arguments, drfusion=(trained, network.params), cases=("noise25", "first_x4"), middle=32).text
  assert "Case noise25" in text and "Case first_x4" in text
  with (out / "noise25" / "scores.csv").open() as file:
    rows = {row["method"]: row for row in csv.DictReader(file)}
  assert list(rows)[0] == degraded_rows.PLAIN and list(rows)[-1] == "DRFusion" and degraded_rows.OURS in rows
  # What went in without restoration is the noise that was added: 20 log10(255 / 25), whatever is clipped apart.
  assert float(rows[degraded_rows.PLAIN]["inputs"]) == pytest.approx(20.2, abs=1.0)
  assert all(0 < float(row["PSNR to clean"]) < 99 and 0 < float(row["Qabf"]) < 1 for row in rows.values())
  # Dig2DIG's own clean fusion is the clean fusion; those of other rules are others.
  assert rows[degraded_rows.OURS]["PSNR to own"] == rows[degraded_rows.OURS]["PSNR to clean"]
  for name in ("wavelet, then average", "DRFusion"):
    assert rows[name]["PSNR to own"] != rows[name]["PSNR to clean"]
  # Noise is mostly above what the low-pass lets through, and random weights restore nothing.
  plain, network_row = rows[degraded_rows.PLAIN], rows["DRFusion"]
  assert float(plain["low-pass inputs"]) > float(plain["inputs"]) + 10
  assert network_row["inputs"] != plain["inputs"]
  settings = json.loads((out / "first_x4" / "settings.json").read_text())
  assert settings["degradations"]["vi"] == {"stages": [], "sigma": 0.0}
  assert settings["degradations"]["ir"]["stages"] == [["average", ["4"]]]
  assert read(out / "first_x4" / "contact_sheet.png").ndim == 3
  with pytest.raises(UserError, match="noise15"):
    degraded.run(*arguments, cases=("fog",))


def test_held_out_pairs_are_those_that_training_leaves_out(tiny_prior, tmp_path):
  data, out = tmp_path / "data", tmp_path / "out"
  for name in ("a", "b", "c", "d", "e", "f"):
    write_pair(data, name, (16, 18), channels={"ir": 1, "vi": 3})
  prior = load_prior(tiny_prior)
  options = Dig2DigOptions(steps=0, window="cumulative", temperature=0.01)
  method = dig2dig(prior, luminance_codec(1), options=options)
  config = FuseConfig(data, ("ir", "vi"), out=out, bucket=8)
  restorer = lambda degradations: Restorer(prior, degradations, steps=1)  # noqa: E731
  (data / "vi" / "f.png").write_bytes(b"")
  for name in ("a", "b", "c", "d", "e", "f", "g"):
    write_pair(data, f"small_{name}", (8, 8), channels={"ir": 1, "vi": 1})  # no window of SSIM fits
  report = degraded.run(restorer, (method, prior.params), config, cases=("noise25",), held_out=True)
  unreadable, small = report.failed
  assert "vi/f.png: expected an image, found an empty file" in unreadable
  assert small.startswith("small_e: expected scores of noise25, found ValueError")
  with (out / "noise25" / "scores.csv").open() as file:
    assert {row["image"] for row in csv.DictReader(file)} == {"a"}


def test_classical_restoration_inverts_a_blur_and_leaves_the_clean_alone():
  clean = np.repeat(read_smooth()[..., None], 3, axis=-1)
  assert classical.restored(clean, Degradation(), (32, 40), classical.wavelet) is clean
  blur = Degradation((("blur", ("1.5",)),))
  blurred = np.asarray(blur.operator((32, 40)).apply(clean))
  found = classical.restored(blurred, blur, (32, 40), classical.wavelet)
  assert np.square(found - clean).mean() < 0.5 * np.square(blurred - clean).mean()


def read_smooth():
  rows, columns = np.mgrid[:32, :40]
  return (0.5 * np.sin(rows / 2.5) * np.cos(columns / 3)).astype(np.float32)
