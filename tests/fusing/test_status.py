"""Does `dig2dig status` tell what the log tells, and does --only=failed do what failed and nothing else?"""

import dataclasses
import json
import pathlib

import numpy as np
import pytest

from dig2dig_jax.cli import main
from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing import agenda, ledger, shares, status
from dig2dig_jax.fusing.config import FuseConfig
from dig2dig_jax.fusing.ledger_index import Index
from dig2dig_jax.fusing.processes import Place

RUN = ledger.identity({}, {"a": np.zeros(1, np.float32)})
START = 1_800_000_000


@pytest.fixture
def out(tmp_path, monkeypatch):
  """Two workers: one did two pairs in 40 s and failed at one, the other has been silent for long."""
  clock = [START]
  monkeypatch.setattr(ledger, "now", lambda: ledger.datetime.datetime.fromtimestamp(clock[0], ledger.datetime.UTC))
  run = {**RUN._asdict(), "sources": ["ir", "vi"]}
  entry = {**RUN._asdict(), "sha256": 64 * "0", "bytes": 5, "sources": {"ir": 2, "vi": 2}, "seconds": 18.0}
  for process, moments in enumerate([(START + 980, START + 1000, START + 1020), (START, START + 10, START + 20)]):
    with ledger.Ledger(tmp_path, process=process, processes=2) as log:
      clock[0] = moments[0]
      log.begin(run, devices=2, pairs=10)
      for moment, name in zip(moments[1:], "ab", strict=True):
        clock[0] = moment
        log.append({"id": f"{process}{name}", **entry})
      log.fail(f"{process}c", RUN.fingerprint, "unreadable", 'c.png: "no" image')
  return tmp_path


def test_status_tells_of_all_workers(out):
  found = status.look(out, now=START + 1030)
  assert (found.pairs, found.done, found.failed) == (10, 4, {"unreadable": 2})
  assert [(worker.rate, worker.active) for worker in found.workers] == [(2 / 40, True), (2 / 20, False)]
  assert found.seconds_left == pytest.approx(4 / (2 / 40)) and found.device_hours == pytest.approx(4 * 18 * 2 / 3600)
  text = status.words(found, out)
  assert "1 of 2 workers finished a pair within 10 min, 0.05 pairs a second, time left: " in text
  assert "finished; 2 workers took part" in status.words(dataclasses.replace(found, seconds_left=0.0), out)
  assert "4 of 10 pairs done, 2 failed (2 unreadable)" in text and 'failed: 0c: unreadable: c.png: "no" image' in text
  assert json.loads(status.as_json(found))["failures"][1]["id"] == "1c"
  lines = status.as_prometheus(found).splitlines()
  assert 'dig2dig_failed{kind="unreadable"} 2' in lines and 'dig2dig_pairs_per_second{worker="0-of-2"} 0.05' in lines
  assert all(line.startswith(("# HELP dig2dig_", "# TYPE dig2dig_", "dig2dig_")) for line in lines)
  strange = {'a "b"\\\n': 1_234_567}
  many = dataclasses.replace(found, failed=strange)
  parser = pytest.importorskip("prometheus_client.parser", reason="pip install prometheus_client")
  told = {family.name: family.samples for family in parser.text_string_to_metric_families(status.as_prometheus(many))}
  assert {sample.labels["kind"]: sample.value for sample in told["dig2dig_failed"]} == strange
  assert told["dig2dig_done"][0].value == 4 and len(told) == 6


def test_the_command_tells_and_refuses_in_one_line(out, tmp_path, capsys):
  assert main.main(["status", str(out), "--json"]) == 0
  assert json.loads(capsys.readouterr().out)["done"] == 4
  for words, found in (((str(out), "--xml"), "found --xml"), ((), "found 0"), ((str(out / "log"),), "found none"),
                       ((str(out), "--json", "--prometheus"), "found both")):  # fmt: skip
    assert main.main(["status", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert found in line
  (tmp_path / "empty" / "log").mkdir(parents=True)
  with pytest.raises(UserError, match="expected a log with a run in it, found none"):
    status.look(tmp_path / "empty")


@pytest.fixture
def listed(out):
  """A manifest of pairs whose files are nowhere: the planner does without."""
  path = out / "pairs.jsonl"
  names = [f"{process}{name}" for process in range(2) for name in "abcde"]
  entries = [{"id": name, "files": {"ir": f"i/{name}", "vi": f"v/{name}"}} for name in names]
  path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
  return FuseConfig(pathlib.Path(), ("ir", "vi"), manifest=path, out=out)


def planned(config, *, place=Place(0, 1)):  # noqa: B008
  with Index(config.out) as index:
    found = agenda.Agenda(config, config.list_files()[0], place, lambda pair: pair, index, RUN)
    return [pair.name for pair in found], found


def test_only_failed_is_what_failed_and_was_not_done_since(listed):
  assert sorted(planned(listed)[0]) == sorted(f"{process}{name}" for process in range(2) for name in "abcde")
  config = FuseConfig(**{**vars(listed), "only": "failed"})
  assert sorted(planned(config)[0]) == ["0c", "1c"]


@pytest.mark.parametrize("few", [0, 100])
def test_every_pair_is_in_one_share_whether_sizes_are_read_first_or_in_windows(listed, monkeypatch, few):
  monkeypatch.setattr(shares, "FEW", few)
  monkeypatch.setattr(shares, "WINDOW", 3)
  monkeypatch.setattr(shares, "read_size", lambda path: (16 * (1 + ord(path.name[-1]) % 3), 16))
  parts = [planned(listed, place=Place(process, 3))[0] for process in range(3)]
  assert sorted(sum(parts, [])) == sorted(planned(listed)[0]) and [len(part) for part in parts] == [4, 3, 3]
