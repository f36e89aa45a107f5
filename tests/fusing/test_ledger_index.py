"""Does the index tell what the logs tell, whatever became of it, and is it made of them again where it is not?"""

import contextlib
import json
import sqlite3

import numpy as np
import pytest

from dig2dig_jax.fusing import index_tables, ledger, ledger_index
from dig2dig_jax.fusing.ledger_index import Index

RUN = ledger.identity({"strength": 0.9}, {"a": np.arange(4, dtype=np.float32)})
ENTRY = {
  **RUN._asdict(), "sha256": 64 * "a", "bytes": 51234, "size": [480, 640], "tile": 0, "seconds": 1.234, "seed": 0,
  "sources": {"ir": 98765, "vi": 302112}, "versions": {"jax": "0"}, "device": "cpu", "contradiction": 0.123,
}  # fmt: skip
CURVES = {"t": [9, 0], "weight": [[0.5, 0.5]] * 2, "residual": [[1, 2]] * 2}


@pytest.fixture(autouse=True)
def every_line_is_worth_an_index(monkeypatch):
  monkeypatch.setattr(ledger_index, "LEAST", 1)


def finish(out, *names, process=0, **changes):
  with ledger.Ledger(out, process=process, processes=9) as log:
    for name in names:
      log.append({"id": name, **ENTRY, **changes})


def asked(out, *names):
  """What the index tells of these pairs, as tuples; it is rebuilt."""
  with Index(out) as index:
    rows = index.rows(names)
    found = {name: [(row.log, row.bytes, row.run, row.marks) for row in several] for name, several in rows.items()}
    index.publish()
    assert not index.notes, index.notes
  return found


def test_what_was_appended_since_is_told_with_what_the_file_tells(tmp_path):
  finish(tmp_path, "a", "b", "\udcff", process=1)
  finish(tmp_path, "b", maps=True, bytes=7)
  row = ("1-of-9.jsonl", 51234, RUN.fingerprint, {})
  known = {"a": [row], "b": [("0-of-9.jsonl", 7, RUN.fingerprint, {"maps": True}), row], "\udcff": [row]}
  assert asked(tmp_path, "a", "b", "c", "\udcff") == known
  assert index_tables.is_index(tmp_path / "log" / "index.sqlite")
  finish(tmp_path, "c", process=1, celsius="")
  with Index(tmp_path) as index:
    assert index._taken.lines <= 3, "what the file tells was read again"
    assert index.count() == {RUN.fingerprint: 4}
    assert [start.done for start in index.starts()] == [1, 3, 1]
  assert asked(tmp_path, "a", "b", "c", "\udcff") == known | {"c": [(*row[:3], {"celsius": ""})]}
  assert asked(tmp_path, "a") == {"a": [row]}


def test_pairs_with_one_line_of_this_run_are_told_at_once(tmp_path):
  """Of the index and of what was appended since; a pair with two lines, or one of another run, is for `rows`."""
  other = ledger.identity({"strength": 0.1}, {"a": np.arange(4, dtype=np.float32)})
  finish(tmp_path, "a", "b", "c", process=1)
  asked(tmp_path, "a")
  finish(tmp_path, "b", "d", "\udcff", process=2)
  finish(tmp_path, "c", "e", **other._asdict())
  sources = index_tables.digest(ENTRY["sources"].values())
  keys = [index_tables.key(name) for name in ("a", "b", "c", "d", "e", "f", "\udcff")]
  with Index(tmp_path) as index:
    assert index.once(keys, RUN.fingerprint) == dict.fromkeys((b"a", b"d", keys[-1]), (51234, sources, 0))
    assert set(index.once(keys, other.fingerprint)) == {b"e"} and not index.once(keys, "unknown")


def test_digests_of_many_are_those_of_each():
  sizes = np.array([[-1, 0], [1, 2**40], [2**62, 7]])
  assert index_tables.digests(sizes).tolist() == [index_tables.digest(row) for row in sizes.tolist()]


def _cut(path):
  path.write_bytes(path.read_bytes()[:5000])


def _flip(path):
  content = bytearray(path.read_bytes())
  content[4096:] = bytes(byte ^ 255 for byte in content[4096:])
  path.write_bytes(content)


def _text(path):
  path.write_text("a person's notes")


def _link(path):
  path.rename(path.with_suffix(".moved"))
  path.symlink_to(path.with_suffix(".moved"))


def _empty(path):
  path.write_bytes(b"")


def _newer(path):
  with contextlib.closing(sqlite3.connect(path)) as file:
    file.execute("PRAGMA user_version=99")


def harmed(folder, harm):
  """(names of finished pairs, the index of them, which was asked once and then harmed)."""
  names = [f"{number:04d}" for number in range(300)]
  finish(folder, *names)
  asked(folder, *names)
  path = folder / "log" / "index.sqlite"
  harm(path)
  return names, path


@pytest.mark.parametrize("harm", [_empty, _newer])
def test_an_index_of_another_version_or_without_a_byte_is_made_anew(tmp_path, harm):
  names, path = harmed(tmp_path, harm)
  assert not index_tables.is_index(path)
  with Index(tmp_path) as index:
    assert set(index.rows(names)) == set(names)
    index.publish()
    assert index.notes == [] and index_tables.is_index(path)


