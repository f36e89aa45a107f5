"""Is a folder of results sound whatever befalls the runs into it? `python tests/scale.py chaos` does more rounds."""

import chaos


def test_whatever_befalls_runs_their_folder_is_sound():
  assert chaos.run(20) == []
