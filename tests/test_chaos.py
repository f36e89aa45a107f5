"""Is a folder of results sound whatever befalls the runs into it? `python tests/scale.py chaos` does more rounds."""

import os

import chaos

# Each kind of fault once; .ci/run asks for more, so that most kinds come a second time, after others.
ROUNDS = int(os.environ.get("DIG2DIG_CHAOS_ROUNDS", len(chaos.ENDS)))


def test_whatever_befalls_runs_their_folder_is_sound():
  assert chaos.run(ROUNDS) == []
