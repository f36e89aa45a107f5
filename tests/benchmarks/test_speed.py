"""Does the speed suite time what it says, and hold it against the machine and a peer?"""

import dataclasses
import json

import jax
import numpy as np
import pytest
from toys import conv_denoiser, conv_params

from dig2dig_jax.benchmarks import roofline, speed, traffic
from dig2dig_jax.methods.codec import luminance_codec
from dig2dig_jax.methods.fuse import fuse
from dig2dig_jax.methods.options import Dig2DigOptions
from dig2dig_jax.methods.registry import make_method
from dig2dig_jax.models.config import UNetConfig
from dig2dig_jax.priors.prior import random_prior
from dig2dig_jax.sampling.schedule import NoiseSchedule

pytestmark = pytest.mark.usefixtures("quick_compile")

METHODS = {
  "dig2dig": Dig2DigOptions(steps=3, window="cumulative"),
  "one pass": Dig2DigOptions(steps=0, window="cumulative"),
}


class Prior:
  params, noise, directory = jax.tree.map(np.asarray, conv_params()), NoiseSchedule("linear", 1000), "toy"
  denoiser, reuse = staticmethod(conv_denoiser), None


@pytest.fixture(scope="module")
def report(quick_compile, tmp_path_factory):
  out = tmp_path_factory.mktemp("speed")
  config = speed.SpeedConfig(out=out, sizes=((16, 24),), batches=(1, 2), repeats=1)
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(speed._SIDE, "cpu", 64)
    patch.setitem(roofline._STREAM, "cpu", 2**16)
    text = speed.run(
      lambda dtype: Prior, luminance_codec(1), METHODS, config, peer=lambda prior, h, w: (100.0, 50), peer_name="theirs"
    )
  assert (out / "roofline.png").is_file()
  return text, json.loads((out / "speed.json").read_text()), (out / "speed.md").read_text()


def test_every_combination_has_its_row(report):
  text, record, written = report
  assert text == written
  rows = [(row["method"], row["batch"], row["evaluations"]) for row in record["rows"]]
  assert rows == [("dig2dig", 1, 7), ("dig2dig", 2, 7), ("one pass", 1, 4), ("one pass", 2, 4), ("theirs", 1, 50)]
  assert {row["size"] for row in record["rows"]} == {"24x16"}


def test_rates_follow_from_the_seconds(report):
  _, record, _ = report
  flops = speed.pass_flops(Prior, 16, 24)
  # Two 3x3 convolutions, 3 to 4 channels and back, on 16 x 24 pixels: 2 x 9 x 12 x 2 operations a pixel, and some.
  assert 0.8 < flops / (2 * 2 * 9 * 12 * 16 * 24) < 1.3
  for row in record["rows"][:-1]:
    assert row["seconds"] > 0 and row["memory_bytes"] > 0 and row["compile_seconds"] > 0
    # Colours are products of matrices too.
    assert row["tflops"] == pytest.approx(flops * row["evaluations"] / row["seconds"] / 1e12, rel=0.05)
    assert row["peak_share"] == pytest.approx(row["tflops"] / row["peak_tflops"])
    assert row["bound_share"] == pytest.approx(row["bound_seconds"] / row["seconds"])
    assert row["intensity"] == pytest.approx(row["tflops"] * 1e12 * row["seconds"] / row["bytes"])
    assert row["bytes"] > row["evaluations"] * 4 * 16 * 24 * 3 * 2
    assert row["times_faster"] == pytest.approx(100 / row["seconds"])
  assert record["rows"][-1]["times_faster"] == 1


@pytest.mark.slow
def test_smaller_gains_and_reused_features_cost_less():
  network = layout()
  options = Dig2DigOptions(steps=5, window="cumulative", scale=2, reuse=2)
  method = make_method(network, luminance_codec(1), options=options)
  whole, shallow = speed.pass_flops(network, 32, 32), speed.pass_flops(network, 32, 32, shallow=True)
  assert 0 < shallow < whole
  expected = 3 * whole + 2 * shallow + 4 * speed.pass_flops(network, 16, 16)
  assert speed.pair_flops(network, method, options, 32, 32) == pytest.approx(expected, rel=0.02)


  machine = roofline.Machine(1e12, 1e11)
  jaxpr = jax.make_jaxpr(lambda params, x: fuse(method, params, jax.random.key(0), x)[0])(
    network.params, np.zeros((2, 32, 32, 3), np.float32)
  ).jaxpr
  reused = speed._bound(network, options, jaxpr, (32, 32), 1, machine)
  every = speed._bound(network, dataclasses.replace(options, reuse=1), jaxpr, (32, 32), 1, machine)
  deep, flat = (traffic.total(speed.pass_traffic(network, 32, 32, 1, shallow=way))[1] for way in (False, True))
  assert reused["bytes"] == pytest.approx(every["bytes"] - 2 * (deep - flat))
  assert reused["bound_seconds"] < every["bound_seconds"]


def layout():
  config = UNetConfig(16, 32, 3, 1, (2,), (1, 2))
  return random_prior(config, NoiseSchedule("linear", 1000), name="toy")


def test_what_a_row_lacks_is_a_dash_and_an_error_stands_for_its_seconds():
  rows = [{"method": "a", "dtype": "float32", "size": "8x8", "seconds": 0.5, "tflops": 1.0},
          {"method": "b", "dtype": "float32", "size": "8x8", "error": "out of memory"}]  # fmt: skip
  lines = speed.markdown(rows).splitlines()
  assert lines[2] == "| a | float32 | 8x8 | 0.5 | 1 |" and lines[3] == "| b | float32 | 8x8 | out of memory | – |"
