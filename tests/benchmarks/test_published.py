"""Is the published Dig2DIG what its text and numbers say, does its loop count, and what do its readings share?"""

import dataclasses
import math

import jax
import numpy as np
import pytest
import toys

from dig2dig_jax.benchmarks import paper, published
from dig2dig_jax.benchmarks.stepwise import Programs, Stepwise
from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing.fuser import Fuser
from dig2dig_jax.methods.codec import luminance_codec, rgb_codec
from dig2dig_jax.methods.cost import evaluations
from dig2dig_jax.methods.fuse import fuse
from dig2dig_jax.methods.options import Dig2DigOptions
from dig2dig_jax.methods.registry import make_method
from dig2dig_jax.priors.prior import CustomPrior

pytestmark = pytest.mark.usefixtures("quick_compile")

PARAMS = toys.conv_params()
IMAGES = np.repeat(toys.images(60, 2, 12, 16, 1), 3, axis=-1)
CHANGES = {
  "another transition": {"transition": "ddim"}, "more steps": {"steps": 40}, "other spacing": {"spacing": "uniform"}
}  # fmt: skip
ROWS = ("no gains", "l1", "ssim", "interval 1", "interval 5", "interval 20", "DIG-15", "DIG-20", "DIG-25", "DIG-50")


def fused(options, *, seed=0, codec=None):
  method = make_method(toys.conv_prior(), codec or luminance_codec(1), options=options)
  return np.asarray(jax.jit(lambda images: fuse(method, PARAMS, jax.random.key(seed), images)[0])(IMAGES))


@pytest.mark.parametrize("options", [
  pytest.param(published.PUBLISHED, id="published"),
  pytest.param(published.QUADRATIC, id="quadratic", marks=pytest.mark.slow),
])  # fmt: skip
def test_another_transition_number_of_steps_or_seed_is_another_image(options):
  image = fused(options)
  for name, changes in CHANGES.items():
    assert np.abs(fused(dataclasses.replace(options, **changes)) - image).max() > 2 / 255, name
  assert np.abs(fused(options, seed=1) - image).max() > 2 / 255


def test_with_a_strength_of_one_the_loop_changes_nothing_and_says_so():
  inert = Dig2DigOptions(steps=25, weights="uniform")
  image = fused(inert)
  for changes in CHANGES.values():
    np.testing.assert_allclose(fused(dataclasses.replace(inert, **changes)), image, atol=1e-6)
  (note,) = inert.notes()
  assert note.startswith("--strength=1: the last of 25 steps replaces the estimate by the weighted sources")
  for changes in ({"strength": 0.9}, {"steps": 0}, {"guidance": "dps"}, {"strength_schedule": "likelihood"}):
    assert not dataclasses.replace(inert, **changes).notes()
  assert not published.PUBLISHED.notes() and not published.QUADRATIC.notes()


@pytest.mark.parametrize("steps, interval", [(25, 10), (15, 10), (20, 10), (50, 10), (25, 1), (25, 20)])
def test_a_run_costs_an_evaluation_a_step_and_one_per_source_and_update(steps, interval):
  options = dataclasses.replace(published.PUBLISHED, steps=steps, interval=interval)
  method = make_method(toys.conv_prior(), luminance_codec(1), options=options)
  assert evaluations(method, PARAMS, 2) == steps + 2 * math.ceil(steps / interval)


def test_evaluations_are_counted_where_they_run():
  calls = []
  method = make_method(toys.conv_prior(), luminance_codec(1), options=published.PUBLISHED)
  method = method.replace(denoiser=lambda params: toys.counted(toys.conv_denoiser(params), calls))
  jax.block_until_ready(jax.jit(lambda images: fuse(method, PARAMS, jax.random.key(0), images)[0])(IMAGES))
  jax.effects_barrier()
  assert len(calls) == 25 + 2 * 3


def test_readings_differ_and_hold_the_rows_of_the_papers_tables():
  rows = published.readings()
  assert len(set(rows.values())) == len(rows)
  for name in ROWS:
    assert f"{published.CHOSEN}: {name}" in rows, name
  assert rows[f"{published.CHOSEN}: DIG-25"] == published.PUBLISHED
  for options in rows.values():
    options.validate(1000)


