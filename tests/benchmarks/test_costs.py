"""Does the table of costs have every row of the paper's, and ratios to the one that is the unit?"""

import dataclasses

import pytest
import toys

from dig2dig_jax.benchmarks import costs
from dig2dig_jax.benchmarks.published import PUBLISHED


@pytest.mark.slow
def test_ratios_are_to_the_unit(quick_compile):
  asked = {name: dataclasses.replace(PUBLISHED, steps=n, interval=2) for name, n in (("DIG-25", 4), ("more", 8))}
  text = costs.run(toys.conv_prior(), toys.conv_params(), asked, side=16, repeats=1)
  header, _, unit, more = text.splitlines()
  assert header.startswith("| row | evaluations |")
  assert unit == "| DIG-25 | 8 | 1.00 | 1.00 |" and more.startswith("| more | 16 | 2.00 | ")


def test_rows_are_those_of_the_papers_tables():
  assert [*costs.rows()] == ["DIG-15", "DIG-20", "DIG-25", "DIG-50", "DIG-25, S = 1", "DIG-25, S = 5", "DIG-25, S = 20",
                             "DDFM-100", "CCF-200"]  # fmt: skip
  assert costs.rows()["DIG-25"] == PUBLISHED


@pytest.mark.parametrize("argument", ["--side=100", "--repeats=0"])
def test_bad_numbers_are_refused(argument, capsys):
  assert costs.main([argument]) == 2
  assert "expected a multiple of 32, and at least 1" in capsys.readouterr().err
