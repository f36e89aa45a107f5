"""Does the benchmark score every method and every baseline on every pair?"""

import csv
import json

import numpy as np
import pytest
from scenes import read, write_pair
from toys import conv_denoiser, conv_params

from dig2dig_jax import metrics
from dig2dig_jax.errors import UserError
from dig2dig_jax.jobs import benchmark
from dig2dig_jax.jobs.fuse import FuseConfig
from dig2dig_jax.methods.base import luminance_codec
from dig2dig_jax.methods.dig2dig import Dig2DigOptions

pytestmark = pytest.mark.usefixtures("quick_compile")

TUNED = Dig2DigOptions(steps=3, strength=0.8, window="cumulative", temperature=0.01)
ROWS = [
  "average", "pixel maximum", "Laplacian pyramid",
  "fixed guidance", "Dig2DIG, literal", "Dig2DIG, one pass", "Dig2DIG, tuned",
]


class Prior:
  params, noise, directory = conv_params(), {"name": "linear", "num_timesteps": 1000}, "toy"
  denoiser = staticmethod(conv_denoiser)


def run(data, out, **options):
  config = FuseConfig(data=data, out=out, sources=("ir", "vi"), bucket=32, batch_size=2)
  return benchmark.run(Prior, luminance_codec(1), config, TUNED, **options)


@pytest.fixture(scope="module")
def results(quick_compile, tmp_path_factory):
  """(folder of pairs, results, table); the second pair of three is larger than the others."""
  root = tmp_path_factory.mktemp("benchmark")
  for name, size in (("p", (32, 30)), ("q", (32, 32)), ("r", (24, 24)), ("s", (32, 32))):
    write_pair(root / "data", name, size, channels={"ir": 1, "vi": 3})
  return root / "data", root / "out", run(root / "data", root / "out", limit=3)


def test_the_table_has_a_row_per_method_and_a_column_per_metric(results):
  _, out, table = results
  header, _, *lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
  assert [line[0] for line in lines] == ROWS
  assert [name.split()[0] for name in header] == ["method", "images", *metrics.METRICS]
  assert {line[1] for line in lines} == {"3"}
  assert (out / "scores.md").read_text() == table


def test_every_score_is_that_of_its_image(results):
  data, out, _ = results
  lines = list(csv.DictReader((out / "scores.csv").read_text().splitlines()))
  assert [(line["method"], line["image"]) for line in lines] == [(row, name) for row in ROWS for name in "pqr"]
  report = json.loads((out / "scores.json").read_text())
  assert list(report) == ROWS
  # Scored here again, from the files: infrared is gray, the visible image is 0.299 R + 0.587 G + 0.114 B.
  infrared, visible = read(data / "ir" / "q.png").astype(float), read(data / "vi" / "q.png") @ [0.299, 0.587, 0.114]
  gray = [infrared, np.rint(visible)]
  for name, image in (("average", np.floor((gray[0] + gray[1] + 1) / 2)), ("pixel maximum", np.maximum(*gray))):
    for metric, value in metrics.score(gray, image).items():
      found = report[name]["images"]["q"][metric]
      assert found is None if np.isnan(value) else found == pytest.approx(value, rel=1e-6)
  assert report["Dig2DIG, tuned"]["images"]["q"] != report["fixed guidance"]["images"]["q"]


def test_settings_say_what_a_row_costs(results):
  _, out, _ = results
  settings = json.loads((out / "settings.json").read_text())
  assert settings["evaluations"] == {
    "fixed guidance": 3,
    "Dig2DIG, literal": 25 + 2 * 3,
    "Dig2DIG, one pass": 2 * 2,
    "Dig2DIG, tuned": 3 + 2 * 2,
  }
  assert settings["tuned"]["steps"] == 3 and settings["prior"] == "toy" and settings["seed"] == 0


def test_the_sheet_has_a_tile_per_source_and_row(results):
  _, out, _ = results
  sheet = read(out / "contact_sheet.png")
  assert sheet.shape == (3 * (220 + 18 + 4), 220 * (2 + len(ROWS)), 3)


def test_an_unreadable_pair_ends_it(results, tmp_path, monkeypatch):
  monkeypatch.setattr(benchmark, "Fuser", lambda *args, **kw: lambda images, ids: (images[:, 0], None))
  for name in ("a", "b"):
    write_pair(tmp_path / "data", name, (12, 12), channels={"ir": 1, "vi": 1})
  (tmp_path / "data" / "vi" / "b.png").write_bytes(b"")
  with pytest.raises(UserError, match="vi/b.png: expected an image, found an empty file"):
    run(tmp_path / "data", tmp_path / "out")
  assert not (tmp_path / "out" / "scores.csv").exists()
