"""Is a folder of results sound whatever befalls the runs into it? `python tests/scale.py chaos` does more rounds."""

import os

import chaos

# Some of the kinds of fault; .ci/run asks for 20 rounds, so that most kinds come a second time, after others.
ROUNDS = int(os.environ.get("DIG2DIG_CHAOS_ROUNDS", "4"))


def test_whatever_befalls_runs_their_folder_is_sound():
  assert chaos.run(ROUNDS) == []