@pytest.mark.parametrize("harm", [_cut, _flip, _text, _link])
def test_an_index_that_cannot_be_used_costs_a_reading_and_no_result(tmp_path, harm):
  names, path = harmed(tmp_path, harm)
  foreign = path.read_bytes() if harm in (_text, _link) else None
  with Index(tmp_path) as index:
    assert set(index.rows(names)) == set(names)
    index.publish()
    assert len(index.notes) == 1 and str(path) in index.notes[0]
  if foreign is not None:
    assert path.read_bytes() == foreign, "a file that is not the program's was written over"
  else:
    assert set(asked(tmp_path, *names)) == set(names)


@pytest.mark.parametrize("change", ["edited", "shortened", "gone"])
def test_logs_that_are_not_as_they_were_indexed_are_read_again(tmp_path, change):
  finish(tmp_path, "a", "b", process=1)
  finish(tmp_path, "c")
  asked(tmp_path, "a", "b", "c")
  path = tmp_path / "log" / "1-of-9.jsonl"
  lines = path.read_text().splitlines(keepends=True)
  if change == "gone":
    path.unlink()
  else:
    path.write_text(path.read_text().replace('"a"', '"x"') if change == "edited" else "".join(lines[:2]))
  with Index(tmp_path) as index:
    expected = {"edited": {"x", "b", "c"}, "shortened": {"a", "c"}, "gone": {"c"}}[change]
    assert set(index.rows(["a", "b", "c", "x"])) == expected and "made anew" in index.notes[0]


def test_lines_of_before_are_told_as_those_of_now(tmp_path):
  finish(tmp_path, "a", celsius="ir")
  (entry,) = ledger.read(tmp_path)["a"]
  old = tmp_path / "old"
  (old / "log").mkdir(parents=True)
  (old / "log" / "0-of-9.jsonl").write_text(json.dumps(entry) + "\n" + '{"id": "torn"}\n')
  with Index(tmp_path) as new, Index(old) as before:
    assert before.rows(["a"])["a"][0][2:] == (*new.rows(["a"])["a"][0][2:4], *new.rows(["a"])["a"][0][4:])
    assert before.head(RUN.fingerprint)["flags"] == RUN.flags and "found 1 without" in before.notes[0]
  assert ledger.read(old)["a"] == [entry]


def test_a_pair_takes_two_hundred_bytes_and_curves_a_share_of_their_own(tmp_path, monkeypatch):
  names = [f"{number:08d}" for number in range(500)]
  monkeypatch.setattr(ledger, "_MOST_CURVES", 1000)
  monkeypatch.setattr(ledger, "_LEAST_CURVES", 1000)
  with ledger.Ledger(tmp_path) as log:
    for name in names:
      log.append({"id": name, **ENTRY, "curves": CURVES})
    assert "more are not" in log.notes()[0]
  lines = (tmp_path / "log" / "0-of-1.jsonl").read_bytes().splitlines(keepends=True)
  assert max(len(line) for line in lines[1:]) <= 200 and len(lines) == 501
  asked(tmp_path, *names)
  index = (tmp_path / "log" / "index.sqlite").stat().st_size
  assert (sum(map(len, lines)) + index - 6 * 4096) / 500 <= 250
  entries = ledger.read(tmp_path)
  assert 1 <= sum("curves" in entries[name][0] for name in names) < 10 and entries[names[0]][0]["curves"] == CURVES


def test_a_run_whose_line_is_lost_is_known_by_its_fingerprint(tmp_path):
  finish(tmp_path, "a")
  path = tmp_path / "log" / "0-of-9.jsonl"
  path.write_text("\n" + path.read_text().splitlines(keepends=True)[1])
  with Index(tmp_path) as index:
    assert index.rows(["a"])["a"][0].run == RUN.fingerprint and index.head(RUN.fingerprint) is None
  notes = []
  assert ledger.read(tmp_path, notes) == {} and "found 2 without" in notes[0]


def test_a_failure_stands_until_the_pair_is_done(tmp_path):
  with ledger.Ledger(tmp_path) as log:
    for name in ("a", "b", "a"):
      log.fail(name, RUN.fingerprint, "unreadable", "x" * 1000)
    log.append({"id": "b", **ENTRY})
  with Index(tmp_path) as index:
    (failed,) = index.failed()
    assert (failed.name, failed.kind) == ("a", "unreadable") and len(index.entry(failed)["why"]) == 400
  finish(tmp_path, "a", process=1)
  with Index(tmp_path) as index:
    assert not list(index.failed())


def test_nobody_needs_to_write_into_the_index(tmp_path):
  """Its file is replaced whole, and read without locks: what network file systems can do."""
  finish(tmp_path, "a")
  asked(tmp_path, "a")
  path = tmp_path / "log" / "index.sqlite"
  with Index(tmp_path) as reader:
    finish(tmp_path, "b", process=2)
    asked(tmp_path, "b")
    assert set(reader.rows(["a", "b"])) == {"a"}
    assert reader.refresh() == {"b"} and set(reader.rows(["a", "b"])) == {"a", "b"}
  with sqlite3.connect(path) as connection:
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal"
  connection.close()
  assert not list((tmp_path / "log").glob("*-wal")) and not list((tmp_path / "log").glob(".*.tmp"))
