"""Do the figures show the gains that were measured, in the boxes that were asked for?"""

import csv

import numpy as np
import pytest
from scenes import write_pair
from toys import conv_denoiser, conv_params

from dig2dig_jax.benchmarks import gain_figures
from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing.config import FuseConfig
from dig2dig_jax.methods.codec import luminance_codec
from dig2dig_jax.methods.options import Dig2DigOptions
from dig2dig_jax.sampling.schedule import NoiseSchedule

pytestmark = pytest.mark.usefixtures("quick_compile")


class Prior:
  params, noise, directory = conv_params(), NoiseSchedule("linear", 1000), "toy"
  denoiser, reuse = staticmethod(conv_denoiser), None


def run(root, **options):
  config = FuseConfig(data=root / "data", out=root / "out", sources=("ir", "vi"), bucket=16)
  return gain_figures.run(Prior, luminance_codec(1), config, Dig2DigOptions(), **options)


@pytest.fixture(scope="module")
def results(quick_compile, tmp_path_factory):
  root = tmp_path_factory.mktemp("figures")
  write_pair(root / "data", "p", (24, 30), channels={"ir": 1, "vi": 3})
  write_pair(root / "data", "damaged", (24, 30), channels={"ir": 1, "vi": 3})
  (root / "data" / "ir" / "damaged.png").write_bytes(b"")
  boxes = gain_figures.parse_boxes("all:0,0,30,24; corner:25,20,5,4")
  report = run(root, figures=("1", "5"), boxes=boxes)
  written = report.written
  assert len(report.failed) == 1 and "ir/damaged.png: expected an image, found an empty file" in report.failed[0]
  tables = {}
  for figure in ("1", "5"):
    with open(root / "out" / f"figure{figure}" / "gains.csv", newline="") as file:
      tables[figure] = list(csv.DictReader(file))
  return root, written, tables


def curve(rows, region, source):
  return np.array([float(row["mean_over_draws"]) for row in rows if (row["region"], row["source"]) == (region, source)])


def test_plots_maps_and_numbers_are_written(results):
  _, written, _ = results
  assert [path.parent.name for path in written] == ["figure1", "figure5"]
  for path in written:
    assert path.stat().st_size and path.with_name("p_maps.png").stat().st_size


def test_gains_per_interval_add_up_to_the_cumulative_gain(results):
  _, _, tables = results
  for source in ("ir", "vi"):
    steps, total = (curve(tables[figure], "corner", source) for figure in ("1", "5"))
    assert len(steps) == gain_figures.LEVELS - 1
    np.testing.assert_allclose(np.cumsum(steps), total, atol=1e-5)


def test_a_box_of_the_whole_image_is_the_whole_image_and_a_corner_is_not(results):
  _, _, tables = results
  whole, same, corner = (curve(tables["5"], region, "ir") for region in ("whole image", "all", "corner"))
  np.testing.assert_array_equal(whole, same)
  assert not np.allclose(whole, corner)
  assert all(float(row["variance_over_draws"]) > 0 for row in tables["5"])


@pytest.mark.parametrize("text", ["1,2,3,4", "a:1,2,3", "a:1,2,3,x", "a:1,2,0,4", "a:-1,2,3,4", "a:1,2,3,4;a:5,6,7,8"])
def test_boxes_that_make_no_sense_are_refused(text):
  with pytest.raises(UserError, match="--boxes="):
    gain_figures.parse_boxes(text)


def test_a_box_outside_and_an_unknown_figure_are_refused(results):
  root, _, _ = results
  with pytest.raises(UserError, match="--boxes=far: expected inside of pair p, 30x24 pixels"):
    run(root, figures=("5",), boxes=gain_figures.parse_boxes("far:20,0,11,4"))
  with pytest.raises(UserError, match="--figure=2"):
    run(root, figures=("2",))
