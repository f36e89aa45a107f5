"""Does the log of scores tell which pairs are scored, whatever it has been through?"""

import json
import math

import pytest

from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.data.scaling import Range
from dig2dig_jax.errors import UserError
from dig2dig_jax.evaluation import scores
from dig2dig_jax.evaluation.scores import Scores

COLUMNS = {"ours": ("EN", "PSNR"), "average": ("EN", "PSNR")}
ROWS = {"ours": {"EN": 1 / 3, "PSNR": math.inf}, "average": {"EN": math.nan, "PSNR": -math.inf}}
FILES = {"ir": [10, 123456789], "vi": [20, 5]}


def write(folder, *names, settings=None):
  with Scores(folder, settings or {"seed": 0}, COLUMNS) as log:
    for name in names:
      log.append(name, FILES, ROWS)
  return folder / scores.FILE


def test_scores_read_back_to_every_digit_and_the_file_is_strict_json(tmp_path):
  def refuse(constant):
    raise AssertionError(f"{constant} is not JSON")

  path = write(tmp_path, "a", "caf\udce9")
  lines = [json.loads(line, parse_constant=refuse) for line in path.read_text(encoding="utf-8").splitlines()]
  assert [line["id"] for line in lines] == ["a", "caf\udce9"]
  assert lines[0]["scores"]["average"] == {"EN": None, "PSNR": "-Infinity"}
  with Scores(tmp_path, {"seed": 0}, COLUMNS) as log:
    assert log.done({"a": FILES, "caf\udce9": FILES, "b": FILES}) == {"a", "caf\udce9"}
    found = log.load(["caf\udce9", "a"])
  assert list(found) == list(COLUMNS) and found["ours"] == [ROWS["ours"]] * 2
  assert math.isnan(found["average"][0]["EN"]) and found["average"][0]["PSNR"] == -math.inf


def test_other_settings_measures_and_files_are_to_be_scored_again(tmp_path, monkeypatch):
  write(tmp_path, "a", "b")
  changed = FILES | {"vi": [20, 6]}
  for settings, columns, files, expected in (
    ({"seed": 0}, COLUMNS, FILES, {"a"}),
    ({"seed": 1}, COLUMNS, FILES, set()),
    ({"seed": 0}, {"ours": ("EN", "PSNR")}, FILES, set()),
    ({"seed": 0}, COLUMNS, changed, set()),
    ({"seed": 0}, COLUMNS, FILES | {"third": [1, 1]}, set()),
  ):
    with Scores(tmp_path, settings, columns) as log:
      assert log.done({"a": files}) == expected
  with Scores(tmp_path, {"seed": 0}, COLUMNS) as log:
    log.append("a", changed, ROWS)  # the last line counts
    assert log.done({"a": changed, "b": FILES}) == {"a", "b"} and log.done({"a": FILES}) == set()
  monkeypatch.setattr(scores, "measures_version", lambda: "other code")
  with Scores(tmp_path, {"seed": 0}, COLUMNS) as log:
    assert log.done({"a": changed}) == set()


def test_a_source_read_in_another_range_is_another_source(tmp_path):
  (tmp_path / "a.tif").write_bytes(b"12")
  pair = Pair("a", {"ir": tmp_path / "a.tif"})
  whole, narrow = scores.stamps(pair), scores.stamps(pair._replace(ranges={"ir": (Range(28500.0, 31500.0, "uint16"),)}))
  assert whole != narrow and json.loads(json.dumps(narrow)) == narrow
  assert scores.stamps(pair, {"ours": tmp_path / "a.tif", "gone": tmp_path / "b"}).keys() == {
    "source ir", "fused ours", "fused gone"}  # fmt: skip


def test_lines_that_were_edited_are_set_aside_with_a_note(tmp_path):
  path = write(tmp_path, "a")
  whole = json.loads(path.read_text())
  deep = '{"id": ' + "[" * 100_000 + "]" * 100_000 + "}"
  strange = [
    {**whole, "id": ["a"]}, {**whole, "files": None}, {**whole, "scores": [1]}, {**whole, "scores": {"ours": 3}},
    {**whole, "scores": {"ours": {"EN": True, "PSNR": 1}, "average": {"EN": 1, "PSNR": 1}}},
    {**whole, "scores": {"ours": {"EN": "high", "PSNR": 1}, "average": {"EN": 1, "PSNR": 1}}},
    {**whole, "scores": {"ours": {"EN": 1.0}}}, {**whole, "fingerprint": {}}, [], "a", None,
  ]  # fmt: skip
  lines = [*map(json.dumps, strange), deep, '{"id": NaN}', "\x00", "1" * 5000]
  path.write_bytes(b"\n".join([*(line.encode() for line in lines), path.read_bytes().strip(), b"\xff", b"torn"]))
  with Scores(tmp_path, {"seed": 0}, COLUMNS) as log:
    assert log.done({"a": FILES}) == {"a"}
    assert log.notes[0] == f"{path}: {len(lines) + 1} lines are no scores of a pair; set aside"
    assert log.load(["a"])["ours"] == [ROWS["ours"]]
  assert path.read_bytes().endswith(b"\xff\n")


def test_there_is_one_writer_and_no_link_is_followed(tmp_path):
  with Scores(tmp_path, {}, COLUMNS):
    with pytest.raises(UserError, match="scores.jsonl: expected to be its only writer, .*; wait for it or change"):
      with Scores(tmp_path, {}, COLUMNS):
        pass
  (tmp_path / "victim").write_text("precious")
  (tmp_path / "other").mkdir()
  (tmp_path / "other" / scores.FILE).symlink_to(tmp_path / "victim")
  with pytest.raises(UserError, match="scores.jsonl"):
    with Scores(tmp_path / "other", {}, COLUMNS):
      pass
  assert (tmp_path / "victim").read_text() == "precious"
