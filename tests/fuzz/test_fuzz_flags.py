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


def test_a_word_behind_a_flag_without_a_value_may_be_what_is_refused(tmp_path, monkeypatch):
  line = ["launch.py", "--job=train", "--compile_cache=", "--network=drfusion", "--recompute", "-inf", "--dropout=nan"]
  monkeypatch.setattr(flags, "command", lambda rng, folder: (line, {"recompute", "dropout"}, True))
  assert flags.check(np.random.default_rng(0), tmp_path) == flags.REFUSED
  line.remove("-inf")
  assert flags.check(np.random.default_rng(0), tmp_path) == flags.REFUSED
