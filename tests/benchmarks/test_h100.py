"""Does the count for an H100 need neither weights nor a GPU, and say what kernels save? And ratios of checkouts?"""

import jax
import numpy as np
import pytest

from dig2dig_jax.benchmarks import h100, ratio, traffic
from dig2dig_jax.guidance.spectrum import Rule


def test_a_network_of_shapes_is_counted_with_a_gpus_attention():
  row = h100.Row("small", "small", 32, 32, 1)
  found = h100.of_network(row)
  attention = [one for one in found if one.kind == "kernel"]
  # Tokens attend to tokens, at half the size: products of queries with keys and of weights with values.
  tokens, channels = 16 * 16, 64
  assert attention and {one.flops for one in attention} == {4.0 * tokens * tokens * channels}
  assert {one.bytes for one in attention} == {4 * 2.0 * tokens * channels}
  held = h100.abstract_prior(h100.SMALL, "bfloat16").params
  assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(held))


def test_kernels_move_fewer_bytes_for_gains_of_a_pair(monkeypatch):
  monkeypatch.setattr(h100, "RULES", {"pair": (2, 1, Rule(bands=3))})
  off, on = (traffic.total(h100.of_bands("pair", (40, 36), kernels))[1] for kernels in ("off", "on"))
  assert 0 < on < off
  assert "| pair, 36x40 |" in h100.band_table((40, 36))


class Fake:
  def __init__(self, name, seconds, order):
    self.name, self._seconds, self._order = name, seconds, order

  def seconds(self):
    self._order.append(self.name)
    return self._seconds


def test_ways_take_turns_and_are_held_against_the_first_of_the_same_round():
  order: list[str] = []
  found = ratio.measure([Fake("a", 2.0, order), Fake("b", 3.0, order)], 2)
  assert order == ["a", "b", "b", "a"]
  noisy = found * np.array([[1.0], [5.0]])  # other work in the second round falls on both
  assert ratio.rows("gains", ["a", "b"], noisy)[1][-2:] == ["1.500", "1.500 to 1.500"]


def test_a_folder_that_is_no_checkout_is_refused(tmp_path, capsys):
  with pytest.raises(SystemExit):
    ratio.main([f"--against={tmp_path}"])
  assert "expected a checkout" in capsys.readouterr().err
