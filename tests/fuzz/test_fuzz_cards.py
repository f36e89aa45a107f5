"""Do the first 150 tampered checkpoints of the fuzz suite load or get refused, as `fuzz.cards` demands?"""

import collections

import numpy as np

from fuzz import cards


def test_tampered_checkpoints(tmp_path):
  found = collections.Counter()
  for case in range(150):
    folder = tmp_path / str(case)
    try:
      found[cards.check(np.random.default_rng([0, case]), folder)] += 1
    except AssertionError as error:
      raise AssertionError(f"case {case}, kept in {folder}: {error}") from error
  assert found["loaded"] > 3 and found["refused"] > 100, found  # neither all alike, nor nothing tried