@pytest.mark.parametrize("row", [
  *(pytest.param(name, marks=pytest.mark.slow) for name in ("DDFM", "shares: DIG-15", "unit, next first: interval 5")),
  "image, ratio: ssim",
])  # fmt: skip
def test_stepwise_is_the_fuser(row):
  options = published.readings()[row]
  options = dataclasses.replace(options, steps=7) if row == "DDFM" else options
  programs = Programs(toys.conv_prior(), luminance_codec(1), seed=3)
  ids = np.array([5, 9], np.uint32)
  images = np.stack([IMAGES, -IMAGES])
  ours, _ = Stepwise(options, programs, PARAMS)(images, ids)
  method = make_method(toys.conv_prior(), luminance_codec(1), options=options)
  theirs, _ = Fuser(method, PARAMS, seed=3)(images, ids)
  np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_rows_share_a_step_and_what_the_network_makes_of_the_sources():
  calls = []
  counted = CustomPrior(lambda params: toys.counted(toys.conv_denoiser(params), calls), toys.NOISE)
  programs = Programs(counted, luminance_codec(1), seed=0)
  rows = published.readings()
  costs = []
  for name in ("shares: DIG-25", "unit: DIG-25", "levels: interval 20", "ratio: DIG-15"):
    calls.clear()
    Stepwise(rows[name], programs, PARAMS)(IMAGES[None], np.array([1], np.uint32))
    jax.effects_barrier()
    costs.append(len(calls))
  assert costs == [25 + 2 * 3, 25, 25, 15 + 2], "the noisiest level is the same in 15 and in 25 steps"
  assert len(programs._steps) == 1
  calls.clear()
  Stepwise(rows["shares: DIG-25"], programs, PARAMS)(IMAGES[None], np.array([2], np.uint32))
  jax.effects_barrier()
  assert len(calls) == 25 + 2 * 3, "another pair"
  with pytest.raises(ValueError, match="one shared draw over intervals"):
    Stepwise(dataclasses.replace(published.PUBLISHED, draws=2), programs, PARAMS)


def printed():
  """The paper's own means in the rows of a reading: {measure: {row: value}}."""
  means = {measure: {} for measure in ("SSIM", "MSE", "CC")}
  names = {"none": published.NONE, "first distance": "l1", "SSIM": "ssim", "S = 1": "interval 1", "S = 5": "interval 5",
           "S = 20": "interval 20", "DDFM": published.NONE}  # fmt: skip
  for table in ("3", "4", "5"):
    found = paper.TABLES[table]
    for row, values in found.rows.items():
      for column, value in zip(found.columns, values, strict=True):
        if column[:-1] in means and row not in ("adopted distance", "S = 10", "CCF"):
          means[column[:-1]].setdefault(names.get(row, row), float(value))
  return means


def test_the_paper_bears_its_claims_out():
  means = printed()
  for claim in published.CLAIMS:
    for measure, higher in (("MSE", False), ("CC", True)):
      assert published.holds(claim, means[measure], higher=higher) is True, (claim, measure)
  assert published.holds("l2 is the best distance", means["SSIM"], higher=True) is None, "Table 3 has no SSIM"
  assert published.holds("S = 1, 5, 10 rise", means["SSIM"], higher=True)
  assert not published.holds("S = 1, 5, 10 rise", means["SSIM"], higher=False)
  flat = dict.fromkeys(means["MSE"], 1.0)
  assert [claim for claim in published.CLAIMS if published.holds(claim, flat, higher=True)] == ["50 steps are as 25"]


def test_the_shape_has_a_line_for_every_reading_that_ran():
  rows = {f"unit: {row}": {"MSE": value} for row, value in printed()["MSE"].items()}
  text = published.shape(rows, {"MSE": False})
  header, _, line = text.splitlines()
  assert len(header.split("|")) == len(published.CLAIMS) + 3
  assert line == "| unit |" + " MSE |" * len(published.CLAIMS)
  # Of the same run without gains; its distances did not run.
  levels = {"levels: DIG-25": {"MSE": 2300.0}, "levels: interval 1": {"MSE": 2400.0}}
  *_, line = published.shape(rows | levels, {"MSE": False}).splitlines()
  assert line.startswith("| levels | – | not run | MSE | not run |")


def test_colour_takes_every_channel_and_luminance_alone_is_refused():
  images = toys.images(3, 2, 12, 16, 3)
  options = dataclasses.replace(published.PUBLISHED, em_colour="channels")
  method = make_method(toys.conv_prior(), rgb_codec(), options=options)
  image = np.asarray(jax.jit(lambda images: fuse(method, PARAMS, jax.random.key(0), images)[0])(images))
  low, high = images.min(axis=0), images.max(axis=0)
  assert ((image > low - 0.05) & (image < high + 0.05)).mean() > 0.99, "between the sources, channel by channel"
  with pytest.raises(UserError, match="--em_colour=corrected: fuses luminance, found colour; use channels"):
    make_method(toys.conv_prior(), rgb_codec(), options=published.PUBLISHED)
