"""Are many pairs the same, each once, over processes and devices, killed and started again? `scale` does more."""

import pathlib

import pytest
import scale


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
  """(pairs, results of one process on one device)."""
  root = tmp_path_factory.mktemp("scale")
  data = scale.make_pairs(root / "data", 16, 2)
  scale.work(data, root / "1x1", 0, 1, 1, 0)
  scale.check(data, root / "1x1")
  return data, root / "1x1"


@pytest.mark.slow
def test_two_processes_of_two_devices_give_the_pixels_of_one(reference, tmp_path):
  data, plain = reference
  scale.finish([scale.start(data, tmp_path, process, 2, devices=2) for process in range(2)])
  scale.check(data, tmp_path, plain)
  assert [path.read_text().count('{"id":') for path in sorted((tmp_path / "log").glob("*.jsonl"))] == [8, 8]
  assert {pathlib.Path(path).name for path in tmp_path.glob("run*.json")} == {"run.json", "run-1.json"}


@pytest.mark.slow  # test_chaos.py kills and starts again, too
def test_killed_and_started_again_with_another_number_every_pair_is_there_once(reference, tmp_path):
  data, plain = reference
  running = scale.start(data, tmp_path, 0, 2, pause=0.05)
  while len(scale.log_lines(tmp_path)) < 3:
    assert running.poll() is None, running.communicate()
  running.kill()
  running.communicate()
  killed_at = len(scale.log_lines(tmp_path))
  assert 3 <= killed_at < 8, "not killed in the middle"
  scale.finish([scale.start(data, tmp_path)])
  scale.check(data, tmp_path, plain)
