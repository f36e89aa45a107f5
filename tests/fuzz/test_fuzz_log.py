"""Is a log that was changed read or refused in a line, however it was changed?"""

import collections

import numpy as np
from fuzz import log


def test_changed_logs_are_read_or_refused_in_one_line(tmp_path):
  rng = np.random.default_rng(0)
  found = collections.Counter(log.check(rng, tmp_path) for _ in range(300))
  assert set(found) == {"read", "refused"} and found["read"] > 100, found
