"""Does every command line end in one line or in a run? A few of what `python -m fuzz flags` runs for longer."""

import collections

import numpy as np
import pytest

from fuzz import flags


@pytest.mark.parametrize("seed", range(3))
def test_a_hundred_command_lines_are_refused_in_a_line_or_run(seed, tmp_path):
  rng = np.random.default_rng(seed)
  found = collections.Counter(flags.check(rng, tmp_path) for _ in range(100))
  assert found[flags.REFUSED] > 50 and set(found) <= {flags.REFUSED, flags.RAN}
